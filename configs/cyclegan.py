"""CycleGAN (arXiv 1703.10593): translation between two domains without pairs.

    python -m jaxgan.main --config=configs/cyclegan.py[:VARIANT[,key=value...]]

Without a variant, the data is day and night, made from the two photographs that
scikit-learn ships: the truth is known, and nothing is downloaded. `size=64|128|256`
chooses image sizes and blocks as in the paper. The recipes are those of the official
code, junyanz/pytorch-CycleGAN-and-pix2pix.
"""

from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.experiment.variants import from_variant

ADAM = {
    "name": "adam",
    "learning_rate": 2e-4,
    "b1": 0.5,
    "b2": 0.999,
    # The rate is constant, then falls linearly. Give steps or epochs; 0 = not given.
    "constant_steps": 0,
    "decay_steps": 0,
    "constant_epochs": 0,
    "decay_epochs": 0,
}
# Twice the paper's rate, because the run is short.
SHORT = {"learning_rate": 4e-4, "constant_steps": 1100, "decay_steps": 1100}
LONG = {"constant_epochs": 100, "decay_epochs": 100}

BASE: dict[str, dict] = {
    "gan": {
        "name": "cyclegan",
        "adversarial": "lsgan",  # or vanilla, wasserstein (with clip), wgan_gp
        "cycle_weight_a": 10.0,  # weight of a -> b -> a
        "cycle_weight_b": 10.0,  # weight of b -> a -> b
        # Relative to the cycle weights: 0.5 times a cycle weight of 10 is 5. Zero here,
        # as in the paper except for its paintings; 0.5 is the official code's default.
        "identity_weight": 0.0,
        "pool_size": 50,  # generated images kept for each domain
        # Beyond the paper:
        "clip": 0.01,  # bound on the critics' parameters; used only by wasserstein
        # The next five are used only by wgan_gp.
        "penalty": "gradient_penalty",  # or dragan, r1
        "penalty_weight": 10.0,
        "penalty_target": 1.0,
        "penalty_one_sided": False,
        "penalty_noise_variance": 10.0,  # dragan's c
        "ema_decay": 0.0,  # 0.999 or more keeps a moving average for translations
    },
    "generator": {
        # resnet_Nblocks (the paper has 6 blocks up to 128 pixels, then 9), unet_S, or
        # unet, which is as deep as the images allow. On crops this small, InstanceNorm
        # removes the brightness of a crop. A U-Net keeps it, because its outermost skip
        # connection has no norm.
        "name": "unet",
        "width": 16,  # 64 in the paper
        "norm": "instance",  # or batch, none
        "padding": "reflect",  # or replicate, zero; in a ResNet's blocks
        "initializer": "normal",  # or xavier, kaiming, orthogonal
        "gain": 0.02,  # a smaller one is the authors' cure for inverted colours
        # Beyond the paper:
        "block": "residual",  # or tutorial; used only by a ResNet
        "dropout": False,
        "upsample": "transposed",  # or resize, against checkerboards
    },
    "critic": {
        "name": "patch",  # or pixel, tutorial
        "width": 16,  # 64 in the paper
        "num_layers": 3,  # 70x70 patches; used only by patch
        "norm": "instance",
        "initializer": "normal",
        "gain": 0.02,
    },
    "optimizer": {"generator": ADAM | SHORT, "critic": ADAM | SHORT},
    "data": {
        "name": "day_night",
        "resize": 72,  # side of the square that images are resized to; 0 = as they are
        "image_size": 64,  # side of the random crop that follows
        "batch_size": 1,  # over all devices
        "flip": True,  # mirror half of the crops, left to right
        # Beyond the paper:
        "dir": "",  # folder of trainA, trainB, testA, testB; with dir_b, of domain a
        "dir_b": "",
        "channels": 0,  # 0 = as the data has them
        "cache": "auto",  # decoded images in memory or on disk; or memory, disk, none
    },
    "train": {
        "num_steps": 2200,  # generator updates
        # Beyond the paper:
        "num_epochs": 0,  # instead of num_steps, which is then 0
        "log_steps": 50,
        "sample_steps": 200,
        "checkpoint_steps": 200,
        "keep_checkpoints": 3,
        "seed": 0,
        "precision": "float32",  # or tf32, bfloat16; a penalty uses at least float32
        # Of a step on two CPU cores, 90 ms, making the batch and starting the call took
        # 2 % with 1 step in a call, 0.5 % with 5. More would answer a signal later.
        "steps_per_call": 5,
        "accumulate_steps": 1,  # micro-batches in a batch, to save memory
        "remat": False,  # compute layers again, to save memory
        "deterministic": False,  # for a GPU; CPU and TPU are always deterministic
        "init_from": "",  # workdir, file or folder of weights to start from
    },
    "parallel": {
        "devices": 0,  # in all processes; 0 = as many as divide the batch
        "wait_seconds": 300,  # for the other processes to connect
    },
    "eval": {"heldout_examples": 16},
}

