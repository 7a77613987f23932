"""Pairs of domains: finding, decoding, caching, cropping and flipping the images."""

import io
import pathlib
import re
import struct
import sys
import time
import zipfile
import zlib

import numpy as np
import pytest
from helpers.sources import Recorder
from PIL import Image

from jaxgan import data
from jaxgan.data import PairPlan, cache, pairs, transforms
from jaxgan.data.formats import day_night
from jaxgan.data.plan import DRAWS
from jaxgan.errors import UserError

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"
HORSES = SHARED / "horse2zebra" / "horse2zebra_256_q85.zip"
SIZES = {"trainA": 7, "trainB": 5, "testA": 3, "testB": 2}

generator = np.random.default_rng(0)


def random_images(*shape):
    return generator.integers(0, 256, shape, np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """The cache of a test, so that none uses the cache of the user who runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "jaxgan"


@pytest.fixture
def domains(tmp_path):
    """trainA, trainB, testA, testB, all of 12 x 10 pixels (height, width)."""
    root = tmp_path / "domains"
    for part, count in SIZES.items():
        for index in range(count):
            save(root / part / f"{index}.png", random_images(12, 10, 3))
    return root


def load(root, **options):
    sizes = {"resize": 9, "image_size": 8} | options
    return data.load_pair("folder", dir=str(root), **sizes)


def images(source):
    return [source[index]["image"] for index in range(len(source))]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, other)


def resized(path, width, height):
    with Image.open(path) as image:
        return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


# folders


def test_four_folders(domains):
    pair = load(domains)
    assert tuple(map(len, pair[:4])) == (7, 5, 3, 2)
    assert pair.truth is False
    assert pair.shape == (8, 8, 3)
    for source, part, size in zip(pair[:4], SIZES, (9, 9, 8, 8), strict=True):
        paths = sorted((domains / part).iterdir())
        # As the official code's resize_and_crop: bicubic, whatever the proportions.
        assert_equal(images(source), [resized(path, size, size) for path in paths])


def test_folders_are_recursive_and_sorted(tmp_path):
    names = ["b/2.png", "b/1.png", "a/deep/3.PNG", "top.png"]
    pixels = {name: random_images(4, 4, 3) for name in names}
    for part in SIZES:
        for name, image in pixels.items():
            save(tmp_path / part / name, image)
    save(tmp_path / "trainA" / ".hidden.png", random_images(9, 9))
    (tmp_path / "trainA" / "README.txt").write_text("not an image")
    pair = load(tmp_path, resize=4, image_size=4)
    expected = [pixels[name] for name in sorted(names)]
    for source in pair[:4]:
        assert_equal(images(source), expected)


def test_images_as_they_are(tmp_path):
    """resize = 0: training images keep their sizes, held-out ones are cropped."""
    shapes = [(8, 8, 3), (11, 20, 3), (30, 9, 3)]
    pixels = [random_images(*shape) for shape in shapes]
    for part in SIZES:
        for index, image in enumerate(pixels):
            save(tmp_path / part / f"{index}.png", image)
    for where in ("memory", "disk", "none"):
        pair = load(tmp_path, resize=0, cache=where)
        for source in pair[:2]:
            assert_equal(images(source), pixels)
        cuts = [pixels[0], pixels[1][1:9, 6:14], pixels[2][11:19, 0:8]]
        for source in pair[2:4]:
            assert_equal(images(source), cuts)


def test_images_that_are_too_small_to_cut(tmp_path):
    for part in SIZES:
        for index in range(2):
            save(tmp_path / part / f"{index}.png", random_images(8, 9, 3))
    small = [save(tmp_path / part / "2.png", random_images(8, 7, 3)) for part in SIZES]
    with pytest.raises(UserError) as caught:
        load(tmp_path, resize=0)
    message = str(caught.value)
    assert message.startswith("2 of 6 images: ")
    assert re.findall(
        r"(\S+): 7x8 [^:]* data.image_size = 8; [^:]*data.resize\b", message
    ) == [str(path) for path in small[:2]]
    for path in small[:2]:
        path.unlink()
    with pytest.raises(UserError, match=r"2 of 10 images: .*testA/2.png: 7x8 pixels, "):
        load(tmp_path, resize=0)
    assert load(tmp_path).shape == (8, 8, 3)


def test_gray_is_kept_where_all_images_are(tmp_path):
    for part in SIZES:
        for index in range(2):
            save(tmp_path / part / f"{index}.png", random_images(9, 9))
    assert load(tmp_path).shape == (8, 8, 1)
    assert load(tmp_path).train_a[0]["image"].shape == (9, 9, 1)
    assert load(tmp_path, channels=3).train_b[0]["image"].shape == (9, 9, 3)

    gray = random_images(9, 9)
    save(tmp_path / "trainA" / "0.png", gray)
    save(tmp_path / "trainB" / "1.png", random_images(9, 9, 3))
    mixed = load(tmp_path)
    assert mixed.shape == (8, 8, 3)
    assert_equal(images(mixed.train_a)[:1], [np.repeat(gray[..., None], 3, axis=-1)])
    assert load(tmp_path, channels=1).shape == (8, 8, 1)


def test_a_colour_image_that_is_met_late(tmp_path):
    """Its header is not one of those from which the channels are found."""
    for part in SIZES:
        for index in range(130):
            save(tmp_path / part / f"{index:03}.png", random_images(2, 2))
    save(tmp_path / "trainB" / "001.png", random_images(2, 2, 3))
    with pytest.raises(UserError, match=r"trainB/001.png: a colour image"):
        load(tmp_path, resize=2, image_size=2)


ENDINGS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm")


@pytest.mark.parametrize("ending", [*ENDINGS, "JPG"])
def test_kinds_of_files(tmp_path, ending):
    smooth = np.add.outer(np.arange(16) * 8, np.arange(16) * 8).astype(np.uint8)
    pixels = np.stack([smooth, 255 - smooth, smooth // 2], axis=-1)
    for part in SIZES:
        for index in range(2):
            save(tmp_path / part / f"{index}.{ending}", pixels)
    pair = load(tmp_path, resize=16)
    for source in pair[:2]:
        for image in images(source):
            assert image.shape == (16, 16, 3)
            # Only jpeg and webp lose anything.
            difference = np.abs(image.astype(int) - pixels).mean()
            assert difference < (
                5 if ending.lower() in ("jpg", "jpeg", "webp") else 0.1
            )


def test_two_single_folders(tmp_path):
    for name, count in (("cats", 20), ("dogs/train", 6), ("dogs/test", 4)):
        for index in range(count):
            save(tmp_path / name / f"{index:02}.png", random_images(9, 9, 3))
    pair = load(tmp_path / "cats", dir_b=str(tmp_path / "dogs"))
    assert tuple(map(len, pair[:4])) == (18, 6, 2, 4)
    order = np.random.default_rng(0).permutation(20)
    paths = sorted((tmp_path / "cats").iterdir())
    expected = [resized(paths[index], 9, 9) for index in order[:18]]
    assert_equal(images(pair.train_a), expected)
    expected = [resized(paths[index], 8, 8) for index in order[18:]]
    assert_equal(images(pair.heldout_a), expected)
    paths = sorted((tmp_path / "dogs" / "test").iterdir())
    assert_equal(images(pair.heldout_b), [resized(path, 8, 8) for path in paths])


def test_without_a_test_folder_some_are_held_out(domains):
    for path in (domains / "testB").iterdir():
        path.unlink()
    (domains / "testB").rmdir()
    pair = load(domains)
    assert tuple(map(len, pair[:4])) == (7, 4, 3, 1)
    order = np.random.default_rng(0).permutation(5)
    paths = [domains / "trainB" / f"{index}.png" for index in order]
    assert_equal(images(pair.train_b), [resized(path, 9, 9) for path in paths[:4]])
    assert_equal(images(pair.heldout_b), [resized(paths[4], 8, 8)])


def test_folders_that_are_missing(tmp_path, domains):
    with pytest.raises(UserError, match=r"data.dir = '': data.name=folder needs"):
        data.load_pair("folder", resize=9, image_size=8)
    with pytest.raises(UserError, match=r"data.dir = .*/no: no such folder"):
        load(tmp_path / "no")
    with pytest.raises(UserError, match=r"data.dir_b = .*/no: no such folder"):
        load(domains, dir_b=str(tmp_path / "no"))
    with pytest.raises(
        UserError, match=r"no folder trainA .*found domains\b"
    ) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"data.dir = {tmp_path}: ")
    assert "data.dir_b" in str(caught.value)
    (tmp_path / "trainA").mkdir()
    (tmp_path / "trainB").mkdir()
    with pytest.raises(UserError, match=r"data.dir = .*trainA: no images"):
        load(tmp_path)
    save(tmp_path / "trainA" / "0.png", random_images(9, 9))
    with pytest.raises(UserError, match=r"data.dir = .*trainA: 1 example"):
        load(tmp_path)


def test_arguments_that_do_not_fit(domains):
    def error(name="folder", **options):
        sizes = {"dir": str(domains), "resize": 9, "image_size": 8}
        with pytest.raises(UserError) as caught:
            data.load_pair(name, **sizes | options)
        return str(caught.value)

    message = error("folders")
    assert message.startswith("data.name = folders: unknown")
    assert "valid: day_night, folder, tfds:cycle_gan/NAME; nearest: folder" in message
    message = error(cache="disc")
    assert message.startswith("data.cache = disc: unknown")
    assert "auto, device, disk, memory, none; nearest: disk" in message
    assert error(image_size=0).startswith("data.image_size = 0: 1 or more")
    message = error(resize=7)
    assert message.startswith("data.resize = 7: ")
    assert "data.image_size = 8" in message
    message = error("day_night", dir_b="x")
    assert message.startswith("data.dir_b = x: ")
    assert "data.name=folder" in message


# files of sixteen bits


def chunk(kind, content):
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png_of_16_bits(pixels):
    """Return the file of uint16 [h, w, 3]; PIL writes none."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def tiff_of_16_bits(pixels):
    """Return the little-endian file of uint16 [h, w, 3], in one strip."""
    height, width, depth = pixels.shape
    content = pixels.astype("<u2").tobytes()
    entries = 9
    bits = 8 + 2 + 12 * entries + 4  # where the bits of each sample stand
    fields = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, depth, bits), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, bits + 2 * depth), (277, 3, 1, depth),
        (278, 3, 1, height), (279, 4, 1, len(content)),
    ]  # fmt: skip
    return (
        b"II" + struct.pack("<HIH", 42, 8, entries)
        + b"".join(struct.pack("<HHII", *field) for field in fields)
        + struct.pack("<I3H", 0, 16, 16, 16) + content
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "encode"), [("png", png_of_16_bits), ("tif", tiff_of_16_bits)]
)
def test_colours_of_sixteen_bits_are_right_within_one_level(tmp_path, ending, encode):
    values = np.arange(2**16, dtype=np.uint16)
    pixels = np.stack([values, values[::-1], values], -1).reshape(256, 256, 3)
    for part in SIZES:
        for index in range(2):
            path = tmp_path / part / f"{index}.{ending}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode(pixels))
    pair = load(tmp_path, resize=256, image_size=256)
    (image, _) = images(pair.train_a)
    assert image.dtype == np.uint8
    error = image - pixels / 257
    assert np.abs(error).max() <= 1
    assert_equal(images(pair.heldout_b), [image] * 2)


