"""Image files at their full depth: 8 or 16 bits, gray or RGB, read and written.

PIL reads most of them. It has no 16-bit colour and cuts it down to 8 bits, so PNG and
TIFF files of 16 bits are read by imagecodecs and tifffile. These two are maintained,
need only numpy, and do not clash with an OpenCV that is already installed.
"""

import io
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxgan.errors import UserError
from jaxgan.files import image_decoding, storage

# Endings of the formats that `write` can write. A translation of an image in another
# format becomes PNG, because writing JPEG or WebP again would lose more.
WRITABLE_ENDINGS = (".bmp", ".png", ".tif", ".tiff")

BITS_PER_SAMPLE = 258  # number of the TIFF tag
# A value of TIFF's tag ExtraSamples (TIFF 6.0, section 18): the colours are already
# multiplied by alpha.
PREMULTIPLIED = 1


class Picture(NamedTuple):
    """The content of an image file.

    Attributes:
        pixels: uint8 or uint16 [h, w, 1 | 3], upright.
        profile: the ICC profile, which says what colours the pixels mean; None if the
            file has none.
        notes: what the user should know about the file and does not see in the pixels,
            such as frames that were left out.
    """

    pixels: np.ndarray
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def read(path: Path) -> Picture:
    """Read an image file of any kind, turned upright as its orientation tag says.

    Files of 8 bits are decoded exactly as for training, `image_decoding.decode_8_bits`.

    Raises:
        UserError: the file is not an image, is damaged or cut short, is too large, or
            its pixels have neither 8 nor 16 bits. The message names the file.
    """
    with image_decoding.open_image(path, str(path)) as image:
        notes = []
        # The further frames of a JPEG (MPO) are previews of the first.
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            notes.append("the first frame of several is taken")
        if _has_16_bits(image):
            pixels, opaque = _read_16_bits(path, image)
        else:
            plain, opaque = image_decoding.decode_8_bits(image)
            pixels = np.asarray(plain).reshape(plain.height, plain.width, -1)
        if not opaque:
            notes.append("transparent parts are laid on white")
        # A profile of CMYK inks does not describe the RGB that they become.
        profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
        return Picture(pixels, profile, tuple(notes))


def with_channels(picture: Picture, channels: int) -> Picture:
    """Return the picture as gray (1 channel) or RGB (3 channels).

    Gray is the luma of ITU-R 601, with the same integer weights as PIL's at both
    depths. A profile describes the original channels, so a conversion drops it.
    """
    pixels = picture.pixels
    if pixels.shape[-1] == channels:
        return picture
    if channels == 3:
        return picture._replace(pixels=pixels.repeat(3, axis=-1), profile=None)
    weights = np.array([19595, 38470, 7471], np.uint64)
    luma = (pixels.astype(np.uint64) @ weights + 2**15) >> 16
    notes = (*picture.notes, "colour is turned into gray, which the network takes")
    return Picture(luma.astype(pixels.dtype)[..., None], None, notes)


