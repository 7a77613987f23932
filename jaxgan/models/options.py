"""What is checked of a network's options before it is built."""

from collections.abc import Iterable

from jaxgan.errors import UserError, nearest


def check_names(player: str, name: str, options: dict, wanted: Iterable[str]) -> None:
    """Raise a UserError unless the options given are those wanted.

    Args:
        player: 'generator' or 'critic', the config's section.
        name: of the network.
        options: the options given, with their values.
        wanted: names of the options that the network has, in the order to tell them.
    """
    wanted = list(wanted)
    for option, value in options.items():
        if option not in wanted:
            raise UserError(
                f"{player}.{option} = {value}: {player} {name} has no such option; "
                f"{nearest(option, wanted)}"
            )
    for option in wanted:
        if option not in options:
            raise UserError(
                f"{player}.{option}: missing; {player} {name} needs {', '.join(wanted)}"
            )


def whole(value: object, least: int) -> bool:
    """Return whether the value is an int of `least` at least, and no bool."""
    return type(value) is int and value >= least
