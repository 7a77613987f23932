"""Values of a config's fields: defaults, sections, what a resume may change."""

from collections.abc import Mapping
from typing import Any

from jaxgan.experiment.schema import FIELDS
from jaxgan.rules import REQUIRED

Values = Mapping[str, Any]  # {'section.field': value}


def complete(fields: Values) -> dict[str, Any]:
    """Return the fields of a config; missing fields get their defaults."""
    defaults = {f.name: f.default for f in FIELDS if f.default is not REQUIRED}
    return defaults | dict(fields)


def section(values: Values, name: str) -> dict[str, Any]:
    """Return {field: value} of one section, such as 'gan' or 'optimizer.critic'."""
    start = f"{name}."
    return {n.removeprefix(start): v for n, v in values.items() if n.startswith(start)}


def may_change_on_resume(name: str) -> bool:
    """Return whether a field may differ when a run is resumed."""
    return any(field.name == name and field.resume for field in FIELDS)
