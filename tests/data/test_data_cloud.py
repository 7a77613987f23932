"""Data in Google Cloud Storage, compared with the same data on this machine."""

import gzip
import importlib.util
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import cloud
from PIL import Image

from jaxgan import data
from jaxgan.data import PairPlan, Plan
from jaxgan.data.fingerprint import fingerprint
from jaxgan.errors import UserError
from jaxgan.files import buckets

ROOT = Path(__file__).parents[2]
generator = np.random.default_rng(0)


@pytest.fixture
def bucket():
    """'gs://NAME' of an empty bucket."""
    return cloud.bucket()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """The cache of a test, so that none uses the cache of the user who runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxgan"


def random_images(*shape):
    return generator.integers(0, 256, shape, np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def idx_bytes(array, magic):
    return b"".join(n.to_bytes(4) for n in (magic, *array.shape)) + array.tobytes()


def assert_same(found, expected):
    """Assert that two data sets, or two pairs, are the same to the byte."""
    parts = 4 if isinstance(found, data.Pair) else 2
    for field in set(found._fields[parts:]) - {"notes", "found"}:  # are of the files
        assert getattr(found, field) == getattr(expected, field)
    for one, other in zip(found[:parts], expected[:parts], strict=True):
        assert len(one) == len(other) > 0
        for index in range(len(one)):
            assert one[index]["image"].tobytes() == other[index]["image"].tobytes()
            assert one[index]["label"] == other[index]["label"]


def requests_of(function):
    """Return the result of a function, and the requests that it sent."""
    before = len(cloud.server().requests)
    result = function()
    return result, cloud.server().requests[before:]


def test_idx(bucket, tmp_path):
    for name, array, magic in (
        ("train-images-idx3-ubyte", random_images(6, 5, 4), 0x803),
        ("train-labels-idx1-ubyte", np.arange(6, dtype=np.uint8) % 3, 0x801),
    ):
        content = gzip.compress(idx_bytes(array, magic))
        (tmp_path / f"{name}.gz").write_bytes(content)
    cloud.upload(tmp_path, f"{bucket}/mnist")
    expected = data.load("idx", dir=str(tmp_path), labels=True)
    found = data.load("idx", dir=f"{bucket}/mnist/", labels=True)
    assert_same(found, expected)
    assert fingerprint(found) == fingerprint(expected)

    with pytest.raises(UserError, match=r"^data\.dir = gs://.*/nothing: no train-imag"):
        data.load("idx", dir=f"{bucket}/nothing")


def test_npz(bucket, tmp_path):
    np.savez(tmp_path / "a.npz", image=random_images(6, 5, 4, 3), label=np.arange(6))
    cloud.upload(tmp_path, f"{bucket}/sets")
    expected = data.load("npz", dir=str(tmp_path / "a.npz"), labels=True)
    for path in ("sets/a.npz", "sets"):
        assert_same(data.load("npz", dir=f"{bucket}/{path}", labels=True), expected)
    with pytest.raises(UserError) as caught:
        data.load("npz", dir=f"{bucket}/sets/b.npz")
    assert str(caught.value).startswith(f"{bucket}/sets/b.npz: ")
    assert "no such file" in str(caught.value)


@pytest.fixture
def photographs(tmp_path):
    """Training and test images in classes, in an order that sorting strings breaks."""
    root = tmp_path / "photographs"
    for name in (
        "train/a/1.png", "train/a/b/0.png", "train/a-b/2.png", "train/a.b/x/3.PNG",
        "train/c/10.jpg", "train/c/9.png", "test/a/0.png", "test/c/0.png",
    ):  # fmt: skip
        save(root / name, random_images(6, 6, 3))
    save(root / "train" / ".hidden" / "1.png", random_images(6, 6, 3))
    save(root / "train" / "c" / ".hidden.png", random_images(6, 6, 3))
    (root / "train" / "notes.txt").write_text("no image")
    return root


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_folders_have_the_same_order_and_labels(bucket, photographs, cache):
    cloud.upload(photographs, f"{bucket}/a/photographs")
    # The object that Google's console makes for an empty folder.
    cloud.put(f"{bucket}/a/photographs/train/c/", b"")
    options = {"labels": True, "cache": cache, "image_size": 4}
    expected = data.load("folder", dir=str(photographs), **options)
    found = data.load("folder", dir=f"{bucket}/a/photographs", **options)
    assert len(found.train) == 6
    assert_same(found, expected)
    (note,) = expected.notes
    assert note.startswith("skipped: 1 not named like images (.txt 1); 2 hidden or ")
    assert found.notes == expected.notes
    assert fingerprint(found) == fingerprint(expected)


def test_parts_in_capitals_and_what_is_not_used(bucket, tmp_path):
    for name in ("Train/0.png", "Train/1.png", "TEST/0.png", "other/0.png", "1.png"):
        save(tmp_path / name, random_images(6, 6, 3))
    cloud.upload(tmp_path, f"{bucket}/capitals")
    found = data.load("folder", dir=f"{bucket}/capitals")
    assert_same(found, data.load("folder", dir=str(tmp_path)))
    assert (len(found.train), len(found.heldout)) == (2, 1)
    assert found.notes == (f"not used in {bucket}/capitals: other, 1 image",)
    cloud.upload(tmp_path / "TEST", f"{bucket}/capitals/test")
    assert "has the folders TEST and test" in message(dir=f"{bucket}/capitals")


def test_a_set_that_is_streamed(bucket, tmp_path):
    for index in range(60):  # more than a page of a listing
        save(tmp_path / "set" / f"{index}.png", random_images(6, 6, 3))
    cloud.upload(tmp_path / "set", f"{bucket}/set")
    plan = Plan(54, 4, seed=0, n_critic=2)
    local, found = (
        data.load("folder", dir=dir, cache="none")
        for dir in (str(tmp_path / "set"), f"{bucket}/set")
    )
    # The listing of `load` is used: no request is needed.
    mark, requests = requests_of(lambda: fingerprint(found))
    assert mark == fingerprint(local)
    assert not requests

    calls = [range(3, 5), range(5, 7)]
    expected = list(data.batches(local.train, plan, calls))
    batches, requests = requests_of(
        lambda: list(data.batches(found.train, plan, calls))
    )
    for one, other in zip(batches, expected, strict=True):
        assert one["image"].tobytes() == other["image"].tobytes()
    # An image is read at one request: 4 steps of 2 x 4, and what is read ahead of them.
    assert {request.split("?")[1] for request in requests} == {"alt=media"}
    assert 32 <= len(requests) <= 32 + 4 * 32


def test_an_image_that_is_gone_or_damaged(bucket, tmp_path):
    for index in range(4):
        save(tmp_path / f"{index}.png", random_images(6, 6, 3))
    cloud.upload(tmp_path, f"{bucket}/set")
    found = data.load("folder", dir=f"{bucket}/set", cache="none")
    cloud.put(f"{bucket}/set/1.png", b"no image")
    cloud.remove(f"{bucket}/set/2.png")
    source = found.train.source
    with pytest.raises(UserError, match=r"^gs://.*/set/1.png: not a readable image \("):
        source[1]
    with pytest.raises(UserError, match=r"/set/2.png: cannot be read: no such file$"):
        source[2]


@pytest.fixture
def domains(tmp_path):
    root = tmp_path / "domains"
    for part, count in {"trainA": 5, "trainB": 4, "testA": 2, "testB": 3}.items():
        for index in range(count):
            save(root / part / f"{index}.png", random_images(12, 10, 3))
    return root


def load_pair(dir, **options):
    return data.load_pair(
        "folder", **{"dir": dir, "resize": 9, "image_size": 8} | options
    )


@pytest.mark.parametrize("where", ["memory", "disk", "none"])
def test_pairs(bucket, domains, where):
    cloud.upload(domains, f"{bucket}/domains")
    expected = load_pair(str(domains), cache=where)
    found = load_pair(f"{bucket}/domains", cache=where)
    assert_same(found, expected)
    assert fingerprint(found) == fingerprint(expected)
    plan = PairPlan(5, 4, 2, seed=0)
    streams = [data.pair_batches(one, plan, [range(3)]) for one in (found, expected)]
    for one, other in zip(*streams, strict=True):
        assert one["a"].tobytes() == other["a"].tobytes()
        assert one["b"].tobytes() == other["b"].tobytes()


def test_two_folders_and_images_as_they_are(bucket, domains):
    cloud.upload(domains, bucket)
    options = {"resize": 0, "image_size": 8}
    found, expected = (
        load_pair(f"{root}/trainA", dir_b=f"{root}/trainB", **options)
        for root in (bucket, domains)
    )
    assert_same(found, expected)
    # One domain here, the other there.
    assert_same(
        load_pair(f"{bucket}/trainA", dir_b=str(domains / "trainB"), **options),
        expected,
    )


def test_the_file_on_disk_is_that_of_the_objects_as_they_are(
    bucket, domains, cache_folder
):
    cloud.upload(domains, f"{bucket}/domains")

    def load():
        return requests_of(lambda: load_pair(f"{bucket}/domains", cache="disk"))

    first, _ = load()
    again, requests = load()
    assert_same(again, first)
    # Of the images only the headers are read again.
    assert sum("alt=media" in request for request in requests) == 9
    assert len(list(cache_folder.iterdir())) == 1
    # The object is written again, with the same content, within the same second.
    path = domains / "trainA" / "1.png"
    cloud.put(f"{bucket}/domains/trainA/1.png", path.read_bytes())
    load()
    assert len(list(cache_folder.iterdir())) == 2


def prepared(root):
    """Write a prepared MNIST of a few images, as TFDS does but without TensorFlow."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    folder = root / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = {"train": 6, "test": 3}
    for split, count in splits.items():
        name = folder / f"mnist-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(name), "group_size:1")
        for index in range(count):
            file = io.BytesIO()
            Image.fromarray(random_images(28, 28)).save(file, "png")
            example = tf_example_pb2.Example()
            feature = example.features.feature
            feature["image"].bytes_list.value.append(file.getvalue())
            feature["label"].int64_list.value.append(index)
            writer.write(example.SerializeToString())
        writer.close()
    info = {
        "fileFormat": "array_record",
        "name": "mnist",
        "version": "3.0.1",
        "splits": [
            {
                "filepathTemplate": template,
                "name": split,
                "numBytes": "1",
                "shardLengths": [str(count)],
            }
            for split, count in splits.items()
        ],
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    features = "tensorflow_datasets.core.features"
    sides = {"dtype": "uint8", "shape": {"dimensions": ["28", "28", "1"]}}
    contents = {
        "image": {"pythonClassName": f"{features}.image_feature.Image", "image": sides},
        "label": {
            "pythonClassName": f"{features}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": "10"},
        },
    }
    written = {
        "pythonClassName": f"{features}.features_dict.FeaturesDict",
        "featuresDict": {"features": contents},
    }
    (folder / "features.json").write_text(json.dumps(written))
    return folder


