"""Keys: by example of the global batch, never by device."""

import jax
import numpy as np

from jaxgan import keys

KEY = jax.random.key(3)


def test_draws_on_eight_devices_are_those_of_one():
    def draw(axis_name=None, count=16):
        return keys.draw(jax.random.normal, KEY, keys.LATENTS, count, axis_name)

    mapped = jax.pmap(lambda _: draw("device", 2), axis_name="device")(np.arange(8))
    np.testing.assert_array_equal(np.ravel(mapped), draw())


def test_a_larger_batch_begins_with_the_draws_of_a_smaller_one():
    small = keys.draw(jax.random.normal, KEY, keys.LATENTS, 4)
    large = keys.draw(jax.random.normal, KEY, keys.LATENTS, 9)
    np.testing.assert_array_equal(small, large[:4])


def test_purposes_and_examples_differ():
    draws = [
        float(value)
        for purpose in range(5)
        for value in keys.draw(jax.random.normal, KEY, purpose, 4)
    ]
    assert len(set(draws)) == 20


def test_keys_of_the_run_are_not_keys_of_a_step():
    """Steps fold in 0, 1, 2, ...; the rest lies beyond any int32 step."""
    for number in (keys.INIT, keys.SAMPLES, keys.HELDOUT):
        assert number > 2**31 - 1
        jax.random.fold_in(KEY, number)
