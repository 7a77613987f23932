"""From a config to plain objects. Only this room and the flags know ConfigDict."""

from jaxgan.experiment.experiment import Experiment, build

__all__ = ["Experiment", "build"]
