"""Folders of images as users have them: capitals, links, files of other programs."""

import os

import numpy as np
import pytest
from PIL import Image

from jaxgan import data
from jaxgan.data import cache, memory
from jaxgan.errors import UserError
from jaxgan.files import image_decoding

generator = np.random.default_rng(0)


def save(path, shape=(4, 4, 3), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = generator.integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path, **options)


def save_all(root, **counts):
    for name, count in counts.items():
        for index in range(count):
            save(root / name / f"{index}.png")


def load_pair(root, **options):
    return data.load_pair(
        "folder", **{"dir": str(root), "resize": 4, "image_size": 4} | options
    )


def sizes(loaded):
    parts = 4 if isinstance(loaded, data.Pair) else 2
    return tuple(map(len, loaded[:parts]))


@pytest.mark.parametrize("names", [("Train", "Test"), ("TRAIN", "Validation")])
def test_parts_in_capitals(tmp_path, names):
    save_all(tmp_path, **dict(zip(names, (5, 2), strict=True)))
    loaded = data.load("folder", dir=str(tmp_path))
    assert (sizes(loaded), loaded.notes) == ((5, 2), ())


def test_domains_in_capitals(tmp_path):
    save_all(tmp_path, TrainA=5, trainb=4, TESTA=3, TestB=2)
    pair = load_pair(tmp_path)
    assert (sizes(pair), pair.notes) == ((5, 4, 3, 2), ())


def test_two_folders_that_differ_in_case(tmp_path):
    save_all(tmp_path, train=3, test=2, Test=2, trainA=2, TRAINA=2, trainB=2)
    with pytest.raises(UserError) as caught:
        data.load("folder", dir=str(tmp_path))
    assert str(caught.value) == (
        f"data.dir = {tmp_path}: has the folders Test and test; only one of them "
        "expected"
    )
    with pytest.raises(UserError, match="has the folders TRAINA and trainA;"):
        load_pair(tmp_path)
    # A link from one to the other is no difference.
    for path in (tmp_path / "Test").iterdir():
        path.unlink()
    (tmp_path / "Test").rmdir()
    (tmp_path / "Test").symlink_to("test")
    assert sizes(data.load("folder", dir=str(tmp_path))) == (3, 2)


def test_what_is_not_used_is_said(tmp_path):
    save_all(tmp_path, train=3, test=2, val=2, other=1)
    save(tmp_path / "0.png")
    (tmp_path / ".cache").mkdir()
    loaded = data.load("folder", dir=str(tmp_path))
    assert sizes(loaded) == (3, 2)
    assert loaded.notes == (f"not used in {tmp_path}: other, val, 1 image",)


def test_a_test_folder_without_a_train_folder_is_said(tmp_path):
    save_all(tmp_path, trainA=8, Test=1, testA=1)
    loaded = data.load("folder", dir=str(tmp_path))
    assert sizes(loaded) == (9, 1)
    assert loaded.notes == tuple(
        f"the images of {tmp_path}/{name} are trained on, as no folder train is beside "
        "it"
        for name in ("Test", "testA")
    )


def test_what_was_skipped_is_said_for_all_parts(tmp_path):
    save_all(tmp_path, trainA=3, trainB=3, testA=2, testB=2)
    (tmp_path / "trainA" / "list.txt").touch()
    (tmp_path / "testB" / "list.csv").touch()
    (tmp_path / "trainB" / "up").symlink_to("..")
    pair = load_pair(tmp_path)
    assert sizes(pair) == (3, 3, 2, 2)
    assert pair.notes == (
        "skipped: 2 not named like images (.txt 1, .csv 1); 1 found already by "
        f"another path ({tmp_path}/trainB/up)",
    )


def test_no_image_is_on_both_sides(tmp_path):
    """Neither by links between the folders, nor by links within a folder."""
    save_all(tmp_path, train=4, test=3)
    os.link(tmp_path / "train" / "0.png", tmp_path / "test" / "hard.png")
    (tmp_path / "test" / "soft.png").symlink_to("../train/1.png")
    (tmp_path / "train" / "theirs.png").symlink_to("../test/2.png")
    loaded = data.load("folder", dir=str(tmp_path))
    assert sizes(loaded) == (5, 2)
    (note,) = loaded.notes
    assert note.startswith("skipped: 3 among the training images (")
    images = [loaded.train.images, loaded.heldout.images]
    assert len({image.tobytes() for part in images for image in part}) == 7

    loop = tmp_path / "loop"
    save_all(loop, sub=5)
    (loop / "sub" / "parent").symlink_to("..")
    loaded = data.load("folder", dir=str(loop))
    assert sizes(loaded) == (4, 1)  # it was 205 images, with copies on both sides


