"""Data sets, the errors of bad ones, and batches."""

import gzip
import hashlib
import io
import pathlib
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from helpers.sources import Recorder
from PIL import Image

from jaxgan import data
from jaxgan.data import Plan, datasets, transforms
from jaxgan.data import memory as data_memory
from jaxgan.data.formats import embedded, idx
from jaxgan.data.image_formats import ImageFormat, choose_format
from jaxgan.errors import UserError

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"
MNIST = SHARED / "mnist"
HORSES = SHARED / "horse2zebra" / "horse2zebra_256_q85.zip"

generator = np.random.default_rng(0)


def random_images(*shape):
    return generator.integers(0, 256, shape, np.uint8)


def idx_bytes(array, magic):
    return b"".join(n.to_bytes(4) for n in (magic, *array.shape)) + array.tobytes()


def save_png(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)
    return path


# idx


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_idx(tmp_path, packed, dot):
    train, test = random_images(6, 5, 4), random_images(2, 5, 4)
    labels = np.array([0, 1, 2, 0, 1, 2], np.uint8), np.array([2, 0], np.uint8)
    for name, array, magic in (
        (f"train-images{dot}idx3-ubyte", train, 0x803),
        (f"t10k-images{dot}idx3-ubyte", test, 0x803),
        (f"train-labels{dot}idx1-ubyte", labels[0], 0x801),
        (f"t10k-labels{dot}idx1-ubyte", labels[1], 0x801),
    ):
        content = idx_bytes(array, magic)
        if packed:
            content, name = gzip.compress(content), f"{name}.gz"
        (tmp_path / name).write_bytes(content)

    plain = data.load("idx", dir=str(tmp_path))
    assert plain.shape == (5, 4, 1)
    assert plain.num_classes == 0
    assert plain.dtype == np.uint8
    np.testing.assert_array_equal(plain.train.images[..., 0], train)
    np.testing.assert_array_equal(plain.heldout.images[..., 0], test)

    labelled = data.load("idx", dir=str(tmp_path), labels=True)
    assert labelled.num_classes == 3
    example = labelled.heldout[0]
    assert example["label"] == 2
    assert example["label"].dtype == np.int32
    np.testing.assert_array_equal(example["image"][..., 0], test[0])


def test_idx_of_the_wrong_magic(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.zeros(9, np.uint8), 0x801))
    with pytest.raises(UserError, match=r"0x00000801 found, 0x00000803 expected"):
        data.load("idx", dir=str(tmp_path))


@pytest.mark.parametrize("length", [2, 4, 7, 15, 16, 100])
def test_idx_cut_short(tmp_path, length):
    content = idx_bytes(random_images(6, 5, 4), 0x803)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content[:length])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte: .*found.*expected"):
        data.load("idx", dir=str(tmp_path))
    if length >= 16:
        with pytest.raises(UserError, match=f"short: {length} bytes found, 136 exp"):
            data.load("idx", dir=str(tmp_path))


def test_idx_with_a_packed_file_cut_short(tmp_path):
    content = gzip.compress(idx_bytes(random_images(60, 5, 4), 0x803))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cut short: \d+ bytes found, 1216 expected"):
        idx.read(path, idx.IMAGES_MAGIC)
    path.write_bytes(content[:20] + b"\xff" * 20 + content[40:])
    with pytest.raises(UserError, match=r"ubyte.gz: "):
        idx.read(path, idx.IMAGES_MAGIC)


def test_idx_files_that_are_missing_or_too_long(tmp_path):
    with pytest.raises(UserError, match=r"data.dir = .*: no train-images-idx3-ubyte"):
        data.load("idx", dir=str(tmp_path))
    images = idx_bytes(random_images(6, 5, 4), 0x803)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    with pytest.raises(UserError, match=r"data.dir = .*: no train-labels-idx1-ubyte"):
        data.load("idx", dir=str(tmp_path), labels=True)
    labels = idx_bytes(np.zeros(5, np.uint8), 0x801)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(UserError, match="5 labels for 6 images"):
        data.load("idx", dir=str(tmp_path), labels=True)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(
        idx_bytes(random_images(6, 4, 4), 0x803)
    )
    with pytest.raises(UserError, match=r"data.dir = .*\(5, 4, 1\) and \(4, 4, 1\)"):
        data.load("idx", dir=str(tmp_path))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images + b"x")
    with pytest.raises(UserError, match=r"too long: 137 .*136 expected"):
        data.load("idx", dir=str(tmp_path))


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"MNIST's idx files are not in {MNIST}")
def test_mnist():
    mnist = data.load("idx", dir=str(MNIST), labels=True)
    assert (len(mnist.train), len(mnist.heldout)) == (60000, 10000)
    assert mnist.shape == (28, 28, 1)
    assert mnist.num_classes == 10
    content = idx_bytes(mnist.train.images[..., 0], 0x803)
    # The published digest of train-images-idx3-ubyte, unpacked.
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert digest == "6bbc9ace898e44ae57da46a324031adb"
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