def test_gray_of_sixteen_bits_is_rounded(tmp_path):
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    for part in SIZES:
        for index in range(2):
            save(tmp_path / part / f"{index}.{'png' if index else 'tif'}", values)
    pair = load(tmp_path, resize=256, image_size=256)
    assert_equal(images(pair.train_a), [np.rint(values / 257)[..., None]] * 2)


# damaged files


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_all_damaged_images_are_found_before_training(domains, where, cache_folder):
    bad = [domains / "trainA" / "2.png", *sorted((domains / "trainB").iterdir())[1:4]]
    bad += [domains / "testA" / "1.png", domains / "testB" / "1.png"]
    for path in bad[:3]:  # found by their first bytes, and by decoding them
        path.write_bytes(b"x" * 99)
    for path in bad[3:]:
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError) as caught:
        load(domains, cache=where)
    message = str(caught.value)
    assert message.startswith(f"6 of 17 images: {bad[0]}: not a readable image (")
    assert [str(path) in message for path in bad] == [True] * 5 + [False]
    assert message.endswith("; ...")
    assert "\n" not in message
    assert not cache_folder.exists() or not list(cache_folder.iterdir())

    for path in bad[1:]:
        path.unlink()
    save(domains / "testB" / "1.png", random_images(9, 9, 3))
    with pytest.raises(UserError) as caught:
        load(domains, cache=where)
    assert str(caught.value).startswith(f"{bad[0]}: not a readable image (")


