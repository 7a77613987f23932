"""Flags, exit codes and one-line errors: what the commands share."""

import errno
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from absl import flags, logging
from ml_collections import ConfigDict

from jaxgan.command_flags import check_not_empty, help_text, parse_flags
from jaxgan.errors import UserError, one_line, printable
from jaxgan.experiment import Experiment, build, memory
from jaxgan.experiment.describe import help_lines
from jaxgan.experiment.variants import flatten, set_field
from jaxgan.files import storage
from jaxgan.rules import describe_type
from jaxgan.runtime import failures
from jaxgan.train import TrainingFailed
from jaxgan.workdir.checkpoint_manager import SaveFailed
from jaxgan.workdir.orbax_files import LINKS

Define = Callable[[flags.FlagValues], None]
Command = Callable[[flags.FlagValues], int]
HELP = {"--help", "-help", "-h"}
# Errors of the file system that may come when a command has already saved something.
KEPT_AFTER = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES,
    errno.EPERM,
)  # fmt: skip
# Flag of a command: what needs less memory when it has not enough.
LESS_MEMORY = {
    "num": "a smaller --num",
    "num_samples": "a smaller --num_samples",
}


def run(
    command: Command, define: Define, about: str, argv: Sequence[str] | None
) -> int:
    """Parse `argv` (default: the process's), run a command, and return its exit code.

    The code is 0 after success, 2 after a user's mistake, and 1 if training or a file
    system failed. For 1 and 2, stderr gets one line `jaxgan: error: ...` and no
    traceback.
    """
    # Orbax not only raises errors, but also logs their tracebacks.
    logging.set_verbosity(logging.FATAL)
    arguments = list(sys.argv[1:] if argv is None else argv)
    values = flags.FlagValues()
    define(values)
    if HELP & set(arguments):
        return exit_code(lambda: print(help_text(values, about)) or 0)
    less_memory = next(
        (text for flag, text in LESS_MEMORY.items() if flag in values), ""
    )
    return exit_code(
        lambda: command(check_not_empty(parse_flags(values, arguments))), less_memory
    )


def run_with_config(
    command: Callable[[flags.FlagValues, Experiment, str], int],
    define: Define,
    about: str,
    argv: Sequence[str] | None,
) -> int:
    """Run a command that takes `--config`: command(flags, experiment, run's name)."""

    def with_experiment(values: flags.FlagValues) -> int:
        experiment = build(config)
        try:
            return command(values, experiment, name)
        except (MemoryError, RuntimeError) as error:
            if not failures.is_out_of_memory(error):
                raise
            return print_error(memory.advice(experiment, failures.describe(error)), 1)

    arguments = list(sys.argv[1:] if argv is None else argv)
    if HELP & set(arguments):
        lines = [about.strip(), "", "Fields of the config:", *help_lines()]
        return run(with_experiment, define, "\n".join(lines), arguments)
    try:
        config, name, rest = parse_config(arguments)
    except UserError as error:
        return print_error(str(error), 2)
    return run(with_experiment, define, about, rest)


def exit_code(work: Callable[[], int], less_memory: str = "") -> int:
    """Return what `work` returns, or the exit code of the error that it raises.

    `less_memory` says what to change when there is not enough memory.
    """
    try:
        return work()
    except UserError as error:
        return print_error(str(error), 2)
    except (TrainingFailed, SaveFailed, storage.WriteFailed) as error:
        return print_error(str(error), 1)
    except KeyboardInterrupt:
        return print_error("stopped by SIGINT", 130)
    except BrokenPipeError:
        raise  # for exit_process
    except (OSError, MemoryError, RuntimeError, AssertionError) as error:
        message, code = describe_failure(error, less_memory)
        if not message:
            raise
        return print_error(message, code)


