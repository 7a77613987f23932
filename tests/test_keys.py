"""Keys: by example of the global batch, never by device."""

import jax
import numpy as np

from jaxgan import keys

KEY = jax.random.key(3)


def draw(index, purpose=keys.LATENTS):
    return keys.draw_per_example(jax.random.normal, KEY, purpose, index)


def test_draws_on_eight_devices_are_those_of_one():
    index = np.arange(16)
    mapped = jax.pmap(draw)(index.reshape(8, 2))
    np.testing.assert_array_equal(np.ravel(mapped), draw(index))


def test_a_larger_batch_begins_with_the_draws_of_a_smaller_one():
    small, large = draw(np.arange(4)), draw(np.arange(9))
    np.testing.assert_array_equal(small, large[:4])


def test_purposes_and_examples_differ():
    draws = [
        float(value) for purpose in range(5) for value in draw(np.arange(4), purpose)
    ]
    assert len(set(draws)) == 20


def test_keys_of_the_run_are_not_keys_of_a_step():
    """Steps fold in 0, 1, 2, ...; the rest lies beyond any int32 step."""
    for number in (keys.INIT, keys.SAMPLES, keys.HELDOUT):
        assert number > 2**31 - 1
        jax.random.fold_in(KEY, number)
