"""The folder of this user's caches, all of which may be deleted at any time."""

import os
import pathlib


def cache_folder() -> pathlib.Path | None:
    """Return `$XDG_CACHE_HOME/jaxgan` or `~/.cache/jaxgan`; None without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return pathlib.Path(base or pathlib.Path.home() / ".cache", "jaxgan")
    except RuntimeError:
        return None
