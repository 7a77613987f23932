"""The fields of a config: one table, with a rule and a line of help for each.

docs/config.md is this table; a test says how to write it anew.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxgan import data, optim, pixels
from jaxgan.experiment.rules import (
    ANY,
    BELOW_ONE,
    CHANNELS,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    POSITIVE,
    SEED,
    Choice,
    Rule,
)
from jaxgan.gans import GANS
from jaxgan.gans.cyclegan import ADVERSARIAL

Values = Mapping[str, Any]  # {'section.field': value}
REQUIRED = object()  # stands for: the config must have the field


class Field(NamedTuple):
    """One field.

    Attributes:
        name: 'section.field'.
        rule: what its value must be.
        help: one line.
        of: whose configs have it: 'all', the family 'latent' or 'translation', or
            'some' for fields of single GANs (`Kind.fields`) and single networks.
        resume: whether it may differ when a run is resumed, because it changes neither
            the model, nor the data, nor the updates.
        default: its value where a config lacks it: one that is older than the field, or
            of a GAN that has no such field.
    """

    name: str
    rule: Rule | Choice
    help: str
    of: str = "all"
    resume: bool = False
    default: Any = REQUIRED


def player_fields(player: str) -> list[Field]:
    """Return the fields of a player's optimizer."""
    section = f"optimizer.{player}"

    def schedule(name: str, text: str, of: str = "translation") -> Field:
        return Field(f"{section}.{name}", NOT_NEGATIVE, text, of)

    return [
        Field(f"{section}.name", Choice(optim.NAMES), "the optimizer"),
        Field(f"{section}.learning_rate", POSITIVE, "its learning rate at the start"),
        Field(f"{section}.b1", BELOW_ONE, "Adam's decay of the first moment"),
        Field(f"{section}.b2", BELOW_ONE, "Adam's decay of the second moment"),
        schedule("constant_steps", "steps at the full rate, before the decay"),
        schedule("decay_steps", "generator steps to rate 0; 0 = constant", "all"),
        schedule("constant_epochs", "instead of constant_steps, in epochs"),
        schedule("decay_epochs", "instead of decay_steps, in epochs"),
    ]


