"""TensorFlow Datasets, read without TensorFlow.

TFDS needs TensorFlow only to prepare a set. That happens once, in a child process, so
that the process that trains never imports it: it would take memory, seconds, and on a
GPU the device.
"""

import contextlib
import difflib
import fcntl
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.sources import Example, Source, stamps
from jaxgan.errors import UserError
from jaxgan.files import buckets

HELDOUT_SPLITS = ("test", "validation")

# Prints what went wrong, in one line, as the last line of stdout. TFDS's own prepared
# copies in the cloud are not used: they are TFRecord files.
PREPARE = """
import sys
import tensorflow_datasets as tfds
name, folder = sys.argv[1:]
if not sys.stderr.isatty():
    tfds.disable_progress_bar()
try:
    tfds.builder(
        name, data_dir=folder or None, file_format='array_record'
    ).download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
except Exception as error:
    print('\\n' + type(error).__name__, ' '.join(str(error).split()), sep=': ')
    sys.exit(1)
"""


class TfdsSource:
    """One split of a prepared set, decoded when asked for."""

    form: transforms.Format

    def __init__(self, records, name: str, labels: bool, folder: str):
        self.records, self.name, self.labels = records, name, labels
        self.folder = folder

    def __len__(self) -> int:
        return len(self.records)

    def header(self, index: int) -> transforms.Header:
        """Return the size and colour of an image without decoding it."""
        return transforms.header(*_file(self.records[index], self.name, index))

    def stamp(self) -> Iterator[tuple]:
        """Yield what changes when the set is prepared again."""
        yield (self.name,)
        if buckets.is_remote(self.folder):
            yield from sorted(buckets.list_objects(self.folder).items())
        else:
            yield from stamps(sorted(pathlib.Path(self.folder).iterdir()))

    def identity(self) -> Iterator[tuple]:
        """Yield the name, how many examples there are, and the first and last one."""
        yield self.name, len(self)
        for index in (0, len(self) - 1):
            yield (_file(self.records[index], self.name, index)[0].getvalue(),)

    def __getitem__(self, index: int) -> Example:
        return self._decode(self.records[index], index)

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        # Several times faster than one at a time, where images are small.
        records = self.records.__getitems__(indices)
        return [self._decode(*pair) for pair in zip(records, indices, strict=True)]

    def _decode(self, record: dict, index: int) -> Example:
        image = transforms.decode(*_file(record, self.name, index), self.form)
        label = record["label"] if self.labels else 0
        return {"image": image, "label": np.int32(label)}


def _file(record: dict, name: str, index: int) -> tuple[io.BytesIO, str]:
    return io.BytesIO(record["image"]), f"{name}, image {index}"


def load(
    name: str, folder: str, *, image_size: int, channels: int, labels: bool
) -> tuple[Source, Source | None, tuple[int, int, int], int]:
    """Open a set of TFDS, after preparing it if it is not prepared.

    Args:
      name: NAME[/CONFIG][:VERSION].
      folder: TFDS's data_dir, local or gs://; '' = TFDS's default.
      image_size, channels, labels: as in folder.load.

    Returns:
      split 'train'; 'test', or else 'validation', or None; the images' shape; and the
      number of classes (0 without `labels`).

    Raises:
      UserError: a package is missing (with what to install), TFDS does not know the
        name, the set has no images or no labels, or was prepared as TFRecord files.
    """
    tfds, builder, features = _prepared(name, folder, ("train",))
    splits = builder.info.splits
    if labels and not isinstance(features.get("label"), tfds.features.ClassLabel):
        raise _lacks(name, "feature 'label' of classes", features)
    train = _open(tfds, builder, "train", name, labels)
    others = (split for split in HELDOUT_SPLITS if split in splits)
    heldout = next((_open(tfds, builder, s, name, labels) for s in others), None)

    train.form = transforms.settle(transforms.sample(train), image_size, channels)
    if heldout is not None:
        heldout.form = train.form
    num_classes = features["label"].num_classes if labels else 0
    return train, heldout, train.form.shape, num_classes


def load_pair(name: str, folder: str) -> list[TfdsSource]:
    """Open a set of two domains, such as cycle_gan/horse2zebra, preparing it once.

    Args:
      name, folder: as in `load`.

    Returns:
      the splits trainA, trainB, testA and testB; their `form` is still to be set.

    Raises:
      UserError: as in `load`.
    """
    splits = ("trainA", "trainB", "testA", "testB")
    tfds, builder, _ = _prepared(name, folder, splits)
    return [_open(tfds, builder, split, name, False) for split in splits]


def _prepared(name: str, folder: str, splits: Iterable[str]):
    """Return TFDS, the set's builder once it is prepared, and the set's features."""
    tfds = _import_tfds(name)
    builder = _builder(tfds, name, folder)
    if not builder.info.splits:
        with _one_at_a_time(builder):
            builder = _builder(tfds, name, folder)
            if not builder.info.splits:
                _prepare(name, folder)
                builder = _builder(tfds, name, folder)
    features = _features(tfds, builder)
    if not isinstance(features.get("image"), tfds.features.Image):
        raise _lacks(name, "feature 'image'", features)
    for split in splits:
        if split not in builder.info.splits:
            raise _lacks(name, f"split '{split}'", builder.info.splits)
    return tfds, builder, features


@contextlib.contextmanager
def _one_at_a_time(builder) -> Iterator[None]:
    """Have one process prepare a set where several of a run see one folder."""
    folder = str(builder.data_dir).removesuffix(f"/{builder.info.full_name}")
    if buckets.is_remote(folder):
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f".{builder.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _import_tfds(name: str):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"data.name = tfds:{name}: needs {error.name or error} (pip install "
            "tensorflow-datasets importlib_resources), or data.name=idx or folder"
        ) from error
    return tfds


def _builder(tfds, name: str, folder: str):
    try:
        return tfds.builder(name, data_dir=folder or None)
    except tfds.core.DatasetNotFoundError as error:
        names = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        raise UserError(
            f"data.name = tfds:{name}: unknown to TFDS; nearest: tfds:{close[0]}"
        ) from error
    except (AssertionError, ValueError) as error:  # no such config or version
        raise UserError(f"data.name = tfds:{name}: {_line(error)}") from error


def _prepare(name: str, folder: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"data.name = tfds:{name}: not prepared (data.dir = '{folder}'), which "
            "needs TensorFlow once: pip install 'jaxgan[tfds]', or use files of your "
            "own with data.name=idx or folder"
        )
    print(f"preparing tfds:{name}, once", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, name, folder],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"data.name = tfds:{name}: not prepared: {lines[-1]}")


def _open(tfds, builder, split: str, name: str, labels: bool) -> TfdsSource:
    # Decoding is left to transforms.decode: TFDS would use OpenCV where it is installed
    # and PIL elsewhere, which differ in the last bits of a JPEG.
    decoders = {"image": tfds.decode.SkipDecoding()}
    try:
        records = builder.as_data_source(split, decoders=decoders)
    except (NotImplementedError, ValueError) as error:
        raise UserError(
            f"data.name = tfds:{name}: prepared in {builder.data_path} as "
            f"{builder.info.file_format.value}, array_record expected; name another "
            "data.dir to prepare it there"
        ) from error
    return TfdsSource(records, f"tfds:{name} {split}", labels, str(builder.data_path))


def _features(tfds, builder) -> dict:
    features = builder.info.features
    return dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}


def _lacks(name: str, what: str, found: Iterable[str]) -> UserError:
    return UserError(f"data.name = tfds:{name}: no {what}; found {', '.join(found)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
