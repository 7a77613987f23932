"""Memory of this process, on the host or on an accelerator."""

import ctypes
import gc
import re
from pathlib import Path


def resident(field: str) -> float:
    """Return this process's VmRSS or VmHWM (its peak), in 10^9 bytes. Linux only."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{field}:\s*(\d+) kB", status)[0]) * 1024 / 1e9


def settled() -> float:
    """Give freed memory back, let the peak begin anew, and return what is resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def jax_peak() -> float | None:
    """Return the peak of JAX's arrays and work space on its accelerator, in 10^9 bytes.

    It is that of the whole process so far. None on a CPU.
    """
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    peak = stats.get("peak_bytes_in_use")
    return None if peak is None else peak / 1e9


def torch_peak() -> float | None:
    """Return the peak of PyTorch's tensors and work space on a GPU, in 10^9 bytes."""
    import torch

    on_gpu = torch.cuda.is_available()
    return torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None