def test_a_damaged_image_that_is_streamed(domains):
    pair = load(domains, cache="none")
    bad = domains / "trainA" / "1.png"
    bad.write_bytes(b"x")
    stream = data.pair_batches(pair, PairPlan(7, 5, 7, 0), [range(1)])
    with pytest.raises(UserError, match=r"trainA/1.png: not a readable image \(.+\)"):
        next(stream)
    with pytest.raises(UserError, match=r"trainA/1.png: not a readable image \(.+\)"):
        load(domains, cache="none")


# keeping


def test_the_file_on_disk_is_taken_by_later_runs(domains, cache_folder, monkeypatch):
    first = load(domains, cache="disk")
    (path,) = cache_folder.iterdir()
    assert np.load(path).shape == (12 * 9 * 9 * 3 + 5 * 8 * 8 * 3,)
    expected = [images(source) for source in first[:4]]
    for found, other in zip(expected, load(domains, cache="memory")[:4], strict=True):
        assert_equal(found, images(other))

    def refuse(*args):
        raise AssertionError("decoded twice")

    monkeypatch.setattr(transforms, "decode", refuse)
    again = load(domains, cache="disk")
    for found, source in zip(expected, again[:4], strict=True):
        assert_equal(images(source), found)
    assert list(cache_folder.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "shape", "kind"])
