"""From a file, or an array of any 8-bit images, to the uint8 image asked for."""

from collections.abc import Iterable, Sequence
from typing import BinaryIO, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image

from jaxgan.data.plan import DRAWS
from jaxgan.data.sources import Source
from jaxgan.errors import UserError

# How many of a set's images are looked at to settle a size or channels not asked for.
SAMPLE = 64
Sides = Literal["same", "shorter", "stretch", "centre", "whole"]


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
      sides: what is done to an image of another size. 'same': that is an error;
        'shorter': its shorter side is brought to h = w and the centre cut out;
        'stretch': it is brought to h x w whatever its proportions; 'centre': the
        centre is cut out; 'whole': it is kept. For the last two a smaller image is an
        error.
      convert: turn colour into gray where c = 1; if False, that is an error. (Gray
        always becomes colour where c = 3, which loses nothing.)
    """

    shape: tuple[int, int, int]
    sides: Sides
    convert: bool


class Files(Source, Protocol):
    """Image files as a source, decoded to a form when asked for."""

    form: Format

    def header(self, index: int) -> Header:
        """Return the size and colour of an image without decoding it."""

    def stamp(self) -> Iterable[object]:
        """Return what changes when a file does."""


def settle(headers: Sequence[Header], image_size: int, channels: int) -> Format:
    """Return the format: as asked for, and where 0 is asked for, as the images are.

    Images that differ in size are an error when `image_size` is 0. With `channels` 0
    the images are gray when all of `headers` are.

    Raises:
      UserError: naming the file.
    """
    first = headers[0]
    for header in headers:
        if not image_size and header[1:3] != first[1:3]:
            raise _wrong_size(header.name, header[1:3], first[1:3])
    height, width = (image_size, image_size) if image_size else first[2:0:-1]
    depth = channels or depth_of(headers)
    sides: Sides = "shorter" if image_size else "same"
    return Format((height, width, depth), sides, bool(channels))


def pair_forms(
    resize: int, image_size: int, depth: int, convert: bool
) -> tuple[Format, Format]:
    """Return the forms of images to be cut to `image_size`, and of held-out ones.

    With `resize`, the first are brought to that height and width, the others to
    `image_size`; without, they are kept as they are, and the centre is cut out.
    """
    size = resize or image_size
    train: Sides = "stretch" if resize else "whole"
    heldout: Sides = "stretch" if resize else "centre"
    return (
        Format((size, size, depth), train, convert),
        Format((image_size, image_size, depth), heldout, convert),
    )


def sample(source: Files) -> list[Header]:
    """Return the headers of SAMPLE images, or all, evenly spread over a source."""
    step = max(1, len(source) // SAMPLE)
    return [source.header(index) for index in range(0, len(source), step)]


def depth_of(headers: Iterable[Header]) -> int:
    """Return 1 when all images are gray, or else 3."""
    return 1 if all(header.gray for header in headers) else 3


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
    """Decode one image file to uint8 [h, w, c] of the form.

    16-bit gray images are scaled by 255/65535; of 16-bit colours PIL keeps the upper
    eight bits, within one of that. Transparent images are laid on white, and of several
    frames the first is taken. An orientation tag is not followed, as in torchvision.

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
    """Bring an image of mode L or RGB to uint8 [h, w, c] of the form.

    Sizes are changed with PIL's bicubic filter, which widens with the reduction and so
    does not alias (Parmar et al. 2022, "On Aliased Resizing", section 3);
    martinarjovsky/WassersteinGAN has 'shorter' with the bilinear filter, upstream's
    CycleGAN 'stretch'.
    """
    height, width, channels = form.shape
    if channels == 1 and image.mode != "L" and not form.convert:
        raise UserError(
            f"{name}: a colour image in a set whose other images are gray; "
            "set data.channels to 3 or 1"
        )
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = _resize(image, name, form)
    return np.asarray(image).reshape(image.height, image.width, channels)


def _resize(image: Image.Image, name: str, form: Format) -> Image.Image:
    height, width, _ = form.shape
    if form.sides == "same":
        raise _wrong_size(name, image.size, (width, height))
    if form.sides == "stretch":
        return image.resize((width, height), Image.Resampling.BICUBIC)
    if form.sides == "shorter":
        scale = height / min(image.size)
        size = [max(height, round(scale * side)) for side in image.size]
        image = image.resize(size, Image.Resampling.BICUBIC)
    check_large(Header(name, *image.size, False), height)
    if form.sides == "whole":
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def check_large(header: Header, size: int) -> None:
    """Raise UserError, with its name, for an image with a side below `size`."""
    if min(header.width, header.height) < size:
        raise UserError(
            f"{header.name}: {header.width}x{header.height} pixels, smaller than "
            f"data.image_size = {size}; set data.resize to enlarge them all"
        )


def augment(image: np.ndarray, top: int, left: int, flip: int, size: int) -> np.ndarray:
    """Cut size x size pixels out of an image, at one of all places, and mirror them.

    Args:
      image: uint8 [h, w, c], h and w >= size.
      top, left: in [0, DRAWS): the share, in units of 1 / DRAWS, of the h - size + 1
        rows and w - size + 1 columns at which the cut may begin.
      flip: 1: mirror it left to right.
      size: of the cut.

    Returns:
      uint8 [size, size, c].
    """
    height, width, channels = image.shape
    top = top * (height - size + 1) // DRAWS
    left = left * (width - size + 1) // DRAWS
    cut = image[top : top + size, left : left + size]
    if flip:  # as whole pixels, which takes half the time that single bytes take
        pixels = cut.view(np.dtype((np.void, channels)))
        cut = np.ascontiguousarray(pixels[:, ::-1]).view(np.uint8)
    return cut


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
