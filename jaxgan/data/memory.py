"""What decoded images take, checked before it is allocated."""

import contextlib
import os
import pathlib

from jaxgan.errors import UserError
from jaxgan.files.image_decoding import MOST_PIXELS

GIB = 2**30
# Where a container's limit is: cgroup v2, then v1.
LIMIT_FILES = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
# With data.cache=auto, training examples may take up to this share of the memory of a
# GPU or TPU. The state, the outputs of layers and the work space of convolutions need
# the rest. It is a cautious choice, not a measured one.
DEVICE_SHARE = 0.1
# Examples and pixels are counted in int32 there.
MOST_ON_DEVICE = 2**31
LARGEST_SIDE = int(MOST_PIXELS**0.5)  # 16,384 pixels


def total_memory() -> int:
    """Return the bytes of memory of this machine or container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMIT_FILES:
        with contextlib.suppress(OSError, ValueError):
            # It is 'max', or the file is missing, where this is no container.
            total = min(total, int(pathlib.Path(path).read_text()))
    return total


def kept_on_device(cache: str, num_bytes: int, count: int, device_bytes: int) -> bool:
    """Return whether the training examples are to be kept on the devices.

    With cache 'device' they are; with 'auto' if they are not more than a device can
    count and take at most DEVICE_SHARE of its memory.

    Args:
      cache: the value of data.cache.
      num_bytes: of all training examples.
      count: of the examples, or of the pixels of the larger of two domains.
      device_bytes: the memory of one device; 0 if it is the machine's, as for a CPU.

    Raises:
      UserError: the cache is 'device', and the examples do not fit there.
    """
    if cache == "auto":
        return count <= MOST_ON_DEVICE and num_bytes <= DEVICE_SHARE * device_bytes
    if cache != "device":
        return False
    limit = device_bytes or total_memory()
    where = "device" if device_bytes else "machine"
    if count > MOST_ON_DEVICE:
        raise UserError(
            f"data.cache = device: one domain has {count:,} pixels, a device can count "
            f"{MOST_ON_DEVICE:,}; memory or disk expected"
        )
    if num_bytes > limit:
        raise UserError(
            f"data.cache = device: the training examples take {format_bytes(num_bytes)}"
            f", the {where} has {format_bytes(limit)} of memory; memory or none "
            "expected"
        )
    return True


def format_bytes(count: float) -> str:
    """Return a number of bytes in words: '512 bytes', '3.1 MiB', '98.3 GiB'."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} PiB"


def check_side(side: int, field: str) -> None:
    """Raise UserError if square images of this side would be too large to decode."""
    if side > LARGEST_SIDE:
        raise UserError(f"{field} = {side}: must be at most {LARGEST_SIDE:,}")


def check_fits(
    num_bytes: int, field: str, cure: str, what: str = "the decoded images"
) -> None:
    """Raise UserError if something needs more than this machine's memory.

    Args:
      num_bytes: of all the images together.
      field: the field or flag that asks for it, and its value.
      cure: what would be right.
      what: what takes the memory, in words.
    """
    total = total_memory()
    if num_bytes > total:
        raise UserError(
            f"{field}: {what} take {num_bytes / GIB:,.1f} GiB, the machine "
            f"has {total / GIB:,.1f} GiB of memory; {cure}"
        )
