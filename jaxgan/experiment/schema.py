"""Checks of a config: all fields at once, each problem `field = value: reason`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxgan import data, optim, pixels
from jaxgan.errors import UserError, nearest
from jaxgan.experiment.variants import flatten
from jaxgan.gans.cyclegan import ADVERSARIAL

# A field that the config of each GAN has and the others' have not.
OWN_FIELDS = {
    "wgan": "gan.clip_order",
    "wgan_gp": "gan.drift_weight",
    "cyclegan": "gan.pool_size",
}

CHOICES = {
    "gan.name": tuple(OWN_FIELDS),
    "gan.latent": ("normal", "uniform"),
    "gan.clip_order": ("after", "before"),
    "gan.penalty": ("gradient_penalty", "dragan", "r1"),
    "gan.adversarial": tuple(ADVERSARIAL),
    "gan.sample_batch_norm": ("batch", "running"),
    "optimizer.generator.name": optim.NAMES,
    "optimizer.critic.name": optim.NAMES,
    "data.value_range": pixels.VALUE_RANGES,
    "train.precision": ("float32", "tf32", "bfloat16"),
}
AT_LEAST_ONE = (
    "gan.latent_size",
    "gan.n_critic",
    "gan.generator_batch_multiple",
    "data.batch_size",
    "train.log_steps",
    "train.keep_checkpoints",
    "train.steps_per_call",
    "train.accumulate_steps",
    "parallel.wait_seconds",
    "eval.heldout_examples",
)
REQUIRED = {
    "gan": "name ema_decay",
    "generator": "name",
    "critic": "name",
    "optimizer.generator": "name learning_rate b1 b2 decay_steps",
    "optimizer.critic": "name learning_rate b1 b2 decay_steps",
    "data": "name dir image_size channels batch_size cache",
    "train": "num_steps num_epochs log_steps sample_steps checkpoint_steps "
    "keep_checkpoints seed precision steps_per_call accumulate_steps deterministic "
    "init_from",
    "parallel": "devices wait_seconds",
    "eval": "heldout_examples",
}
WGAN_REQUIRED = {
    "gan": "latent latent_size n_critic sample_batch_norm",
    "data": "value_range",
}
SCHEDULE = "constant_steps constant_epochs decay_epochs"
CYCLEGAN_REQUIRED = {
    "gan": "adversarial cycle_weight_a cycle_weight_b identity_weight pool_size clip "
    "penalty penalty_weight penalty_target penalty_one_sided penalty_noise_variance",
    "generator": "dropout",
    "optimizer.generator": SCHEDULE,
    "optimizer.critic": SCHEDULE,
    "data": "dir_b resize flip",
}
POSITIVE = (
    "gan.clip",
    "gan.penalty_target",
    "gan.penalty_noise_variance",
    "optimizer.generator.learning_rate",
    "optimizer.critic.learning_rate",
)
NOT_NEGATIVE = (
    "gan.penalty_weight",
    "gan.drift_weight",
    "gan.critic_classifier_weight",
    "gan.generator_classifier_weight",
    "gan.cycle_weight_a",
    "gan.cycle_weight_b",
    "gan.identity_weight",
    "gan.pool_size",
    *(
        f"optimizer.{player}.{part}_{unit}"
        for player in ("generator", "critic")
        for part in ("constant", "decay")
        for unit in ("steps", "epochs")
    ),
    "data.image_size",
    "data.resize",
    "train.num_steps",
    "train.num_epochs",
    "train.sample_steps",
    "train.checkpoint_steps",
    "train.seed",
    "parallel.devices",
)
BELOW_ONE = (
    "gan.ema_decay",
    "optimizer.generator.b1",
    "optimizer.generator.b2",
    "optimizer.critic.b1",
    "optimizer.critic.b2",
)


def required(name: str) -> list[str]:
    """Return the fields that the config of a GAN must have."""
    own = CYCLEGAN_REQUIRED if name == "cyclegan" else WGAN_REQUIRED
    return [
        f"{section}.{field}"
        for fields in (REQUIRED, own)
        for section, names in fields.items()
        for field in names.split()
    ]


def check(config: ConfigDict) -> None:
    """Raise UserError naming every field whose value is out of range."""
    fields = flatten(config)
    own = OWN_FIELDS.get(fields.get("gan.name", ""))
    if own is not None and own not in fields:
        name = fields["gan.name"]
        raise UserError(f"gan.name = {name}: no {own} here; use its own config")
    wanted = required(fields.get("gan.name", ""))
    missing = [f"{name}: missing" for name in wanted if name not in fields]
    problems = missing or list(problems_of(fields))
    if problems:
        raise UserError("; ".join(problems))


def problems_of(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield `field = value: reason` for each field that is wrong."""

    def wrong(names: Iterable[str], bad: Any, reason: str) -> Iterator[str]:
        for name in names:
            if name in fields and bad(fields[name]):
                yield f"{name} = {fields[name]}: {reason}"

    cyclegan = fields["gan.name"] == "cyclegan"
    caches = data.PAIR_CACHES if cyclegan else data.CACHES
    for name, valid in (CHOICES | {"data.cache": caches}).items():
        if name in fields and fields[name] not in valid:
            hint = nearest(str(fields[name]), valid)
            yield f"{name} = {fields[name]}: unknown; {hint}"
    # Written as `not (x > 0)` so that NaN is refused as well.
    yield from wrong(AT_LEAST_ONE, lambda x: not x >= 1, "must be 1 or more")
    yield from wrong(POSITIVE, lambda x: not x > 0, "must be above 0")
    yield from wrong(NOT_NEGATIVE, lambda x: not x >= 0, "must be 0 or more")
    yield from wrong(BELOW_ONE, lambda x: not 0 <= x < 1, "must be in [0, 1)")
    yield from wrong(
        ["data.channels"],
        lambda x: x not in (0, 1, 3),
        "must be 1, 3, or 0 for as many as the data has",
    )
    yield from wrong(["train.seed"], lambda x: x >= 2**31, "must be below 2^31")
    if "wgan_gp" in (fields["gan.name"], fields.get("gan.adversarial")):
        yield from wrong(
            ("critic.norm", "critic.batch_norm"),
            lambda x: x in ("batch", True),
            "a penalised critic must not mix the examples of a batch (WGAN-GP, "
            "section 4); use no norm or layer norm",
        )
    yield from epochs_or_steps(fields)
    # A call must not be longer than the distance between two events of the loop.
    for event in ("log_steps", "sample_steps", "checkpoint_steps"):
        steps, call = fields[f"train.{event}"], fields["train.steps_per_call"]
        if steps and call > 1 and steps % call:
            yield (
                f"train.{event} = {steps}: must be a multiple of "
                f"train.steps_per_call = {call}"
            )


def epochs_or_steps(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield a problem for each length that is given twice, or not at all."""
    steps, epochs = fields["train.num_steps"], fields["train.num_epochs"]
    if steps and epochs:
        yield (
            f"train.num_epochs = {epochs}: train.num_steps = {steps} is given too; set "
            "one of them to 0"
        )
    if not steps and not epochs:
        yield "train.num_steps = 0: must be 1 or more, or train.num_epochs be given"
    for player in ("generator", "critic"):
        name = f"optimizer.{player}."
        in_units = [
            any(fields.get(f"{name}{part}_{unit}") for part in ("constant", "decay"))
            for unit in ("steps", "epochs")
        ]
        if all(in_units):
            yield (
                f"{name}decay_epochs = {fields[name + 'decay_epochs']}: constant and "
                "decay are given in steps and in epochs; set one kind to 0"
            )
