"""Convolutions that are fast on a CPU. Other backends do not need this folder."""