def to_floats(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 or uint16 pixels as float32 in [-1, 1]."""
    return pixels.astype(np.float32) / (np.iinfo(pixels.dtype).max / 2) - 1


def to_pixels(floats: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return floats in [-1, 1] as uint8 or uint16, rounded to the nearest level.

    The official code truncates instead (junyanz/pytorch-CycleGAN-and-pix2pix,
    util/util.py, tensor2im), which darkens images by half a level on average.
    """
    largest = np.iinfo(dtype).max
    levels = np.rint((np.asarray(floats, np.float64) + 1) * (largest / 2))
    return levels.clip(0, largest).astype(dtype)


def write(path: Path, picture: Picture) -> None:
    """Write a picture in the format of the path's ending, one of WRITABLE_ENDINGS.

    The file appears only when it is complete, and then replaces an older one at once.

    Raises:
        UserError: the picture has 16 bits, and the format does not.
    """
    data = _encode(picture, path)
    with storage.whole_file(path) as temporary:
        temporary.write_bytes(data)


def _encode(picture: Picture, path: Path) -> bytes:
    """Return the bytes of a file in the format of the path's ending."""
    pixels, profile, _ = picture
    ending = path.suffix.lower()
    plain = np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    if ending in (".tif", ".tiff"):
        import tifffile

        tifffile.imwrite(
            buffer,
            plain,
            photometric="minisblack" if plain.ndim == 2 else "rgb",
            compression="zlib",
            iccprofile=profile,
            metadata=None,
        )
    elif pixels.dtype == np.uint8:
        Image.fromarray(plain).save(buffer, ending[1:].upper(), icc_profile=profile)
    elif ending == ".png":
        import imagecodecs

        return _insert_profile(bytes(imagecodecs.png_encode(plain)), profile)
    else:
        raise UserError(f"{path}: 16 bits need a name that ends in .png or .tif")
    return buffer.getvalue()


def _insert_profile(png: bytes, profile: bytes | None) -> bytes:
    """Insert an ICC profile into a PNG file (PNG specification, 11.3.3.3)."""
    if profile is None:
        return png
    chunk = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)
    chunk = (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    after_header = 8 + 25  # bytes of the signature and of the chunk IHDR
    return png[:after_header] + chunk + png[after_header:]


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether a file has more than 8 bits per channel."""
    if image.mode[0] == "I":
        return True
    # Colours of 16 bits, which PIL would cut down to 8.
    if image.format == "TIFF":
        return 16 in image.tag_v2.get(BITS_PER_SAMPLE, ())  # type: ignore[attr-defined]
    tiles = image.tile  # type: ignore[attr-defined]
    # PIL's arguments for its decoder: the raw mode of a PNG, mode and maximum of a PPM.
    arguments = tiles[0].args if tiles else ""
    if image.format == "PNG":
        return ";16" in str(arguments)
    return arguments == ("RGB", 65535)


def _read_16_bits(path: Path, image: Image.Image) -> tuple[np.ndarray, bool]:
    """Return uint16 [h, w, 1 | 3], upright and laid on white.

    The second value says whether all pixels were opaque.
    """
    tag = image_decoding.orientation(image)  # PIL forgets it when it decodes a TIFF
    premultiplied = False
    if image.format == "PNG":
        import imagecodecs

        pixels = imagecodecs.png_decode(path.read_bytes())
    elif image.format == "TIFF":
        pixels, premultiplied = _read_16_bit_tiff(path)
    elif image.mode[0] == "I" and image.format in ("PPM", "JPEG2000"):
        pixels = np.asarray(image).astype(np.uint16)
    else:
        raise ValueError("16-bit colour is taken as PNG or TIFF")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return _lay_on_white(image_decoding.turn_upright(pixels, tag), premultiplied)


def _read_16_bit_tiff(path: Path) -> tuple[np.ndarray, bool]:
    """Read a 16-bit TIFF file as uint16 [h, w, 1 | 2 | 3 | 4], as it is stored.

    Two and four channels include alpha. The second value returned says whether the
    colours are already multiplied by alpha.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages.first
        pixels = page.asarray()
        kind, extra = page.photometric.name, page.extrasamples
        if page.axes[0] == "S":  # the file stores channel after channel
            pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3}.get(kind, 0)
    if pixels.dtype != np.uint16 or not colours or len(extra) > 1:
        found = f"{pixels.shape[-1]} channels of {kind}, {pixels.dtype}"
        raise ValueError(f"{found}; gray or RGB of 8 or 16 bits expected")
    if kind == "MINISWHITE":
        pixels[..., 0] = 65535 - pixels[..., 0]
    if extra and not extra[0]:  # a channel of unspecified meaning is not alpha
        pixels = pixels[..., :colours]
    return pixels, extra[:1] == (PREMULTIPLIED,)


def _lay_on_white(
    pixels: np.ndarray, premultiplied: bool = False
) -> tuple[np.ndarray, bool]:
    """Lay pixels with alpha, [h, w, 2 | 4], on white; [h, w, 1 | 3] stay as they are.

    Returns [h, w, 1 | 3], and whether all pixels were opaque.
    """
    if pixels.shape[-1] % 2:
        return pixels, True
    white = int(np.iinfo(pixels.dtype).max)
    alpha = pixels[..., -1:].astype(np.int64)
    colours = pixels[..., :-1].astype(np.int64)
    if not premultiplied:
        colours = (colours * alpha + white // 2) // white
    laid = (colours + white - alpha).clip(0, white).astype(pixels.dtype)
    return laid, bool((alpha == white).all())
