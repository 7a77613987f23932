"""Decoding of image files with PIL: one way for training and for translation."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO

import numpy as np
from PIL import Image

from jaxgan.errors import UserError

# What a file may contain, whatever its name ends in. PIL's other formats are left out:
# it would run Ghostscript for EPS, for example.
FORMATS = (
    "JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "DIB",
    "QOI", "ICO", "PCX", "PSD", "SGI", "TGA",
)  # fmt: skip
# An image may have this many pixels, 268 million, which take 1 GiB in PIL's memory. The
# largest sensors of today have 200 million. PIL's own limits, a warning at 89 million
# and an error at 179 million, would call their photographs an attack.
MOST_PIXELS = 2**28
# A larger JPEG is decoded at a reduced size if it is to be resized: a stream has up to
# 16 images in work, which would take gigabytes. It is PIL's own limit, so that ordinary
# photographs keep their bytes.
DRAFT_PIXELS = 89_478_485
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MOST_PIXELS)

ORIENTATION = 274  # number of the EXIF tag
PIL_MODULES = r"PIL\."
NO_FILTER = "", None, Warning, None, 0
# Where a PNG file can hold an orientation: a chunk, or the keyword of a chunk of text.
PNG_TAGS = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")


@contextmanager
def open_image(file: str | BinaryIO | os.PathLike, name: str) -> Iterator[Image.Image]:
    """Open an image file for a block that decodes it.

    Raises:
        UserError: the file is not an image, is damaged or cut short, or has more than
            MOST_PIXELS pixels, or the block raises an error. The message begins with
            `name`.
    """
    _silence_warnings()
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{name}: has more than {MOST_PIXELS:,} pixels, the most that are decoded"
        ) from error
    except Exception as error:  # PIL raises errors of many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: not a readable image ({reason})") from error


def _silence_warnings() -> None:
    """Turn PIL's warnings off in this process.

    They are about files that it reads all the same, such as those with damaged tags.
    `warnings.catch_warnings` would turn them off for a block, but not in several
    threads.
    """
    # The first filter that fits a warning decides, and others may have been put before
    # this one. `filterwarnings` moves it to the front.
    action, _, _, module, _ = warnings.filters[0] if warnings.filters else NO_FILTER
    if action != "ignore" or getattr(module, "pattern", "") != PIL_MODULES:
        warnings.filterwarnings("ignore", module=PIL_MODULES)


def is_gray(image: Image.Image) -> bool:
    """Return whether an image has no colours, whatever its depth."""
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode[:4] == "I;16"


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of an image that is open but not decoded, once upright."""
    width, height = image.size
    # PIL turns a TIFF file itself, and gives the size that it then has.
    if image.format == "TIFF" or orientation(image) < 5:
        return width, height
    return height, width


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation tag, 1 to 8, of an image; 1 if it has none.

    A damaged tag counts as none. PIL turns TIFF files upright when it decodes them, and
    removes their tag.
    """
    try:
        # For the tags of a PNG file, PIL decodes the whole image, in case they come
        # after the pixels. For most files that is not needed.
        if image.format == "PNG" and not _png_has_tags(image):
            return 1
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # PIL raises errors of many types
        return 1
    return int(value) if value in range(1, 9) else 1


def _png_has_tags(image: Image.Image) -> bool:
    """Return whether a PNG file may hold an orientation; its pixels are passed over."""
    file: IO[bytes] | None = getattr(image, "fp", None)
    if file is None or file.closed:  # it is decoded: all tags are known
        return True
    position = file.tell()
    try:
        file.seek(8)  # after the signature
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4])
            text = file.read(min(length, 32))
            if head[4:] in PNG_TAGS or text.startswith(PNG_TAGS):
                return True
            file.seek(length - len(text) + 4, os.SEEK_CUR)  # and the checksum
        return False
    finally:
        file.seek(position)


def turn_upright(pixels: np.ndarray, tag: int) -> np.ndarray:
    """Turn and mirror pixels [h, w, ...] as the EXIF orientation tag, 1 to 8, asks."""
    if tag in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if tag in (3, 4, 7, 8) else 1
    columns = -1 if tag in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def decode_8_bits(image: Image.Image, resized_to: int = 0) -> tuple[Image.Image, bool]:
    """Decode an open image to PIL's mode L or RGB, upright and without transparency.

    Palettes become RGB and one bit becomes eight. 16-bit gray images are scaled by
    255/65535. Of 16-bit colours PIL keeps the upper eight bits, which differs from that
    by one level at most. Transparent images are laid on white, and of several frames
    only the first is read. Colour profiles are not followed.

    Args:
        image: as `open_image` yields it.
        resized_to: the height and width to which at least one side of the image will be
            resized, the other to no less; 0 if it keeps its size. A JPEG of more than
            DRAFT_PIXELS pixels may be returned smaller, with sides of at least four
            times this number.

    Returns:
        the image, and whether all its pixels were opaque.

    Raises:
        Exception: of many types, for a file that is damaged.
        ValueError: the pixels are floating-point numbers.
    """
    if resized_to and image.width * image.height > DRAFT_PIXELS:
        # Only JPEG can: it averages blocks of 2x2, 4x4 or 8x8 pixels.
        image.draft(None, (4 * resized_to, 4 * resized_to))  # type: ignore[attr-defined]
    image.load()
    tag = orientation(image)
    plain, opaque = _to_8_bits(image)
    if tag != 1:
        turned = turn_upright(np.asarray(plain), tag)
        plain = Image.fromarray(np.ascontiguousarray(turned))
    return plain, opaque


def _to_8_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    if image.mode == "F":
        raise ValueError("floating-point pixels; 8 or 16 bits expected")
    if image.mode[0] == "I":  # PIL's own conversion would clip at 255
        pixels = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((pixels + 128) // 257).astype(np.uint8)), True
    mode, opaque = "L" if is_gray(image) else "RGB", True
    if image.has_transparency_data:  # PIL would show the colours of transparent pixels
        image = image.convert("RGBA")
        opaque = image.getchannel("A").getextrema() == (255, 255)
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode), opaque
