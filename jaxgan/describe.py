"""What a config resolves to, as text: `--dry_run`."""

import jax
from ml_collections import ConfigDict

from jaxgan import build, parallel
from jaxgan import config as configs


def describe(config: ConfigDict) -> str:
    """Return the resolved config, both parameter tables and the devices as text."""
    dataset = build.dataset(config)
    gan = build.gan(config, dataset.shape, dataset.num_classes)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    devices = parallel.choose_devices(config.parallel.devices, config.data.batch_size)
    lines = [configs.to_json(config)]
    for player in ("generator", "critic"):
        params = getattr(state, player).params
        leaves = jax.tree_util.tree_leaves_with_path(params)
        lines.append(f"{player}: {sum(x.size for _, x in leaves):,} parameters")
        for path, x in leaves:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            lines.append(f"  {name:44} {x.shape!s:20} {x.size:>12,}")
    lines.append("")
    lines.append(
        f"data: {len(dataset.train):,} training and {len(dataset.heldout):,} "
        f"held-out examples of shape {dataset.shape}"
    )
    lines.append(f"devices: {', '.join(map(str, devices))}")
    return "\n".join(lines)
