"""Files in Google Cloud Storage, named gs://BUCKET/PATH, beside those on this machine.

What it takes is imported where it is used: without a gs:// path it is not needed.
"""

import functools
import importlib.util
import io
import logging
import os
import pathlib
import threading
from typing import Any

from jaxgan.errors import UserError

PREFIX = "gs://"
# How long a bucket may take to answer at first. gcsfs itself gives up after 48 s or
# more, at each request anew; the answer takes less than one.
SECONDS = 20
# Or else epath, which finds out once, would import TensorFlow where it is installed.
os.environ.setdefault("EPATH_USE_TF", "false")


def is_remote(path: str | os.PathLike) -> bool:
    """Return whether a path is in Google Cloud Storage."""
    return os.fspath(path).startswith(PREFIX)


def path(text: str) -> Any:
    """Return the path to work with: epath's for gs://, or else pathlib's.

    Of epath's, `rglob`, `absolute` and `resolve` do not work.
    """
    if not is_remote(text):
        return pathlib.Path(text)
    from etils import epath

    return epath.Path(text)


@functools.cache
def prepare() -> None:
    """Have this process see gs:// paths as they are; before the first use of one."""
    import fsspec

    # Listings are kept for ever by default: files that another process, or TensorStore
    # in this one, writes later would not be found.
    fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
    # They write tracebacks of errors that are told here in one line.
    for name in ("gcsfs", "google.auth", "fsspec"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def check(path: str, field: str) -> None:
    """Find out that a gs:// path can be used, before anything slow is done.

    Args:
      path: gs://BUCKET or gs://BUCKET/PATH, of which the bucket is asked; nothing is
        done about a local one.
      field: what the user calls it, such as 'data.dir'.

    Raises:
      UserError: gcsfs is not installed, there is no such bucket, or no access to it, or
        no answer in SECONDS.
    """
    if not is_remote(path):
        return
    if importlib.util.find_spec("gcsfs") is None:
        raise UserError(
            f"{field} = {path}: gs:// paths need the extra gcs (pip install "
            "'jaxgan[gcs]')"
        )
    bucket = path.removeprefix(PREFIX).partition("/")[0]
    if not bucket:
        raise UserError(f"{field} = {path}: gs://BUCKET/PATH expected")
    prepare()
    problems: list[Exception] = []

    def ask() -> None:
        try:
            _files().ls(bucket, max_results=1)
        except Exception as error:  # of gcsfs, google.auth, aiohttp and requests
            problems.append(error)

    # Not in a pool: what does not answer must not keep the process from ending.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    if asking.is_alive():
        raise UserError(
            f"{field} = {path}: no answer from Google Cloud Storage in {SECONDS} s; "
            "is there a network?"
        )
    if problems:
        raise UserError(f"{field} = {path}: {reason(problems[0])}") from problems[0]


def reason(error: Exception) -> str:
    """Return in a line what the client of a bucket raised."""
    if isinstance(error, FileNotFoundError):
        return "no such bucket"
    line = " ".join(str(error).split()) or type(error).__name__
    if getattr(error, "code", 0) == 401 or line.startswith("Forbidden"):
        return f"no access ({line}); see `gcloud auth application-default login`"
    return line


def files(folder: str) -> dict[str, tuple[int, str]]:
    """Return all objects below a gs:// folder, however deep.

    Returns:
      {'gs://BUCKET/...': (size, generation)}: each time that an object is written it
      has another generation.

    Raises:
      UserError: they cannot be listed.
    """
    try:
        found = _files().find(folder, detail=True)
    except Exception as error:
        raise _unreadable(folder, error) from error
    return {
        PREFIX + name: (facts["size"], facts["generation"])
        for name, facts in found.items()
    }


def read(path: str | os.PathLike) -> bytes:
    """Return the content of an object, at one request.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return _files().cat_file(os.fspath(path))
    except Exception as error:
        raise _unreadable(os.fspath(path), error) from error


def opened(path: str) -> str | io.BytesIO:
    """Return what a reader of files can open: a local path, or an object's content.

    Raises:
      UserError: as `read` does.
    """
    return io.BytesIO(read(path)) if is_remote(path) else path


def _unreadable(path: str, error: Exception) -> UserError:
    missing = isinstance(error, FileNotFoundError)
    reason = "no such file" if missing else " ".join(str(error).split())
    return UserError(f"{path}: cannot be read: {reason or type(error).__name__}")


def _files():
    import fsspec

    # As epath asks for it: the same object, which asks for credentials once.
    return fsspec.filesystem("gcs", finalize_on_close=True)
