"""Why a run may have failed: the value in its config that no recipe comes near."""

import math

from jaxgan.experiment.experiment import Experiment
from jaxgan.experiment.values import section
from jaxgan.gans import find_gan

# The largest values in the recipes in configs/, of the fields whose larger values make
# losses grow. Two are not the recipes': Progressive GAN's drift (arXiv 1710.10196,
# appendix A.1), and the gain of PyTorch's orthogonal initialiser.
LARGEST_IN_RECIPES = {
    "optimizer.generator.learning_rate": 1e-3,
    "optimizer.critic.learning_rate": 1e-3,
    "gan.penalty_weight": 10.0,
    "gan.penalty_noise_variance": 10.0,
    "gan.drift_weight": 1e-3,
    "gan.clip": 0.1,
    "gan.cycle_weight_a": 10.0,
    "gan.cycle_weight_b": 10.0,
    "gan.identity_weight": 0.5,
    "gan.critic_classifier_weight": 1.0,
    "gan.generator_classifier_weight": 0.1,
    "generator.gain": 1.0,
    "critic.gain": 1.0,
}
# And the smallest values, of the fields that something is divided by.
SMALLEST_IN_RECIPES = {"gan.penalty_target": 1.0}
# How many times a value is beyond the recipes' before it counts as the likely reason.
FAR = 10


def likely_reason(experiment: Experiment) -> str:
    """Return which value may have made a loss infinite or NaN, in words; '' for none.

    It is the value that is farthest from the recipes', if that is FAR times as large;
    else a precision below float32. This is a guess: nothing is computed.
    """
    values = experiment.values
    unused = _unused_fields(experiment)
    ratios = {
        name: values[name] / most
        for name, most in LARGEST_IN_RECIPES.items()
        if name in values and name not in unused
    } | {
        name: least / values[name]
        for name, least in SMALLEST_IN_RECIPES.items()
        if name in values and name not in unused
    }
    name = max(ratios, key=lambda name: ratios[name])
    # The quotient of 0.01 and 0.001 is a little below 10.
    if ratios[name] > FAR or math.isclose(ratios[name], FAR):
        recipes = LARGEST_IN_RECIPES | SMALLEST_IN_RECIPES
        bound = "most" if name in LARGEST_IN_RECIPES else "least"
        return (
            f"likely because of {name} = {values[name]:g} (the recipes have at {bound} "
            f"{recipes[name]:g})"
        )
    if experiment.precision != "float32":
        return f"perhaps because of train.precision = {experiment.precision}"
    return ""


def _unused_fields(experiment: Experiment) -> set[str]:
    """Return the fields that this GAN has, but does not use with its other values."""
    gan = section(experiment.values, "gan")
    if find_gan(experiment.gan_name).is_penalised(gan):
        return {"gan.clip"}
    penalty = {f"gan.{name}" for name in gan if name.startswith("penalty")}
    clips = gan["adversarial"] == "wasserstein" if "adversarial" in gan else True
    return penalty if clips else penalty | {"gan.clip"}
