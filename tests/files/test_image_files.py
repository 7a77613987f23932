"""Image files of every kind, read and written at their full depth."""

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from jaxgan.errors import UserError
from jaxgan.files import image_decoding, image_files
from jaxgan.files.image_files import Picture

RNG = np.random.default_rng(0)
DEEP, SHALLOW = np.dtype(np.uint16), np.dtype(np.uint8)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(dtype, channels, height=13, width=17):
    """Return pixels of every level, [height, width, channels]."""
    top = np.iinfo(dtype).max
    return RNG.integers(0, top, (height, width, channels), dtype, endpoint=True)


@pytest.mark.parametrize("ending", [".png", ".tif", ".TIFF", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [SHALLOW, DEEP])
def test_what_is_written_is_read_again(ending, channels, dtype, tmp_path):
    path = tmp_path / f"image{ending}"
    pixels = noise(dtype, channels)
    if ending == ".bmp" and dtype == DEEP:
        with pytest.raises(UserError, match=r"image.bmp: 16 bits .*\.png"):
            image_files.write(path, Picture(pixels))
        assert not list(tmp_path.iterdir())
        return
    image_files.write(path, Picture(pixels))
    again = image_files.read(path)
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.pixels.dtype == dtype
    assert again.notes == ()
    # PIL, another reader, has the upper eight bits of 16-bit colour.
    other = np.asarray(Image.open(path)).reshape(pixels.shape)
    cut = dtype == DEEP and channels == 3
    np.testing.assert_array_equal(other, pixels >> 8 if cut else pixels)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_every_level_survives_floats():
    for dtype in (SHALLOW, DEEP):
        levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
        floats = image_files.to_floats(levels)
        assert floats.dtype == np.float32
        assert (floats.min(), floats.max()) == (-1, 1)
        np.testing.assert_array_equal(image_files.to_pixels(floats, dtype), levels)


def test_floats_are_rounded_to_the_nearest_level_and_clipped():
    def level(x, dtype):
        return int(image_files.to_pixels(np.array([x]), dtype)[0])

    assert level(100.4 / 127.5 - 1, SHALLOW) == 100
    assert level(100.6 / 127.5 - 1, SHALLOW) == 101  # 100 if truncated
    assert level(30000.6 / 32767.5 - 1, DEEP) == 30001
    assert [level(x, SHALLOW) for x in (-1.1, 1.1)] == [0, 255]


def test_gray_is_pils_luma_at_both_depths():
    pixels = noise(SHALLOW, 3)
    gray = image_files.with_channels(Picture(pixels, PROFILE), 1)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(gray.pixels[..., 0], expected)
    assert gray.profile is None
    assert gray.notes == ("colour is turned into gray, which the network takes",)
    deep = noise(DEEP, 3)
    luma = np.rint(deep @ np.array([0.299, 0.587, 0.114]))
    made = image_files.with_channels(Picture(deep), 1).pixels[..., 0]
    np.testing.assert_allclose(made, luma, atol=1)  # weights of 16 bits
    white = np.full((1, 1, 3), 65535, np.uint16)
    assert image_files.with_channels(Picture(white), 1).pixels.item() == 65535


def test_gray_becomes_three_equal_channels_without_a_note():
    gray = noise(DEEP, 1)
    made = image_files.with_channels(Picture(gray, PROFILE), 3)
    np.testing.assert_array_equal(made.pixels, np.concatenate([gray] * 3, axis=-1))
    assert made.profile is None
    assert made.notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_16_bit_colour_tiff_of_every_layout(order, planes, compression, tmp_path):
    pixels = noise(DEEP, 3)
    data = pixels if planes == "contig" else np.moveaxis(pixels, -1, 0)
    options = {"byteorder": order, "planarconfig": planes, "compression": compression}
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", **options)
    found = image_files.read(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == DEEP


def test_white_is_zero_in_some_tiffs(tmp_path):
    pixels = noise(DEEP, 1)
    tifffile.imwrite(tmp_path / "a.tif", pixels[..., 0], photometric="miniswhite")
    found = image_files.read(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(found, 65535 - pixels)


def test_pgm_of_16_bits(tmp_path):
    pixels = noise(DEEP, 1)
    data = b"P5 17 13 65535\n" + pixels.astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(data)
    found = image_files.read(tmp_path / "a.pgm").pixels
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == DEEP


def on_white(colours, alpha, top):
    """Return colours [h, w, c] over white; alpha [h, w]."""
    share = alpha[..., None] / top
    return colours * share + top * (1 - share)


@pytest.mark.parametrize("dtype", [SHALLOW, DEEP])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparent_parts_are_laid_on_white(dtype, channels, tmp_path):
    pixels, top = noise(dtype, channels), np.iinfo(dtype).max
    plain = pixels.astype(np.float64)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    found = image_files.read(tmp_path / "a.png")
    expected = on_white(plain[..., :-1], plain[..., -1], top)
    np.testing.assert_allclose(found.pixels, expected, atol=0.501)
    assert found.pixels.dtype == dtype
    assert found.notes == ("transparent parts are laid on white",)
    pixels[..., -1] = top
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    found = image_files.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, pixels[..., :-1])
    assert found.notes == ()


def test_premultiplied_and_unspecified_fourth_channels(tmp_path):
    straight = noise(DEEP, 4)
    multiplied = straight.copy()
    share = straight[..., 3:] / 65535
    multiplied[..., :3] = np.rint(straight[..., :3] * share)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, multiplied, photometric="rgb", extrasamples=["assocalpha"])
    expected = on_white(straight[..., :3].astype(float), straight[..., 3], 65535)
    np.testing.assert_allclose(image_files.read(path).pixels, expected, atol=1)
    tifffile.imwrite(path, straight, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(image_files.read(path).pixels, straight[..., :3])


def test_palettes_bits_and_frames(tmp_path):
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    indices = RNG.integers(0, 3, (13, 17)).astype(np.uint8)
    palette = Image.fromarray(indices, mode="P")
    palette.putpalette(colours.tobytes())
    palette.save(tmp_path / "a.png")
    found = image_files.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, colours[indices])
    palette.save(tmp_path / "b.png", transparency=1)
    clear = np.where(indices[..., None] == 1, np.uint8(255), colours[indices])
    found = image_files.read(tmp_path / "b.png")
    np.testing.assert_array_equal(found.pixels, clear)
    Image.fromarray(indices > 0).save(tmp_path / "c.png")
    found = image_files.read(tmp_path / "c.png").pixels
    np.testing.assert_array_equal(found[..., 0], 255 * (indices > 0))
    other = Image.fromarray(np.zeros((13, 17), np.uint8))
    Image.fromarray(indices).save(
        tmp_path / "d.tif", save_all=True, append_images=[other]
    )
    found = image_files.read(tmp_path / "d.tif")
    np.testing.assert_array_equal(found.pixels[..., 0], indices)
    assert found.notes == ("the first frame of several is taken",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned_upright(orientation, tmp_path):
    exif = Image.Exif()
    exif[image_decoding.ORIENTATION] = orientation
    shallow, deep = noise(SHALLOW, 3), noise(DEEP, 3)
    Image.fromarray(shallow).save(tmp_path / "a.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    found = image_files.read(tmp_path / "a.png").pixels
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        image_decoding.turn_upright(shallow, orientation), expected
    )
    tag = (image_decoding.ORIENTATION, "H", 1, orientation, True)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, deep, photometric="rgb", extratags=[tag])
    found = image_files.read(path).pixels
    np.testing.assert_array_equal(found, image_decoding.turn_upright(deep, orientation))
    tifffile.imwrite(path, shallow, photometric="rgb", extratags=[tag])
    np.testing.assert_array_equal(image_files.read(path).pixels, expected)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", [SHALLOW, DEEP])
def test_colour_profiles_are_kept(name, dtype, tmp_path):
    pixels = noise(dtype, 3)
    image_files.write(tmp_path / name, Picture(pixels, PROFILE))
    found = image_files.read(tmp_path / name)
    assert found.profile == PROFILE
    np.testing.assert_array_equal(found.pixels, pixels)


def test_profile_of_inks_is_dropped(tmp_path):
    image = Image.new("CMYK", (17, 13), (0, 255, 255, 0))
    image.save(tmp_path / "a.tif", icc_profile=PROFILE)
    found = image_files.read(tmp_path / "a.tif")
    assert found.profile is None
    np.testing.assert_array_equal(found.pixels, np.full((13, 17, 3), [255, 0, 0]))


def spoil(tmp_path):
    """Write files that are not readable images, and yield them."""
    smooth = np.arange(64 * 64 * 3, dtype=np.uint16).reshape(64, 64, 3)
    whole = tmp_path / "whole"
    for ending, dtype in ((".png", DEEP), (".png", SHALLOW), (".tif", DEEP)):
        whole = tmp_path / f"whole{ending}"
        image_files.write(whole, Picture(smooth.astype(dtype)))
        path = tmp_path / f"cut{dtype.itemsize}{ending}"
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        yield path
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    for name, content in (
        ("cut.jpg", data[: len(data) // 2]),
        ("empty.png", b""),
        ("text.png", b"no image\n"),
        ("colour.ppm", b"P6 64 64 65535\n" + smooth.astype(">u2").tobytes()),
    ):
        (tmp_path / name).write_bytes(content)
        yield tmp_path / name
    for dtype in (np.float32, np.int32):
        path = tmp_path / f"{np.dtype(dtype).name}.tif"
        tifffile.imwrite(path, smooth[..., 0].astype(dtype), photometric="minisblack")
        yield path
    path = tmp_path / "five.tif"
    five = np.zeros((64, 64, 5), np.uint16)
    tifffile.imwrite(path, five, photometric="minisblack", planarconfig="contig")
    yield path
    yield tmp_path / "nowhere.png"


def test_damaged_and_unknown_files_are_named(tmp_path):
    count = 0
    for path in spoil(tmp_path):
        with pytest.raises(UserError) as caught:
            image_files.read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: not a readable image ("), message
        assert "\n" not in message
        count += 1
    assert count == 11


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    image_files.write(path, Picture(noise(SHALLOW, 3)))
    before = path.read_bytes()

    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        image_files.write(path, Picture(noise(SHALLOW, 3)))
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
