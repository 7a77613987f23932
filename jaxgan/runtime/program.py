"""The first thing that a command does when it is run as a program."""

import os
import resource
import sys
import threading
import time

from jaxgan.runtime import compilation_cache, signals, streams

# Bytes of address space, of which a process reserves more than it uses: for each thread
# 8 MB for its stack and 64 MB for its share of the heap. With less than 1.9 GB (for the
# default WGAN-GP, on two cores) threads in C++ found no memory, each time at another
# moment: the process aborted, crashed, or hung without a word.
LEAST_ADDRESS_SPACE = 4 * 2**30
began: float | None = None  # `time.perf_counter()` at `start`


def start() -> None:
    """Make the standard streams safe to use, and answer signals from now on.

    And have JAX keep what it compiles. Commands call it before their slow imports.
    Exits with code 2 if `ulimit -v` leaves too little memory for JAX.
    """
    global began
    began = time.perf_counter()
    streams.prepare()
    check_address_space()
    signals.end_program_at_signals()
    compilation_cache.enable()
    sys.unraisablehook = print_unraisable
    threading.excepthook = print_thread_error


def check_address_space() -> None:
    """Exit with one line if the process may have less than LEAST_ADDRESS_SPACE."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        print(
            f"jaxgan: error: ulimit -v = {limit // 1024}: JAX needs "
            f"{LEAST_ADDRESS_SPACE // 1024} or more (in kB), or unlimited",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)


def print_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Print an error that nothing can catch, but not those of late writes.

    After a write that failed, Orbax closes its event loop, while TensorStore still
    writes other arrays. Each of these then fails in a thread in C++, up to 223 lines in
    all. The error of the save itself says everything in one line.
    """
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def print_thread_error(error: threading.ExceptHookArgs) -> None:
    """Print an error that ends a thread, but not one that the main thread reports.

    `workdir.writers` reports that a TensorBoard file cannot be written.
    """
    package = type(error.thread).__module__.partition(".")[0]
    if package != "tensorboardX" or not isinstance(error.exc_value, OSError):
        threading.__excepthook__(error)
