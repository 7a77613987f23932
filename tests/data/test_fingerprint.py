"""Digests by which runs and processes check that their data is the same."""

import shutil

import numpy as np
import pytest
from PIL import Image

from jaxgan import data
from jaxgan.data.cache import pack_images
from jaxgan.data.fingerprint import fingerprint
from jaxgan.data.formats.tfds import TfdsSource
from jaxgan.data.sources import ArraySource, Chained, Dataset, Subset

generator = np.random.default_rng(0)


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    """A set of six images, one of which is held out, and two domains of six images."""
    for index in range(6):
        save(tmp_path / "set" / f"{index}.png", index)
        save(tmp_path / "pair" / "trainA" / f"{index}.png", index)
        save(tmp_path / "pair" / "trainB" / f"{index}.png", 10 + index)
    return tmp_path


def of_set(folder, cache):
    return fingerprint(data.load("folder", dir=str(folder), cache=cache))


def of_pair(folder, cache):
    return fingerprint(
        data.load_pair("folder", dir=str(folder), resize=6, image_size=4, cache=cache)
    )


def test_where_decoded_images_are_kept_does_not_matter(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    caches = ("auto", "memory", "disk", "device", "none")
    one, *others = (of_pair(folder / "pair", cache) for cache in caches)
    assert others == [one] * 4
    one, *others = (of_set(folder / "set", c) for c in caches if c != "disk")
    assert others == [one] * 3


KINDS = [
    ("set", of_set, "memory"), ("set", of_set, "none"),
    ("pair", of_pair, "memory"), ("pair", of_pair, "disk"), ("pair", of_pair, "none"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "of", "cache"), KINDS)
def test_copies_in_other_folders_are_the_same(
    folder, name, of, cache, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = of(folder / name, cache)
    parts = {part: facts["count"] for part, facts in found.items()}
    names = ("train_a", "train_b", "heldout_a", "heldout_b")
    pair = dict(zip(names, (5, 5, 1, 1), strict=True))
    assert parts == ({"train": 5, "heldout": 1} if name == "set" else pair)
    assert found == of(folder / name, cache)
    shutil.copytree(folder / name, folder / "elsewhere" / "copy")
    assert found == of(folder / "elsewhere" / "copy", cache)
    monkeypatch.chdir(folder / name)
    assert found == of(".", cache)


@pytest.mark.parametrize(("name", "of", "cache"), KINDS)
@pytest.mark.parametrize("change", ["more", "renamed", "size"])
def test_other_files_are_other_data(
    folder, name, of, cache, change, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = of(folder / name, cache)
    images = folder / "set" if name == "set" else folder / "pair" / "trainB"
    if change == "more":
        save(images / "6.png", 99)
    elif change == "renamed":
        (images / "2.png").rename(images / "9.png")  # which makes it the last one
    else:
        pixels = np.zeros((6, 6, 3), np.uint8)
        Image.fromarray(pixels).save(images / "2.png")
    assert of(folder / name, cache) != before


def arrays(images, labels):
    part = ArraySource(images, labels)
    return fingerprint(Dataset(part, part, images.shape[1:], 3, images.dtype))


def test_every_pixel_and_label_in_memory_counts():
    images = generator.integers(0, 256, (5, 4, 4, 1), np.uint8)
    labels = np.array([0, 1, 2, 0, 1])
    before = arrays(images, labels)
    assert arrays(images.copy(), labels.copy()) == before
    flipped = images.copy()
    flipped[4, 3, 3, 0] ^= 1
    assert arrays(flipped, labels) != before
    assert arrays(images, np.array([0, 1, 2, 0, 2])) != before
    assert arrays(images.reshape(5, 2, 8, 1), labels) != before
    assert arrays(images.view(np.int8), labels) != before


def whole(train, heldout):
    return fingerprint(Dataset(train, heldout, (4, 4, 1), 0, np.dtype(np.uint8)))


def test_both_parts_and_their_order_count():
    images = generator.integers(0, 256, (4, 4, 4, 1), np.uint8)
    one, other = ArraySource(images[:2]), ArraySource(images[2:])
    prints = [
        whole(one, other),
        whole(other, one),
        whole(one, one),
        whole(Chained([one, other]), other),
        whole(Chained([other, one]), other),
        whole(Subset(one, [0, 1]), other),
        whole(Subset(one, [1, 0]), other),
        whole(pack_images(images[:2]), pack_images(images[2:])),
        whole(pack_images(images[:2].reshape(2, 8, 2, 1)), pack_images(images[2:])),
    ]
    assert len({str(each) for each in prints}) == 9


def test_sets_that_need_no_files_are_the_same_each_time():
    for name in ("digits", "swissroll"):
        assert fingerprint(data.load(name)) == fingerprint(data.load(name))
    assert fingerprint(data.load("8gaussians")) != fingerprint(data.load("swissroll"))
    pairs = [data.load_pair("day_night", resize=40, image_size=32) for _ in range(2)]
    assert fingerprint(pairs[0]) == fingerprint(pairs[1])


class Records:
    """A split of TFDS, whose records are the encoded images."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return {"image": self.images[index]}


def test_a_split_of_tfds_is_known_by_its_ends():
    def of(name, *images):
        part = TfdsSource(Records(images), name, False, "folder")
        return whole(part, ArraySource(np.zeros((1, 4, 4, 1), np.uint8)))

    before = of("tfds:x train", b"first", b"middle", b"last")
    assert of("tfds:x train", b"first", b"middle", b"last") == before
    assert of("tfds:y train", b"first", b"middle", b"last") != before
    assert of("tfds:x train", b"first", b"middle", b"more", b"last") != before
    assert of("tfds:x train", b"First", b"middle", b"last") != before
    assert of("tfds:x train", b"first", b"middle", b"Last") != before
