"""What a run is fed with: batches to train on, and fixed examples to look at."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.data import Pair, PairPlan, Plan
from jaxgan.data.fingerprint import fingerprint
from jaxgan.experiment import build, previews
from jaxgan.types import Batch

NUM_SAMPLES, NUM_POINTS, NUM_TRANSLATIONS = 64, 512, 6  # of the pictures


class Feed(NamedTuple):
    """All that the loop knows of the data.

    Attributes:
        shape: of one example.
        num_classes: 0 without labels.
        plan: which examples make up a step.
        batches: calls -> their batches, one after another.
        heldout: the batch for `Gan.evaluate`.
        fixed: the batch for `Gan.sample`.
        picture: what `Gan.sample` returned for it -> uint8 [h, w, 1 | 3].
        about: the number of examples, in words.
        fingerprint: -> a digest of all examples, for processes to compare.
    """

    shape: tuple[int, ...]
    num_classes: int
    plan: Plan | PairPlan
    batches: Callable[[Iterable[range]], Iterator[Batch]]
    heldout: Batch
    fixed: Batch
    picture: Callable[[dict[str, Any]], np.ndarray]
    about: str
    fingerprint: Callable[[], str]


def feed(config: ConfigDict, process_index: int = 0, process_count: int = 1) -> Feed:
    """Return the feed of a config, its batches this process's share of each.

    Raises:
        UserError: the data is not usable.
    """
    share = {"process_index": process_index, "process_count": process_count}
    if config.gan.name == "cyclegan":
        return of_pair(config, build.pair(config), **share)
    return of_dataset(config, build.dataset(config), **share)


def of_dataset(config: ConfigDict, dataset: data.Dataset, **share: int) -> Feed:
    """Return the feed of a set of examples."""
    plan = build.plan(config, len(dataset.train))
    count = min(config.eval.heldout_examples, len(dataset.heldout))
    heldout = previews.stack(dataset.heldout, np.arange(count))
    count = NUM_POINTS if len(dataset.shape) == 1 else NUM_SAMPLES
    labels = previews.sample_labels(config, dataset.num_classes, count)

    def picture(drawn: dict[str, Any]) -> np.ndarray:
        samples, value_range = np.asarray(drawn["samples"]), config.data.value_range
        return previews.as_picture(samples, value_range, heldout["image"])

    return Feed(
        shape=dataset.shape,
        num_classes=dataset.num_classes,
        plan=plan,
        batches=lambda calls: data.batches(dataset.train, plan, calls, **share),
        heldout=heldout,
        fixed={"label": labels},
        picture=picture,
        about=f"{len(dataset.train):,} training and {len(dataset.heldout):,} held-out "
        f"examples of shape {dataset.shape}",
        fingerprint=lambda: fingerprint(dataset),
    )


def of_pair(config: ConfigDict, pair: Pair, **share: int) -> Feed:
    """Return the feed of two unpaired domains."""
    plan = build.pair_plan(config, pair)
    heldout = previews.heldout_pair(pair, config.eval.heldout_examples)
    fixed = previews.heldout_pair(pair, NUM_TRANSLATIONS)
    sizes = [len(pair.train_a), len(pair.train_b)]
    sizes += [len(pair.heldout_a), len(pair.heldout_b)]
    return Feed(
        shape=pair.shape,
        num_classes=0,
        plan=plan,
        batches=lambda calls: data.pair_batches(pair, plan, calls, **share),
        heldout=heldout,
        fixed=fixed,
        picture=lambda drawn: previews.rows(fixed, drawn),
        about="{:,} and {:,} training, {:,} and {:,} held-out images of domains a and b"
        ", of shape {}".format(*sizes, pair.shape),
        fingerprint=lambda: fingerprint(pair),
    )
