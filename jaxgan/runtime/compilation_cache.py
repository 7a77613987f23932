"""Compiled programs are kept between runs, in a folder of this user's.

JAX reads and writes them. Here is only what JAX leaves to its caller: which folder,
how large it may grow, and that no failure of a cache is worth a word.
"""

import glob
import hashlib
import os
import platform
import re
import shutil
import tempfile
import warnings
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from jaxgan.runtime.user_folders import cache_folder

# JAX's own variables. What the user has set is left alone. And with
# JAX_ENABLE_COMPILATION_CACHE=false, JAX keeps nothing in any folder.
FOLDER = "JAX_COMPILATION_CACHE_DIR"
LEAST_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
# A program that was compiled in less time than this is not kept. JAX's 1 second leaves
# out most of a small run's programs: the second start of the default WGAN-GP is slower.
LEAST_COMPILE_SECONDS = "0.1"
# JAX can bound the size itself, but it then waits 10 s for a lock that another process
# holds, and after a process was killed between two writes it stores nothing any more.
MOST_BYTES = 2 * 2**30
# With less than this free, a program could be written in part.
LEAST_FREE_BYTES = 2**28
# JAX's warning, by the name of a program such as `jit_steps`.
FAILED = re.compile(
    "Error (?P<verb>reading|writing) persistent compilation cache entry for "
    "'(?P<name>[^']+)'"
)
# What tells one kind of CPU from another in /proc/cpuinfo, on x86 and on ARM.
CPU_KEYS = {
    "vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features",
}  # fmt: skip


def enable() -> None:
    """Have JAX keep compiled programs; call it before JAX is imported.

    If the folder cannot be used, nothing is kept and nothing is said.
    """
    base = cache_folder()
    if FOLDER in os.environ or base is None:
        drop_warnings(None)
        return
    folder = base / "compiled" / machine_name()
    drop_warnings(folder)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # on a GPU, XLA fails if it cannot write there
        if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
            return
        delete_oldest(folder.parent, MOST_BYTES)
        os.environ[FOLDER] = str(folder.absolute())
        os.environ.setdefault(LEAST_SECONDS, LEAST_COMPILE_SECONDS)


def drop_warnings(folder: Path | None) -> None:
    """Print none of JAX's warnings that a program could not be read or written.

    JAX then compiles it, and that is all. But it does not replace a damaged file, such
    as a power failure leaves. So the files of that program's name are deleted, if they
    are in `folder`.
    """
    show = warnings.showwarning

    def delete_or_show(message: Any, *details: Any, **more: Any) -> None:
        failed = FAILED.match(str(message))
        if not failed:
            show(message, *details, **more)
        elif failed["verb"] == "reading" and folder is not None:
            for path in folder.glob(f"{glob.escape(failed['name'])}-*-cache"):
                path.unlink(missing_ok=True)

    warnings.filterwarnings("always", FAILED.pattern)
    warnings.showwarning = delete_or_show


def machine_name(cpu: Path = Path("/proc/cpuinfo")) -> str:
    """Return the name of a folder for the programs of this machine and JAX.

    Programs for a CPU use the instructions that it has: on another one they could be
    slow or end the process. And XLA divides the work among the cores when it compiles,
    so that results may depend on their number.

    Args:
        cpu: the file in which Linux describes the CPU.
    """
    try:
        lines = cpu.read_text(errors="replace").partition("\n\n")[0].splitlines()
        pairs = [line.partition(":") for line in lines]  # of the first core
        facts = [f"{k.strip()}:{v}" for k, _, v in pairs if k.strip() in CPU_KEYS]
    except OSError:
        facts = [platform.machine(), platform.processor()]
    facts.append(str(number_of_cores()))
    version = metadata.version("jaxlib")
    return f"{version}-{hashlib.sha256('|'.join(facts).encode()).hexdigest()[:16]}"


def number_of_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def delete_oldest(folder: Path, most_bytes: int) -> None:
    """Delete the programs used longest ago until all take at most `most_bytes`.

    A file's time of access may lag behind by a day, which is near enough.
    """
    files = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process may have deleted it
            about = path.stat()
            if path.is_file():
                files.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= most_bytes:
            return
        with suppress(OSError):
            path.unlink()
        total -= size
