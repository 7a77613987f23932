"""Convolutions fast on CPUs, and with few channels on GPUs; not needed elsewhere."""
