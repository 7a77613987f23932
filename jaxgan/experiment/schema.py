"""The fields of a config: one table; `rules.Field` says what its columns mean.

docs/code.md, "Add a config field", says how to add one. docs/config.md is generated
from this table.
"""

from jaxgan import data, optim, pixels
from jaxgan.data.datasets import FORMATS
from jaxgan.data.pairs import PAIR_FORMATS
from jaxgan.gans import GANS
from jaxgan.losses import ADVERSARIAL
from jaxgan.rules import (
    ABOVE_0,
    ANY,
    BELOW_1,
    CHANNELS,
    ONE_OR_MORE,
    SEED,
    TRUE_OR_FALSE,
    ZERO_OR_MORE,
    Choice,
    Field,
)

DATA_NAMES = ", ".join([*FORMATS, *(n for n in PAIR_FORMATS if n not in FORMATS)])


def optimizer_fields(player: str) -> list[Field]:
    """Return the fields of a player's optimizer."""
    start = f"optimizer.{player}."
    return [
        Field(f"{start}name", Choice(optim.NAMES), f"optimizer of the {player}"),
        Field(f"{start}learning_rate", ABOVE_0, "its initial learning rate"),
        Field(f"{start}b1", BELOW_1, "Adam's decay of the first moment"),
        Field(f"{start}b2", BELOW_1, "Adam's decay of the second moment"),
        Field(
            f"{start}constant_steps", ZERO_OR_MORE,
            "steps at the full rate, before the decay", "translation",
        ),
        Field(
            f"{start}decay_steps", ZERO_OR_MORE,
            "generator steps of the linear decay to rate 0; 0 = constant rate",
        ),
        Field(
            f"{start}constant_epochs", ZERO_OR_MORE, "constant_steps, given in epochs",
            "translation",
        ),
        Field(
            f"{start}decay_epochs", ZERO_OR_MORE, "decay_steps, given in epochs",
            "translation",
        ),
    ]  # fmt: skip