def test_a_damaged_file_on_disk_is_made_again(domains, cache_folder, damage):
    expected = [images(source) for source in load(domains, cache="memory")[:4]]
    load(domains, cache="disk")
    (path,) = cache_folder.iterdir()
    content = path.read_bytes()
    if damage == "shape":
        np.save(path, np.zeros(5, np.uint8))
    elif damage == "kind":
        np.save(path, np.zeros(np.load(path).shape, np.int8))
    else:
        damaged = {"cut": content[:-1], "empty": b"", "garbage": b"x" * len(content)}
        path.write_bytes(damaged[damage])
    for source, images_expected in zip(
        load(domains, cache="disk")[:4], expected, strict=True
    ):
        assert_equal(images(source), images_expected)
    assert path.read_bytes() == content


def test_other_files_or_sizes_are_other_files_on_disk(domains, cache_folder):
    def count(**options):
        load(domains, cache="disk", **options)
        return len(list(cache_folder.iterdir()))

    assert [count(), count(), count(resize=10)] == [1, 1, 2]
    assert [count(image_size=7), count(channels=1), count(resize=0)] == [3, 4, 5]
    image = random_images(12, 10, 3)
    save(domains / "trainA" / "0.png", image)
    assert count() == 6
    save(domains / "trainA" / "9.png", image)
    assert count() == 7


