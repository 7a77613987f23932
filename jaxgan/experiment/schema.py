"""The fields of a config: one table; `rules.Field` says what its columns mean.

docs/code.md, "Add a config field", says how to add one. docs/config.md is generated
from this table.
"""

from jaxgan import data, optim, pixels
from jaxgan.data.datasets import FORMATS
from jaxgan.data.memory import LARGEST_SIDE
from jaxgan.data.pairs import PAIR_FORMATS
from jaxgan.gans import GANS
from jaxgan.losses import ADVERSARIAL
from jaxgan.models import latent, layers, translation
from jaxgan.models.latent import mlp
from jaxgan.models.translation import image_layers, resnet
from jaxgan.rules import (
    CHANNELS,
    DECAY,
    EXTRA_LAYERS,
    GAIN,
    LEARNING_RATE,
    NUM_LAYERS,
    PATH,
    POSITIVE,
    SEED,
    STEPS,
    STEPS_FROM_1,
    TEXT,
    TRUE_OR_FALSE,
    WEIGHT,
    WIDTH,
    WIDTHS,
    Choice,
    Field,
    whole,
)

LATENT, TRANSLATION = "GANs that draw from latents", "GANs that translate images"
NORMS = Choice(("instance", "batch", "layer", "none"))
INITIALIZERS = Choice((*mlp.INITIALIZERS, *image_layers.INITIALIZERS))
SIDE, COUNT = whole(0, LARGEST_SIDE), whole(1, 1_000_000)


def network_fields(player: str) -> list[Field]:
    """Return the fields that the networks of both players have."""
    return [
        Field(f"{player}.{name}", rule, help, "some")
        for name, rule, help in (
            ("hidden", WIDTHS, "widths of an MLP's hidden layers"),
            ("activation", Choice(tuple(layers.ACTIVATIONS)), "activation of an MLP"),
            ("width", WIDTH, "base number of channels; layers have multiples of it"),
            ("norm", NORMS, "normalisation; layer is only for critics of WGANs"),
            ("initializer", INITIALIZERS, "distribution of the initial weights"),
            ("gain", GAIN, "scale of the initial weights"),
            ("batch_norm", TRUE_OR_FALSE, "whether dcgan has BatchNorm"),
            ("extra_layers", EXTRA_LAYERS, "extra 3x3 convolutions in dcgan"),
        )
    ]


def optimizer_fields(player: str) -> list[Field]:
    """Return the fields of a player's optimizer."""
    start = f"optimizer.{player}."
    return [
        Field(f"{start}name", Choice(optim.NAMES), f"optimizer of the {player}"),
        Field(f"{start}learning_rate", LEARNING_RATE, "its initial learning rate"),
        Field(f"{start}b1", DECAY, "Adam's decay of the first moment"),
        Field(f"{start}b2", DECAY, "Adam's decay of the second moment"),
        Field(
            f"{start}constant_steps", STEPS,
            "steps at the full rate, before the decay", "translation",
        ),
        Field(
            f"{start}decay_steps", STEPS,
            "generator steps of the linear decay to rate 0; 0 = constant rate",
        ),
        *(
            Field(f"{start}{n}_epochs", STEPS, f"{n}_steps, in epochs", "translation")
            for n in ("constant", "decay")
        ),
    ]  # fmt: skip


