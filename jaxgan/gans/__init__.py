"""GANs by name: one file for each paper, and one table of all of them.

To add a GAN of your own, write one file with a `Kind`, and a config whose `gan.name` is
`module:attribute` (docs/code.md has an example).
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from jaxgan.errors import UserError, printable, unknown
from jaxgan.gans.cyclegan import cyclegan
from jaxgan.gans.wgan import wgan
from jaxgan.gans.wgan_gp import wgan_gp
from jaxgan.types import Gan

# 'latent' GANs draw examples from latents, 'translation' GANs translate images between
# two domains. The family determines networks, data, schedules and pictures.
Family = Literal["latent", "translation"]


class Kind(NamedTuple):
    """How a GAN is made, and which fields its config needs.

    Attributes:
        make: (networks, *, generator_optimizer, critic_optimizer, ema_decay,
            accumulate_steps, and the `fields` by name) -> Gan. The networks are
            `Players` for the family 'latent', whose GANs also take `sample_batch_norm`,
            and `Domains` for 'translation'.
        family: see above.
        fields: the fields of the config's section `gan` that `make` takes by name,
            besides those of its family. A field `penalty` is passed as a function.
        is_penalised: the section `gan` -> whether the critic's loss has a penalty on
            input gradients. Such a critic must not mix the examples of a batch.
    """

    make: Callable[..., Gan]
    family: Family
    fields: tuple[str, ...] = ()
    is_penalised: Callable[[Mapping[str, Any]], bool] = lambda options: False


GANS: dict[str, Kind] = {
    "wgan": Kind(wgan, "latent", ("clip", "clip_order")),
    "wgan_gp": Kind(
        wgan_gp,
        "latent",
        (
            "penalty",
            "penalty_weight",
            "drift_weight",
            "critic_classifier_weight",
            "generator_classifier_weight",
            "generator_batch_multiple",
        ),
        is_penalised=lambda options: True,
    ),
    "cyclegan": Kind(
        cyclegan,
        "translation",
        (
            "adversarial",
            "cycle_weight_a",
            "cycle_weight_b",
            "identity_weight",
            "pool_size",
            "clip",
            "penalty",
            "penalty_weight",
        ),
        is_penalised=lambda options: options["adversarial"] == "wgan_gp",
    ),
}


def find_gan(name: str) -> Kind:
    """Return the GAN called `name`: a key of GANS, or 'module:attribute' of a `Kind`.

    Raises:
        UserError: there is no such GAN, module or attribute, or it is not a `Kind`.
    """
    if name in GANS:
        return GANS[name]
    module, colon, attribute = str(name).partition(":")
    if not colon:
        raise unknown("gan.name", name, GANS)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        reason = printable(f"{type(error).__name__}: {error}")
        raise UserError(
            f"gan.name = {printable(name)}: cannot be imported ({reason})"
        ) from error
    if not isinstance(found, Kind):
        kind = type(found).__name__
        raise UserError(
            f"gan.name = {printable(name)}: is a {kind}; must be a jaxgan.gans.Kind"
        )
    return found
