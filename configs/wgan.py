"""WGAN (arXiv 1701.07875): the critic's weights are clipped.

    python -m jaxgan.main --config=configs/wgan.py[:VARIANT[,key=value...]]

Without a variant, the data is the handwritten digits that scikit-learn ships; nothing
is downloaded. The variants are the experiments of the authors' code
(martinarjovsky/WassersteinGAN), those of the clipping mode of
igul222/improved_wgan_training, and the tutorial's.
"""

from ml_collections import ConfigDict

from jaxgan.experiment.variants import from_variant


def rmsprop(learning_rate: float, name: str = "rmsprop") -> dict:
    """Return an optimizer's fields; `rmsprop` has PyTorch's constants."""
    return {
        "name": name,  # or rmsprop_tensorflow, adam, sgd
        "learning_rate": learning_rate,
        # Beyond the paper:
        "b1": 0.5,  # used only by Adam
        "b2": 0.999,  # used only by Adam
        "decay_steps": 0,  # generator steps until the rate is 0; 0 = constant
    }


BASE = {
    "gan": {
        "name": "wgan",
        "latent": "normal",  # or uniform, U[-1, 1]
        "latent_size": 64,
        "n_critic": 5,
        # Ten times the paper's 0.01, at which the estimate of such a small critic is
        # lost in noise.
        "clip": 0.1,
        "clip_order": "after",  # Algorithm 1; before = the authors' code
        # 100 critic steps for generator steps 0 to 24 and 500, 1000, ... (main.py
        # l.176)
        "critic_start": True,
        # Beyond the paper:
        "ema_decay": 0.0,  # 0.999 or more keeps a moving average for samples
        "sample_batch_norm": "batch",  # as in the authors' code; or running
    },
    "generator": {
        "name": "mlp",
        "hidden": (256, 256),
        "activation": "relu",  # or leaky_relu, slope 0.2
        "output": "tanh",  # or sigmoid, linear
        "initializer": "he_uniform",  # or glorot_uniform (Keras), torch
    },
    "critic": {
        "name": "mlp",
        "hidden": (256, 256),
        "activation": "leaky_relu",
        "initializer": "he_uniform",
    },
    "optimizer": {
        # Ten times the paper's rate: the digits are small and the run is short.
        "generator": rmsprop(5e-4),
        "critic": rmsprop(5e-4),
    },
    "data": {
        "name": "digits",
        "batch_size": 64,  # in a critic step, over all devices
        "value_range": "symmetric",  # [-1, 1]; unit is [0, 1]; or dequantized
        # Beyond the paper:
        "dir": "",
        "image_size": 0,  # 0 = as the data has it
        "channels": 0,  # 0 = as the data has them
        "cache": "auto",  # in memory when small; or memory, none
    },
    "train": {
        "num_steps": 4000,  # generator updates
        # Beyond the paper:
        "num_epochs": 0,  # instead of num_steps, which is then 0
        "log_steps": 50,
        "sample_steps": 500,
        "checkpoint_steps": 500,
        "keep_checkpoints": 3,
        "seed": 0,
        "precision": "float32",  # or tf32, bfloat16
        # Of a step on two CPU cores, 6 ms, making the batch and starting the call took
        # 5 % with 1 step in a call, 3 % with 5, 1 % with 10.
        "steps_per_call": 10,
        "accumulate_steps": 1,  # micro-batches in a batch, to save memory
        "remat": False,  # compute layers again, to save memory
        "deterministic": False,  # for a GPU; CPU and TPU are always deterministic
        "init_from": "",  # workdir of a run to take the networks from
    },
    "parallel": {
        "devices": 0,  # in all processes; 0 = as many as divide the batch
        "wait_seconds": 300,  # for the other processes to connect
    },
    "eval": {"heldout_examples": 512},
}

# The networks with convolutions take one step in a call. A step is long: seconds on a
# CPU, where a signal is answered only after a call. On a GPU the host prepares the next
# call meanwhile; that it has enough time for it is reasoned, not measured.
LONG = {"log_steps": 100, "sample_steps": 1000, "checkpoint_steps": 1000}
# gan_mnist.py, gan_cifar.py and gan_toy.py with MODE = 'wgan'
TENSORFLOW = {
    "generator": rmsprop(5e-5, "rmsprop_tensorflow"),
    "critic": rmsprop(5e-5, "rmsprop_tensorflow"),
}
# main.py of the authors
PAPER = {"generator": rmsprop(5e-5), "critic": rmsprop(5e-5)}