def describe_failure(error: Exception, less_memory: str) -> tuple[str, int]:
    """Return the message and the exit code of a machine's failure; ('', 1) of others.

    `less_memory` says what needs less memory.
    """
    if failures.is_out_of_memory(error):
        needs = f"; {less_memory} needs less" if less_memory else ""
        reason = failures.describe(error)
        return f"out of memory ({reason}){needs}; what was saved before is kept", 1
    if failures.is_missing_backend(error):
        found = f"JAX_PLATFORMS = {os.environ.get('JAX_PLATFORMS', '')}"
        reason = f" ({failures.describe(error)})" if str(error) else ""
        cure = "unset it, or install JAX for this hardware"
        return f"{found}: JAX finds no such devices here{reason}; {cure}", 2
    if failures.is_out_of_threads(error):
        return f"{error}: the limit of processes (ulimit -u) or memory is reached", 1
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        kept = "; what was saved before is kept" if error.errno in KEPT_AFTER else ""
        return f"{where}{os.strerror(error.errno)}{kept}", 1
    return "", 1


def exit_process(main: Callable[[], int]) -> NoReturn:
    """Exit this process with the code of `main`, at once.

    At a normal exit Python waits for Orbax's threads, which may take minutes after a
    failed save, and JAX waits for other processes, which may be gone. Nothing is left
    to do then: `main` has closed all files, and links are removed here.
    """
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        code = 141  # The reader, such as `head`, has gone: 128 + SIGPIPE.
    except OSError as error:
        code = print_error(f"{error.filename}: {error.strerror}", 1)
    except Exception:
        traceback.print_exc()
        code = 1
    LINKS.close()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def print_error(message: str, code: int) -> int:
    """Print an error as one line, and return its exit code."""
    with suppress(OSError):  # stderr may be closed or on a full disk
        print(f"jaxgan: error: {one_line(message)}", file=sys.stderr)
    return code


def say(text: str) -> None:
    """Print a line about what is done; the names of files in it may hold anything."""
    print(f"jaxgan: {printable(text, 2000)}", flush=True)


def parse_config(arguments: Sequence[str]) -> tuple[ConfigDict, str, list[str]]:
    """Take `--config=FILE[:VARIANT]` and its overrides out of the arguments.

    Returns:
        The config with all overrides, the run's name `NAME[-VARIANT]`, and the other
        arguments.

    Raises:
        UserError: there is no readable config, a field is unknown, or a value is bad.
    """
    chosen, overrides, rest = None, [], []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.lstrip("-").partition("=")
        if name == "config" and argument.startswith("-"):
            chosen = value if equals else next(remaining, "")
        elif name.removeprefix("no").startswith("config."):
            overrides.append(argument)
        else:
            rest.append(argument)
    if not chosen:
        raise UserError("--config: needed, for example --config=configs/wgan_gp.py")
    path, _, variant = chosen.partition(":")
    config = override(load_config(path, variant), overrides)
    name = Path(path).stem + (f"-{variant}" if variant else "")
    return config, name.replace("/", "_"), rest


def load_config(path: str, variant: str) -> ConfigDict:
    """Return `get_config(variant)` of a config file; raises UserError."""
    file = storage.checked_path(path, "--config")
    if not file.is_file():
        raise UserError(f"--config = {printable(path)}: no such file")
    try:
        get_config = runpy.run_path(str(file)).get("get_config")
        if get_config is None:
            raise UserError(
                f"--config = {path}: defines no get_config; it needs a function "
                "get_config(variant) that returns a ConfigDict"
            )
        config = get_config(variant)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        kind = type(error).__name__
        raise UserError(f"--config = {path}: {kind}: {printable(error)}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config = {path}: get_config must return a ConfigDict, not "
            f"{describe_type(config)}"
        )
    return config


def override(config: ConfigDict, overrides: list[str]) -> ConfigDict:
    """Return the config with `--config.FIELD=VALUE` applied; raises UserError.

    The last of several values counts. `--config.FIELD` alone sets True, and
    `--noconfig.FIELD` sets False.
    """
    for argument in overrides:
        name, equals, text = argument.lstrip("-").partition("=")
        field = name.removeprefix("no").removeprefix("config.")
        if not equals:
            if not isinstance(flatten(config).get(field, True), bool):
                raise UserError(f"--config.{field}: needs a value: --{name}=VALUE")
            text = "false" if name.startswith("no") else "true"
        elif name.startswith("no"):
            raise UserError(f"--{name} = {printable(text)}: takes no value")
        set_field(config, field, text)
    return config
