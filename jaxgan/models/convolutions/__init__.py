"""Convolutions that are fast on a CPU; without this folder only a CPU is slower."""
