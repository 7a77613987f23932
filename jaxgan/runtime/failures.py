"""Failures of the machine, told by what JAX, numpy and Python raise."""

import errno

# Parts of messages: XLA's for the host and GPUs, for TPUs, and CUDA's own.
MEMORY_WORDS = "RESOURCE_EXHAUSTED", "Out of memory", "CUDA_ERROR_OUT_OF_MEMORY"
# XLA's messages may have pages on the buffers that it wanted to allocate.
MOST_LETTERS = 200


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is not enough memory."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = any(word in str(error) for word in MEMORY_WORDS)
    return isinstance(error, MemoryError) or words


def is_missing_backend(error: BaseException) -> bool:
    """Return whether the reason for an error is that JAX cannot use its devices."""
    if "nable to initialize backend" in str(error):
        return True
    if not isinstance(error, AssertionError):
        return False
    # For JAX_PLATFORMS=cuda without a GPU, JAX raises an AssertionError that says
    # nothing. It does so again whenever it is asked for its devices.
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError):
        return True
    return False


def is_out_of_threads(error: BaseException) -> bool:
    """Return whether an error says that Python could start no more threads."""
    return "can't start new thread" in str(error)


def describe(error: BaseException) -> str:
    """Return the first sentence of an error's message, cut to MOST_LETTERS."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."