def test_a_set_of_tfds(bucket, tmp_path):
    folder = prepared(tmp_path)
    cloud.upload(tmp_path, f"{bucket}/tfds")
    for cache in ("memory", "none"):
        expected, found = (
            data.load("tfds:mnist", dir=dir, labels=True, cache=cache)
            for dir in (str(tmp_path), f"{bucket}/tfds")
        )
        assert len(found.train) == 6
        assert_same(found, expected)
        assert fingerprint(found) == fingerprint(expected)
    name, *files = found.train.versions()
    assert name == ("tfds:mnist train",)
    remote_folder = f"{bucket}/tfds/mnist/3.0.1"
    assert [path for path, _ in files] == [
        f"{remote_folder}/{path.name}" for path in sorted(folder.iterdir())
    ]


def message(name="folder", load=data.load, **options):
    with pytest.raises(UserError) as caught:
        load(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_is_named(bucket, domains):
    cloud.upload(domains, f"{bucket}/domains")
    sizes = {"load": data.load_pair, "resize": 9, "image_size": 8}
    for name in ("idx", "npz", "folder", "tfds:mnist"):
        found = message(name, dir="gs://no-such-bucket/x")
        assert found.startswith("data.dir = gs://no-such-bucket/x: no such bucket")
    assert message(dir=bucket, dir_b="gs://no-such-bucket", **sizes).startswith(
        "data.dir_b = gs://no-such-bucket: no such bucket"
    )
    assert message(dir=f"{bucket}/x").startswith(
        f"data.dir = {bucket}/x: no such folder"
    )
    assert message(dir=f"{bucket}/domains", dir_b=f"{bucket}/x", **sizes).startswith(
        f"data.dir_b = {bucket}/x: no such folder"
    )
    for dir, folders in ((f"{bucket}/domains/testA", "none"), (bucket, "domains")):
        found = message(dir=dir, **sizes)
        assert found.startswith(f"data.dir = {dir}: no folder trainA")
        assert f"found {folders};" in found
    found = message(dir="gs://")
    assert found.startswith("data.dir = gs://: ")
    assert "gs://BUCKET/PATH" in found


@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [
        (
            401,
            "Anonymous caller",
            "no access (Anonymous caller, 401); see `gcloud auth",
        ),
        (
            403,
            "x has no access",
            "no access (Forbidden: b/refused/o x has no access); ",
        ),
        (400, "the reason", "the reason, 400"),
    ],
)
def test_a_bucket_that_refuses(bucket, capfd, status, told, expected):
    cloud.server().refusals["refused"] = status, told
    found = message(dir="gs://refused/x")
    assert found.startswith(f"data.dir = gs://refused/x: {expected}")
    assert capfd.readouterr() == ("", "")


