"""Experiments, read from configs. Only this package and `cli` use ConfigDict."""

from jaxgan.experiment.experiment import Experiment, build

__all__ = ["Experiment", "build"]