FIELDS: tuple[Field, ...] = (
    # TEXT: `gans.find_gan` looks the name up, and imports a GAN of one's own.
    Field("gan.name", TEXT, f"{', '.join(GANS)}, or module:attribute of your own GAN"),
    Field(
        "gan.latent", Choice(("normal", "uniform")),
        "distribution of the latents", "latent",
    ),
    Field("gan.latent_size", WIDTH, "size of a latent vector", "latent"),
    Field(
        "gan.n_critic", whole(1, 10_000), "critic steps in a generator step", "latent",
    ),
    Field(
        "gan.critic_start", TRUE_OR_FALSE,
        "100 critic steps for generator steps 0 to 24, 500, 1000, ...", "latent",
        default=False,
    ),
    Field(
        "gan.adversarial", Choice(tuple(ADVERSARIAL)), "adversarial loss of a CycleGAN",
        "some",
    ),
    Field("gan.cycle_weight_a", WEIGHT, "weight of the cycle a -> b -> a", "some"),
    Field("gan.cycle_weight_b", WEIGHT, "weight of the cycle b -> a -> b", "some"),
    Field(
        "gan.identity_weight", WEIGHT,
        "weight of the identity loss, relative to the cycle weights", "some",
    ),
    Field("gan.pool_size", whole(0, 10**6), "size of a domain's image pool", "some"),
    Field("gan.clip", POSITIVE, "bound on each critic parameter", "some"),
    Field(
        "gan.clip_order", Choice(("after", "before")),
        "clip after or before the critic step", "some",
    ),
    Field(
        "gan.penalty", Choice(("gradient_penalty", "dragan", "r1")),
        "penalty on the critic's input gradients", "some",
    ),
    Field("gan.penalty_weight", WEIGHT, "weight of the penalty", "some"),
    Field(
        "gan.penalty_target", POSITIVE, "gradient norm at which the penalty is zero",
        "some", default=1.0,
    ),
    Field(
        "gan.penalty_one_sided", TRUE_OR_FALSE, "penalise only norms above the target",
        "some", default=False,
    ),
    Field(
        "gan.penalty_noise_variance", POSITIVE, "variance of dragan's noise", "some",
        default=10.0,
    ),
    Field("gan.drift_weight", WEIGHT, "weight of the drift, E D(x)^2", "some"),
    Field(
        "gan.conditional", TRUE_OR_FALSE, "train both networks with the labels",
        "latent", default=False,
    ),
    Field(
        "gan.critic_classifier_weight", WEIGHT,
        "weight of the classifier's loss on real examples", "some",
    ),
    Field(
        "gan.generator_classifier_weight", WEIGHT,
        "weight of the classifier's loss on fakes", "some",
    ),
    Field(
        "gan.generator_batch_multiple", whole(1, 1000),
        "latents in a generator step for each example of a critic batch", "some",
    ),
    Field(
        "gan.ema_decay", DECAY,
        "decay of the generator's moving average; 0 keeps none",
    ),
    Field(
        "gan.sample_batch_norm", Choice(("batch", "running")),
        "statistics that BatchNorm uses for sampling", "latent",
    ),
    Field(
        "generator.name", Choice(latent.GENERATORS, ("unet",), TRANSLATION),
        "network of the generator", "latent",
    ),
    # TEXT: a number is part of each name, and `models.translation` reads it.
    Field("generator.name", TEXT, "resnet_Nblocks, unet_S, unet", "translation"),
    *network_fields("generator"),
    Field(
        "generator.output", Choice(tuple(layers.OUTPUTS)),
        "last activation; linear only in an MLP", "some",
    ),
    Field(
        "generator.padding", Choice(tuple(image_layers.PADDINGS)),
        "padding of resnet_Nblocks", "some",
    ),
    Field("generator.block", Choice(resnet.BLOCKS), "block of resnet_Nblocks", "some"),
    Field("generator.dropout", TRUE_OR_FALSE, "dropout while training", "translation"),
    Field(
        "generator.upsample", Choice(image_layers.UPSAMPLINGS),
        "how layers double the side", "some",
    ),
    Field(
        "critic.name", Choice(latent.CRITICS, translation.CRITICS, TRANSLATION),
        "network of the critic", "latent",
    ),
    Field(
        "critic.name", Choice(translation.CRITICS, latent.CRITICS, LATENT),
        "network of the critic", "translation",
    ),
    *network_fields("critic"),
    Field("critic.num_layers", NUM_LAYERS, "stride-2 convolutions in patch", "some"),
    *optimizer_fields("generator"),
    *optimizer_fields("critic"),
    Field(
        "data.name", Choice(FORMATS, PAIR_FORMATS, TRANSLATION), "data set", "latent",
    ),
    Field(
        "data.name", Choice(PAIR_FORMATS, FORMATS, LATENT), "pair of domains",
        "translation",
    ),
    Field("data.batch_size", COUNT, "examples in a critic step, over all devices"),
    Field(
        "data.value_range", Choice(pixels.VALUE_RANGES),
        "range of the pixels as floats", "latent",
    ),
    Field(
        "data.resize", SIDE,
        "side that training images are resized to before the crop; 0 = as they are",
        "translation",
    ),
    Field("data.image_size", SIDE, "side of the images; 0 = as they are"),
    Field("data.flip", TRUE_OR_FALSE, "mirror half of the crops", "translation"),
    Field("data.dir", PATH, "folder or file of the data, local or gs://", resume=True),
    Field(
        "data.dir_b", PATH, "folder of domain b, if data.dir is only that of a",
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
    Field("train.num_steps", STEPS, "generator updates", resume=True),
    Field(
        "train.num_epochs", STEPS, "num_steps, given in epochs", resume=True,
        default=0,
    ),
    Field(
        "train.log_steps", STEPS_FROM_1, "steps between two lines of metrics",
        resume=True,
    ),
    Field(
        "train.sample_steps", STEPS,
        "steps between two pictures; 0 = only the last", resume=True,
    ),
    Field(
        "train.checkpoint_steps", STEPS,
        "steps between two checkpoints; 0 = only the last", resume=True,
    ),
    Field(
        "train.keep_checkpoints", STEPS_FROM_1, "how many checkpoints are kept",
        resume=True,
    ),
    Field("train.seed", SEED, "seed of all random numbers"),
    Field(
        "train.precision", Choice(("float32", "tf32", "bfloat16")),
        "precision of matrix products; a penalty uses at least float32",
    ),
    Field(
        "train.steps_per_call", COUNT,
        "most steps in a compiled call, which ends where output is due", resume=True,
    ),
    Field(
        "train.accumulate_steps", COUNT,
        "micro-batches that a batch is split into, to save memory", default=1,
    ),
    Field(
        "train.remat", TRUE_OR_FALSE, "compute layers again, to save memory",
        default=False,
    ),
    Field(
        "train.deterministic", TRUE_OR_FALSE,
        "reproducible kernels on a GPU; CPU and TPU always have them",
    ),
    Field("train.init_from", PATH, "workdir, or weights, to start from"),
    Field(
        "parallel.devices", whole(0, 1_000_000),
        "devices in all processes; 0 = as many as divide the batch", resume=True,
    ),
    Field(
        "parallel.wait_seconds", whole(1, 10_000_000),
        "seconds to wait for the other processes",
        resume=True, default=300,
    ),
    Field(
        "eval.heldout_examples", STEPS_FROM_1, "examples for the held-out metrics",
        resume=True,
    ),
)  # fmt: skip
