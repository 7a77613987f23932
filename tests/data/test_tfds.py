"""TensorFlow Datasets: prepared in a child process, read without TensorFlow."""

import contextlib
import functools
import http.server
import importlib.util
import pathlib
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxgan import data
from jaxgan.data.formats import tfds
from jaxgan.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
MNIST = ROOT.parent / "shared" / "data" / "mnist"


@pytest.fixture
def no_tensorflow(monkeypatch):
    find_spec = importlib.util.find_spec

    def find(name, *args):
        return None if name == "tensorflow" else find_spec(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_a_set_that_is_not_prepared_without_tensorflow(tmp_path, no_tensorflow):
    with pytest.raises(UserError) as caught:
        data.load("tfds:mnist", dir=str(tmp_path))
    message = str(caught.value)
    assert message.startswith("data.name = tfds:mnist: not prepared")
    assert f"data.dir = '{tmp_path}'" in message
    assert "TensorFlow" in message
    assert "pip install 'jaxgan[tfds]'" in message
    assert "data.name=folder" in message


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match=r"tfds:mnizt: unknown .*nearest: tfds:mnist$"):
        data.load("tfds:mnizt", dir=str(tmp_path))
    with pytest.raises(UserError, match=r"data.name = tfds:mnist/x: .*") as caught:
        data.load("tfds:mnist/x", dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_failed_preparation_is_one_line(tmp_path, monkeypatch):
    spec = importlib.util.find_spec("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: spec)
    monkeypatch.setattr(
        tfds, "PREPARE_PROGRAM", "print('x\\nOSError: disk full'); raise SystemExit(1)"
    )
    with pytest.raises(UserError, match=r"mnist: not prepared: OSError: disk full$"):
        data.load("tfds:mnist", dir=str(tmp_path))


@contextlib.contextmanager
def served(folder):
    """Serve the files of a folder on the loopback interface; yields the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def mnist_url():
    """The address of MNIST's four files."""
    if not MNIST.is_dir():
        pytest.skip(f"MNIST's idx files are not in {MNIST}")
    with served(MNIST) as url:
        yield url


# TFDS knows no checksums for this address, so it compares none. (The archive of the
# training images is compressed differently from the published one; its content is
# compared below.)
PREPARE_FROM = """
from tensorflow_datasets.image_classification import mnist
mnist.MNIST.URL = {url!r}
"""

# Loads MNIST twice, preparing it if `url` is not empty, and saves what it got.
LOAD = """
import sys
import numpy as np
from jaxgan import data
from jaxgan.data.formats import tfds

folder, prepare_from, out = sys.argv[1:]
tfds.PREPARE_PROGRAM = prepare_from + tfds.PREPARE_PROGRAM
loaded = data.load('tfds:mnist', dir=folder, labels=True)
streamed = data.load('tfds:mnist', dir=folder, labels=True, cache='none')
assert isinstance(loaded.train, data.ArraySource)
assert not isinstance(streamed.train, data.ArraySource)
assert loaded[2:5] == streamed[2:5] == ((28, 28, 1), 10, np.uint8), loaded[2:5]
plan = data.Plan(60000, 64, seed=0, n_critic=5)
calls = [range(99, 101), range(101, 103)]
for one, other in zip(
    data.batches(loaded.train, plan, calls),
    data.batches(streamed.train, plan, calls),
    strict=True,
):
    for key in ('image', 'label'):
        assert one[key].tobytes() == other[key].tobytes()
assert 'tensorflow' not in sys.modules
np.savez(
    out,
    train=loaded.train.images,
    train_labels=loaded.train.labels,
    heldout=loaded.heldout.images,
    heldout_labels=loaded.heldout.labels,
)
"""


needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow, which prepares TFDS sets, is not installed (extra 'tfds')",
)


@pytest.mark.tfds
@needs_tensorflow
def test_mnist_is_prepared_and_then_read_without_tensorflow(tmp_path, mnist_url):
    def load(prepare_from):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, tmp_path / "tfds", prepare_from, out],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr
        return done.stderr

    out = tmp_path / "out.npz"
    assert "preparing tfds:mnist, once" in load(PREPARE_FROM.format(url=mnist_url))
    assert "preparing" not in load("raise SystemExit('prepared twice')")

    mnist = data.load("idx", dir=str(MNIST), labels=True)
    with np.load(out) as got:
        for part, expected in (("train", mnist.train), ("heldout", mnist.heldout)):
            found = rows(got[part], got[f"{part}_labels"])
            # TFDS shuffles what it prepares.
            assert sorted(found) == sorted(rows(expected.images, expected.labels))


