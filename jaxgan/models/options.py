"""The rules for a network's options, and their check before the network is built."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxgan.errors import UserError, nearest, printable, unknown
from jaxgan.rules import Rule

# By option: the names that its value is one of, or the rule for other values. The
# order is that of the config's section and of error messages.
Options = Mapping[str, tuple[str, ...] | Rule]


def check_options(
    player: str,
    name: str,
    given: Mapping[str, Any],
    options: Options,
    others: Iterable[Options] = (),
) -> None:
    """Check the options that a config gives to a network.

    Args:
        player: 'generator' or 'critic', the section of the config.
        name: of the network.
        given: the options in the config, with their values.
        options: those that the network has; all of them have to be given.
        others: the options of the player's other networks.

    Raises:
        UserError: an option is missing or unknown, or its value is not allowed.
    """
    if given.keys() != options.keys():
        raise _wrong_names(player, name, given, options, others)
    for option, value in given.items():
        check_value(f"{player}.{option}", value, options[option])


def check_value(field: str, value: Any, allowed: tuple[str, ...] | Rule) -> None:
    """Raise UserError, `field = value: ...`, unless the value is allowed."""
    if isinstance(allowed, Rule):
        if problem := allowed.problem(value):
            raise UserError(f"{field} = {printable(value)}: {problem}")
    elif value not in allowed:
        raise unknown(field, value, allowed)


def _wrong_names(
    player: str,
    name: str,
    given: Mapping[str, Any],
    options: Options,
    others: Iterable[Options],
) -> UserError:
    """Return the error for options that are not exactly the network's."""
    needed = ", ".join(options)
    # Whoever changes only the name of the network keeps the options of the old one:
    # the name is then what to report, not the first option that does not fit.
    if given and any(given.keys() <= other.keys() for other in others):
        return UserError(
            f"{player}.name = {name}: needs the options {needed}; this config has "
            f"{', '.join(given)}, which belong to another network; use a variant with "
            f"{name}, or write its {player} section into a config file"
        )
    for option, value in given.items():
        if option not in options:
            return UserError(
                f"{player}.{option} = {printable(value)}: {player} {name} has no such "
                f"option; "
                f"{nearest(option, options)}"
            )
    missing = next(option for option in options if option not in given)
    return UserError(f"{player}.{missing}: missing; {player} {name} needs {needed}")