# npz


@pytest.mark.parametrize("keys", [("image", "label"), ("images", "labels"), ("x", "y")])
def test_npz(tmp_path, keys):
    images, labels = random_images(20, 4, 4, 3), np.arange(20) % 3
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **dict(zip(keys, (images, labels), strict=True)))
    loaded = data.load("npz", dir=str(path), labels=True)
    assert loaded.shape == (4, 4, 3)
    assert loaded.num_classes == 3
    assert (len(loaded.train), len(loaded.heldout)) == (18, 2)
    both = np.concatenate([loaded.train.images, loaded.heldout.images])
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(both, images[order])
    both = np.concatenate([loaded.train.labels, loaded.heldout.labels])
    np.testing.assert_array_equal(both, labels[order])


def test_npz_with_one_array_in_a_folder(tmp_path):
    np.savez(tmp_path / "set.npz", pixels=random_images(20, 4, 5))
    assert data.load("npz", dir=str(tmp_path)).shape == (4, 5, 1)


def test_npz_errors(tmp_path):
    path = tmp_path / "set.npz"

    def error(**arrays):
        np.savez(path, **arrays)
        with pytest.raises(UserError) as caught:
            data.load("npz", dir=str(path), labels=len(arrays) > 1)
        return str(caught.value)

    images = random_images(6, 4, 4, 3)
    assert "image, images, x expected, found a, b" in error(a=images, b=images)
    assert "label, labels, y expected, found x, b" in error(x=images, b=images)
    assert "found float32 [6, 4, 4, 3]" in error(x=images.astype(np.float32))
    assert "found uint8 [6, 4, 4, 4]" in error(x=random_images(6, 4, 4, 4))
    assert "labels [6] from 0 expected, found int64 [5]" in error(
        x=images, y=np.arange(5)
    )
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"set.npz: not a readable .npz file"):
        data.load("npz", dir=str(path))
    with pytest.raises(UserError, match=r"none.npz: not a readable .npz file"):
        data.load("npz", dir=str(tmp_path / "none.npz"))
    (tmp_path / "other.npz").touch()
    with pytest.raises(UserError, match=r"data.dir = .*: 2 .npz files"):
        data.load("npz", dir=str(tmp_path))


# folder


def test_folder_is_recursive_and_sorted(tmp_path):
    names = ["b/2.png", "b/1.png", "a/deep/3.PNG", "top.png"]
    pixels = {name: random_images(4, 6, 3) for name in names}
    for name, image in pixels.items():
        save_png(tmp_path / name, image)
    save_png(tmp_path / ".hidden.png", random_images(9, 9))
    save_png(tmp_path / ".cache" / "x.png", random_images(9, 9))
    (tmp_path / "README.txt").write_text("not an image")

    loaded = data.load("folder", dir=str(tmp_path))
    assert loaded.shape == (4, 6, 3)
    images = np.concatenate([loaded.train.images, loaded.heldout.images])
    in_order = np.stack([pixels[name] for name in sorted(names)])
    order = np.random.default_rng(0).permutation(4)
    np.testing.assert_array_equal(images, in_order[order])
    assert (len(loaded.train), len(loaded.heldout)) == (3, 1)