def test_no_half_written_file_is_left(domains, cache_folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        load(domains, cache="disk")
    assert list(cache_folder.iterdir()) == []


def test_auto_goes_by_the_share_of_memory(domains, cache_folder, monkeypatch):
    assert 0 < cache.memory_limit() <= 2**44
    total = 12 * 9 * 9 * 3 + 5 * 8 * 8 * 3
    monkeypatch.setattr(cache, "memory_limit", lambda: total)
    load(domains)
    assert not cache_folder.exists()
    monkeypatch.setattr(cache, "memory_limit", lambda: total - 1)
    load(domains)
    assert len(list(cache_folder.iterdir())) == 1


@pytest.mark.parametrize("resize", [0, 9])
def test_images_on_the_device_are_decoded(domains, monkeypatch, resize):
    """Where to is chosen as for 'auto': the file of an earlier run is used again."""
    pair = load(domains, resize=resize)
    size = pair.train_a.pixels.nbytes + pair.train_b.pixels.nbytes
    for options, expected in (
        ({"cache": "device"}, True),
        ({}, False),
        ({"device_bytes": 10 * size}, True),
        ({"device_bytes": 10 * size - 1}, False),
        ({"device_bytes": 10 * size, "cache": "disk"}, False),
        ({"device_bytes": 10 * size, "cache": "none"}, False),
    ):
        pair = load(domains, resize=resize, **options)
        assert pair.on_device is expected
        decoded = isinstance(pair.train_a, cache.PackedImages)
        assert decoded is (options.get("cache") != "none")
    assert day_night_pair(cache="device").on_device
    with monkeypatch.context() as patch:
        patch.setattr(pairs, "decode_into_cache", None)
        with pytest.raises(UserError, match=r"^data.cache = device: the training"):
            load(domains, resize=resize, cache="device", device_bytes=size - 1)
    monkeypatch.setattr(cache, "memory_limit", lambda: 0)
    pixels = load(domains, resize=resize, cache="device").train_a.pixels
    assert isinstance(pixels, np.memmap)


def test_the_cache_is_below_the_home_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache.images_folder() == pathlib.Path.home() / ".cache" / "jaxgan"


def test_a_bar_shows_the_decoding_on_a_terminal(domains, monkeypatch):
    pytest.importorskip("tqdm")
    stderr = io.StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stderr)
    load(domains)
    assert f"reading {domains}:" in stderr.getvalue()


# cutting and flipping


