"""Formats of images: the size and channels to which all images of a set are brought."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from jaxgan.data.sources import Source
from jaxgan.errors import UserError

# The size and the channels of a set, if the user does not choose them, are found from
# the headers of at least this many images.
SAMPLED_HEADERS = 64
SizeRule = Literal["same", "shorter", "stretch", "centre", "whole"]


class Header(NamedTuple):
    """What the first bytes of an image file tell, without decoding it."""

    name: str
    width: int
    height: int
    gray: bool


class ImageFormat(NamedTuple):
    """The size and channels to which all images of a set are brought.

    Attributes:
      shape: (h, w, c).
      size_rule: what happens to an image of another size. 'same': an error.
        'shorter': the shorter side is resized to h = w and the centre cut out.
        'stretch': the image is resized to h x w, whatever its proportions. 'centre':
        the centre is cut out. 'whole': the image keeps its size. For the last two, a
        smaller image is an error.
      convert: whether a colour image may become gray if c = 1; if False, it is an
        error. (A gray image always becomes colour if c = 3, which loses nothing.)
    """

    shape: tuple[int, int, int]
    size_rule: SizeRule
    convert: bool


class ImageFileSource(Source, Protocol):
    """A source of image files, decoded to `image_format` when they are asked for."""

    image_format: ImageFormat

    def read_header(self, index: int) -> Header:
        """Return the size and colour of an image without decoding it."""

    def versions(self) -> Iterable[object]:
        """Return facts that change when a file changes, such as its time of change."""


def choose_format(
    headers: Sequence[Header], image_size: int, channels: int
) -> ImageFormat:
    """Return the format that the user asks for, or that of the images for each 0.

    Args:
      headers: of some or all images of the set, 1 or more.
      image_size: height and width; 0 takes the size of the images, which must be equal.
      channels: 1 or 3; 0 means 1 if all images are gray, and else 3.

    Raises:
      UserError: `image_size` is 0 and the images differ in size; the message names a
        file.
    """
    first = headers[0]
    for header in headers:
        if not image_size and header[1:3] != first[1:3]:
            raise wrong_size(header.name, header[1:3], first[1:3])
    height, width = (image_size, image_size) if image_size else first[2:0:-1]
    depth = channels or common_channels(headers)
    size_rule: SizeRule = "shorter" if image_size else "same"
    return ImageFormat((height, width, depth), size_rule, bool(channels))


def pair_formats(
    resize: int, image_size: int, channels: int, convert: bool
) -> tuple[ImageFormat, ImageFormat]:
    """Return the formats of the training images and of the held-out images of a pair.

    With `resize`, training images are stretched to that height and width and held-out
    ones to `image_size`. With `resize` 0, training images keep their size, and the
    centres of the held-out ones are cut out. Training images are cut to `image_size`
    later, at random places (`crop_and_flip`).
    """
    size = resize or image_size
    train: SizeRule = "stretch" if resize else "whole"
    heldout: SizeRule = "stretch" if resize else "centre"
    return (
        ImageFormat((size, size, channels), train, convert),
        ImageFormat((image_size, image_size, channels), heldout, convert),
    )


def sample_headers(source: ImageFileSource) -> list[Header]:
    """Read the headers of images that are evenly spread over a source.

    At least SAMPLED_HEADERS and fewer than twice as many are read; all of them, if the
    source has fewer images.
    """
    step = max(1, len(source) // SAMPLED_HEADERS)
    return [source.read_header(index) for index in range(0, len(source), step)]


def common_channels(headers: Iterable[Header]) -> int:
    """Return 1 if all images are gray, and else 3."""
    return 1 if all(header.gray for header in headers) else 3


def check_not_smaller(header: Header, size: int) -> None:
    """Raise UserError, naming the file, if a side of the image is below `size`."""
    if min(header.width, header.height) < size:
        raise UserError(
            f"{header.name}: {header.width}x{header.height} pixels, smaller than "
            f"data.image_size = {size}; set data.resize to enlarge them all"
        )


def wrong_size(name: str, found: tuple[int, ...], other: tuple[int, ...]) -> UserError:
    """Return the error for an image whose size differs from the other images'."""
    return UserError(
        f"{name}: {found[0]}x{found[1]} pixels in a set whose other images have "
        f"{other[0]}x{other[1]}; set data.image_size to resize them all"
    )