FIELDS: tuple[Field, ...] = (
    Field("gan.name", ANY, f"{', '.join(GANS)}, or module:attribute of your own GAN"),
    Field(
        "gan.latent", Choice(("normal", "uniform")),
        "distribution of the latents", "latent",
    ),
    Field("gan.latent_size", ONE_OR_MORE, "size of a latent vector", "latent"),
    Field(
        "gan.n_critic", ONE_OR_MORE, "critic steps for each generator step", "latent",
    ),
    Field(
        "gan.critic_start", TRUE_OR_FALSE,
        "100 critic steps for generator steps 0 to 24, 500, 1000, ...", "some",
        default=False,
    ),
    Field(
        "gan.adversarial", Choice(tuple(ADVERSARIAL)), "adversarial loss of a CycleGAN",
        "some",
    ),
    Field(
        "gan.cycle_weight_a", ZERO_OR_MORE, "weight of the cycle a -> b -> a",
        "some",
    ),
    Field(
        "gan.cycle_weight_b", ZERO_OR_MORE, "weight of the cycle b -> a -> b",
        "some",
    ),
    Field(
        "gan.identity_weight", ZERO_OR_MORE,
        "weight of the identity loss, relative to the cycle weights", "some",
    ),
    Field("gan.pool_size", ZERO_OR_MORE, "size of a domain's image pool", "some"),
    Field("gan.clip", ABOVE_0, "bound on each critic parameter", "some"),
    Field(
        "gan.clip_order", Choice(("after", "before")),
        "clip after or before the critic step", "some",
    ),
    Field(
        "gan.penalty", Choice(("gradient_penalty", "dragan", "r1")),
        "penalty on the critic's input gradients", "some",
    ),
    Field("gan.penalty_weight", ZERO_OR_MORE, "weight of the penalty", "some"),
    Field(
        "gan.penalty_target", ABOVE_0, "gradient norm at which the penalty is zero",
        "some", default=1.0,
    ),
    Field(
        "gan.penalty_one_sided", TRUE_OR_FALSE, "penalise only norms above the target",
        "some", default=False,
    ),
    Field(
        "gan.penalty_noise_variance", ABOVE_0, "variance of dragan's noise", "some",
        default=10.0,
    ),
    Field("gan.drift_weight", ZERO_OR_MORE, "weight of the drift, E D(x)^2", "some"),
    Field(
        "gan.conditional", TRUE_OR_FALSE, "train both networks with the labels", "some",
        default=False,
    ),
    Field(
        "gan.critic_classifier_weight", ZERO_OR_MORE,
        "weight of the classifier's loss on real examples", "some",
    ),
    Field(
        "gan.generator_classifier_weight", ZERO_OR_MORE,
        "weight of the classifier's loss on fakes", "some",
    ),
    Field(
        "gan.generator_batch_multiple", ONE_OR_MORE,
        "latents in a generator step for each example of a critic batch", "some",
    ),
    Field(
        "gan.ema_decay", BELOW_1,
        "decay of the generator's moving average; 0 keeps none",
    ),
    Field(
        "gan.sample_batch_norm", Choice(("batch", "running")),
        "statistics that BatchNorm uses for sampling", "latent",
    ),
    Field(
        "generator.name", ANY,
        "mlp, dcgan, dcgan_5x5, resnet32, resnet64; resnet_Nblocks, unet_S, unet",
    ),
    Field("generator.hidden", ANY, "widths of an MLP's hidden layers", "some"),
    Field(
        "generator.activation", ANY, "activation of an MLP: relu, leaky_relu", "some",
    ),
    Field(
        "generator.output", ANY,
        "last activation: tanh, sigmoid; linear only in an MLP", "some",
    ),
    Field(
        "generator.width", ANY, "base number of channels; layers have multiples of it",
        "some",
    ),
    Field("generator.norm", ANY, "normalisation: instance, batch, none", "some"),
    Field(
        "generator.padding", ANY, "padding of resnet_Nblocks: reflect, replicate, zero",
        "some",
    ),
    Field("generator.initializer", ANY, "distribution of the initial weights", "some"),
    Field("generator.gain", ANY, "scale of the initial weights", "some"),
    Field("generator.batch_norm", ANY, "whether dcgan has BatchNorm", "some"),
    Field("generator.extra_layers", ANY, "extra 3x3 convolutions in dcgan", "some"),
    Field(
        "generator.block", ANY, "block of resnet_Nblocks: residual, tutorial", "some",
    ),
    Field("generator.dropout", TRUE_OR_FALSE, "dropout while training", "translation"),
    Field(
        "generator.upsample", ANY, "how layers double the side: transposed, resize",
        "some",
    ),
    Field(
        "critic.name", ANY,
        "mlp, dcgan, dcgan_5x5, resnet32, resnet64; patch, pixel, tutorial",
    ),
    Field("critic.hidden", ANY, "widths of an MLP's hidden layers", "some"),
    Field("critic.activation", ANY, "activation of an MLP: relu, leaky_relu", "some"),
    Field(
        "critic.width", ANY, "base number of channels; layers have multiples of it",
        "some",
    ),
    Field("critic.norm", ANY, "normalisation: instance, batch, layer, none", "some"),
    Field("critic.num_layers", ANY, "number of stride-2 convolutions in patch", "some"),
    Field("critic.initializer", ANY, "distribution of the initial weights", "some"),
    Field("critic.gain", ANY, "scale of the initial weights", "some"),
    Field("critic.batch_norm", ANY, "whether dcgan has BatchNorm", "some"),
    Field("critic.extra_layers", ANY, "extra 3x3 convolutions in dcgan", "some"),
    *optimizer_fields("generator"),
    *optimizer_fields("critic"),
    Field("data.name", ANY, DATA_NAMES),
    Field(
        "data.batch_size", ONE_OR_MORE, "examples in a critic step, over all devices",
    ),
    Field(
        "data.value_range", Choice(pixels.VALUE_RANGES),
        "range of the pixels as floats", "latent",
    ),
    Field(
        "data.resize", ZERO_OR_MORE,
        "side that training images are resized to before the crop; 0 = as they are",
        "translation",
    ),
    Field("data.image_size", ZERO_OR_MORE, "side of the images; 0 = as they are"),
    Field("data.flip", TRUE_OR_FALSE, "mirror half of the crops", "translation"),
    Field("data.dir", ANY, "folder or file of the data, local or gs://", resume=True),
    Field(
        "data.dir_b", ANY, "folder of domain b, if data.dir is only that of a",
        "translation", resume=True,
    ),
    Field("data.channels", CHANNELS, "1 = gray, 3 = RGB, 0 = as in the data"),
    Field(
        "data.cache", Choice(data.CACHES), "where decoded images are kept", "latent",
        resume=True,
    ),
    Field(
        "data.cache", Choice(data.PAIR_CACHES), "where decoded images are kept",
        "translation", resume=True,
    ),
    Field("train.num_steps", ZERO_OR_MORE, "generator updates", resume=True),
    Field(
        "train.num_epochs", ZERO_OR_MORE, "num_steps, given in epochs", resume=True,
        default=0,
    ),
    Field(
        "train.log_steps", ONE_OR_MORE, "steps between two lines of metrics",
        resume=True,
    ),
    Field(
        "train.sample_steps", ZERO_OR_MORE,
        "steps between two pictures; 0 = only the last", resume=True,
    ),
    Field(
        "train.checkpoint_steps", ZERO_OR_MORE,
        "steps between two checkpoints; 0 = only the last", resume=True,
    ),
    Field(
        "train.keep_checkpoints", ONE_OR_MORE, "how many checkpoints are kept",
        resume=True,
    ),
    Field("train.seed", SEED, "seed of all random numbers"),
    Field(
        "train.precision", Choice(("float32", "tf32", "bfloat16")),
        "precision of matrix products; a penalty uses at least float32",
    ),
    Field(
        "train.steps_per_call", ONE_OR_MORE,
        "steps in one call of the compiled function", resume=True,
    ),
    Field(
        "train.accumulate_steps", ONE_OR_MORE,
        "micro-batches that a batch is split into, to save memory", default=1,
    ),
    Field(
        "train.deterministic", TRUE_OR_FALSE,
        "reproducible kernels on a GPU; CPU and TPU always have them",
    ),
    Field("train.init_from", ANY, "workdir, or weights, to start from"),
    Field(
        "parallel.devices", ZERO_OR_MORE,
        "devices in all processes; 0 = as many as divide the batch", resume=True,
    ),
    Field(
        "parallel.wait_seconds", ONE_OR_MORE, "seconds to wait for the other processes",
        resume=True, default=300,
    ),
    Field(
        "eval.heldout_examples", ONE_OR_MORE, "examples for the held-out metrics",
        resume=True,
    ),
)  # fmt: skip