# size: resize to, crop to, generator. 143 and 128 are from the first code, in Lua.
SIZES = {
    "64": (72, 64, "resnet_6blocks"),
    "128": (143, 128, "resnet_6blocks"),
    "256": (286, 256, "resnet_9blocks"),
}
SIZE_FIELDS = ("data.resize", "data.image_size", "generator.name")

GENERATOR = BASE["generator"] | {"name": "resnet_9blocks", "width": 64}
CRITIC = BASE["critic"] | {"width": 64}
PAPER: dict[str, dict] = {
    "gan": {"identity_weight": 0.5},
    "generator": GENERATOR,
    "critic": CRITIC,
    "optimizer": {"generator": ADAM | LONG, "critic": ADAM | LONG},
    "data": {"resize": 286, "image_size": 256, "channels": 3},
    "train": {
        "num_steps": 0,
        "num_epochs": 200,
        "log_steps": 100,
        "sample_steps": 1000,
        "checkpoint_steps": 1000,
        "steps_per_call": 1,  # a step takes seconds on a CPU, 56 ms on an H100
    },
}
TFDS = (
    "apple2orange", "cezanne2photo", "cityscapes", "facades", "horse2zebra",
    "iphone2dslr_flower", "maps", "monet2photo", "summer2winter_yosemite",
    "ukiyoe2photo", "vangogh2photo",
)  # fmt: skip

VARIANTS: dict[str, dict[str, dict]] = {
    # The paper's recipe on each of its sets (section 5.2 and appendix), from TFDS.
    name: PAPER | {"data": PAPER["data"] | {"name": f"tfds:cycle_gan/{name}"}}
    for name in TFDS
}
# The same on files of your own: `folder,dir=PATH`, or `folder,dir=A,data.dir_b=B`.
VARIANTS["folder"] = PAPER | {"data": PAPER["data"] | {"name": "folder"}}
# Day and night with a gradient penalty, which the official code's wgangp mode never
# computes.
VARIANTS["wgan_gp"] = {"gan": {"adversarial": "wgan_gp"}}
# Tutorial 12, which does not give the blocks, the optimizer or the data. Nothing in it
# bounds the critics. Their BatchNorm forbids a penalty, so they are clipped here.
VARIANTS["tutorial"] = {
    "gan": {
        "adversarial": "wasserstein",
        "cycle_weight_a": 1.0,  # as written there
        "cycle_weight_b": 1.0,
        "identity_weight": 0.0,
    },
    "generator": GENERATOR
    | {"name": "resnet_6blocks", "block": "tutorial", "padding": "zero"},
    "critic": CRITIC | {"name": "tutorial", "norm": "batch"},
    "optimizer": {"generator": dict(ADAM), "critic": dict(ADAM)},
    "train": {"steps_per_call": 1},  # four times as wide, so that a step takes longer
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of `variant`, '' or 'VARIANT' or '[VARIANT,]key=value,...'."""
    config = from_variant(BASE, VARIANTS, variant)
    given = dict(part.partition("=")[::2] for part in variant.split(",") if "=" in part)
    if "size" in given:
        if given["size"] not in SIZES:
            raise UserError(
                f"size = {given['size']}: valid: {', '.join(SIZES)}; for others set "
                f"{', '.join(SIZE_FIELDS)}"
            )
        preset = dict(zip(SIZE_FIELDS, SIZES[given["size"]], strict=True))
        config.update_from_flattened_dict(
            {field: value for field, value in preset.items() if field not in given}
        )
    return config
