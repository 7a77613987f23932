"""Text about configs: what one config resolves to, and a table of all fields."""

import jax

from jaxgan.experiment import memory, preflight
from jaxgan.experiment.experiment import Experiment
from jaxgan.experiment.schema import FIELDS
from jaxgan.rules import Choice, Field
from jaxgan.runtime.devices import choose_devices


def describe(experiment: Experiment) -> str:
    """Return the config, the parameter tables, the data and the devices as text."""
    devices = choose_devices(
        experiment.num_devices, experiment.batch_size, experiment.accumulate_steps
    )
    preflight.check_run(experiment, devices)
    examples = experiment.load_data(device_bytes=memory.own_memory(devices))
    feed = experiment.feed(examples)
    preflight.check_run(experiment, devices, feed)
    gan = experiment.gan(feed.shape, feed.num_classes)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    layers = preflight.check_shapes(experiment, feed.shape, feed.num_classes)
    parts = memory.estimate(
        experiment, feed.shape, feed.num_classes, layers, devices, feed.device_data
    )
    lines = [experiment.config_json]
    for player in ("generator", "critic"):
        params = getattr(state, player).params
        leaves = jax.tree_util.tree_leaves_with_path(params)
        lines.append(f"{player}: {sum(x.size for _, x in leaves):,} parameters")
        for path, x in leaves:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            lines.append(f"  {name:44} {x.shape!s:20} {x.size:>12,}")
    lines.append("")
    lines += [f"data: {line}" for line in feed.about]
    lines.append(f"steps: {experiment.num_steps(feed.plan):,}")
    lines.append(f"devices: {', '.join(map(str, devices))}")
    lines.append(f"memory: {memory.describe(parts)}")
    return "\n".join(lines)


def help_lines() -> list[str]:
    """Return one line for each field: its name, its help, and its valid names."""
    rows: dict[str, list[Field]] = {}
    for field in FIELDS:
        rows.setdefault(field.name, []).append(field)
    lines = []
    for name, fields in rows.items():
        texts = dict.fromkeys(_help_text(f, len(fields) > 1) for f in fields)
        lines.append(f"  --config.{name}: {'; '.join(texts)}")
    return lines


def _help_text(field: Field, has_others: bool) -> str:
    """Return 'HELP (FAMILY): NAMES'; the family if the field is not the only one."""
    family = f" ({field.of})" if field.of in ("latent", "translation") else ""
    names = f": {field.rule.words}" if isinstance(field.rule, Choice) else ""
    return field.help + (family if has_others else "") + names


def as_markdown() -> str:
    """Return the text of docs/config.md."""
    lines = [
        "# The fields of a config",
        "",
        "All fields of the configs in `configs/`. Set a field with",
        "`--config.FIELD=VALUE`. A config has only the fields of its GAN and networks.",
        "This page is generated from the table in `jaxgan/experiment/schema.py`.",
        "",
        "| field | what it is | rule | on resume |",
        "|---|---|---|---|",
    ]
    for field in FIELDS:
        rule = field.rule.words or "-"
        of = f" ({field.of})" if field.of in ("latent", "translation") else ""
        resume = "may change" if field.resume else "must not change"
        lines.append(f"| `{field.name}` | {field.help}{of} | {rule} | {resume} |")
    return "\n".join(lines) + "\n"
