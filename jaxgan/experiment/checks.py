"""Checks of a config; one error lists every problem as `field = value: reason`."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxgan.errors import UserError, nearest, printable
from jaxgan.experiment.values import (
    Values,
    complete,
    required_fields,
    rules_by_field,
    section,
)
from jaxgan.gans import Kind, find_gan
from jaxgan.rules import TEXT, Choice, Rule, to_plain

BATCH_NORM_REFUSED = (
    "a penalised critic must not mix the examples of a batch (WGAN-GP, section 4); use "
)
ALLOWED_NORMS = {
    "latent": "no norm or layer norm",
    "translation": "instance norm or none",
}


def check_fields(fields: Values) -> dict[str, Any]:
    """Return the fields of a config in their types; missing ones get their defaults.

    Raises:
        UserError: lists every field that is missing, unknown or has a wrong value.
    """
    fields = {name: to_plain(value) for name, value in fields.items()}
    if "gan.name" not in fields:
        raise UserError("gan.name: missing")
    gan = fields["gan.name"]
    if problem := TEXT.problem(gan):
        raise UserError(f"gan.name = {printable(gan)}: {problem}")
    kind = find_gan(gan)
    if lacking := [n for n in kind.fields if f"gan.{n}" not in fields]:
        raise UserError(
            f"gan.name = {printable(gan)}: needs "
            f"{', '.join(f'gan.{name}' for name in lacking)}, which this config does "
            "not have; use a config of that GAN"
        )
    rules = rules_by_field(kind)
    problems = [*find_wrong_names(fields, kind, rules), *find_wrong(fields, rules)]
    # What fields must be together is clear only once each of them is right.
    problems = problems or list(find_conflicts(complete(fields), kind))
    if problems:
        raise UserError("; ".join(problems))
    converted = {name: rules[name].convert(value) for name, value in fields.items()}
    return complete(converted)


def find_wrong_names(
    fields: Values, kind: Kind, rules: Mapping[str, Rule | Choice]
) -> Iterator[str]:
    """Yield a problem for each field that is missing or unknown."""
    for name in sorted(set(required_fields(kind)) - fields.keys()):
        yield f"{name}: missing"
    for name, value in fields.items():
        if name not in rules:
            start, _, last = name.rpartition(".")
            fields_there = [n for n in section(rules, start) if "." not in n]
            sections = {n.rpartition(".")[0] for n in rules}
            hint = (
                nearest(last, fields_there)
                if fields_there
                else nearest(start or last, sections)
            )
            yield f"{printable(name)} = {printable(value)}: unknown; {hint}"


def find_wrong(fields: Values, rules: Mapping[str, Rule | Choice]) -> Iterator[str]:
    """Yield `field = value: reason` for each value that its rule does not allow."""
    for name, value in fields.items():
        if name in rules and (problem := rules[name].problem(value)):
            yield f"{name} = {printable(value)}: {problem}"


def find_conflicts(values: Values, kind: Kind) -> Iterator[str]:
    """Yield `field = value: reason` for each field that does not fit the others."""
    if kind.is_penalised(section(values, "gan")):
        for name in ("critic.norm", "critic.batch_norm"):
            if values.get(name) in ("batch", True):
                reason = BATCH_NORM_REFUSED + ALLOWED_NORMS[kind.family]
                yield f"{name} = {values[name]}: {reason}"
    yield from find_length_problems(values)


def find_length_problems(values: Values) -> Iterator[str]:
    """Yield a problem where a length is given in steps and epochs, or is missing."""
    steps, epochs = values["train.num_steps"], values["train.num_epochs"]
    if steps and epochs:
        yield (
            f"train.num_epochs = {epochs}: train.num_steps = {steps} is also given; "
            "set one of them to 0"
        )
    if not steps and not epochs:
        yield "train.num_steps = 0: must be 1 or more, unless train.num_epochs is given"
    for player in ("generator", "critic"):
        name = f"optimizer.{player}."
        is_given = [
            any(values.get(f"{name}{part}_{unit}") for part in ("constant", "decay"))
            for unit in ("steps", "epochs")
        ]
        if all(is_given):
            yield (
                f"{name}decay_epochs = {values[name + 'decay_epochs']}: lengths "
                "are given in steps and in epochs; set all of one unit to 0"
            )
