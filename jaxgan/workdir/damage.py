"""What counts as damage to a run's files, and what does not.

A damaged file is not what the run wrote: it is moved aside, and an older one is used.
A file that cannot be read for another reason, for example a missing permission or a
file server that does not answer, may be sound: its error ends the command, and nothing
is moved.
"""

import errno
from pathlib import Path

# A file that is gone, a folder in the place of a file or the reverse, a disk's failure,
# links that lead in a circle.
DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ELOOP}


class Damaged(Exception):
    """A file of a run is not what the run wrote; the message says what is wrong."""


def read_file(folder: Path, name: str) -> bytes:
    """Return the content of `folder / name`.

    Raises:
        Damaged: the file is missing, is a folder, or the disk fails.
        OSError: the file cannot be read for another reason.
    """
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:  # a bucket's client sets no number
        raise Damaged(f"{name} is missing") from error
    except OSError as error:
        if error.errno not in DAMAGE:
            raise
        raise Damaged(f"{name}: {error.strerror}") from error
