"""Flags of the commands: parsed, explained, and the paths that they give."""

import os
from pathlib import Path

from absl import flags

from jaxgan.errors import UserError, printable
from jaxgan.files import storage

# Bytes: Linux takes paths below 4,096, and Orbax's names within a checkpoint have 200.
LONGEST_WORKDIR = 3800


def parse_flags(values: flags.FlagValues, arguments: list[str]) -> flags.FlagValues:
    """Return the flags with `arguments` parsed; raises UserError for a wrong one."""
    try:
        left = values(["jaxgan", *arguments])
    except flags.Error as error:
        raise UserError(str(error).splitlines()[0]) from error
    if len(left) > 1:
        raise UserError(
            f"stray argument '{printable(left[1])}'; flags are --name=value"
        )
    return values


def check_not_empty(values: flags.FlagValues) -> flags.FlagValues:
    """Return the flags; raises UserError for one that is empty, as by `--out=$UNSET`.

    Otherwise it would be ignored without a word.
    """
    for name in values:
        if values[name].present and values[name].value in ("", []):
            raise UserError(f"--{name} = '': needs a value: {values[name].help}")
    return values


def parse_workdir(text: str | None) -> Path:
    """Return the folder that `--workdir` names; raises UserError for a wrong one."""
    if not text:
        raise UserError("--workdir: needed; give the folder of a run")
    if "://" in text and not text.startswith("gs://"):
        raise UserError(
            f"--workdir = {printable(text)}: must be a local folder or gs://..."
        )
    workdir = storage.checked_path(text, "--workdir")
    if not storage.is_remote(workdir) and workdir.exists() and not workdir.is_dir():
        raise UserError(
            f"--workdir = {printable(workdir)}: is a file; must be a folder"
        )
    length = len(os.fsencode(workdir.absolute()))
    if length > LONGEST_WORKDIR:
        raise UserError(
            f"--workdir = {printable(workdir)}: has {length:,} bytes; must have "
            f"{LONGEST_WORKDIR:,} or fewer, because the names in it come on top"
        )
    return workdir


def parse_run(text: str | None) -> Path:
    """Return the folder of an existing run that `--workdir` names.

    Raises:
        UserError: there is no such folder.
    """
    workdir = parse_workdir(text)
    if not workdir.is_dir():
        raise UserError(f"--workdir = {printable(workdir)}: no such folder")
    return workdir


def parse_local_path(values: flags.FlagValues, name: str) -> Path:
    """Return the path on this machine that a flag gives; raises UserError."""
    text = values[name].value or ""
    if "://" in text:
        raise UserError(f"--{name} = {printable(text)}: must be on this machine")
    return storage.checked_path(text, f"--{name}")


def help_text(values: flags.FlagValues, about: str) -> str:
    """Return what a command does, and a line for each flag with its default."""
    lines = [about.strip(), "", "Flags:"]
    for name in sorted(values):
        flag = values[name]
        default = "" if flag.default in (None, "") else f" (default: {flag.default})"
        lines.append(f"  --{name}: {flag.help}{default}")
    return "\n".join(lines)