FIELDS: tuple[Field, ...] = (
    Field("gan.name", ANY, f"{', '.join(GANS)}, or module:attribute of your own"),
    Field("gan.latent", Choice(("normal", "uniform")), "N(0, 1) or U[-1, 1]", "latent"),
    Field("gan.latent_size", ONE_OR_MORE, "numbers in one latent", "latent"),
    Field("gan.n_critic", ONE_OR_MORE, "critic steps for a generator step", "latent"),
    Field(
        "gan.critic_start", ANY, "100 critic steps for generator steps 0 to 24, "
        "500, 1000, ...", "some", default=False,
    ),
    Field("gan.adversarial", Choice(tuple(ADVERSARIAL)), "adversarial loss", "some"),
    Field("gan.cycle_weight_a", NOT_NEGATIVE, "of the cycle a -> b -> a", "some"),
    Field("gan.cycle_weight_b", NOT_NEGATIVE, "of the cycle b -> a -> b", "some"),
    Field(
        "gan.identity_weight", NOT_NEGATIVE, "of the identity loss, relative to the "
        "cycle weights", "some",
    ),
    Field("gan.pool_size", NOT_NEGATIVE, "earlier fakes kept for a domain", "some"),
    Field("gan.clip", POSITIVE, "bound of the critic's parameters", "some"),
    Field("gan.clip_order", Choice(("after", "before")), "the critic step", "some"),
    Field(
        "gan.penalty", Choice(("gradient_penalty", "dragan", "r1")), "on the critic's "
        "input gradients", "some",
    ),
    Field("gan.penalty_weight", NOT_NEGATIVE, "of the penalty", "some"),
    Field("gan.penalty_target", POSITIVE, "norm that the penalty asks for", "some"),
    Field(
        "gan.penalty_one_sided", ANY, "whether only norms above the target count",
        "some",
    ),
    Field("gan.penalty_noise_variance", POSITIVE, "of dragan's noise", "some"),
    Field("gan.drift_weight", NOT_NEGATIVE, "of E D(x)^2", "some"),
    Field(
        "gan.conditional", ANY, "whether both networks use the labels", "some",
        default=False,
    ),
    Field(
        "gan.critic_classifier_weight", NOT_NEGATIVE, "of its cross-entropy, with "
        "labels", "some",
    ),
    Field(
        "gan.generator_classifier_weight", NOT_NEGATIVE, "of its cross-entropy, with "
        "labels", "some",
    ),
    Field(
        "gan.generator_batch_multiple", ONE_OR_MORE, "latents of a generator step for "
        "each example of a batch", "some",
    ),
    Field("gan.ema_decay", BELOW_ONE, "of the generator's moving average; 0 = none"),
    Field(
        "gan.sample_batch_norm", Choice(("batch", "running")), "BatchNorm's statistics "
        "at sampling", "latent",
    ),
    Field(
        "generator.name", ANY, "mlp, dcgan, dcgan_5x5, resnet32, resnet64; "
        "resnet_Nblocks, unet_S, unet",
    ),
    Field("generator.hidden", ANY, "widths of an MLP's hidden layers", "some"),
    Field("generator.activation", ANY, "of an MLP: relu, leaky_relu", "some"),
    Field("generator.output", ANY, "tanh, sigmoid; of an MLP also linear", "some"),
    Field("generator.width", ANY, "channels that all others are multiples of", "some"),
    Field("generator.norm", ANY, "instance, batch, none", "some"),
    Field("generator.batch_norm", ANY, "of dcgan: whether it has BatchNorm", "some"),
    Field("generator.extra_layers", ANY, "of dcgan: more 3x3 convolutions", "some"),
    Field("generator.padding", ANY, "of resnet_N: reflect, replicate, zero", "some"),
    Field("generator.block", ANY, "of resnet_N: residual, tutorial", "some"),
    Field(
        "generator.dropout", ANY, "whether it has dropout while training",
        "translation",
    ),
    Field("generator.upsample", ANY, "transposed, resize", "some"),
    Field("generator.initializer", ANY, "how the weights are drawn at first", "some"),
    Field("generator.gain", ANY, "scale of the first weights", "some"),
    Field("critic.name", ANY, "as the generator's; patch, pixel, tutorial"),
    Field("critic.hidden", ANY, "widths of an MLP's hidden layers", "some"),
    Field("critic.activation", ANY, "of an MLP: relu, leaky_relu", "some"),
    Field("critic.width", ANY, "channels that all others are multiples of", "some"),
    Field("critic.norm", ANY, "instance, batch, layer, none", "some"),
    Field("critic.batch_norm", ANY, "of dcgan: whether it has BatchNorm", "some"),
    Field("critic.extra_layers", ANY, "of dcgan: more 3x3 convolutions", "some"),
    Field("critic.num_layers", ANY, "of patch: stride-2 convolutions", "some"),
    Field("critic.initializer", ANY, "how the weights are drawn at first", "some"),
    Field("critic.gain", ANY, "scale of the first weights", "some"),
    *player_fields("generator"),
    *player_fields("critic"),
    Field("data.name", ANY, "the set: embedded, idx, folder, npz, tfds:NAME"),
    Field("data.dir", ANY, "its folder or file, local or gs://", resume=True),
    Field(
        "data.dir_b", ANY, "folder of domain b, where data.dir is that of domain a",
        "translation", resume=True,
    ),
    Field(
        "data.resize", NOT_NEGATIVE, "side that training images are brought to before "
        "the crop; 0 = none", "translation",
    ),
    Field("data.image_size", NOT_NEGATIVE, "side of the images; 0 = as they are"),
    Field("data.channels", CHANNELS, "1 gray, 3 RGB, 0 as the data has them"),
    Field("data.batch_size", ONE_OR_MORE, "examples of a step, over all devices"),
    Field(
        "data.value_range", Choice(pixels.VALUE_RANGES), "[-1, 1], [0, 1], or [-1, 1) "
        "with noise", "latent",
    ),
    Field("data.flip", ANY, "whether half of the crops are mirrored", "translation"),
    Field(
        "data.cache", Choice(data.CACHES), "where decoded images are kept", "latent",
        resume=True,
    ),
    Field(
        "data.cache", Choice(data.PAIR_CACHES), "where decoded images are kept",
        "translation", resume=True,
    ),
    Field("train.num_steps", NOT_NEGATIVE, "generator updates", resume=True),
    Field("train.num_epochs", NOT_NEGATIVE, "instead of num_steps", resume=True),
    Field("train.log_steps", ONE_OR_MORE, "steps between lines", resume=True),
    Field("train.sample_steps", NOT_NEGATIVE, "between pictures; 0 = no", resume=True),
    Field(
        "train.checkpoint_steps", NOT_NEGATIVE, "between checkpoints; 0 = last only",
        resume=True,
    ),
    Field("train.keep_checkpoints", ONE_OR_MORE, "checkpoints kept", resume=True),
    Field("train.seed", SEED, "of everything random"),
    Field(
        "train.precision", Choice(("float32", "tf32", "bfloat16")), "of matrices "
        "(a penalty is float32 at least)",
    ),
    Field("train.steps_per_call", ONE_OR_MORE, "steps of a compiled call", resume=True),
    Field(
        "train.accumulate_steps", ONE_OR_MORE, "micro-batches of a batch: less memory",
        default=1,
    ),
    Field("train.deterministic", ANY, "reproducible kernels on a GPU"),
    Field("train.init_from", ANY, "workdir, or folder of weights, to start from"),
    Field(
        "parallel.devices", NOT_NEGATIVE, "of all processes; 0 = as many as divide the "
        "batch", resume=True,
    ),
    Field(
        "parallel.wait_seconds", ONE_OR_MORE, "for processes that have not come yet",
        resume=True, default=300,
    ),
    Field("eval.heldout_examples", ONE_OR_MORE, "for held-out metrics", resume=True),
)  # fmt: skip


