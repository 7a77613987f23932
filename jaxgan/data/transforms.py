"""From a file, or an array of any 8-bit images, to the uint8 image asked for."""

from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from jaxgan.errors import UserError

# How many of a set's images are looked at to settle a size or channels not asked for.
SAMPLE = 64


class Header(NamedTuple):
    """What a file's first bytes tell: its name, width and height, and colour."""

    name: str
    width: int
    height: int
    gray: bool


class Format(NamedTuple):
    """The image that every file of a set becomes.

    Attributes:
      shape: (h, w, c).
      resize: bring the shorter side to h = w and cut out the centre; if False, an
        image of another size is an error.
      convert: turn colour into gray where c = 1; if False, that is an error. (Gray
        always becomes colour where c = 3, which loses nothing.)
    """

    shape: tuple[int, int, int]
    resize: bool
    convert: bool


def settle(headers: Iterable[Header], image_size: int, channels: int) -> Format:
    """Return the format: as asked for, and where 0 is asked for, as the images are.

    Images that differ in size are an error when `image_size` is 0. With `channels` 0
    the images are gray when all of `headers` are.

    Raises:
      UserError: naming the file.
    """
    headers = list(headers)
    first = headers[0]
    for header in headers:
        if not image_size and header[1:3] != first[1:3]:
            raise _wrong_size(header.name, header[1:3], first[1:3])
    height, width = (image_size, image_size) if image_size else first[2:0:-1]
    gray = channels == 1 if channels else all(header.gray for header in headers)
    return Format((height, width, 1 if gray else 3), bool(image_size), bool(channels))


def header(file: str | BinaryIO, name: str) -> Header:
    """Read an image's size and colour without decoding it.

    Raises:
      UserError: the file is no image, with its name.
    """
    try:
        with Image.open(file) as image:
            return Header(name, *image.size, _is_gray(image))
    except Exception as error:  # PIL raises a great many kinds
        raise _unreadable(name, error) from error


def decode(file: str | BinaryIO, name: str, form: Format) -> np.ndarray:
    """Decode one image file to uint8 [h, w, c] = form.shape.

    16-bit gray images are scaled by 255/65535, transparent ones laid on white, and of
    several frames the first is taken. An orientation tag is not followed, as in
    torchvision's ImageFolder.

    Raises:
      UserError: the file is no image, cut short or damaged, or not of the format;
        with its name.
    """
    try:
        with Image.open(file) as image:
            image.load()
            plain = _plain(image)
    except Exception as error:  # PIL raises a great many kinds
        raise _unreadable(name, error) from error
    return fit(plain, name, form)


def fit(image: Image.Image, name: str, form: Format) -> np.ndarray:
    """Bring an image of mode L or RGB to uint8 [h, w, c] = form.shape.

    The shorter side is brought to the size with PIL's bicubic filter, which widens
    with the reduction and so does not alias (Parmar et al. 2022, "On Aliased Resizing",
    section 3); martinarjovsky/WassersteinGAN has the same Scale and CenterCrop with
    the bilinear filter.
    """
    height, width, channels = form.shape
    if channels == 1 and image.mode != "L" and not form.convert:
        raise UserError(
            f"{name}: a colour image in a set whose other images are gray; "
            "set data.channels to 3 or 1"
        )
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        if not form.resize:
            raise _wrong_size(name, image.size, (width, height))
        scale = height / min(image.size)
        size = [max(height, round(scale * side)) for side in image.size]
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image).reshape(form.shape)


def fit_array(
    images: np.ndarray, name: str, image_size: int, channels: int
) -> np.ndarray:
    """Bring uint8 images [n, h, w, 1 or 3] to a size and channels, 0 = as they are."""
    n, height, width, depth = images.shape
    form = settle([Header(name, width, height, depth == 1)], image_size, channels)
    if form.shape == images.shape[1:]:
        return images
    fitted = np.empty((n, *form.shape), np.uint8)
    for index, image in enumerate(images):
        plain = Image.fromarray(image[..., 0] if depth == 1 else image)
        fitted[index] = fit(plain, name, form)
    return fitted


def _is_gray(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode[:4] == "I;16"


def _plain(image: Image.Image) -> Image.Image:
    """Turn an image of any mode into 8-bit gray or RGB."""
    if image.mode == "F":
        raise ValueError("floating-point pixels; 8 or 16 bits expected")
    if image.mode[0] == "I":  # PIL's own conversion would clip at 255
        pixels = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    mode = "L" if _is_gray(image) else "RGB"
    if image.has_transparency_data:  # plain conversion would show hidden colours
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _unreadable(name: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{name}: not a readable image ({reason})")


def _wrong_size(name: str, found: tuple[int, ...], other: tuple[int, ...]) -> UserError:
    return UserError(
        f"{name}: {found[0]}x{found[1]} pixels in a set whose other images have "
        f"{other[0]}x{other[1]}; set data.image_size to resize them all"
    )