def test_a_bucket_that_does_not_answer(bucket, monkeypatch):
    monkeypatch.setattr(buckets, "ANSWER_SECONDS", 0.2)
    cloud.server().refusals["slow"] = 503, "busy"  # asked again and again for a minute
    begun = time.monotonic()
    found = message(dir="gs://slow")
    assert found.startswith("data.dir = gs://slow: no answer")
    assert "0.2 s" in found
    assert time.monotonic() - begun < 5


@pytest.fixture
def without(monkeypatch):
    """Return a function that makes `find_spec` find no package of a name."""
    find_spec = importlib.util.find_spec

    def hide(package):
        def find(name, *arguments):
            return None if name == package else find_spec(name, *arguments)

        monkeypatch.setattr(importlib.util, "find_spec", find)

    return hide


def test_a_set_of_tfds_that_is_not_prepared(bucket, without):
    without("tensorflow")
    found = message("tfds:mnist", dir=f"{bucket}/x")
    assert found.startswith("data.name = tfds:mnist: not prepared")
    assert f"data.dir = '{bucket}/x'" in found


def test_without_the_extra(without):
    without("gcsfs")
    found = message(dir="gs://bucket/x")
    assert found.startswith("data.dir = gs://bucket/x: ")
    assert "pip install 'jaxgan[gcs]'" in found


