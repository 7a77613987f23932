"""Errors that the user can mend: one line, no traceback, exit code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user; its message names the field or file, the value, the cure.

    Commands print it as one line, `jaxgan: error: ...`, and exit with code 2.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return 'valid: a, b, c; nearest: b' for a name that is none of `valid`.

    Without a similar name there is no 'nearest'. Capitals do not matter.
    """
    names = sorted(valid)
    hint = f"; nearest: {near}" if (near := _most_similar(name, names)) else ""
    return f"valid: {', '.join(names)}{hint}"


def _most_similar(name: str, names: list[str]) -> str | None:
    """Return the name that is spelled most like `name`, or has its initials."""
    name = name[:100].lower()
    lowered = {each.lower(): each for each in reversed(names)}
    initials = {"".join(w[:1] for w in n.split("_")): n for n in reversed(lowered)}
    if close := difflib.get_close_matches(name, lowered, n=1, cutoff=0.4):
        return lowered[close[0]]
    return lowered[initials[name]] if name in initials else None


def unknown(field: str, name: object, valid: Iterable[str]) -> UserError:
    """Return the error for `field = name` where `name` is none of `valid`."""
    text = printable(name)
    return UserError(f"{field} = {text}: unknown; {nearest(text, valid)}")


def printable(value: object, longest: int = 200) -> str:
    """Return the text of a value from outside, for a message to the user.

    Names and keys in a file, names of files and values of flags may be of any length
    and hold anything, also the codes that control a terminal. The text is cut after
    `longest` characters, and control characters and others that cannot be seen are
    escaped as in Python: a line feed becomes \\n.
    """
    try:
        text = str(value)
    except Exception:  # whatever a user's own class raises
        text = f"<{type(value).__name__}>"
    if len(text) > longest:
        text = f"{text[:longest]}..."
    return "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text
    )


def one_line(message: str, longest_word: int = 300) -> str:
    """Return a message as one printable line, where no word is endlessly long.

    A word that is cut keeps its end: of a path, this is the name of the file.
    """
    words = []
    for word in message.split():
        if len(word) > longest_word:
            word = f"{word[: longest_word - 63]}...{word[-60:]}"
        words.append(printable(word, longest_word))
    return " ".join(words)
