"""Configs: variants, checks of all fields at once, and comparison on resume."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxgan import data, images, optim
from jaxgan.errors import UserError, nearest, unknown

# Short keys of a variant string, as in `toy,name=swissroll`.
SHORT_KEYS = {"name": "data.name", "dir": "data.dir", "size": "data.image_size"}

# May differ when a run is resumed: none changes the model, the data or the updates.
FREE_ON_RESUME = (
    "train.num_steps",
    "train.log_steps",
    "train.sample_steps",
    "train.checkpoint_steps",
    "train.keep_checkpoints",
    "train.steps_per_call",
    "data.dir",
    "data.cache",
    "parallel.",
    "eval.",
)

BOOLS = {"true": True, "false": False}

# A field that the config of each GAN has and the other's has not.
OWN_FIELDS = {"wgan": "gan.clip", "wgan_gp": "gan.penalty"}

CHOICES = {
    "gan.name": ("wgan", "wgan_gp"),
    "gan.latent": ("normal", "uniform"),
    "gan.clip_order": ("after", "before"),
    "gan.penalty": ("gradient_penalty", "dragan", "r1"),
    "gan.sample_batch_norm": ("batch", "running"),
    "optimizer.generator.name": optim.NAMES,
    "optimizer.critic.name": optim.NAMES,
    "data.value_range": images.VALUE_RANGES,
    "data.cache": data.CACHES,
    "train.precision": ("float32", "tf32", "bfloat16"),
}
AT_LEAST_ONE = (
    "gan.latent_size",
    "gan.n_critic",
    "gan.generator_batch_multiple",
    "data.batch_size",
    "train.num_steps",
    "train.log_steps",
    "train.keep_checkpoints",
    "train.steps_per_call",
    "eval.heldout_examples",
)
REQUIRED = {
    "gan": "name latent latent_size n_critic ema_decay sample_batch_norm",
    "generator": "name",
    "critic": "name",
    "optimizer.generator": "name learning_rate b1 b2 decay_steps",
    "optimizer.critic": "name learning_rate b1 b2 decay_steps",
    "data": "name dir image_size channels batch_size value_range cache",
    "train": "num_steps log_steps sample_steps checkpoint_steps keep_checkpoints seed "
    "precision steps_per_call deterministic init_from",
    "parallel": "devices",
    "eval": "heldout_examples",
}
POSITIVE = (
    "gan.clip",
    "gan.penalty_target",
    "gan.penalty_noise_variance",
    "optimizer.generator.learning_rate",
    "optimizer.critic.learning_rate",
)
NOT_NEGATIVE = (
    "gan.penalty_weight",
    "gan.drift_weight",
    "gan.critic_classifier_weight",
    "gan.generator_classifier_weight",
    "optimizer.generator.decay_steps",
    "optimizer.critic.decay_steps",
    "data.image_size",
    "train.sample_steps",
    "train.checkpoint_steps",
    "train.seed",
    "parallel.devices",
)
BELOW_ONE = (
    "gan.ema_decay",
    "optimizer.generator.b1",
    "optimizer.generator.b2",
    "optimizer.critic.b1",
    "optimizer.critic.b2",
)


def from_variant(
    base: Mapping[str, Any], variants: Mapping[str, Mapping], choice: str
) -> ConfigDict:
    """Return the config for `choice`: '', 'VARIANT' or '[VARIANT,]key=value,...'.

    A variant's section is merged into the base's, but for `generator` and `critic`,
    which it replaces, because networks differ in their fields. A key is a full field
    (`data.name`) or one of `SHORT_KEYS`.

    Raises:
        UserError: an unknown variant, field or a value of the wrong type.
    """
    name, *keys = choice.split(",") if choice else [""]
    if "=" in name:
        name, keys = "", [name, *keys]
    if name and name not in variants:
        raise unknown("config variant", name, variants)
    config = ConfigDict(base)
    for section, fields in (variants[name] if name else {}).items():
        if section in ("generator", "critic"):
            config[section] = ConfigDict(fields)
        else:
            config[section].update(fields)
    for key in keys:
        field, equals, value = key.partition("=")
        if not equals:
            raise UserError(f"config variant = {choice}: '{key}' is not key=value")
        set_field(config, SHORT_KEYS.get(field, field), value)
    return config


def set_field(config: ConfigDict, field: str, text: str) -> None:
    """Set `config`'s dotted `field` from its text; raises UserError."""
    fields = flatten(config)
    if field not in fields:
        raise unknown("config field", field, fields)
    kind = type(fields[field])
    if kind is list:
        raise UserError(
            f"{field} = {text}: give a tuple as a flag, --config.{field}='(64, 64)'"
        )
    try:
        value = BOOLS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        raise UserError(f"{field} = {text}: must be {kind.__name__}") from error
    with config.unlocked():
        config.update_from_flattened_dict({field: value})


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {'section.field': value}; tuples as lists, as JSON has them."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def check(config: ConfigDict) -> None:
    """Raise UserError naming every field whose value is out of range."""
    fields = flatten(config)
    required = [
        f"{s}.{name}" for s, names in REQUIRED.items() for name in names.split()
    ]
    missing = [f"{name}: missing" for name in required if name not in fields]
    problems = missing or list(problems_of(fields))
    if problems:
        raise UserError("; ".join(problems))


