"""Data sets, the order of their examples, and batches. Does not know JAX."""

from jaxgan.data.datasets import CACHES, load
from jaxgan.data.loader import batches, crop_batches, index_batches, pair_batches
from jaxgan.data.pairs import PAIR_CACHES, Pair, load_pair
from jaxgan.data.plan import PairPlan, Plan, call_length, calls
from jaxgan.data.sources import ArraySource, Dataset, Source

__all__ = [
    "CACHES", "PAIR_CACHES", "ArraySource", "Dataset", "Pair", "PairPlan", "Plan",
    "Source", "batches", "call_length", "calls", "crop_batches", "index_batches",
    "load", "load_pair", "pair_batches",
]  # fmt: skip