def complete(fields: Values) -> dict[str, Any]:
    """Return the fields of a config, with the defaults of those that it lacks."""
    defaults = {f.name: f.default for f in FIELDS if f.default is not REQUIRED}
    return defaults | dict(fields)


def section(values: Values, name: str) -> dict[str, Any]:
    """Return {field: value} of one section, such as 'gan' or 'optimizer.critic'."""
    start = f"{name}."
    return {n.removeprefix(start): v for n, v in values.items() if n.startswith(start)}


def may_change_on_resume(name: str) -> bool:
    """Return whether a field may differ when a run is resumed."""
    return any(field.name == name and field.resume for field in FIELDS)


def help_lines() -> list[str]:
    """Return a line for each field: its name, its help, and the names that it takes."""
    lines: dict[str, str] = {}
    for field in FIELDS:
        names = f": {field.rule.words}" if isinstance(field.rule, Choice) else ""
        line = lines.get(field.name, f"  --config.{field.name}: {field.help}")
        lines[field.name] = line + names
    return list(lines.values())


def as_markdown() -> str:
    """Return docs/config.md."""
    lines = [
        "# The fields of a config",
        "",
        "Every field of the configs in `configs/`; each is set by",
        "`--config.FIELD=VALUE`. A config has the fields of its GAN and its networks.",
        "This page is written from the table in `jaxgan/experiment/schema.py`.",
        "",
        "| field | what it is | rule | on resume |",
        "|---|---|---|---|",
    ]
    for field in FIELDS:
        rule = field.rule.words.removeprefix("must be ") or "-"
        of = f" ({field.of})" if field.of in ("latent", "translation") else ""
        resume = "may change" if field.resume else ""
        lines.append(f"| `{field.name}` | {field.help}{of} | {rule} | {resume} |")
    return "\n".join(lines) + "\n"