def rows(images, labels):
    return [
        image.tobytes() + bytes([label])
        for image, label in zip(images, labels, strict=True)
    ]


# A set laid out as TFDS's cycle_gan expects it, with few and small images.
PREPARE_PAIR_FROM = """
from tensorflow_datasets.image_classification import cycle_gan
cycle_gan._DL_URLS['facades'] = {url!r}
"""

LOAD_PAIR = """
import sys
import numpy as np
from jaxgan import data
from jaxgan.data.formats import tfds

folder, prepare_from, out = sys.argv[1:]
tfds.PREPARE_PROGRAM = prepare_from + tfds.PREPARE_PROGRAM
options = {'dir': folder, 'resize': 9, 'image_size': 8}
pairs = [
    data.load_pair('tfds:cycle_gan/facades', **options, cache=cache)
    for cache in ('memory', 'disk', 'disk', 'none')
]
plan = data.PairPlan(6, 4, 3, seed=0)
streams = [data.pair_batches(pair, plan, [range(5), range(5, 10)]) for pair in pairs]
for batches in zip(*streams, strict=True):
    assert len({one['a'].tobytes() + one['b'].tobytes() for one in batches}) == 1
assert not any(pair.truth for pair in pairs)
assert 'tensorflow' not in sys.modules
parts = [[s[i]['image'] for i in range(len(s))] for s in pairs[0][:4]]
np.savez(out, **dict(zip(('trainA', 'trainB', 'testA', 'testB'), parts, strict=True)))
"""


@pytest.mark.tfds
@needs_tensorflow
def test_a_pair_is_prepared_and_then_read_without_tensorflow(tmp_path, monkeypatch):
    sizes = {"trainA": 6, "trainB": 4, "testA": 3, "testB": 2}
    generator = np.random.default_rng(0)
    files = tmp_path / "files"
    for part, count in sizes.items():
        (files / part).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 256, (12, 10, 3), np.uint8)
            Image.fromarray(pixels).save(files / part / f"{index}.jpg")
    (tmp_path / "web").mkdir()
    with zipfile.ZipFile(tmp_path / "web" / "facades.zip", "w") as archive:
        for path in files.rglob("*.jpg"):
            archive.write(path, pathlib.Path("facades", path.relative_to(files)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out.npz"
    with served(tmp_path / "web") as url:
        prepare_from = PREPARE_PAIR_FROM.format(url=f"{url}facades.zip")
        done = subprocess.run(
            [sys.executable, "-c", LOAD_PAIR, tmp_path / "tfds", prepare_from, out],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert not done.returncode, done.stderr
    assert done.stderr.count("preparing tfds:cycle_gan/facades, once") == 1
    assert len(list((tmp_path / "cache" / "jaxgan").iterdir())) == 1
    local = data.load_pair("folder", dir=str(files), resize=9, image_size=8)
    with np.load(out) as got:
        for part, source in zip(sizes, local[:4], strict=True):
            expected = [source[index]["image"] for index in range(len(source))]
            # TFDS shuffles what it prepares.
            assert sorted(image.tobytes() for image in got[part]) == sorted(
                image.tobytes() for image in expected
            )


def test_a_pair_that_is_none(tmp_path):
    def error(name):
        with pytest.raises(UserError) as caught:
            data.load_pair(name, dir=str(tmp_path), resize=9, image_size=8)
        return str(caught.value)

    for version in ("horse2zebr", "horse2zebra:9.9.9"):
        found = error(f"tfds:cycle_gan/{version}")
        assert found.startswith(f"data.name = tfds:cycle_gan/{version}: ")
        assert "\n" not in found
    # These are refused before anything is downloaded.
    for name in ("tfds:mnist", "tfds:cyclegan/maps"):
        assert error(name).startswith(f"data.name = {name}: unknown; valid: day_night,")
