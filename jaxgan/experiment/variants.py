"""Configs: variants, fields by name, storage, and comparison on resume."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxgan.errors import UserError, unknown
from jaxgan.files import buckets

# Short keys of a variant string, as in `toy,name=swissroll`.
SHORT_KEYS = {"name": "data.name", "dir": "data.dir", "size": "data.image_size"}

# May differ when a run is resumed: none changes the model, the data or the updates.
FREE_ON_RESUME = (
    "train.num_steps",
    "train.num_epochs",
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

# What runs did that were made before these fields were.
ADDED = {"train.accumulate_steps": 1, "parallel.wait_seconds": 300}

BOOLS = {"true": True, "false": False}


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


def to_json(config: ConfigDict) -> str:
    """Return the config as indented JSON."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def load(workdir: str | Path) -> ConfigDict:
    """Return the config stored in a workdir; raises UserError where there is none."""
    path = buckets.to_path(os.fspath(workdir)) / "config.json"
    try:
        config = ConfigDict(json.loads(path.read_text()))
        for name, value in ADDED.items():
            section, _, field = name.partition(".")
            if section in config and field not in config[section]:
                config[section][field] = value
        return config
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
