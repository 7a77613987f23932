"""Decoding of image files: the same pixels for training and for translation."""

import io
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxgan.data import transforms
from jaxgan.data.image_formats import ImageFormat
from jaxgan.errors import UserError
from jaxgan.files import image_decoding, image_files

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 24, 32
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "AVIF": ("RGB", "RGBA"),
    "TGA": ("L", "P", "RGB", "RGBA"),
    "JPEG2000": ("L", "RGB"),
}
CASES = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


def image(mode):
    """Return smooth colours, with transparency if the mode has it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([x * 8, y * 10, 255 - x * 4 - y * 2, 90 + x * 5], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def trained_on(path, shape):
    return transforms.decode(path, str(path), ImageFormat(shape, "same", True))


def exif(orientation):
    tags = Image.Exif()
    tags[image_decoding.ORIENTATION] = orientation
    return tags


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_training_and_translation_see_the_same_pixels(kind, mode, tmp_path):
    path = tmp_path / "image"
    image(mode).save(path, kind)
    pixels = image_files.read(path).pixels
    np.testing.assert_array_equal(trained_on(path, pixels.shape), pixels)
    header = transforms.read_header(path, "it")
    assert header[1:] == (WIDTH, HEIGHT, pixels.shape[-1] == 1)
    # Laid on white by the rule of an exact calculation.
    if mode == "RGBA" and kind == "PNG":
        *colours, alpha = np.moveaxis(np.asarray(image(mode)).astype(int), -1, 0)
        expected = (np.stack(colours, -1) * alpha[..., None] + 127) // 255
        expected += 255 - alpha[..., None]
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_followed_by_both(kind, orientation, tmp_path):
    path = tmp_path / "image"
    options = {} if kind in ("JPEG", "TIFF") else {"lossless": True}
    if kind == "AVIF":
        options = {"quality": 100}
    image("RGB").save(path, kind, exif=exif(orientation), **options)
    stored = np.asarray(image("RGB")).astype(int)
    turns = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.swapaxes(0, 1), 6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(stored),
    }  # fmt: skip
    pixels = image_files.read(path).pixels
    np.testing.assert_allclose(pixels, turns[orientation], atol=24)
    np.testing.assert_array_equal(trained_on(path, pixels.shape), pixels)
    header = transforms.read_header(path, "it")
    assert (header.height, header.width) == pixels.shape[:2]


def png_chunk(kind, content):
    check = zlib.crc32(kind + content)
    return len(content).to_bytes(4) + kind + content + check.to_bytes(4)


@pytest.mark.parametrize("of", ["eXIf", "xmp", "none"])
def test_an_orientation_that_comes_after_the_pixels(of, tmp_path):
    content = io.BytesIO()
    image("RGB").save(content, "PNG")
    body, end = content.getvalue()[:-12], content.getvalue()[-12:]
    tags = exif(6).tobytes().removeprefix(b"Exif\0\0")
    chunks = {
        "eXIf": png_chunk(b"eXIf", tags),
        "xmp": png_chunk(
            b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='1'"
            b' tiff:Orientation="6"/>',
        ),
        "none": b"",
    }  # fmt: skip
    path = tmp_path / "late.png"
    path.write_bytes(body + png_chunk(b"tEXt", b"date\0today") + chunks[of] + end)
    pixels = image_files.read(path).pixels
    assert pixels.shape[:2] == ((HEIGHT, WIDTH) if of == "none" else (WIDTH, HEIGHT))
    np.testing.assert_array_equal(trained_on(path, pixels.shape), pixels)
    for file in (path, io.BytesIO(path.read_bytes())):
        header = transforms.read_header(file, "it")
        assert (header.height, header.width) == pixels.shape[:2]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_a_tag_without_meaning_counts_as_upright(value, tmp_path):
    path = tmp_path / "0.jpg"
    image("RGB").save(path, exif=exif(value))
    assert image_files.read(path).pixels.shape == (HEIGHT, WIDTH, 3)
    assert trained_on(path, (HEIGHT, WIDTH, 3)).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("start", [6, 10, 14, 16, 24])
def test_damaged_tags_are_no_reason_to_refuse_an_image(start, tmp_path):
    """PIL warns of some of them: warnings are errors here, so none gets through."""
    path = tmp_path / "0.jpg"
    image("RGB").save(path, exif=exif(3))
    content = bytearray(path.read_bytes())
    first = content.find(b"Exif\0\0") + start
    content[first : first + 8] = b"\xff\xfe" * 4
    path.write_bytes(content)
    assert trained_on(path, (HEIGHT, WIDTH, 3)).shape == (HEIGHT, WIDTH, 3)
    assert transforms.read_header(path, "it")[1:3] == (WIDTH, HEIGHT)
    assert image_files.read(path).pixels.shape == (HEIGHT, WIDTH, 3)


def test_decoding_in_threads_warns_of_nothing(tmp_path, recwarn):
    path = tmp_path / "0.jpg"
    image("RGB").save(path, exif=exif(3))
    content = path.read_bytes()
    first = content.find(b"Exif\0\0") + 14
    path.write_bytes(content[:first] + b"\xff\xff" + content[first + 2 :])
    threads = [
        threading.Thread(target=trained_on, args=(path, (HEIGHT, WIDTH, 3)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not recwarn.list


def test_photographs_above_pillows_limit_are_decoded(tmp_path, monkeypatch):
    """100 million pixels take seconds: here the limits are a thousandth of that."""
    assert Image.MAX_IMAGE_PIXELS == image_decoding.MOST_PIXELS == 2**28
    assert image_decoding.MOST_PIXELS > 200e6  # of the largest cameras
    path = tmp_path / "0.jpg"
    Image.new("RGB", (400, 250)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 89_478)  # PIL warns
    small = ImageFormat((16, 16, 3), "shorter", True)
    assert transforms.decode(path, "it", small).shape == (16, 16, 3)
    assert transforms.read_header(path, "it")[1:3] == (400, 250)
    assert image_files.read(path).pixels.shape == (250, 400, 3)


@pytest.mark.parametrize("rule", ["shorter", "stretch", "same"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_huge_jpeg_is_decoded_smaller_before_it_is_resized(
    rule, orientation, tmp_path, monkeypatch
):
    path = tmp_path / "0.jpg"
    big = image("RGB").resize((1600, 1200), Image.Resampling.BICUBIC)
    big.save(path, quality=95, exif=exif(orientation))
    loaded = []
    load = image_decoding._to_8_bits
    monkeypatch.setattr(
        image_decoding,
        "_to_8_bits",
        lambda image: loaded.append(image.size) or load(image),
    )
    side = 1200 if rule == "same" else 40
    shape = (1600, 1200, 3) if orientation == 6 else (1200, 1600, 3)
    wanted = ImageFormat(shape if rule == "same" else (side, side, 3), rule, True)
    exact = transforms.decode(path, "it", wanted)
    monkeypatch.setattr(image_decoding, "DRAFT_PIXELS", 1600 * 1200)
    assert (transforms.decode(path, "it", wanted) == exact).all()  # not above the limit
    monkeypatch.setattr(image_decoding, "DRAFT_PIXELS", 1600 * 1200 - 1)
    found = transforms.decode(path, "it", wanted)
    assert loaded[:2] == [(1600, 1200)] * 2
    assert loaded[2] == ((1600, 1200) if rule == "same" else (400, 300))
    difference = np.abs(found.astype(int) - exact)
    assert difference.max() <= (0 if rule == "same" else 3)
    assert difference.mean() < 0.5
    assert image_files.read(path).pixels.shape == shape  # whole for a translation


@pytest.mark.parametrize("pillows", [20_000, 100_000])
def test_a_bomb_is_refused_by_its_size_alone(pillows, tmp_path, monkeypatch):
    """Whichever limit comes first, PIL's, where it raises an error, or our own."""
    path = tmp_path / "0.png"
    Image.new("1", (400, 251)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows)
    monkeypatch.setattr(image_decoding, "MOST_PIXELS", 100_000)
    for read in (
        lambda: image_files.read(path),
        lambda: trained_on(path, (251, 400, 1)),
        lambda: transforms.read_header(path, str(path)),
    ):
        with pytest.raises(UserError) as caught:
            read()
        assert str(caught.value) == (
            f"{path}: has more than 100,000 pixels, the most that are decoded"
        )


def header_of(path):
    return transforms.read_header(path, str(path))


def test_files_that_hold_something_else(tmp_path):
    image("RGB").save(tmp_path / "really.jpg", "PNG")
    assert image_files.read(tmp_path / "really.jpg").pixels.shape == (24, 32, 3)
    # PIL would start Ghostscript, a program for another language, to show it.
    (tmp_path / "eps.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    for name in ("eps.jpg", "empty.jpg", "text.jpg"):
        for read in (
            image_files.read,
            lambda path: transforms.read_header(path, str(path)),
        ):
            with pytest.raises(UserError) as caught:
                read(tmp_path / name)
            message = str(caught.value)
            assert message.startswith(f"{tmp_path / name}: not a readable image (")
            assert "\n" not in message
