"""TensorFlow Datasets (TFDS), read without TensorFlow.

TFDS needs TensorFlow only to prepare a set. That happens once, in a child process, so
that the training process never imports TensorFlow, which would take seconds and memory,
and on a GPU the memory of the device.
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
from typing import Any

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.image_formats import Header, ImageFormat, choose_format, sample_headers
from jaxgan.data.sources import Example, Parts, file_versions
from jaxgan.errors import UserError
from jaxgan.files import buckets

# The first of these splits that a set has is the held-out part.
HELDOUT_SPLITS = ("test", "validation")

# The child process that prepares a set. If it fails, the last line that it prints says
# why. TFDS's own prepared copies in the cloud are not used: they are TFRecord files.
PREPARE_PROGRAM = """
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
    """One split of a prepared set; images are decoded when they are asked for."""

    image_format: ImageFormat

    def __init__(self, records: Any, name: str, labels: bool, folder: str):
        self.records, self.name, self.labels = records, name, labels
        self.folder = folder

    def __len__(self) -> int:
        return len(self.records)

    def read_header(self, index: int) -> Header:
        """Return the size and colour of an image without decoding it."""
        file = _image_file(self.records[index], self.name, index)
        return transforms.read_header(*file)

    def versions(self) -> Iterator[tuple]:
        """Yield the name, and facts that change when the set is prepared again."""
        yield (self.name,)
        if buckets.is_remote(self.folder):
            yield from sorted(buckets.list_objects(self.folder).items())
        else:
            yield from file_versions(sorted(pathlib.Path(self.folder).iterdir()))

    def identity_facts(self) -> Iterator[tuple]:
        """Yield the name, the number of examples, and the first and the last image."""
        yield self.name, len(self)
        for index in (0, len(self) - 1):
            file, _ = _image_file(self.records[index], self.name, index)
            yield (file.getvalue(),)

    def __getitem__(self, index: int) -> Example:
        return self._decode(self.records[index], index)

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        # For small images, several times faster than reading one at a time.
        records = self.records.__getitems__(indices)
        return [self._decode(*pair) for pair in zip(records, indices, strict=True)]

    def _decode(self, record: dict, index: int) -> Example:
        file = _image_file(record, self.name, index)
        image = transforms.decode(*file, self.image_format)
        label = record["label"] if self.labels else 0
        return {"image": image, "label": np.int32(label)}


def _image_file(record: dict, name: str, index: int) -> tuple[io.BytesIO, str]:
    """Return the encoded image of a record, and its name for messages."""
    return io.BytesIO(record["image"]), f"{name}, image {index}"


def load(
    name: str, folder: str, *, image_size: int, channels: int, labels: bool
) -> Parts:
    """Open a set of TFDS, and prepare it first if it is not prepared yet.

    The split 'train' is the training part; the held-out part is 'test', or else
    'validation', or None.

    Args:
      name: NAME[/CONFIG][:VERSION].
      folder: TFDS's data_dir, local or gs://; '' means TFDS's default.
      image_size, channels, labels: as in folder.load.

    Raises:
      UserError: a package is missing (the message says what to install), TFDS does not
        know the name, the set has no images or no labels, or it was prepared as
        TFRecord files.
    """
    tfds, builder, features = _open_prepared(name, folder, ("train",))
    splits = builder.info.splits
    if labels and not isinstance(features.get("label"), tfds.features.ClassLabel):
        raise _missing(name, "feature 'label' of classes", features)
    train = _open_split(tfds, builder, "train", name, labels)
    others = (split for split in HELDOUT_SPLITS if split in splits)
    heldout = next((_open_split(tfds, builder, s, name, labels) for s in others), None)

    train.image_format = choose_format(sample_headers(train), image_size, channels)
    if heldout is not None:
        heldout.image_format = train.image_format
    num_classes = features["label"].num_classes if labels else 0
    return Parts(train, heldout, train.image_format.shape, num_classes)


def load_pair(name: str, folder: str) -> list[TfdsSource]:
    """Open a set of two domains, such as cycle_gan/horse2zebra; see `load`.

    Returns:
      the splits trainA, trainB, testA and testB. Their `image_format` is still to be
      set.
    """
    splits = ("trainA", "trainB", "testA", "testB")
    tfds, builder, _ = _open_prepared(name, folder, splits)
    return [_open_split(tfds, builder, split, name, False) for split in splits]


def _open_prepared(
    name: str, folder: str, splits: Iterable[str]
) -> tuple[Any, Any, dict]:
    """Prepare a set if need be; return TFDS, the set's builder and its features.

    Raises:
      UserError: the set has no images, or not all of `splits`.
    """
    tfds = _import_tfds(name)
    builder = _builder(tfds, name, folder)
    if not builder.info.splits:
        with _hold_lock(builder):
            # Another process may have prepared it while this one waited for the lock.
            builder = _builder(tfds, name, folder)
            if not builder.info.splits:
                _prepare(name, folder)
                builder = _builder(tfds, name, folder)
    features = _features(tfds, builder)
    if not isinstance(features.get("image"), tfds.features.Image):
        raise _missing(name, "feature 'image'", features)
    for split in splits:
        if split not in builder.info.splits:
            raise _missing(name, f"split '{split}'", builder.info.splits)
    return tfds, builder, features


@contextlib.contextmanager
def _hold_lock(builder: Any) -> Iterator[None]:
    """Let one of the processes that share a local folder prepare a set at a time."""
    folder = str(builder.data_dir).removesuffix(f"/{builder.info.full_name}")
    if buckets.is_remote(folder):
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f".{builder.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _import_tfds(name: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"data.name = tfds:{name}: needs {error.name or error} (pip install "
            "tensorflow-datasets importlib_resources), or data.name=folder"
        ) from error
    return tfds


def _builder(tfds: Any, name: str, folder: str) -> Any:
    try:
        return tfds.builder(name, data_dir=folder or None)
    except tfds.core.DatasetNotFoundError as error:
        names = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        raise UserError(
            f"data.name = tfds:{name}: unknown to TFDS; nearest: tfds:{close[0]}"
        ) from error
    except (AssertionError, ValueError) as error:  # no such config or version
        line = " ".join(str(error).split())
        raise UserError(f"data.name = tfds:{name}: {line}") from error


def _prepare(name: str, folder: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"data.name = tfds:{name}: not prepared (data.dir = '{folder}'), which "
            "needs TensorFlow once: pip install 'jaxgan[tfds]', or use files of your "
            "own with data.name=folder"
        )
    print(f"preparing tfds:{name}, once", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-c", PREPARE_PROGRAM, name, folder],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"data.name = tfds:{name}: not prepared: {lines[-1]}")


def _open_split(
    tfds: Any, builder: Any, split: str, name: str, labels: bool
) -> TfdsSource:
    # Images are decoded by transforms.decode, not by TFDS, which uses OpenCV if it is
    # installed and else PIL: these two differ in the last bits of a JPEG.
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


def _features(tfds: Any, builder: Any) -> dict:
    features = builder.info.features
    return dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}


def _missing(name: str, what: str, found: Iterable[str]) -> UserError:
    return UserError(f"data.name = tfds:{name}: no {what}; found {', '.join(found)}")
