"""What a config resolves to, as text: `--dry_run`."""

import jax

from jaxgan.experiment.experiment import Experiment
from jaxgan.runtime.devices import choose_devices


def describe(experiment: Experiment) -> str:
    """Return the config, the parameter tables, the data and the devices as text."""
    feed = experiment.feed(experiment.load_data())
    gan = experiment.gan(feed.shape, feed.num_classes)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    devices = choose_devices(
        experiment.num_devices, experiment.batch_size, experiment.accumulate_steps
    )
    lines = [experiment.json]
    for player in ("generator", "critic"):
        params = getattr(state, player).params
        leaves = jax.tree_util.tree_leaves_with_path(params)
        lines.append(f"{player}: {sum(x.size for _, x in leaves):,} parameters")
        for path, x in leaves:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            lines.append(f"  {name:44} {x.shape!s:20} {x.size:>12,}")
    lines.append("")
    lines.append(f"data: {feed.about}")
    lines.append(f"steps: {experiment.num_steps(feed.plan):,}")
    lines.append(f"devices: {', '.join(map(str, devices))}")
    return "\n".join(lines)
