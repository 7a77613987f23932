"""Sources of examples that tests watch."""

import numpy as np


class Recorder:
    """A source that is not in memory, and remembers which examples were read."""

    def __init__(self, num, shape=(1, 1, 1)):
        self.num, self.shape, self.read = num, shape, []

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        self.read.append(index)
        return {
            "image": np.full(self.shape, index % 256, np.uint8),
            "label": np.int32(index),
        }
