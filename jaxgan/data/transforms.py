"""Decoding, resizing, cropping and flipping of images, all to uint8 [h, w, c]."""

import math
import os
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image

from jaxgan.data.image_formats import (
    Header,
    ImageFormat,
    check_not_smaller,
    choose_format,
    wrong_size,
)
from jaxgan.data.memory import check_fits
from jaxgan.data.plan import DRAWS
from jaxgan.errors import UserError
from jaxgan.files import image_decoding


def read_header(file: str | BinaryIO, name: str) -> Header:
    """Read an image's upright size and its colour without decoding it.

    Raises:
      UserError: the file is not an image; the message begins with `name`.
    """
    with image_decoding.open_image(file, name) as image:
        gray = image_decoding.is_gray(image)
        return Header(name, *image_decoding.upright_size(image), gray)


def decode(
    file: str | BinaryIO | os.PathLike, name: str, image_format: ImageFormat
) -> np.ndarray:
    """Decode one image file to uint8 [h, w, c] of the format.

    The pixels are those of `image_decoding.decode_8_bits`, as for `translate`. Only a
    JPEG of more than `image_decoding.DRAFT_PIXELS` pixels is decoded smaller if it is
    to be resized.

    Raises:
      UserError: the file is not an image, is cut short or damaged, is too large, or
        does not fit the format; the message begins with `name`.
    """
    height, width, _ = image_format.shape
    resizes = image_format.size_rule in ("shorter", "stretch")
    with image_decoding.open_image(file, name) as image:
        plain, _ = image_decoding.decode_8_bits(
            image, max(height, width) if resizes else 0
        )
    return image_to_format(plain, name, image_format)


def image_to_format(
    image: Image.Image, name: str, image_format: ImageFormat
) -> np.ndarray:
    """Bring an image of PIL's mode L or RGB to uint8 [h, w, c] of the format.

    Images are resized with PIL's bicubic filter. It grows wider as the image becomes
    smaller, and so does not alias (Parmar et al. 2022, "On Aliased Resizing and
    Surprising Subtleties in GAN Evaluation", section 3). The code of the WGAN paper
    (martinarjovsky/WassersteinGAN, main.py) resizes as 'shorter' does, but with the
    bilinear filter. The official CycleGAN code (junyanz/pytorch-CycleGAN-and-pix2pix,
    data/base_dataset.py) resizes as 'stretch' does, with the same filter.

    Raises:
      UserError: the image does not fit the format; the message begins with `name`.
    """
    height, width, channels = image_format.shape
    if channels == 1 and image.mode != "L" and not image_format.convert:
        raise UserError(
            f"{name}: a colour image in a set whose other images are gray; "
            "set data.channels to 3 or 1"
        )
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = _resize(image, name, image_format)
    return np.asarray(image).reshape(image.height, image.width, channels)


def _resize(image: Image.Image, name: str, image_format: ImageFormat) -> Image.Image:
    (height, width, _), size_rule = image_format.shape, image_format.size_rule
    if size_rule == "same":
        raise wrong_size(name, image.size, (width, height))
    if size_rule == "stretch":
        return image.resize((width, height), Image.Resampling.BICUBIC)
    if size_rule == "shorter":
        scale = height / min(image.size)
        size = [max(height, round(scale * side)) for side in image.size]
        image = image.resize(size, Image.Resampling.BICUBIC)
    check_not_smaller(Header(name, *image.size, False), height)
    if size_rule == "whole":
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


T = TypeVar("T", int, np.ndarray)


def crop_start(draw: T, length: T, size: int) -> T:
    """Return where a crop of `size` pixels begins in `length` pixels.

    Args:
      draw: integers in [0, DRAWS), in int64 or Python's.
      length: at least `size`.

    Returns:
      integers in [0, length - size].
    """
    return draw * (length - size + 1) // DRAWS


def crop_and_flip(
    image: np.ndarray, top: int, left: int, flip: int, size: int
) -> np.ndarray:
    """Cut size x size pixels out of an image, and mirror them if asked to.

    Args:
      image: uint8 [h, w, c], h and w >= size.
      top, left: integers in [0, DRAWS), drawn uniformly. They are scaled to the
        h - size + 1 rows and w - size + 1 columns at which the crop may begin, so a
        draw does not depend on the image's size.
      flip: 1 mirrors the crop left to right, 0 does not.
      size: height and width of the crop.

    Returns:
      uint8 [size, size, c].
    """
    height, width, channels = image.shape
    top = crop_start(top, height, size)
    left = crop_start(left, width, size)
    crop = image[top : top + size, left : left + size]
    if flip:
        # Whole pixels are moved, which takes half the time of moving single bytes.
        pixels = crop.view(np.dtype((np.void, channels)))
        crop = np.ascontiguousarray(pixels[:, ::-1]).view(np.uint8)
    return crop


def array_to_format(
    images: np.ndarray, name: str, image_size: int, channels: int
) -> np.ndarray:
    """Bring uint8 images [n, h, w, 1 or 3] to a size and channels; 0 keeps theirs.

    Returns:
      uint8 [n, image_size, image_size, channels].
    """
    n, height, width, depth = images.shape
    header = Header(name, width, height, depth == 1)
    image_format = choose_format([header], image_size, channels)
    if image_format.shape == images.shape[1:]:
        return images
    total = n * math.prod(image_format.shape)
    check_fits(total, f"data.image_size = {image_size}", "a smaller one expected")
    converted = np.empty((n, *image_format.shape), np.uint8)
    for index, image in enumerate(images):
        plain = Image.fromarray(image[..., 0] if depth == 1 else image)
        converted[index] = image_to_format(plain, name, image_format)
    return converted