def test_every_place_is_as_likely_as_any_other():
    image = random_images(6, 9, 3)
    cuts = {(top, left): image[top : top + 4, left : left + 4].tobytes()
            for top in range(3) for left in range(6)}  # fmt: skip
    place = {content: where for where, content in cuts.items()}
    assert len(place) == 18
    steps = 36  # of draws, evenly spread: a multiple of the 3 rows and the 6 columns
    draws = [DRAWS * step // steps + 1 for step in range(steps)]
    found = [
        place[transforms.crop_and_flip(image, top, left, 0, 4).tobytes()]
        for top in draws for left in draws
    ]  # fmt: skip
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert counts.tolist() == [steps**2 // 18] * 18
    first = transforms.crop_and_flip(image, 0, 0, 0, 4)
    np.testing.assert_array_equal(first, image[:4, :4])
    last = transforms.crop_and_flip(image, DRAWS - 1, DRAWS - 1, 0, 4)
    np.testing.assert_array_equal(last, image[2:, 5:])


@pytest.mark.parametrize("depth", [1, 3])
def test_flips_are_left_to_right(depth):
    image = random_images(6, 9, depth)
    before = image.copy()
    found = transforms.crop_and_flip(image, DRAWS // 2, DRAWS // 2, 1, 4)
    np.testing.assert_array_equal(found, image[1:5, 3:7][:, ::-1])
    assert found.dtype == np.uint8
    whole = transforms.crop_and_flip(image[:, :6], 5, 7, 1, 6)
    np.testing.assert_array_equal(whole, image[:, 5::-1])
    np.testing.assert_array_equal(image, before)


# batches


def calls(start, stop, k):
    return [range(step, step + k) for step in range(start, stop, k)]


@pytest.mark.parametrize("start", [0, 4, 1000])
@pytest.mark.parametrize("resize", [0, 9])
def test_memory_disk_and_stream_give_the_same_bytes(domains, start, resize):
    def stream(where):
        pair = load(domains, resize=resize, cache=where)
        kept = isinstance(pair.train_a, cache.PackedImages)
        assert kept is (where != "none")
        return data.pair_batches(pair, plan, calls(start, start + 8, 2))

    plan = PairPlan(7, 5, 4, seed=3)
    for batches in zip(*map(stream, ("memory", "disk", "none")), strict=True):
        for key in ("a", "b"):
            found = [batch[key] for batch in batches]
            assert {one.shape for one in found} == {(2, 1, 4, 8, 8, 3)}
            assert {one.dtype for one in found} == {np.dtype(np.uint8)}
            assert len({one.tobytes() for one in found}) == 1


def test_batches_are_what_the_plan_says(domains):
    pair = load(domains)
    plan = PairPlan(7, 5, 6, seed=5)
    seen = set()
    for call, batch in zip(
        calls(3, 9, 3), data.pair_batches(pair, plan, calls(3, 9, 3)), strict=True
    ):
        for step, a, b in zip(call, batch["a"], batch["b"], strict=True):
            for row, example in enumerate(plan.examples(step).tolist()):
                for found, source, draws in (
                    (a[0, row], pair.train_a, example[:4]),
                    (b[0, row], pair.train_b, example[4:]),
                ):
                    index, top, left, flip = draws
                    top, left = top * 2 // DRAWS, left * 2 // DRAWS  # 9 - 8 + 1 places
                    image = source[index]["image"][top : top + 8, left : left + 8]
                    np.testing.assert_array_equal(found, image[:, :: 1 - 2 * flip])
                    seen.add((top, left, flip))
    assert len(seen) == 8  # every place, flipped and not


@pytest.mark.parametrize("where", ["memory", "none"])
@pytest.mark.parametrize("count", [2, 4])
def test_processes_have_slices_of_the_whole_batch(domains, count, where):
    pair = load(domains, cache=where)
    plan = PairPlan(7, 5, 8, seed=0)
    (whole,) = data.pair_batches(pair, plan, [range(2, 4)])
    parts = [
        next(
            data.pair_batches(
                pair, plan, [range(2, 4)], process_index=index, process_count=count
            )
        )
        for index in range(count)
    ]
    for key in ("a", "b"):
        joined = np.concatenate([part[key] for part in parts], axis=2)
        np.testing.assert_array_equal(joined, whole[key])


def test_streaming_reads_nothing_of_what_came_before():
    sources = Recorder(1000, (4, 4, 1)), Recorder(800, (4, 4, 1))
    pair = data.Pair(*sources, *sources, truth=False, shape=(2, 2, 1))
    plan = PairPlan(1000, 800, 8, seed=0)
    for call, batch in zip(
        calls(500, 510, 2), data.pair_batches(pair, plan, calls(500, 510, 2)),
        strict=True,
    ):  # fmt: skip
        examples = np.stack([plan.examples(step) for step in call])
        for key, column in (("a", 0), ("b", 4)):
            expected = examples[..., column] % 256
            np.testing.assert_array_equal(batch[key][:, 0, :, 0, 0, 0], expected)
    ahead = np.concatenate([plan.examples(step) for step in range(500, 530)])
    for source, column in zip(sources, (0, 4), strict=True):
        assert set(source.read) <= set(ahead[:, column].tolist())
    time.sleep(0.1)  # closed at the end: its threads read no more
    read = len(sources[0].read)
    time.sleep(0.1)
    assert len(sources[0].read) == read


def test_batches_that_do_not_fit(domains):
    pair = load(domains)
    with pytest.raises(ValueError, match=r"\(7, 5\) examples, \(7, 6\) in the plan"):
        next(data.pair_batches(pair, PairPlan(7, 6, 4, 0), [range(1)]))
    stream = data.pair_batches(pair, PairPlan(7, 5, 3, 0), [range(1)], process_count=2)
    with pytest.raises(ValueError, match="batch 3 over 2 processes"):
        next(stream)
    gap = [range(1), range(2, 3)]
    with pytest.raises(ValueError, match=r"range\(2, 3\) does not begin at 1"):
        list(data.pair_batches(pair, PairPlan(7, 5, 4, 0), gap))
    assert list(data.pair_batches(pair, PairPlan(7, 5, 4, 0), [])) == []


# day and night


def day_night_pair(**options):
    sizes = {"resize": 0, "image_size": 64} | options
    return data.load_pair("day_night", **sizes)


def test_regions_of_day_night_and_heldout_share_no_pixel(monkeypatch):
    class Numbered:
        """Photographs of which each pixel's colour is its number."""

        def load_sample_images(self):
            numbers = np.arange(2 * 427 * 640).reshape(2, 427, 640)
            self.images = np.stack([numbers >> s & 255 for s in (16, 8, 0)], -1)
            self.images = self.images.astype(np.uint8)
            return self

    monkeypatch.setattr(day_night, "sklearn_datasets", lambda name: Numbered())
    regions = {}
    for purpose in "dnh":
        colours = day_night.tiles(purpose).reshape(-1, 3).astype(int)
        regions[purpose] = colours @ [2**16, 2**8, 1]
    every = np.concatenate(list(regions.values()))
    assert len(np.unique(every)) == len(every) == 2 * 5 * 7 * 85 * 85
    # Both photographs are in each of the three.
    for region in regions.values():
        assert set((region // (427 * 640)).tolist()) == {0, 1}
    pair = day_night_pair()
    heldout = np.stack(images(pair.heldout_a)).astype(int) @ [2**16, 2**8, 1]
    assert heldout.shape == (16, 64, 64)
    assert set(heldout.ravel().tolist()) <= set(regions["h"].tolist())
    train = np.stack(images(pair.train_a)).astype(int) @ [2**16, 2**8, 1]
    np.testing.assert_array_equal(train.ravel(), regions["d"])


def test_day_and_night_show_the_same_kinds_of_things():
    regions = [day_night.tiles(p).reshape(-1, 3) / 255 for p in "dnh"]
    assert [len(region) // 85**2 for region in regions] == [27, 27, 16]
    for region in regions[1:]:
        # Means of a photograph's halves, cut anyhow, differ by up to 0.2.
        np.testing.assert_allclose(region.mean(0), regions[0].mean(0), atol=0.05)
        np.testing.assert_allclose(region.std(0), regions[0].std(0), atol=0.05)


def test_the_truth_is_exact():
    for options in ({}, {"resize": 143, "image_size": 128}, {"resize": 36}):
        pair = day_night_pair(**{"image_size": 32} | options)
        assert pair.truth is True
        assert pair.shape == (*pair.heldout_a[0]["image"].shape,)
        for a, b in zip(images(pair.heldout_a), images(pair.heldout_b), strict=True):
            np.testing.assert_array_equal(b, day_night.night(a))
    pair = day_night_pair()
    assert_equal(images(pair.train_b), list(day_night.night(day_night.tiles("n"))))
    assert_equal(images(pair.heldout_a), list(day_night.tiles("h")[:, 10:74, 10:74]))
    enlarged = day_night_pair(resize=143, image_size=128)
    tile = Image.fromarray(day_night.tiles("d")[3])
    expected = np.asarray(tile.resize((143, 143), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(enlarged.train_a[3]["image"], expected)


def test_night_of_known_colours():
    # Grays keep (r, g, b) = (x, x, x) under the mixing: GAIN * x^GAMMA.
    assert day_night.night(np.uint8([[255] * 3, [0] * 3])).tolist() == [
        [115, 140, 217], [0, 0, 0],
    ]  # fmt: skip
    half = 255 * np.array([0.45, 0.55, 0.85]) * (128 / 255) ** np.array([1.8, 1.6, 1.3])
    assert day_night.night(np.uint8([128] * 3)).tolist() == np.rint(half).tolist()
    # Pure red: 0.6 + 0.4 * 0.3 in the red, 0.4 * 0.3 in the others.
    red = np.array([0.72, 0.12, 0.12]) ** [1.8, 1.6, 1.3] * [0.45, 0.55, 0.85]
    assert (
        day_night.night(np.uint8([255, 0, 0])).tolist() == np.rint(255 * red).tolist()
    )


def psnr(one, other):
    """Return 10 log10(2^2 / MSE) of images in [-1, 1]."""
    difference = (one.astype(float) - other) / 127.5
    return 10 * np.log10(4 / np.mean(difference**2))


def test_night_is_dark_and_blue_and_can_be_undone():
    pair = day_night_pair()
    days, nights = (np.stack(images(source)) for source in pair[2:4])
    assert nights.mean() < 0.5 * days.mean()
    red, green, blue = nights.mean((0, 1, 2))
    assert blue > 1.4 * max(red, green)
    # Low, so that there is room for a translation that is better.
    assert 10 < psnr(days, nights) < 14
    assert psnr(days, day_night.day(nights)) > 42
    assert min(map(psnr, days, day_night.day(nights))) > 37


def test_night_is_one_to_one():
    # Within [0, 1] and one to one: shares of the colours that sum to 1, powers, gains.
    assert day_night.MIX.min() >= 0
    np.testing.assert_allclose(day_night.MIX.sum(1), 1)
    assert np.linalg.cond(day_night.MIX) < 3
    assert day_night.GAMMA.min() > 0
    assert 0 < day_night.GAIN.min() <= day_night.GAIN.max() <= 1
    colours = random_images(10_000, 3)
    nights = day_night.night(colours)
    again = day_night.night(day_night.day(nights)).astype(int)
    # Colours of the day are spread more widely: rounding them moves a night by little.
    assert np.abs(again - nights).max() <= 2


def test_what_day_night_cannot_do():
    with pytest.raises(UserError, match=r"data.channels = 1: .*day_night"):
        day_night_pair(channels=1)
    with pytest.raises(UserError, match=r"day_night: 85x85 pixels.*image_size = 86\b"):
        day_night_pair(image_size=86)


def test_day_night_is_kept():
    pair = day_night_pair()
    (batch,) = data.pair_batches(pair, PairPlan(27, 27, 2, 0), [range(3)])
    assert batch["a"].shape == batch["b"].shape == (3, 1, 2, 64, 64, 3)
    # Cuts of the night are darker than cuts of the day.
    plan = PairPlan(27, 27, 27, 0)
    (batch,) = data.pair_batches(pair, plan, [range(2)])
    assert batch["b"].mean() < 0.6 * batch["a"].mean()


# real files


@pytest.mark.skipif(not HORSES.is_file(), reason=f"no horse2zebra in {HORSES}")
def test_horses_and_zebras(tmp_path):
    with zipfile.ZipFile(HORSES) as archive:
        names = [n for n in archive.namelist() if n.endswith(("0.jpg", "5.jpg"))]
        archive.extractall(tmp_path, names)
    root = tmp_path / "horse2zebra"
    counts = [len(list((root / part).iterdir())) for part in SIZES]
    pair = load(root, resize=72, image_size=64, cache="disk")
    assert list(map(len, pair[:4])) == counts
    assert min(counts) > 10
    assert pair.shape == (64, 64, 3)
    for source, part in zip(pair[:4], SIZES, strict=True):
        path = sorted((root / part).iterdir())[-1]
        with Image.open(path) as image:
            mean = np.asarray(image.convert("RGB")).mean((0, 1))
        # Reducing keeps the mean of an image within rounding.
        np.testing.assert_allclose(source[-1]["image"].mean((0, 1)), mean, atol=0.7)


def test_a_cache_without_a_folder_names_the_variable_to_set(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    def refused(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(pathlib.Path, "mkdir", refused)
    with pytest.raises(UserError, match=r"Read-only file system\); set XDG_CACHE_HOME"):
        cache.decode_onto_disk([], [], "images", [])
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pathlib.Path, "home", no_home)
    with pytest.raises(UserError, match="no home directory; set XDG_CACHE_HOME"):
        cache.images_folder()
