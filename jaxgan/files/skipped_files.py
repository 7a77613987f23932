"""What a search for images leaves out, and why, in words."""

import os
from collections import Counter
from collections.abc import Iterator

from jaxgan.errors import printable

# Reasons for leaving something out, in the order in which they are told.
UNREADABLE = "not readable"
OTHER_ENDING = "not named like images"
REPEATED = "found already by another path"
IN_TRAINING = "among the training images"
NO_FILE = "broken link or no regular file"
OF_RUN = "folder of a run"
HIDDEN = "hidden or made by the system"
REASONS = (UNREADABLE, OTHER_ENDING, REPEATED, IN_TRAINING, NO_FILE, OF_RUN, HIDDEN)
EXAMPLES_SHOWN = 3


def describe_skipped(skipped: dict[str, list[str]]) -> str:
    """Return what was left out of a search and why, in one line; '' for nothing."""
    parts = [
        f"{len(skipped[reason])} {reason} ({_examples(reason, skipped[reason])})"
        for reason in REASONS
        if reason in skipped
    ]
    return "; ".join(parts)


def _examples(reason: str, names: list[str]) -> str:
    if reason == OTHER_ENDING:
        texts = list(_count_endings(names))
    elif reason == HIDDEN:
        texts = list(dict.fromkeys(name.rpartition("/")[2] for name in names))
    else:
        texts = names
    more = ", ..." if len(texts) > EXAMPLES_SHOWN else ""
    return ", ".join(map(printable, texts[:EXAMPLES_SHOWN])) + more


def _count_endings(names: list[str]) -> Iterator[str]:
    endings = [os.path.splitext(name)[1].lower() for name in names]
    for ending, count in Counter(endings).most_common():
        yield f"{ending or 'no ending'} {count}"