# Runs in a process of its own, which knows the server only from its environment, and in
# which nothing was imported before.
CHILD = """
import sys
from jaxgan import data
from jaxgan.errors import UserError
from jaxgan.files import buckets

present = {"fsspec", "gcsfs", "etils", "tensorflow"} & sys.modules.keys()
assert not present, present
from etils import epath

assert not epath.Path("nowhere").exists()
bucket = sys.argv[1]
loaded = data.load("folder", dir=f"{bucket}/set")
assert len(loaded.train) == 3
folder = buckets.to_path(f"{bucket}/set")
names = sorted(path.name for path in folder.iterdir())
print("listed", flush=True)
input()  # meanwhile another process writes a file, and removes one
assert names == ["0.png", "1.png", "2.png", "3.png"], names
names = sorted(path.name for path in folder.iterdir())
assert names == ["1.png", "2.png", "3.png", "4.png"], names
assert (folder / "4.png").exists()
assert not (folder / "0.png").exists()
assert "tensorflow" not in sys.modules
"""


def test_another_process_and_what_changes_meanwhile(bucket, tmp_path):
    for index in range(4):
        save(tmp_path / f"{index}.png", random_images(6, 6, 3))
    cloud.upload(tmp_path, f"{bucket}/set")
    (tmp_path / "tensorflow.py").write_text("raise AssertionError('imported')")
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, bucket],
        env=os.environ | cloud.environment() | paths,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "listed\n"
    cloud.put(f"{bucket}/set/4.png", b"")
    cloud.remove(f"{bucket}/set/0.png")
    _, errors = child.communicate("\n", timeout=60)
    assert (child.returncode, errors) == (0, "")
