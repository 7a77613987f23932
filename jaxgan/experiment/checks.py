"""Checks of a config; one error lists every problem as `field = value: reason`."""

from collections.abc import Iterator
from typing import Any

from jaxgan.errors import UserError, nearest
from jaxgan.experiment.schema import FIELDS
from jaxgan.experiment.values import Values, complete, section
from jaxgan.gans import Kind, find_gan
from jaxgan.rules import REQUIRED

BATCH_NORM_REFUSED = (
    "a penalised critic must not mix the examples of a batch (WGAN-GP, section 4); use "
    "no norm or layer norm"
)


def required_fields(kind: Kind) -> list[str]:
    """Return the fields that the config of a GAN must have."""
    common = [
        field.name
        for field in FIELDS
        if field.of in ("all", kind.family) and field.default is REQUIRED
    ]
    return [*common, *(f"gan.{name}" for name in kind.fields)]


def check_fields(fields: Values) -> dict[str, Any]:
    """Return the fields of a config; missing fields get their defaults.

    Raises:
        UserError: lists every field that is missing or has a wrong value.
    """
    if "gan.name" not in fields:
        raise UserError("gan.name: missing")
    kind = find_gan(fields["gan.name"])
    own = [f"gan.{name}" for name in kind.fields]
    if lacking := [name for name in own if name not in fields]:
        raise UserError(
            f"gan.name = {fields['gan.name']}: needs {', '.join(lacking)}, which this "
            "config does not have; use a config of that GAN"
        )
    missing = [name for name in required_fields(kind) if name not in fields]
    values = complete(fields)
    problems = [f"{name}: missing" for name in sorted(missing)]
    problems = problems or list(find_problems(values, kind))
    if problems:
        raise UserError("; ".join(problems))
    return values


def find_problems(values: Values, kind: Kind) -> Iterator[str]:
    """Yield `field = value: reason` for each field that is wrong."""
    for field in FIELDS:
        if field.name in values and field.of in ("all", "some", kind.family):
            value = values[field.name]
            if problem := field.rule.problem(value):
                yield f"{field.name} = {value}: {problem}"
    known = {f.name for f in FIELDS if f.of in ("all", kind.family)}
    optimizers = {name for name in known if name.startswith("optimizer.")}
    for name, value in values.items():
        if name.startswith("optimizer.") and name not in optimizers:
            yield f"{name} = {value}: unknown; {nearest(name, optimizers)}"
    if kind.is_penalised(section(values, "gan")):
        for name in ("critic.norm", "critic.batch_norm"):
            if values.get(name) in ("batch", True):
                yield f"{name} = {values[name]}: {BATCH_NORM_REFUSED}"
    yield from find_length_problems(values)
    # The loop logs, samples and saves only between two calls, so each of these
    # intervals must be a whole number of calls.
    call = values["train.steps_per_call"]
    for name in ("train.log_steps", "train.sample_steps", "train.checkpoint_steps"):
        if values[name] and call > 1 and values[name] % call:
            multiple = f"must be a multiple of train.steps_per_call = {call}"
            yield f"{name} = {values[name]}: {multiple}"


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