def problems_of(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield `field = value: reason` for each field that is wrong."""

    def wrong(names: Iterable[str], bad: Any, reason: str) -> Iterator[str]:
        for name in names:
            if name in fields and bad(fields[name]):
                yield f"{name} = {fields[name]}: {reason}"

    for name, valid in CHOICES.items():
        if name in fields and fields[name] not in valid:
            hint = nearest(str(fields[name]), valid)
            yield f"{name} = {fields[name]}: unknown; {hint}"
    # Written as `not (x > 0)` so that NaN is refused as well.
    yield from wrong(AT_LEAST_ONE, lambda x: not x >= 1, "must be 1 or more")
    yield from wrong(POSITIVE, lambda x: not x > 0, "must be above 0")
    yield from wrong(NOT_NEGATIVE, lambda x: not x >= 0, "must be 0 or more")
    yield from wrong(BELOW_ONE, lambda x: not 0 <= x < 1, "must be in [0, 1)")
    yield from wrong(
        ["data.channels"],
        lambda x: x not in (0, 1, 3),
        "must be 1, 3, or 0 for as many as the data has",
    )
    yield from wrong(["train.seed"], lambda x: x >= 2**31, "must be below 2^31")
    own = OWN_FIELDS.get(fields["gan.name"])
    if own is not None and own not in fields:
        yield f"gan.name = {fields['gan.name']}: no {own} here; use its own config"
    if fields["gan.name"] == "wgan_gp":
        yield from wrong(
            ("critic.norm", "critic.batch_norm"),
            lambda x: x in ("batch", True),
            "a penalised critic must not mix the examples of a batch (WGAN-GP, "
            "section 4); use no norm or layer norm",
        )
    # A step must not be longer than the distance between two events of the loop.
    for event in ("log_steps", "sample_steps", "checkpoint_steps"):
        steps, call = fields[f"train.{event}"], fields["train.steps_per_call"]
        if steps and call > 1 and steps % call:
            yield (
                f"train.{event} = {steps}: must be a multiple of "
                f"train.steps_per_call = {call}"
            )


def to_json(config: ConfigDict) -> str:
    """Return the config as indented JSON."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def load(workdir: str | Path) -> ConfigDict:
    """Return the config stored in a workdir; raises UserError where there is none."""
    path = Path(workdir) / "config.json"
    try:
        return ConfigDict(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; is {workdir} a run's workdir?") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a run's config ({error})") from error


def check_same_run(stored: ConfigDict, given: ConfigDict) -> None:
    """Raise UserError with a table of the fields that a resume must not change."""
    old, new = flatten(stored), flatten(given)
    differing = [
        field
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field) and not field.startswith(FREE_ON_RESUME)
    ]
    if differing:
        table = "; ".join(
            f"{field}: stored {old.get(field, '-')}, given {new.get(field, '-')}"
            for field in differing
        )
        raise UserError(
            f"--workdir holds a run with another config ({table}); give another "
            "--workdir, or the stored values"
        )
