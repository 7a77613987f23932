"""The contents of a run's folder: metrics, samples, checkpoints and the lock."""
