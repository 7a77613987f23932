"""Image files at their full depth: 8 or 16 bits, gray or RGB, read and written back.

PIL reads most of them. It has no 16-bit colour and cuts it down to 8 bits, so PNG and
TIFF files of 16 bits are read by imagecodecs and tifffile, which are kept up with the
formats, need nothing but numpy, and do not clash with an OpenCV that is there already.
"""

import io
import os
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from jaxgan.errors import UserError

ENDINGS = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
# Those whose files are written as they came; every other becomes PNG, because writing
# JPEG or WebP again would lose more.
KEPT_ENDINGS = (".bmp", ".png", ".tif", ".tiff")

ORIENTATION, BITS_PER_SAMPLE = 274, 258  # numbers of tags, in EXIF and in TIFF
# TIFF, section 18 of its specification: the colours are multiplied by alpha already.
PREMULTIPLIED = 1


class Picture(NamedTuple):
    """What a file shows.

    Attributes:
        pixels: uint8 or uint16 [h, w, 1 | 3], upright.
        profile: the ICC profile that says which colours the pixels mean, if any.
        notes: what of the file is not in the pixels, for the user to know.
    """

    pixels: np.ndarray
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def read(path: Path) -> Picture:
    """Read an image file of any kind, upright as its orientation tag says.

    (Training does not look at that tag, but a translation is to be looked at beside
    its image.) Palettes become RGB, one bit becomes eight, transparent images are laid
    on white as in training, and of several frames the first is taken.

    Raises:
        UserError: the file is no image, damaged, cut short, or has pixels that are
            neither of 8 nor of 16 bits; with its name.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            notes = []
            # In a JPEG, more frames are previews of the first.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                notes.append("the first frame of several is taken")
            if _is_deep(image):
                turn = image.getexif().get(ORIENTATION, 1)
                found, premultiplied = _deep(path, image.format)
                pixels, opaque = _on_white(upright(found, turn), premultiplied)
            else:
                image.load()
                pixels, opaque = _on_white(
                    _plain(ImageOps.exif_transpose(image), image.format)
                )
            if not opaque:
                notes.append("transparent parts are laid on white")
            # A profile of inks says nothing about the RGB that they are turned into.
            profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
            return Picture(pixels, profile, tuple(notes))
    except Exception as error:  # PIL raises a great many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a readable image ({reason})") from error


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels [h, w, c] turned and mirrored as an orientation tag asks."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def with_channels(picture: Picture, channels: int) -> Picture:
    """Return the picture as gray (1 channel) or RGB (3).

    Gray is ITU-R 601's luma in the same integers as PIL's, at both depths. A profile
    describes the channels that it came with, so that it is dropped with them.
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

    Upstream truncates (util.py, tensor2im), which darkens by half a level on average.
    """
    largest = np.iinfo(dtype).max
    levels = np.rint((np.asarray(floats, np.float64) + 1) * (largest / 2))
    return levels.clip(0, largest).astype(dtype)


def write(path: Path, picture: Picture) -> None:
    """Write a picture in the format of the path's ending, one of KEPT_ENDINGS.

    The file appears when it is whole, and replaces another one at once.

    Raises:
        UserError: 16 bits asked of a format that has not got them.
    """
    data = _encoded(picture, path)
    # A dot hides it from the next run, should this one be killed here.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _encoded(picture: Picture, path: Path) -> bytes:
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
        form = ending[1:].upper()
        Image.fromarray(plain).save(buffer, form, icc_profile=profile)
    elif ending == ".png":
        import imagecodecs

        return _with_profile(bytes(imagecodecs.png_encode(plain)), profile)
    else:
        raise UserError(f"{path}: 16 bits need a name that ends in .png or .tif")
    return buffer.getvalue()


def _with_profile(png: bytes, profile: bytes | None) -> bytes:
    """Return a PNG file with an ICC profile (PNG specification, 11.3.3.3)."""
    if profile is None:
        return png
    chunk = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)
    whole = (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    after_header = 8 + 25
    return png[:after_header] + whole + png[after_header:]


def _is_deep(image: Image.Image) -> bool:
    """Return whether a file has 16 bits a channel that PIL would not keep."""
    if image.format == "TIFF":
        return 16 in image.tag_v2.get(BITS_PER_SAMPLE, ())  # type: ignore[attr-defined]
    tiles = image.tile  # type: ignore[attr-defined]
    how = tiles[0].args if tiles else ""
    return ";16" in str(how) if image.format == "PNG" else how == ("RGB", 65535)


def _deep(path: Path, form: str | None) -> tuple[np.ndarray, bool]:
    """Return uint16 [h, w, 1 | 2 | 3 | 4] of a 16-bit file, the even ones with alpha.

    And whether the colours are multiplied by alpha already.
    """
    if form == "PNG":
        import imagecodecs

        pixels = imagecodecs.png_decode(path.read_bytes())
        return pixels.reshape(*pixels.shape[:2], -1), False
    if form != "TIFF":
        raise ValueError("16-bit colour is taken as PNG or TIFF")
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages.first
        pixels = page.asarray()
        kind, extra = page.photometric.name, page.extrasamples
        if page.axes[0] == "S":  # channel after channel in the file
            pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3}.get(kind, 0)
    if pixels.dtype != np.uint16 or not colours or len(extra) > 1:
        found = f"{pixels.shape[-1]} channels of {kind}, {pixels.dtype}"
        raise ValueError(f"{found}; gray or RGB of 8 or 16 bits expected")
    if kind == "MINISWHITE":
        pixels[..., 0] = 65535 - pixels[..., 0]
    if extra and not extra[0]:  # unspecified, and so not transparency
        pixels = pixels[..., :colours]
    return pixels, extra[:1] == (PREMULTIPLIED,)


def _plain(image: Image.Image, form: str | None) -> np.ndarray:
    """Return what PIL has read, [h, w, 1 | 2 | 3 | 4], the even ones with alpha."""
    pixels = np.asarray(image)
    if image.mode == "I" and form == "PPM":
        return pixels.astype(np.uint16)[..., None]
    if image.mode[0] in "IF":
        raise ValueError(f"pixels of type {pixels.dtype}; 8 or 16 bits expected")
    gray = image.mode in ("1", "L", "LA", "La")
    mode = "L" if gray else "RGB"
    if image.has_transparency_data:
        mode = "LA" if gray else "RGBA"
    pixels = np.asarray(image.convert(mode))
    return pixels.reshape(*pixels.shape[:2], -1)


def _on_white(
    pixels: np.ndarray, premultiplied: bool = False
) -> tuple[np.ndarray, bool]:
    """Lay [h, w, 2 | 4] on white; returns [h, w, 1 | 3], and whether all was opaque."""
    if pixels.shape[-1] % 2:
        return pixels, True
    white = int(np.iinfo(pixels.dtype).max)
    alpha = pixels[..., -1:].astype(np.int64)
    colours = pixels[..., :-1].astype(np.int64)
    if not premultiplied:
        colours = (colours * alpha + white // 2) // white
    laid = (colours + white - alpha).clip(0, white).astype(pixels.dtype)
    return laid, bool((alpha == white).all())
