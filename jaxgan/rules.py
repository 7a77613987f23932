"""Rules for values that users give, in words and as a test; fields of a config."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from jaxgan.errors import nearest


class Rule(NamedTuple):
    """Which values are allowed, in words ('must be WORDS') and as a function."""

    words: str
    allows: Callable[[Any], bool]

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        try:
            return None if self.allows(value) else f"must be {self.words}"
        except TypeError:  # compared with a number, but none itself
            return f"must be {self.words}"


class Choice(NamedTuple):
    """The rule for values that are names."""

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


def is_whole(value: Any, least: int) -> bool:
    """Return whether a value is an int, no bool, and `least` or more."""
    return type(value) is int and value >= least


# Written so that NaN fails each of them.
ABOVE_0 = Rule("above 0", lambda x: x > 0)
ZERO_OR_MORE = Rule("0 or more", lambda x: x >= 0)
ONE_OR_MORE = Rule("1 or more", lambda x: x >= 1)
BELOW_1 = Rule("in [0, 1)", lambda x: 0 <= x < 1)
CHANNELS = Rule("1, 3, or 0 for as many as the data has", lambda x: x in (0, 1, 3))
SEED = Rule("below 2^31, and 0 or more", lambda x: 0 <= x < 2**31)
TRUE_OR_FALSE = Rule("True or False", lambda x: isinstance(x, bool))
NUMBER_ABOVE_0 = Rule("a number above 0", lambda x: type(x) in (int, float) and x > 0)
WHOLE_FROM_0 = Rule("a whole number, 0 or more", lambda x: is_whole(x, 0))
WHOLE_FROM_1 = Rule("a whole number, 1 or more", lambda x: is_whole(x, 1))
WIDTHS = Rule(
    "a tuple of whole numbers, each 1 or more",
    lambda x: isinstance(x, tuple | list) and all(is_whole(w, 1) for w in x),
)
# Checked where the value is used: by the networks (jaxgan/models) or the data.
ANY = Rule("", lambda x: True)
REQUIRED = object()  # stands for: the config must have the field


class Field(NamedTuple):
    """One field.

    Attributes:
        name: 'section.field'.
        rule: what its value must be.
        help: one line.
        of: whose configs have it: 'all', the family 'latent' or 'translation', or
            'some' for fields of single GANs (`Kind.fields`) and single networks.
        resume: whether it may differ when a run is resumed, because it changes neither
            the model, nor the data, nor the updates.
        default: its value where a config lacks it: one that is older than the field, or
            of a GAN that has no such field.
    """

    name: str
    rule: Rule | Choice
    help: str
    of: str = "all"
    resume: bool = False
    default: Any = REQUIRED
