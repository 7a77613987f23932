"""Variants of a config file, and a config's fields by name."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxgan.errors import UserError, unknown

# Short keys of a variant string, as in `toy,name=swissroll`.
SHORT_KEYS = {"name": "data.name", "dir": "data.dir", "size": "data.image_size"}

BOOLS = {"true": True, "false": False}


def from_variant(
    base: Mapping[str, Any], variants: Mapping[str, Mapping], choice: str
) -> ConfigDict:
    """Return the config for `choice`: '', 'VARIANT' or '[VARIANT,]key=value,...'.

    A variant's section is merged into that of the base. Only the sections `generator`
    and `critic` are replaced, because networks differ in their fields. A key is a full
    field name (`data.name`) or one of SHORT_KEYS.

    Raises:
        UserError: a variant or field is unknown, or a value has the wrong type.
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
    """Set a field such as 'data.name' from its text; raises UserError."""
    fields = flatten(config)
    if field not in fields:
        raise unknown("config field", field, fields)
    kind = type(fields[field])
    if kind is list:
        raise UserError(
            f"{field} = {text}: tuples are set by a flag: --config.{field}='(64, 64)'"
        )
    try:
        value = BOOLS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        raise UserError(f"{field} = {text}: must be {kind.__name__}") from error
    with config.unlocked():
        config.update_from_flattened_dict({field: value})


def flatten(config: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Return {'section.field': value}; tuples become lists, as in JSON."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def to_dict(config: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """Return a config as nested dictionaries."""
    return config.to_dict() if isinstance(config, ConfigDict) else dict(config)
