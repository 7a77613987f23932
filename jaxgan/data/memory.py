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
LARGEST_SIDE = int(MOST_PIXELS**0.5)  # 16,384 pixels


def total_memory() -> int:
    """Return the bytes of memory of this machine or container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMIT_FILES:
        with contextlib.suppress(OSError, ValueError):
            # It is 'max', or the file is missing, where this is no container.
            total = min(total, int(pathlib.Path(path).read_text()))
    return total


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
