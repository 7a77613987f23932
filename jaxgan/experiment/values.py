"""Values of a config's fields: rules, defaults, sections, what a resume may change."""

from collections.abc import Mapping
from typing import Any

from jaxgan import data
from jaxgan.experiment.schema import FIELDS
from jaxgan.gans import Kind
from jaxgan.models.translation import image_layers
from jaxgan.rules import REQUIRED, STORABLE, Choice, Rule

Values = Mapping[str, Any]  # {'section.field': value}

# By family; each network takes some of them.
NORMS = {
    "latent": Choice(("batch", "layer", "none")),
    "translation": Choice(image_layers.NORMS),
}
INTERVALS = "train.log_steps", "train.sample_steps", "train.checkpoint_steps"
# Fields that only the GANs with a penalty have; a config may lack those it leaves at
# their defaults.
PENALTY_FIELDS = (
    "gan.penalty_target",
    "gan.penalty_one_sided",
    "gan.penalty_noise_variance",
)


def complete(fields: Values) -> dict[str, Any]:
    """Return the fields of a config; missing fields get their defaults."""
    defaults = {f.name: f.default for f in FIELDS if f.default is not REQUIRED}
    return defaults | dict(fields)


def section(values: Values, name: str) -> dict[str, Any]:
    """Return {field: value} of one section, such as 'gan' or 'optimizer.critic'."""
    start = f"{name}."
    return {n.removeprefix(start): v for n, v in values.items() if n.startswith(start)}


def steps_per_call(values: Values) -> int:
    """Return how many of the steps that are asked for a call of this run can have."""
    lengths = [values[name] for name in (*INTERVALS, "train.num_steps")]
    return data.call_length(lengths, values["train.steps_per_call"])


def may_change_on_resume(name: str) -> bool:
    """Return whether a field may differ when a run is resumed."""
    return any(field.name == name and field.resume for field in FIELDS)


def rules_by_field(kind: Kind) -> dict[str, Rule | Choice]:
    """Return the fields that the config of a GAN may have, with their rules.

    All options of networks are there: which of them a network has is checked when it is
    built.
    """
    own = [f"gan.{name}" for name in kind.fields]
    names = {*own, *(PENALTY_FIELDS if "penalty" in kind.fields else ())}
    networks = "generator.", "critic."
    rules = dict.fromkeys(own, STORABLE) | {
        field.name: field.rule
        for field in FIELDS
        if field.of in ("all", kind.family)
        or (field.of == "some" and field.name.startswith(networks))
        or field.name in names
    }
    return rules | dict.fromkeys(("generator.norm", "critic.norm"), NORMS[kind.family])


def required_fields(kind: Kind) -> list[str]:
    """Return the fields that the config of a GAN must have."""
    common = [
        field.name
        for field in FIELDS
        if field.of in ("all", kind.family) and field.default is REQUIRED
    ]
    return [*common, *(f"gan.{name}" for name in kind.fields)]
