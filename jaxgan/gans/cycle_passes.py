"""The passes of both generators in a step of CycleGAN."""

import jax
import jax.numpy as jnp

from jaxgan import keys
from jaxgan.gans.domains import Domains
from jaxgan.types import Array, Key, PyTree

# A pass: the generator, the images that it gets, and the name of those that it makes.
# The order is the official code's.
CYCLE_PASSES = (
    ("a2b", "a", "fake_b"),
    ("b2a", "fake_b", "cycled_a"),
    ("b2a", "b", "fake_a"),
    ("a2b", "fake_a", "cycled_b"),
)
IDENTITY_PASSES = (("a2b", "b", "same_b"), ("b2a", "a", "same_a"))


def translate_in_cycles(
    domains: Domains,
    variables: PyTree,
    images: dict[str, Array],
    *,
    identity: bool,
    dropout_key: Key,
    index: Array,
) -> tuple[dict[str, Array], PyTree]:
    """Return all images of a step, and the generators' new running statistics.

    Args:
        domains: the networks.
        variables: 'params' and 'batch_stats' of both generators, by name.
        images: real images 'a' and 'b' [b, h, w, c].
        identity: whether to make `same_a` and `same_b`. They are a third of the work.
        dropout_key: of this step.
        index: numbers int32 [b] of the examples in the global batch.

    Returns:
        {'a', 'b', 'fake_b', 'cycled_a', 'fake_a', 'cycled_b'}, with `identity` also
        'same_b' and 'same_a', each [b, h, w, c].
    """
    passes = CYCLE_PASSES + (IDENTITY_PASSES if identity else ())
    together: list[tuple[int, ...]] = [(number,) for number in range(len(passes))]
    if identity and takes_both_domains(domains, variables["batch_stats"]):
        together = [(0, 4), (2, 5), (1,), (3,)]
    for numbers in together:
        name = passes[numbers[0]][0]
        inputs = [images[passes[number][1]] for number in numbers]
        drops = None
        if domains.dropout:
            # A key for each pass: with one key for all passes they would drop the same
            # features.
            pass_keys = [jax.random.fold_in(dropout_key, number) for number in numbers]
            drops = join([keys.example_keys(key, index) for key in pass_keys])
        outputs, stats = domains.translate(variables, name, join(inputs), True, drops)
        variables = variables | {"batch_stats": stats}
        made = jnp.split(outputs, len(numbers))
        images = images | {passes[n][2]: x for n, x in zip(numbers, made, strict=True)}
    return images, variables["batch_stats"]


def takes_both_domains(domains: Domains, batch_stats: PyTree) -> bool:
    """Return whether a generator takes the images of both domains in one pass."""
    # BatchNorm normalises each pass by its own statistics, and each pass updates the
    # running ones, so that another order would give others. Every other norm leaves an
    # example to itself.
    has_batch_norm = bool(jax.tree.leaves(batch_stats))
    # `remat` is for less memory: a pass over twice as many images has twice the layers.
    # By reasoning, a GPU gains from fewer and larger kernels (nobody has measured it).
    # A CPU does not: one step took 3 % more processor time (64x64, 6 blocks, batch 4),
    # and 25 % more memory, because the layers of the identity pass are then needed for
    # as long as those of the cycle (256x256, 9 blocks, batch 1).
    on_cpu = jax.default_backend() == "cpu"
    return not (has_batch_norm or domains.remat or on_cpu)


def join(arrays: list[Array]) -> Array:
    """Return arrays [b, ...] as one [n b, ...]; a single one as it is."""
    return jnp.concatenate(arrays) if len(arrays) > 1 else arrays[0]