@pytest.mark.parametrize("heldout", ["test", "val", "valid", "validation"])
def test_folder_with_splits_and_classes(tmp_path, heldout):
    for part, num in (("train", 3), (heldout, 2)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(num):
                pixels = np.full((4, 4, 3), 100 * label + i, np.uint8)
                save_png(tmp_path / part / name / f"{i:04d}.png", pixels)
    loaded = data.load("folder", dir=str(tmp_path), labels=True)
    assert loaded.num_classes == 2
    assert loaded.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.heldout.labels.tolist() == [0, 0, 1, 1]
    assert loaded.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert data.load("folder", dir=str(tmp_path)).num_classes == 0

    save_png(tmp_path / heldout / "eel" / "0.png", random_images(4, 4, 3))
    with pytest.raises(UserError, match=r"eel/0.png: class eel"):
        data.load("folder", dir=str(tmp_path), labels=True)
    stray = save_png(tmp_path / "train" / "stray.png", random_images(4, 4, 3))
    with pytest.raises(UserError, match=f"{stray}: labels"):
        data.load("folder", dir=str(tmp_path), labels=True)


def test_folder_errors(tmp_path):
    with pytest.raises(UserError, match=r"data.dir = '': data.name=folder"):
        data.load("folder")
    with pytest.raises(UserError, match=r"data.dir = .*/no: no such folder"):
        data.load("folder", dir=str(tmp_path / "no"))
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=r"data.dir = .*: no images .*\.bmp"):
        data.load("folder", dir=str(tmp_path))
    save_png(tmp_path / "0.png", random_images(4, 4, 3))
    with pytest.raises(UserError, match="1 example: 2"):
        data.load("folder", dir=str(tmp_path))


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_folder_with_a_corrupt_image(tmp_path, damage, cache):
    for i in range(130):  # the 2nd is not among those looked at beforehand
        save_png(tmp_path / f"{i:03d}.png", random_images(8, 8, 3))
    bad = tmp_path / "001.png"
    content = bad.read_bytes()
    cut = {
        "truncated": content[: len(content) // 2],
        "garbage": b"x" * 99,
        "empty": b"",
    }
    bad.write_bytes(cut[damage])
    with pytest.raises(UserError, match=r"001.png: not a readable image \(.+\)"):
        read_an_epoch(data.load("folder", dir=str(tmp_path), cache=cache).train)


def read_an_epoch(source):
    plan = Plan(len(source), 13, seed=0)
    for _ in data.batches(source, plan, calls(0, len(source) // 13 + 1, 1)):
        pass


def test_folder_with_a_truncated_jpeg(tmp_path):
    Image.fromarray(random_images(64, 64, 3)).save(tmp_path / "0.jpg")
    content = (tmp_path / "0.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"1.jpg: not a readable image \(.*truncated"):
        data.load("folder", dir=str(tmp_path))


def test_folder_of_several_sizes(tmp_path):
    save_png(tmp_path / "0.png", random_images(4, 4, 3))
    save_png(tmp_path / "1.png", random_images(4, 5, 3))
    with pytest.raises(UserError, match=r"1.png: 5x4 .* 4x4"):
        data.load("folder", dir=str(tmp_path))
    assert data.load("folder", dir=str(tmp_path), image_size=4).shape == (4, 4, 3)


def test_folder_of_gray_and_colour(tmp_path):
    gray = random_images(4, 4)
    save_png(tmp_path / "0.png", gray)
    save_png(tmp_path / "1.png", random_images(4, 4))
    assert data.load("folder", dir=str(tmp_path)).shape == (4, 4, 1)
    save_png(tmp_path / "2.png", random_images(4, 4, 3))
    loaded = data.load("folder", dir=str(tmp_path))
    assert loaded.shape == (4, 4, 3)
    images = np.concatenate([loaded.train.images, loaded.heldout.images])
    expected = np.repeat(gray[..., None], 3, axis=-1)
    assert any((image == expected).all() for image in images)
    assert data.load("folder", dir=str(tmp_path), channels=1).shape == (4, 4, 1)


@pytest.mark.skipif(not HORSES.is_file(), reason=f"no horse2zebra in {HORSES}")
def test_folder_of_real_photographs(tmp_path):
    with zipfile.ZipFile(HORSES) as archive:
        names = [name for name in archive.namelist() if "/testA/" in name]
        archive.extractall(tmp_path, names)
    horses = data.load("folder", dir=str(tmp_path), image_size=64)
    assert (len(horses.train), len(horses.heldout)) == (108, 12)
    assert horses.shape == (64, 64, 3)
    # Reducing 256 to 64 pixels keeps the mean of each image within rounding.
    whole = data.load("folder", dir=str(tmp_path))
    assert whole.shape == (256, 256, 3)
    means = [
        loaded.train.images.mean(axis=(1, 2, 3), dtype=float)
        for loaded in (whole, horses)
    ]
    np.testing.assert_allclose(*means, atol=0.5)


# transforms


def decode(path, size=0, channels=0):
    header = transforms.read_header(path, str(path))
    return transforms.decode(path, "it", choose_format([header], size, channels))


def test_a_colour_image_where_all_others_are_gray(tmp_path):
    path = save_png(tmp_path / "0.png", random_images(4, 4, 3))
    image_format = ImageFormat((4, 4, 1), size_rule="same", convert=False)
    with pytest.raises(UserError, match=r"it: a colour image .* gray"):
        transforms.decode(path, "it", image_format)


def test_resize_brings_the_shorter_side_and_cuts_the_centre(tmp_path):
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 12:20] = 200  # the central square
    path = save_png(tmp_path / "wide.png", wide)
    np.testing.assert_array_equal(decode(path, 8), np.full((8, 8, 3), 200))
    tall = save_png(tmp_path / "tall.png", wide.transpose(1, 0, 2).copy())
    np.testing.assert_array_equal(decode(tall, 8), np.full((8, 8, 3), 200))
    assert decode(path, 16).shape == (16, 16, 3)
    assert decode(path, 5, 1).shape == (5, 5, 1)


def test_resize_does_not_alias(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # sampled at every 4th pixel it would be all 0 or all 255
    small = decode(save_png(tmp_path / "0.png", stripes), 16)
    inside = small[:, 1:-1]
    assert 125 <= inside.min() <= inside.max() <= 130


def test_sixteen_bits_are_scaled(tmp_path):
    pixels = np.array([[0, 257, 128], [65535, 32896, 65407]], np.uint16)
    path = save_png(tmp_path / "0.png", pixels)
    # 65535/257 = 255, 32896/257 = 128, and the last rounds up to 255.
    np.testing.assert_array_equal(decode(path)[..., 0], [[0, 1, 0], [255, 128, 255]])


def test_transparent_pixels_are_laid_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 255, 51
    expected = [[[255] * 3, [0] * 3, [204] * 3]]  # 255 (1 - 51/255)
    np.testing.assert_array_equal(decode(save_png(tmp_path / "0.png", rgba)), expected)
    gray = Image.fromarray(rgba).convert("LA")
    gray.save(tmp_path / "1.png")
    assert decode(tmp_path / "1.png")[..., 0].tolist() == [[255, 0, 204]]


def test_palettes_become_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "0.png")
    assert decode(tmp_path / "0.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    image.save(tmp_path / "1.png", transparency=bytes([0, 255]))
    assert decode(tmp_path / "1.png").tolist() == [[[255] * 3, [40, 50, 60]]]


def test_floating_point_pixels_are_refused(tmp_path):
    Image.new("F", (2, 2)).save(tmp_path / "0.tif")
    with pytest.raises(UserError, match=r"it: not a readable image .floating-point"):
        decode(tmp_path / "0.tif")


# embedded


def test_digits():
    from sklearn.datasets import load_digits

    digits = data.load("digits", labels=True)
    assert (len(digits.train), len(digits.heldout)) == (1617, 180)
    assert digits.shape == (8, 8, 1)
    assert digits.num_classes == 10
    order = np.random.default_rng(0).permutation(1797)
    bunch = load_digits()
    images = np.concatenate([digits.train.images, digits.heldout.images])
    # 0, 1, 8 and 16 sixteenths of 255, rounded.
    table = np.array([round(i * 255 / 16) for i in range(17)])
    assert table[[0, 1, 8, 16]].tolist() == [0, 16, 128, 255]
    np.testing.assert_array_equal(
        images[..., 0], table[bunch.images[order].astype(int)]
    )
    labels = np.concatenate([digits.train.labels, digits.heldout.labels])
    np.testing.assert_array_equal(labels, bunch.target[order])
    assert data.load("digits", image_size=16, channels=3).shape == (16, 16, 3)


@pytest.mark.parametrize("name", embedded.TOY_SETS)
def test_toy_sets(name):
    toy = data.load(name)
    assert (len(toy.train), len(toy.heldout)) == (100_000, 10_000)
    assert toy.shape == (2,)
    assert toy.dtype == np.float32
    assert toy.train.images.dtype == np.float32
    np.testing.assert_array_equal(toy.train.images, data.load(name).train.images)
    assert len(np.unique(toy.train.images, axis=0)) > 99_000
    heldout = {tuple(point) for point in toy.heldout.images.tolist()}
    assert not heldout & {tuple(point) for point in toy.train.images.tolist()}
    with pytest.raises(UserError, match=r"data.image_size = 8: .*2-D points"):
        data.load(name, image_size=8)


@pytest.mark.parametrize(
    ("name", "modes", "extent", "deviation"),
    # gan_toy.py: radius 2 / 1.414, .02 / 1.414; corner (4, 4) / 2.828, .05 / 2.828.
    [
        ("8gaussians", 8, 1.41443, 0.0141443),
        ("25gaussians", 25, 1.41443, 0.0176803),
    ],
)
def test_gaussians(name, modes, extent, deviation):
    centers = embedded.centers(name)
    points = data.load(name).train.images
    assert centers.shape == (modes, 2)
    assert np.abs(centers).max() == pytest.approx(extent, abs=1e-5)
    distances = np.linalg.norm(points[:, None] - centers, axis=-1)
    nearest = distances.argmin(axis=1)
    counts = np.bincount(nearest)
    assert len(counts) == modes
    assert counts.min() > 0.96 * 100_000 / modes
    residuals = points - centers[nearest]
    assert residuals.std() == pytest.approx(deviation, rel=0.01)
    assert residuals.mean() == pytest.approx(0, abs=3e-4)


def test_ring_has_radius_two():
    radius = np.linalg.norm(embedded.centers("8gaussians"), axis=1)
    np.testing.assert_allclose(radius, 2 / 1.414, rtol=1e-6)
    angles = np.sort(np.arctan2(*embedded.centers("8gaussians").T))
    np.testing.assert_allclose(np.diff(angles), np.pi / 4, rtol=1e-5)


def test_swissroll_lies_on_the_roll():
    points = embedded.points("swissroll", 1000, seed=0).astype(float) * 7.5
    # x = t cos t + noise, z = t sin t + noise: the radius is t in [1.5 pi, 4.5 pi].
    radius = np.linalg.norm(points, axis=1)
    assert 1.5 * np.pi - 1 < radius.min() < radius.max() < 4.5 * np.pi + 1
    turn = (radius - np.arctan2(points[:, 1], points[:, 0])) % (2 * np.pi)
    across = np.minimum(turn, 2 * np.pi - turn)
    assert 0.15 < np.sqrt(np.mean(across**2)) < 0.35


# names


def test_unknown_names():
    with pytest.raises(UserError, match=r"data.name = digit: unknown.*nearest: digits"):
        data.load("digit")
    with pytest.raises(
        UserError, match=r"data.cache = ram: unknown; valid: auto, device, memory"
    ):
        data.load("digits", cache="ram")


# batches


@pytest.fixture
def images_folder(tmp_path):
    for i in range(40):
        save_png(tmp_path / f"{'ab'[i % 2]}/{i}.png", random_images(6, 7, 3))
    return str(tmp_path)


def calls(start, stop, k):
    return (range(step, step + k) for step in range(start, stop, k))


@pytest.mark.parametrize("start", [0, 6, 200])
@pytest.mark.parametrize("k", [1, 3])
def test_streaming_gives_the_same_bytes_as_memory(images_folder, start, k):
    options = {"dir": images_folder, "image_size": 5, "labels": True}
    memory = data.load("folder", **options, cache="memory")
    streamed = data.load("folder", **options, cache="none")
    assert isinstance(memory.train, data.ArraySource)
    assert not isinstance(streamed.train, data.ArraySource)
    assert memory[2:5] == streamed[2:5]
    plan = Plan(36, 4, seed=1, n_critic=5)
    pairs = zip(
        data.batches(memory.train, plan, calls(start, start + 12, k)),
        data.batches(streamed.train, plan, calls(start, start + 12, k)),
        strict=True,
    )
    for one, other in pairs:
        assert one["image"].shape == (k, 5, 4, 5, 5, 3)
        for key, dtype in (("image", np.uint8), ("label", np.int32)):
            assert one[key].dtype == other[key].dtype == dtype
            assert one[key].shape == other[key].shape
            assert one[key].tobytes() == other[key].tobytes()
    heldout = np.stack([streamed.heldout[i]["image"] for i in range(4)])
    np.testing.assert_array_equal(heldout, memory.heldout.images)


def test_a_bar_shows_the_reading_on_a_terminal(images_folder, monkeypatch):
    pytest.importorskip("tqdm")
    stderr = io.StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stderr)
    data.load("folder", dir=images_folder)
    assert f"reading {images_folder}:" in stderr.getvalue()


def test_cache_auto_goes_by_the_size(images_folder, monkeypatch):
    monkeypatch.setattr(datasets, "MEMORY_LIMIT", 40 * 6 * 7 * 3)
    loaded = data.load("folder", dir=images_folder)
    assert isinstance(loaded.train, data.ArraySource)
    monkeypatch.setattr(datasets, "MEMORY_LIMIT", 40 * 6 * 7 * 3 - 1)
    loaded = data.load("folder", dir=images_folder)
    assert not isinstance(loaded.train, data.ArraySource)


def test_examples_on_the_device_are_decoded(images_folder, monkeypatch):
    """'auto' keeps them there if they take a tenth of a device's own memory."""
    size = 36 * 6 * 7 * 3  # 4 of the 40 images are held out

    def load(**options):
        loaded = data.load("folder", dir=images_folder, **options)
        assert isinstance(loaded.train, data.ArraySource) or not loaded.on_device
        return loaded

    assert load(cache="device").on_device
    assert not load().on_device  # the memory is the machine's
    assert load(device_bytes=10 * size).on_device
    assert not load(device_bytes=10 * size - 1).on_device
    assert not load(cache="memory", device_bytes=10 * size).on_device
    assert not load(cache="none", device_bytes=10 * size).on_device
    # Larger sets than 'auto' decodes for a CPU are decoded for a device, within the
    # machine's memory.
    monkeypatch.setattr(datasets, "MEMORY_LIMIT", size)
    assert load(device_bytes=10 * size).on_device
    monkeypatch.setattr(datasets, "memory_limit", lambda: size)
    streamed = load(device_bytes=10 * size)
    assert not streamed.on_device
    assert not isinstance(streamed.train, data.ArraySource)
    assert data.load("digits", cache="device").on_device
    assert data.load("swissroll", device_bytes=10**7).on_device  # 100,000 points
    assert not data.load("swissroll", device_bytes=10**7 // 2).on_device


def test_examples_that_do_not_fit_the_device(images_folder, monkeypatch):
    """They are refused before any is decoded."""
    monkeypatch.setattr(datasets, "read_into_memory", None)
    with pytest.raises(UserError) as error:
        data.load("folder", dir=images_folder, cache="device", device_bytes=4000)
    assert str(error.value) == (
        "data.cache = device: the training examples take 4.43 KiB, the device has "
        "3.906 KiB of memory; memory or none expected"
    )
    monkeypatch.setattr(data_memory, "total_memory", lambda: 4000)
    with pytest.raises(UserError, match=r"^data.cache = device: .* machine has 3\.906"):
        data.load("folder", dir=images_folder, cache="device")


def test_a_device_counts_pixels_in_int32():
    def kept(cache, pixels):
        return data_memory.kept_on_device(cache, 2**31, pixels, 2**40)

    assert kept("device", 2**31)
    assert kept("auto", 2**31)
    assert not kept("auto", 2**31 + 1)
    with pytest.raises(UserError, match="one domain has 2,147,483,649 pixels"):
        kept("device", 2**31 + 1)


@pytest.mark.parametrize("process", [0, 1])
def test_streaming_reads_nothing_of_what_came_before(process):
    num, batch = 100_000, 16
    plan = Plan(num, batch, seed=0, n_critic=5)
    source = Recorder(num)
    stream = data.batches(
        source, plan, calls(500, 510, 2), process_index=process, process_count=2
    )
    rows = slice(8 * process, 8 * process + 8)
    for call, got in zip(calls(500, 510, 2), stream, strict=True):
        expected = np.stack([plan.examples(step)[:, rows] for step in call])
        np.testing.assert_array_equal(got["label"], expected)
    ahead = [plan.examples(step)[:, rows] for step in range(500, 520)]
    assert set(source.read) <= set(np.ravel(ahead).tolist())
    time.sleep(0.1)  # closed at the end: its threads read no more
    read = len(source.read)
    time.sleep(0.2)
    assert len(source.read) == read


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_processes_have_disjoint_slices_of_the_whole_batch(count, in_memory):
    source = Recorder(64)
    if in_memory:
        images = np.arange(64, dtype=np.uint8).reshape(64, 1, 1, 1)
        source = data.ArraySource(images, np.arange(64))
    plan = Plan(64, 8, seed=0, n_critic=2)
    slices = [
        next(
            data.batches(
                source, plan, [range(3, 5)], process_index=index, process_count=count
            )
        )
        for index in range(count)
    ]
    labels = np.concatenate([one["label"] for one in slices], axis=2)
    whole = np.stack([plan.examples(3), plan.examples(4)])
    np.testing.assert_array_equal(labels, whole)
    assert len(np.unique(labels[0])) == 16  # one example in one slice only


def test_calls_follow_the_start_schedule():
    source = data.ArraySource(np.zeros((50, 2), np.float32))
    plan = Plan(50, 4, seed=0, n_critic=5, critic_start=True)
    shapes = [
        batch["image"].shape
        for batch in data.batches(source, plan, [range(23, 25), range(25, 28)])
    ]
    assert shapes == [(2, 100, 4, 2), (3, 5, 4, 2)]
    with pytest.raises(ValueError, match="differ in their number of critic steps"):
        next(data.batches(source, plan, [range(24, 26)]))
    with pytest.raises(ValueError, match=r"range\(27, 28\) does not begin at 26"):
        list(data.batches(source, plan, [range(25, 26), range(27, 28)]))


def test_batches_that_do_not_divide_or_fit():
    source = data.ArraySource(np.zeros((50, 2), np.float32))
    with pytest.raises(ValueError, match="batch 9 over 2 processes"):
        next(data.batches(source, Plan(50, 9, 0), [range(1)], process_count=2))
    with pytest.raises(ValueError, match="50 examples, 49 in the plan"):
        next(data.batches(source, Plan(49, 9, 0), [range(1)]))


def test_no_calls_no_batches():
    assert list(data.batches(Recorder(10), Plan(10, 2, 0), [])) == []


# imports

# A finder that refuses some packages, and then all that must work without them.
MINIMAL = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {refused}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Refuse())
import numpy as np
from jaxgan import data
from jaxgan.errors import UserError
for name in ('idx', 'npz', 'folder'):
    loaded = data.load(name, dir=sys.argv[1])
    plan = data.Plan(len(loaded.train), 2, seed=0)
    assert next(data.batches(loaded.train, plan, [range(1)]))['image'].shape[2] == 2
loaded = data.load('folder', dir=sys.argv[1], cache='none')
stream = data.batches(loaded.train, plan, [range(1)])
for action in (
    lambda: next(stream),
    lambda: data.load('digits'),
    lambda: data.load('swissroll'),
    lambda: data.load('tfds:mnist'),
):
    try:
        action()
    except UserError as error:
        print(error)
"""


def test_idx_and_npz_need_only_numpy_and_pillow(tmp_path):
    images = random_images(8, 4, 4)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(images, 0x803))
    np.savez(tmp_path / "set.npz", images)
    for i, image in enumerate(images):
        save_png(tmp_path / f"{i}.png", image)
    refused = {"grain", "sklearn", "tqdm", "tensorflow_datasets", "jax", "scipy"}
    done = subprocess.run(
        [sys.executable, "-c", MINIMAL.format(refused=refused), str(tmp_path)],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    fields = ("data.cache", "data.name = digits", "data.name = swissroll", "data.name")
    packages = (
        "grain",
        "scikit-learn",
        "scikit-learn",
        "tensorflow-datasets importlib_resources",
    )
    messages = done.stdout.splitlines()
    for message, field, package in zip(messages, fields, packages, strict=True):
        assert message.startswith(field)
        assert f"(pip install {package})" in message
    assert "data.cache=memory" in messages[0]
    assert "data.name=folder" in messages[3]
