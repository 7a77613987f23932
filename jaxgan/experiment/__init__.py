"""From a config to plain objects. Only this package and `cli` know ConfigDict."""

from jaxgan.experiment.experiment import Experiment, build

__all__ = ["Experiment", "build"]
