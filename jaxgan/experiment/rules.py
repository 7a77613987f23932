"""Rules: what the value of a field must be, in words and as a test."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from jaxgan.errors import nearest


class Rule(NamedTuple):
    """What the value of a field must be: in words, and as a test."""

    words: str
    holds: Callable[[Any], bool]

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        try:
            return None if self.holds(value) else self.words
        except TypeError:  # compared with a number, but none itself
            return self.words


class Choice(NamedTuple):
    """The rule of a field whose values are names."""

    names: Collection[str]

    @property
    def words(self) -> str:
        """Return the names in one line."""
        return ", ".join(self.names)

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if value in self.names:
            return None
        return f"unknown; {nearest(str(value), self.names)}"


# Written so that NaN fails each of them.
POSITIVE = Rule("must be above 0", lambda x: x > 0)
NOT_NEGATIVE = Rule("must be 0 or more", lambda x: x >= 0)
ONE_OR_MORE = Rule("must be 1 or more", lambda x: x >= 1)
BELOW_ONE = Rule("must be in [0, 1)", lambda x: 0 <= x < 1)
CHANNELS = Rule(
    "must be 1, 3, or 0 for as many as the data has", lambda x: x in (0, 1, 3)
)
SEED = Rule("must be below 2^31, and 0 or more", lambda x: 0 <= x < 2**31)
# Checked where the value is used: by the networks (jaxgan/models) or the data.
ANY = Rule("", lambda x: True)
