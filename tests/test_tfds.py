"""TensorFlow Datasets: prepared in a child process, read without TensorFlow."""

import functools
import http.server
import importlib.util
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import tfds_source
from jaxgan.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
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
    assert str(caught.value) == (
        f"data.name = tfds:mnist: not prepared (data.dir = '{tmp_path}'), which needs "
        "TensorFlow once: pip install 'jaxgan[tfds]', or use files of your own with "
        "data.name=idx or folder"
    )


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
        tfds_source, "PREPARE", "print('x\\nOSError: disk full'); raise SystemExit(1)"
    )
    with pytest.raises(UserError, match=r"mnist: not prepared: OSError: disk full$"):
        data.load("tfds:mnist", dir=str(tmp_path))


@pytest.fixture(scope="module")
def mnist_url():
    """MNIST's four files, served on the loopback interface."""
    if not MNIST.is_dir():
        pytest.skip(f"MNIST's idx files are not in {MNIST}")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(MNIST))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


# An address that TFDS has no checksums for is downloaded without comparing any: the
# archive of the training images is packed otherwise than the published one. Their
# content is compared below.
PREPARE_FROM = """
from tensorflow_datasets.image_classification import mnist
mnist.MNIST.URL = {url!r}
"""

# Loads MNIST twice, preparing it if `url` is not empty, and saves what it got.
LOAD = """
import sys
import numpy as np
from jaxgan import data
from jaxgan.data import tfds_source

folder, prepare_from, out = sys.argv[1:]
tfds_source.PREPARE = prepare_from + tfds_source.PREPARE
loaded = data.load('tfds:mnist', dir=folder, labels=True)
streamed = data.load('tfds:mnist', dir=folder, labels=True, cache='none')
assert isinstance(loaded.train, data.ArraySource)
assert not isinstance(streamed.train, data.ArraySource)
assert loaded[2:] == streamed[2:] == ((28, 28, 1), 10, np.uint8), loaded[2:]
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


@pytest.mark.tfds
@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow, which prepares TFDS sets, is not installed (extra 'tfds')",
)
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
