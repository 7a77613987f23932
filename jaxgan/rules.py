"""Rules for values that users give, in words and as a test; fields of a config."""

import math
import os
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from jaxgan.errors import nearest


def allow_all(value: Any) -> bool:
    """Return True: the type of a value is its whole rule."""
    return True


class Rule(NamedTuple):
    """Which values are allowed.

    Attributes:
        words: what a value must be, as in 'must be WORDS'.
        allows: a value of the right type -> whether it is allowed.
        kind: the type: int, float (an int is one as well), bool, str, list (a tuple is
            one as well), or object for any.
    """

    words: str
    allows: Callable[[Any], bool] = allow_all
    kind: type = object

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if not _is_of_kind(value, self.kind):
            return f"must be {self.words}, not {describe_type(value)}"
        return None if self.allows(value) else f"must be {self.words}"

    def convert(self, value: Any) -> Any:
        """Return an allowed value in its one form: a float for an int, a list."""
        if self.kind is float:
            return float(value)
        return list(value) if self.kind is list else value


class Choice(NamedTuple):
    """The rule for values that are names.

    Attributes:
        names: the names. One that ends in 'NAME', such as 'tfds:NAME', stands for all
            that begin with what comes before.
        elsewhere: names that other GANs have.
        owner: the GANs that have those, in words.
    """

    names: Collection[str]
    elsewhere: Collection[str] = ()
    owner: str = ""
    kind: type = str

    @property
    def words(self) -> str:
        """Return the names in one line."""
        return ", ".join(self.names)

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if type(value) is not str:
            return f"must be one of {self.words}, not {describe_type(value)}"
        if is_among(value, self.names):
            return None
        if is_among(value, self.elsewhere):
            return f"only for {self.owner}; valid: {', '.join(sorted(self.names))}"
        return f"unknown; {nearest(value, self.names)}"

    def convert(self, value: str) -> str:
        """Return the name."""
        return value


def is_among(name: str, names: Collection[str]) -> bool:
    """Return whether `name` is in `names`, or begins as a 'tfds:NAME' there."""
    beginnings = [n.removesuffix("NAME") for n in names if n.endswith("NAME")]
    return name in names or any(name.startswith(start) for start in beginnings)


def to_plain(value: Any) -> Any:
    """Return a numpy scalar as a Python number, a path as text, the rest as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [to_plain(element) for element in value]
    # Numpy and JAX have many types of scalars; all of them have these two.
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def is_storable(value: Any) -> bool:
    """Return whether JSON can hold a value, so that it can be a field's."""
    if type(value) is list:
        return all(map(is_storable, value))
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (str, int, bool)


def describe_type(value: Any) -> str:
    """Return what a value is, in words: 'None', 'a str', 'an int'."""
    name = type(value).__name__
    if value is None:
        return "None"
    return f"an {name}" if name[0] in "aeio" else f"a {name}"


def _is_of_kind(value: Any, kind: type) -> bool:
    if kind is float:
        return type(value) in (int, float)
    if kind is list:
        return type(value) in (list, tuple)
    return kind is object or type(value) is kind


def whole(least: int, most: int) -> Rule:
    """Return the rule for whole numbers from `least` to `most`."""
    words = f"a whole number from {least:,} to {most:,}"
    return Rule(words, lambda x: least <= x <= most, int)


def number(least: float, most: float) -> Rule:
    """Return the rule for numbers from `least` to `most`, neither NaN nor infinite."""
    # Written so that NaN fails.
    words = f"a number from {least:,} to {most:,}"
    return Rule(words, lambda x: least <= x <= most, float)


# Every number has a range, chosen so that no sensible experiment lies outside and that
# float32 and int32, in which the devices compute, can hold what is made of it.
# Steps and epochs are int32 on the devices.
MOST_STEPS = 2_000_000_000
STEPS = whole(0, MOST_STEPS)
STEPS_FROM_1 = whole(1, MOST_STEPS)
# Weights of losses, of gradients whose squares Adam takes.
WEIGHT = number(0, 1_000_000)
# Numbers that something is divided by, or bounds.
POSITIVE = number(1e-6, 1_000_000)
LEARNING_RATE = number(1e-30, 10_000)
# Decays of moving averages. The nearest float32 is still below 1: a decay that rounds
# to 1 keeps the first value for ever, and Adam then divides 0 by 0.
DECAY = number(0, 0.9999999)
SEED = whole(0, 2**31 - 1)
CHANNELS = Rule("1, 3, or 0 for as many as the data has", (0, 1, 3).__contains__, int)
TRUE_OR_FALSE = Rule("True or False", kind=bool)
TEXT = Rule("text", kind=str)
# For a field of a GAN of one's own, whose function knows the rule.
STORABLE = Rule("text, a finite number, True, False, None or a list", is_storable)
PATH = Rule("a path", lambda x: "\0" not in x, str)
# Options of networks (jaxgan/models).
WIDTH = whole(1, 1_000_000)
GAIN = number(1e-6, 100)
EXTRA_LAYERS = whole(0, 100)
# 20 halvings leave one pixel of an image with a side of a million.
NUM_LAYERS = whole(1, 20)
WIDTHS = Rule(
    f"a tuple of at most 100 widths, each {WIDTH.words}",
    lambda x: len(x) <= 100 and not any(map(WIDTH.problem, x)),
    list,
)
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
