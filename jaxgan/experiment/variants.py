"""Variants of a config file, and a config's fields by name."""

import ast
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference, RequiredValueError

from jaxgan.errors import UserError, printable, unknown
from jaxgan.experiment.schema import FIELDS

# What ast.literal_eval raises.
LITERAL_ERRORS = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)
# Short keys of a variant string, as in `toy,name=swissroll`.
SHORT_KEYS = {"name": "data.name", "dir": "data.dir", "size": "data.image_size"}


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
    """Set a field such as 'data.name' from its text.

    The field's rule says which type the text stands for; for a field of a GAN of one's
    own, its value so far.

    Raises:
        UserError: there is no such field, or the text is not of its type.
    """
    fields = flatten(config)
    if field not in fields:
        raise unknown("config field", field, fields)
    rule = next((each.rule for each in FIELDS if each.name == field), None)
    kind = rule.kind if rule else type(fields[field])
    try:
        value = parse_text(text, kind)
    except (*LITERAL_ERRORS, KeyError) as error:
        words = rule.words if rule else f"of the type {kind.__name__}"
        raise UserError(f"{field} = {printable(text)}: must be {words}") from error
    with config.unlocked(), config.ignore_type():
        config.update_from_flattened_dict({field: value})


def parse_text(text: str, kind: type) -> Any:
    """Return the value of a type that a text stands for: '(64, 64)' is a list.

    Raises:
        KeyError, or one of LITERAL_ERRORS: it stands for none.
    """
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind is list:
        value = _parse_literal(text)
        # '64' and '(64)' are numbers, and mean a tuple of one.
        return value if isinstance(value, tuple | list) else (value,)
    return kind(text) if kind in (int, float, str) else _parse_literal(text)


def _parse_literal(text: str) -> Any:
    with warnings.catch_warnings(action="ignore"):  # of text that is odd Python
        return ast.literal_eval(text.strip())


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return {'section.field': value}; tuples become lists, as in JSON.

    A placeholder that is not filled in has the value None.

    Raises:
        UserError: it is no config, or contains itself.
    """
    if not isinstance(config, Mapping | ConfigDict):
        raise UserError(f"{printable(config)}: not a config; must have sections")
    flat: dict[str, Any] = {}
    try:
        for key, value in _items(config):
            name = f"{prefix}{key}"
            if isinstance(value, Mapping | ConfigDict):
                flat |= flatten(value, f"{name}.")
            else:
                flat[name] = list(value) if isinstance(value, tuple) else value
    except RecursionError as error:
        if prefix:
            raise
        raise UserError("the config: a section of it contains itself") from error
    return flat


def nest(fields: Mapping[str, Any], like: Any, prefix: str = "") -> dict[str, Any]:
    """Return `{'section.field': value}` as nested dictionaries, in the order of `like`.

    Args:
        fields: as `flatten(like)` has them.
        like: a config.
        prefix: begins the names of the fields of `like`.
    """
    return {
        key: nest(fields, value, f"{prefix}{key}.")
        if isinstance(value, Mapping | ConfigDict)
        else fields[f"{prefix}{key}"]
        for key, value in _items(like)
    }


def _items(config: Mapping[str, Any] | ConfigDict) -> Iterator[tuple[Any, Any]]:
    if not isinstance(config, ConfigDict):
        yield from config.items()
        return
    try:
        items = config.items(preserve_field_references=True)
    except TypeError as error:  # it sorts the names
        raise UserError("the config: names of fields must be text") from error
    for key, value in items:
        try:
            yield key, value.get() if isinstance(value, FieldReference) else value
        except RequiredValueError:
            yield key, None