VARIANTS: dict[str, dict[str, dict]] = {
    # Tutorial 10: 579,728 and 533,505 parameters, on MNIST in [-1, 1]. It does not give
    # the optimizer (here the paper's), the batch size or the latent size.
    "tutorial": {
        "gan": {"latent_size": 100, "critic_start": False, "clip": 0.01},
        "generator": {
            "name": "mlp",
            "hidden": (128, 256, 512),
            "activation": "leaky_relu",
            "output": "tanh",
            "initializer": "glorot_uniform",
        },
        "critic": {
            "name": "mlp",
            "hidden": (512, 256),
            "activation": "leaky_relu",
            "initializer": "glorot_uniform",
        },
        "optimizer": PAPER,
        "data": {"name": "tfds:mnist"},
        "train": LONG | {"num_steps": 20_000},
    },
    "mnist": {
        "gan": {"latent_size": 128, "critic_start": False, "clip": 0.01},
        "generator": {
            "name": "dcgan_5x5",
            "width": 64,
            "norm": "batch",
            "output": "sigmoid",
        },
        "critic": {"name": "dcgan_5x5", "width": 64, "norm": "batch"},
        "optimizer": TENSORFLOW,
        "data": {"name": "tfds:mnist", "batch_size": 50, "value_range": "unit"},
        "train": LONG | {"num_steps": 200_000, "steps_per_call": 1},
    },
    "cifar10": {
        "gan": {"latent_size": 128, "critic_start": False, "clip": 0.01},
        "generator": {
            "name": "dcgan_5x5",
            "width": 128,
            "norm": "batch",
            "output": "tanh",
        },
        "critic": {"name": "dcgan_5x5", "width": 128, "norm": "batch"},
        "optimizer": TENSORFLOW,
        "data": {"name": "tfds:cifar10", "image_size": 32, "channels": 3},
        "train": LONG | {"num_steps": 200_000, "steps_per_call": 1},
    },
    # The networks of gan_cifar_resnet.py with clipping, for comparison with
    # configs/wgan_gp.py:cifar10_resnet; this experiment is in no paper.
    "cifar10_resnet": {
        "gan": {"latent_size": 128, "critic_start": False, "clip": 0.01},
        "generator": {"name": "resnet32", "width": 128},
        "critic": {"name": "resnet32", "width": 128},
        "optimizer": TENSORFLOW,
        "data": {
            "name": "tfds:cifar10",
            "image_size": 32,
            "channels": 3,
            "value_range": "dequantized",
        },
        "train": LONG | {"num_steps": 100_000, "steps_per_call": 1},
    },
    # main.py: DCGAN 64 on LSUN bedrooms; any folder of images
    "image64": {
        "gan": {"latent_size": 100, "clip": 0.01, "clip_order": "before"},
        "generator": {
            "name": "dcgan",
            "width": 64,
            "batch_norm": True,
            "extra_layers": 0,
        },
        "critic": {
            "name": "dcgan",
            "width": 64,
            "batch_norm": True,
            "extra_layers": 0,
        },
        "optimizer": PAPER,
        "data": {"name": "folder", "image_size": 64, "channels": 3},
        "train": LONG | {"num_steps": 200_000, "steps_per_call": 1},
    },
    "toy": {
        "gan": {"latent_size": 2, "critic_start": False, "clip": 0.01},
        "generator": {
            "name": "mlp",
            "hidden": (512, 512, 512),
            "activation": "relu",
            "output": "linear",
            "initializer": "he_uniform",
        },
        "critic": {
            "name": "mlp",
            "hidden": (512, 512, 512),
            "activation": "relu",
            "initializer": "he_uniform",
        },
        "optimizer": TENSORFLOW,
        "data": {"name": "8gaussians", "batch_size": 256},
        "train": LONG | {"num_steps": 100_000},
    },
}
# main.py --mlp_G --ngf 512: the generator is an MLP without tanh, the critic DCGAN's
VARIANTS["image64_mlp"] = VARIANTS["image64"] | {
    "generator": {
        "name": "mlp",
        "hidden": (512, 512, 512),
        "activation": "relu",
        "output": "linear",
        "initializer": "torch",
    }
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of `variant`, '' or 'VARIANT' or '[VARIANT,]key=value,...'."""
    return from_variant(BASE, VARIANTS, variant)
