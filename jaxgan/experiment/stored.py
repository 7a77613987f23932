"""The config that a run keeps in its workdir, and what a resume may change in it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgan.errors import UserError
from jaxgan.experiment.experiment import Experiment, build
from jaxgan.experiment.values import complete, may_change_on_resume
from jaxgan.files import buckets, json_text


def load(workdir: str | Path) -> Experiment:
    """Return the experiment whose config a workdir holds.

    Raises:
        UserError: there is no config, or it cannot be used.
    """
    path = buckets.to_path(os.fspath(workdir)) / "config.json"
    try:
        config = parse_config(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; is {workdir} a run's workdir?") from error
    except ValueError as error:
        raise UserError(f"{path}: not a run's config ({error})") from error
    try:
        return build(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_config(content: bytes) -> dict[str, Any]:
    """Return the sections of a config from the content of config.json.

    Raises:
        ValueError: it is not JSON, or not an object of sections.
    """
    config = json_text.parse_object(content)
    for section, values in config.items():
        if not isinstance(values, dict):
            raise ValueError(f"{section} must be a section, not {values!r:.40}")
    return config


def lasting_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a config that a resume must not change, for checkpoints."""
    return {n: value for n, value in fields.items() if not may_change_on_resume(n)}


def check_same_run(stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise UserError, with a table, if fields differ that a resume must not change.

    Both are {'section.field': value}. A field that is missing from one of them counts
    as its default, so that a run made before the field existed can be resumed.
    """
    old, new = complete(stored), complete(given)
    differing = [
        name
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and not may_change_on_resume(name)
    ]
    if differing:
        table = "; ".join(
            f"{name}: stored {old.get(name, '-')}, given {new.get(name, '-')}"
            for name in differing
        )
        raise UserError(
            f"--workdir holds a run with another config ({table}); give another "
            "--workdir, or the stored values"
        )
