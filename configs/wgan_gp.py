"""WGAN-GP (arXiv 1704.00028): a penalty on the gradient of the critic.

    python -m jaxgan.main --config=configs/wgan_gp.py[:VARIANT[,key=value...]]

Without a variant, the data is the handwritten digits that scikit-learn ships; nothing
is downloaded. The variants are the scripts of the authors' code
(igul222/improved_wgan_training), and the tutorials'.
"""

from ml_collections import ConfigDict

from jaxgan.experiment.variants import from_variant


def adam(learning_rate: float, b1: float, b2: float, decay_steps: int = 0) -> dict:
    """Return an optimizer's fields; decay_steps are generator steps, 0 = no decay."""
    return {
        "name": "adam",
        "learning_rate": learning_rate,
        "b1": b1,
        "b2": b2,
        "decay_steps": decay_steps,
    }


BASE = {
    "gan": {
        "name": "wgan_gp",
        "latent": "normal",  # or uniform, U[-1, 1]
        "latent_size": 64,
        "n_critic": 5,
        "penalty": "gradient_penalty",  # or dragan, r1
        "penalty_weight": 10.0,
        "penalty_target": 1.0,  # of the gradient's norm
        "penalty_one_sided": False,  # appendix C
        "conditional": False,
        "critic_classifier_weight": 1.0,  # used only with conditional
        "generator_classifier_weight": 0.1,  # used only with conditional
        "generator_batch_multiple": 1,
        # Beyond the paper:
        "penalty_noise_variance": 10.0,  # dragan's c
        "drift_weight": 0.0,  # 0.001 in Progressive GAN
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
        "generator": adam(1e-3, 0.5, 0.9),
        "critic": adam(1e-3, 0.5, 0.9),
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
        "precision": "float32",  # or tf32, bfloat16; the penalty uses at least float32
        # Of a step on two CPU cores, 10 ms, making the batch and starting the call took
        # 6 % with 1 step in a call, 2 % with 5, 1 % with 10.
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

VARIANTS: dict[str, dict[str, dict]] = {
    # Tutorial 11: 247,440 and 233,985 parameters, on MNIST in [-1, 1]. It does not give
    # the batch size.
    "tutorial": {
        "gan": {"latent_size": 100},
        "generator": {
            "name": "mlp",
            "hidden": (128, 256),
            "activation": "relu",
            "output": "tanh",
            "initializer": "torch",
        },
        "critic": {
            "name": "mlp",
            "hidden": (256, 128),
            "activation": "leaky_relu",
            "initializer": "torch",
        },
        "optimizer": {
            "generator": adam(1e-4, 0.5, 0.999),
            "critic": adam(1e-4, 0.5, 0.999),
        },
        "data": {"name": "tfds:mnist"},
        "train": LONG | {"num_steps": 20_000},
    },
    # Tutorial 10 with its penalty: 579,728 and 533,505 parameters. It does not give the
    # optimizer (here gan_mnist.py's), the batch size or the latent size.
    "tutorial10": {
        "gan": {"latent_size": 100},
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
        "optimizer": {
            "generator": adam(1e-4, 0.5, 0.9),
            "critic": adam(1e-4, 0.5, 0.9),
        },
        "data": {"name": "tfds:mnist"},
        "train": LONG | {"num_steps": 20_000},
    },
    # gan_mnist.py
    "mnist": {
        "gan": {"latent_size": 128},
        "generator": {
            "name": "dcgan_5x5",
            "width": 64,
            "norm": "none",
            "output": "sigmoid",
        },
        "critic": {"name": "dcgan_5x5", "width": 64, "norm": "none"},
        "optimizer": {
            "generator": adam(1e-4, 0.5, 0.9),
            "critic": adam(1e-4, 0.5, 0.9),
        },
        "data": {"name": "tfds:mnist", "batch_size": 50, "value_range": "unit"},
        "train": LONG | {"num_steps": 200_000, "steps_per_call": 1},
    },
    # gan_cifar.py
    "cifar10": {
        "gan": {"latent_size": 128},
        "generator": {
            "name": "dcgan_5x5",
            "width": 128,
            "norm": "batch",
            "output": "tanh",
        },
        "critic": {"name": "dcgan_5x5", "width": 128, "norm": "none"},
        "optimizer": {
            "generator": adam(1e-4, 0.5, 0.9),
            "critic": adam(1e-4, 0.5, 0.9),
        },
        "data": {"name": "tfds:cifar10", "image_size": 32, "channels": 3},
        "train": LONG | {"num_steps": 200_000, "steps_per_call": 1},
    },
    # gan_cifar_resnet.py
    "cifar10_resnet": {
        "gan": {"latent_size": 128, "generator_batch_multiple": 2},
        "generator": {"name": "resnet32", "width": 128},
        "critic": {"name": "resnet32", "width": 128},
        "optimizer": {
            "generator": adam(2e-4, 0.0, 0.9, decay_steps=100_000),
            "critic": adam(2e-4, 0.0, 0.9, decay_steps=100_000),
        },
        "data": {
            "name": "tfds:cifar10",
            "image_size": 32,
            "channels": 3,
            "value_range": "dequantized",
        },
        "train": LONG | {"num_steps": 100_000, "steps_per_call": 1},
    },
    # gan_64x64.py: any folder of images, or any TFDS data set with `name=tfds:...`
    "image64": {
        "gan": {"latent_size": 128},
        "generator": {"name": "resnet64", "width": 64},
        "critic": {"name": "resnet64", "width": 64},
        "optimizer": {
            "generator": adam(1e-4, 0.0, 0.9),
            "critic": adam(1e-4, 0.0, 0.9),
        },
        "data": {"name": "folder", "image_size": 64, "channels": 3},
        "train": LONG | {"num_steps": 200_000, "steps_per_call": 1},
    },
    # gan_toy.py, whose penalty weight is 0.1; the paper's text says 10 everywhere
    "toy": {
        "gan": {"latent_size": 2, "penalty_weight": 0.1},
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
        "optimizer": {
            "generator": adam(1e-4, 0.5, 0.9),
            "critic": adam(1e-4, 0.5, 0.9),
        },
        "data": {"name": "8gaussians", "batch_size": 256},
        "train": LONG | {"num_steps": 100_000},
    },
}
VARIANTS["cifar10_resnet_conditional"] = VARIANTS["cifar10_resnet"] | {
    "gan": VARIANTS["cifar10_resnet"]["gan"] | {"conditional": True}
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of `variant`, '' or 'VARIANT' or '[VARIANT,]key=value,...'."""
    return from_variant(BASE, VARIANTS, variant)