def test_a_test_folder_that_is_the_training_folder(tmp_path):
    save_all(tmp_path, trainA=3, trainB=3)
    (tmp_path / "testA").symlink_to("trainA")
    with pytest.raises(UserError) as caught:
        load_pair(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"data.dir = {tmp_path}/testA: no images there (")
    assert message.endswith(
        "; skipped: 3 among the training images (0.png, 1.png, 2.png)"
    )


def test_folders_that_cannot_be_read(tmp_path, monkeypatch):
    save_all(tmp_path, train=3)
    scandir = os.scandir

    refused = []

    def refuse(path):
        if str(path).endswith(refused[-1]):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for name in (tmp_path.name, "/train"):
        refused.append(name)
        with pytest.raises(UserError) as caught:
            data.load("folder", dir=str(tmp_path))
        assert str(caught.value).startswith(f"data.dir = {tmp_path}")
        assert str(caught.value).endswith("cannot be read (Permission denied)")
    file = tmp_path / "train" / "0.png"
    with pytest.raises(UserError, match=r"0.png: is a file; must be a folder"):
        data.load("folder", dir=str(file))
    with pytest.raises(UserError, match=r"cannot be read \(File name too long\)"):
        data.load("folder", dir="x" * 5000)


@pytest.mark.parametrize("where", ["memory", "disk", "none"])
@pytest.mark.parametrize("resize", [0, 6])
def test_sideways_photographs_are_trained_on_upright(
    tmp_path, where, resize, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tags = Image.Exif()
    tags[image_decoding.ORIENTATION] = 6
    root = tmp_path / "set"
    for part in ("trainA", "trainB", "testA", "testB"):
        for index in range(2):
            save(root / part / f"{index}.png", (8, 12, 3), exif=tags)
    pair = load_pair(root, resize=resize, cache=where)
    found = pair.train_a[1]["image"]
    with Image.open(root / "trainA" / "1.png") as image:
        upright = image.transpose(Image.Transpose.ROTATE_270)
    if resize:
        upright = upright.resize((6, 6), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found, np.asarray(upright))


def test_decoded_images_of_before_are_not_used(tmp_path, monkeypatch):
    """Files of the cache that were made when the orientation was not followed."""
    save_all(tmp_path / "set", trainA=2, trainB=2, testA=1, testB=1)
    facts = []
    monkeypatch.setattr(
        cache, "decode_onto_disk", lambda *args: facts.extend(args[3]) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        load_pair(tmp_path / "set", cache="disk")
    assert (
        facts[0] == "Format(shape=(4, 4, 3), sides='stretch', convert=False, upright)"
    )


def test_sizes_that_no_machine_has(tmp_path, monkeypatch):
    save_all(tmp_path, trainA=2, trainB=2, testA=1, testB=1)
    for name in ("folder", "day_night"):
        with pytest.raises(UserError, match=r"resize = 1000000: must be at most 16,"):
            data.load_pair(name, dir=str(tmp_path), resize=1_000_000, image_size=4)
    for load in (data.load, lambda name, **o: load_pair(tmp_path, resize=0, **o)):
        with pytest.raises(UserError, match=r"data.image_size = 16385: must be at"):
            load("digits", image_size=16385)
    monkeypatch.setattr(memory, "total_memory", lambda: 2**20)
    with pytest.raises(UserError) as caught:
        data.load("digits", image_size=64)
    assert str(caught.value) == (
        "data.image_size = 64: the decoded images take 0.0 GiB, the machine has 0.0 "
        "GiB of memory; a smaller one expected"
    )
    for load, options in (
        (data.load_pair, {"name": "day_night", "resize": 300, "image_size": 4}),
        (load_pair, {"root": tmp_path, "resize": 400, "cache": "memory"}),
    ):
        with pytest.raises(UserError, match=r"data\.(resize|cache) = .* GiB"):
            load(**options)


def test_a_disk_that_is_too_small_is_found_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_all(tmp_path / "set", trainA=2, trainB=2, testA=1, testB=1)
    free = type("Usage", (), {"free": 6 * 48 - 1})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(
        UserError, match=r"data.cache = disk: .*/cache/jaxgan has 0.0 G"
    ):
        load_pair(tmp_path / "set", cache="disk")
    free.free += 1
    assert sizes(load_pair(tmp_path / "set", cache="disk")) == (2, 2, 1, 1)
