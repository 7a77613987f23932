"""What a config resolves to, as text: `--dry_run`."""

import jax
from ml_collections import ConfigDict

from jaxgan.experiment import build
from jaxgan.experiment import variants as configs
from jaxgan.experiment.feed import feed
from jaxgan.runtime import devices


def describe(config: ConfigDict) -> str:
    """Return the resolved config, both parameter tables and the devices as text."""
    source = feed(config)
    gan = build.gan(config, source.shape, source.num_classes)
    num_steps = build.num_steps(config, source.plan)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    used = devices.choose_devices(
        config.parallel.devices, config.data.batch_size, config.train.accumulate_steps
    )
    lines = [configs.to_json(config)]
    for player in ("generator", "critic"):
        params = getattr(state, player).params
        leaves = jax.tree_util.tree_leaves_with_path(params)
        lines.append(f"{player}: {sum(x.size for _, x in leaves):,} parameters")
        for path, x in leaves:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            lines.append(f"  {name:44} {x.shape!s:20} {x.size:>12,}")
    lines.append("")
    lines.append(f"data: {source.about}")
    lines.append(f"steps: {num_steps:,}")
    lines.append(f"devices: {', '.join(map(str, used))}")
    return "\n".join(lines)
