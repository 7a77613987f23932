"""Errors that the user can mend: one line, no traceback, exit code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user; its message names the field or file, the value, the cure.

    Commands print it as one line, `jaxgan: error: ...`, and exit with code 2.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return 'valid: a, b, c; nearest: b' for a name that is none of `valid`."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"; nearest: {close[0]}" if close else ""
    return f"valid: {', '.join(names)}{hint}"


def unknown(field: str, name: object, valid: Iterable[str]) -> UserError:
    """Return the error for `field = name` where `name` is none of `valid`."""
    return UserError(f"{field} = {name}: unknown; {nearest(str(name), valid)}")
