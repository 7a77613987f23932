"""Reading from Google Cloud Storage: paths named gs://BUCKET/PATH, next to local ones.

`storage` builds on this module and adds writing. gcsfs, fsspec and etils are imported
inside the functions, because they are needed only for gs:// paths.
"""

import functools
import importlib.util
import io
import logging
import os
import pathlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxgan.errors import UserError

PREFIX = "gs://"
# How long `check_access` waits for a bucket's first answer. The answer usually takes
# less than one second; gcsfs itself gives up only after 48 s or more, at each request.
ANSWER_SECONDS = 20
# epath decides once, when it is imported, whether to use TensorFlow. Without this
# variable it would import TensorFlow wherever that is installed.
os.environ.setdefault("EPATH_USE_TF", "false")


def is_remote(path: str | os.PathLike) -> bool:
    """Return whether a path is in Google Cloud Storage."""
    return os.fspath(path).startswith(PREFIX)


def to_path(text: str) -> Any:
    """Return an `epath.Path` for a gs:// path, and a `pathlib.Path` for a local one.

    The two have the same methods, but `rglob`, `absolute` and `resolve` of an
    `epath.Path` do not work.
    """
    if not is_remote(text):
        return pathlib.Path(text)
    from etils import epath

    return epath.Path(text)


@functools.cache
def configure_clients() -> None:
    """Turn off the clients' caches and tracebacks, before a gs:// path is first used.

    Only the first call does anything.
    """
    import fsspec

    # By default listings are cached for ever: files that another process, or
    # TensorStore in this process, writes later would not be found.
    fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
    # These loggers write tracebacks of errors that `check_access` tells in one line.
    for name in ("gcsfs", "google.auth", "fsspec"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def check_access(path: str, field: str) -> None:
    """Check that the bucket of a gs:// path can be read, before anything slow is done.

    Args:
      path: gs://BUCKET or gs://BUCKET/PATH; only the bucket is asked for. A local path
        is not checked.
      field: the name of the config field or flag, such as 'data.dir', for the message.

    Raises:
      UserError: gcsfs is not installed, the bucket does not exist, access is denied, or
        no answer comes within ANSWER_SECONDS.
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
    configure_clients()
    problems: list[Exception] = []

    def list_one() -> None:
        try:
            _file_system().ls(bucket, max_results=1)
        except Exception as error:  # gcsfs, google.auth, aiohttp or requests raise it
            problems.append(error)

    # A daemon thread, not a pool: a request that gets no answer must not keep the
    # process from ending.
    thread = threading.Thread(target=list_one, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if thread.is_alive():
        raise UserError(
            f"{field} = {path}: no answer from Google Cloud Storage in "
            f"{ANSWER_SECONDS} s; is there a network?"
        )
    if problems:
        raise UserError(
            f"{field} = {path}: {describe_error(problems[0])}"
        ) from problems[0]


def describe_error(error: Exception) -> str:
    """Describe in one line an error that a bucket's client raised."""
    if isinstance(error, FileNotFoundError):
        return "no such bucket"
    line = " ".join(str(error).split()) or type(error).__name__
    if getattr(error, "code", 0) == 401 or line.startswith("Forbidden"):
        return f"no access ({line}); see `gcloud auth application-default login`"
    return line


def list_objects(folder: str) -> dict[str, tuple[int, str]]:
    """List all objects below a gs:// folder and its subfolders.

    Returns:
      {'gs://BUCKET/...': (size in bytes, generation)}. An object gets a new generation
      each time that it is written.

    Raises:
      UserError: the folder cannot be listed.
    """
    with _raise_unreadable(folder):
        found = _file_system().find(folder, detail=True)
    return {
        PREFIX + name: (facts["size"], facts["generation"])
        for name, facts in found.items()
    }


def list_names(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the objects directly in a gs:// folder.

    Raises:
      UserError: the folder cannot be listed.
    """
    with _raise_unreadable(folder):
        found = _file_system().ls(folder, detail=True)
    folders: list[str] = []
    objects: list[str] = []
    for facts in found:
        name = facts["name"].rstrip("/").rpartition("/")[2]
        (folders if facts["type"] == "directory" else objects).append(name)
    return folders, objects


def read_object(path: str | os.PathLike) -> bytes:
    """Return the content of an object, read with one request.

    Raises:
      UserError: the object cannot be read.
    """
    with _raise_unreadable(os.fspath(path)):
        return _file_system().cat_file(os.fspath(path))


def path_or_content(path: str) -> str | io.BytesIO:
    """Return a local path as it is, and the content of an object as a stream.

    `PIL.Image.open` takes either of them.

    Raises:
      UserError: the object cannot be read.
    """
    return io.BytesIO(read_object(path)) if is_remote(path) else path


@contextmanager
def _raise_unreadable(path: str) -> Iterator[None]:
    """Raise UserError in place of any error that the bucket's client raises."""
    try:
        yield
    except Exception as error:  # gcsfs, google.auth, aiohttp or requests raise it
        missing = isinstance(error, FileNotFoundError)
        line = "no such file" if missing else " ".join(str(error).split())
        reason = line or type(error).__name__
        raise UserError(f"{path}: cannot be read: {reason}") from error


def _file_system() -> Any:
    import fsspec

    # With the same argument as epath, so that fsspec returns the same object and
    # credentials are asked for once.
    return fsspec.filesystem("gcs", finalize_on_close=True)
