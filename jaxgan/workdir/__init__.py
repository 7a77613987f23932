"""All that a run keeps in its folder: metrics, samples, checkpoints, the lock."""
