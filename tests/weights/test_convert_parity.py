"""PyTorch's files into this project and back: weights bit by bit, outputs to 1e-5."""

import collections

import jax
import numpy as np
import pytest

from jaxgan import convert
from jaxgan.inference import generators
from jaxgan.weights import network_files, official_keys, torch_files

torch = pytest.importorskip("torch", reason="needs the extra `parity`")

from helpers import official_networks as official  # noqa: E402

pytestmark = pytest.mark.parity

# A network in PyTorch, the side of its images, and what its keys tell of it.
NETWORKS = {
    "resnet": (
        lambda: official.ResnetGenerator(3, 4, 2),
        16,
        {"name": "resnet_2blocks", "norm": "instance", "padding": "reflect"},
    ),
    "resnet-dropout": (
        lambda: official.ResnetGenerator(3, 4, 1, dropout=True),
        16,
        {"name": "resnet_1blocks", "dropout": True},
    ),
    "resnet-zero": (
        lambda: official.ResnetGenerator(1, 4, 1, padding="zero"),
        16,
        {"padding": "zero", "dropout": False, "channels": 1},
    ),
    "resnet-zero-dropout-batch": (
        lambda: official.ResnetGenerator(3, 4, 1, "batch", "zero", True),
        16,
        {"padding": "zero", "dropout": True, "norm": "batch"},
    ),
    "resnet-batch": (
        lambda: official.ResnetGenerator(3, 4, 1, "batch"),
        16,
        {"norm": "batch", "width": 4},
    ),
    "resnet-none": (
        lambda: official.ResnetGenerator(3, 4, 1, "none"),
        16,
        {"norm": "none"},
    ),
    "resnet-colour-to-gray": (
        lambda: official.ResnetGenerator(3, 4, 1, outputs=1),
        16,
        {"input_channels": 3, "channels": 1},
    ),
    "resnet-gray-to-colour-batch": (
        lambda: official.ResnetGenerator(1, 4, 2, "batch", outputs=3),
        16,
        {"input_channels": 1, "channels": 3},
    ),
    "unet_32-colour-to-gray": (
        lambda: official.UnetGenerator(3, 2, 5, "batch", outputs=1),
        64,
        {"input_channels": 3, "channels": 1},
    ),
    "unet_32-gray-to-colour": (
        lambda: official.UnetGenerator(1, 2, 5, outputs=3),
        64,
        {"input_channels": 1, "channels": 3},
    ),
    "unet_32": (
        # One image of one pixel has no variance: as large as twice the depth.
        lambda: official.UnetGenerator(3, 2, 5),
        64,
        {"name": "unet_32", "norm": "instance", "width": 2},
    ),
    "unet_64-batch": (
        lambda: official.UnetGenerator(3, 2, 6, "batch", dropout=True),
        64,
        {"name": "unet_64", "norm": "batch", "dropout": False},
    ),
    "unet_32-none": (
        lambda: official.UnetGenerator(1, 2, 5, "none"),
        32,
        {"name": "unet_32", "norm": "none", "channels": 1},
    ),
    "patch": (
        lambda: official.PatchCritic(3, 4),
        32,
        {"name": "patch", "num_layers": 3, "norm": "instance", "width": 4},
    ),
    "patch-1": (lambda: official.PatchCritic(3, 4, 1), 16, {"num_layers": 1}),
    "patch-5-batch": (
        lambda: official.PatchCritic(6, 2, 5, "batch"),
        128,
        {"num_layers": 5, "norm": "batch", "channels": 6},
    ),
    "patch-none": (lambda: official.PatchCritic(3, 4, 2, "none"), 32, {"norm": "none"}),
    "pixel": (
        lambda: official.PixelCritic(3, 4),
        8,
        {"name": "pixel", "norm": "instance"},
    ),
    "pixel-batch": (lambda: official.PixelCritic(3, 4, "batch"), 8, {"norm": "batch"}),
    "pixel-none": (lambda: official.PixelCritic(1, 4, "none"), 8, {"norm": "none"}),
}
OLD = {"_use_new_zipfile_serialization": False}
FORMATS = pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "old"])


def outputs(about, variables, images):
    """Return what the Linen module makes of images [b, c, h, w], in that order."""
    module = network_files.module(about)
    quick = {"xla_backend_optimization_level": 0}  # of the compilation
    apply = jax.jit(
        lambda v, x: module.apply(v, x, train=False), compiler_options=quick
    )
    made = np.asarray(apply(variables, images.transpose(0, 2, 3, 1)))
    return (
        made[..., None].transpose(0, 3, 1, 2)
        if made.ndim == 3
        else made.transpose(0, 3, 1, 2)
    )


def same_weights(found, wanted):
    """Assert that two state_dicts agree but for counters, which no output needs."""
    wanted = {k: v for k, v in wanted.items() if not k.endswith("batches_tracked")}
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(found[name], wanted[name].contiguous()), name


@pytest.mark.parametrize("case", NETWORKS)
def test_networks_make_torchs_outputs_and_return_unchanged(case, tmp_path):
    build, side, told = NETWORKS[case]
    network = official.randomise(build()).eval()
    torch.save(network.state_dict(), tmp_path / "latest_net_X.pth", **OLD)

    there = [
        "--input",
        tmp_path / "latest_net_X.pth",
        "--output",
        tmp_path / "x.safetensors",
    ]
    assert convert.main([str(part) for part in there]) == 0
    variables, about = network_files.load(tmp_path / "x.safetensors")
    assert told.items() <= about["network"].items()
    channels = official_keys.input_channels(about["network"])
    images = np.random.default_rng(0).uniform(-1, 1, (2, channels, side, side))
    images = images.astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(images)).numpy()
    assert wanted.std() > 0.01
    np.testing.assert_allclose(
        outputs(about, variables, images), wanted, atol=1e-5, rtol=0
    )

    back = ["--input", tmp_path / "x.safetensors", "--output", tmp_path / "back.pth"]
    assert convert.main([str(part) for part in back]) == 0
    returned = torch.load(tmp_path / "back.pth", weights_only=True)
    same_weights(returned, network.state_dict())
    build().load_state_dict(returned)  # strict: the official code reads it


@pytest.mark.parametrize(("inputs", "made"), [(3, 3), (3, 1), (1, 3)])
def test_translations_are_torchs(inputs, made, tmp_path):
    """Of .pth and .safetensors alike, through what the command `translate` calls."""
    network = official.ResnetGenerator(inputs, 4, 1, outputs=made)
    network = official.randomise(network).eval()
    files = [tmp_path / "latest_net_G_A.pth", tmp_path / "a2b.safetensors"]
    torch.save(network.state_dict(), files[0], **OLD)
    assert convert.main([f"--input={files[0]}", f"--output={files[1]}"]) == 0
    image = np.random.default_rng(0).uniform(-1, 1, (16, 12, inputs))
    image = image.astype(np.float32)
    with torch.no_grad():
        given = torch.from_numpy(image.transpose(2, 0, 1)[None])
        wanted = network(given)[0].numpy().transpose(1, 2, 0)
    loaded = [generators.load_from_file(file) for file in files]
    translator = generators.Translator(loaded[0], print)
    made = [translator.translate(image)]
    translator.generator = loaded[1]  # compiled once for both
    made.append(translator.translate(image))
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_allclose(made[0], wanted, atol=1e-5, rtol=0)


def test_replicate_is_told_by_the_flag(tmp_path, capsys):
    network = official.randomise(official.ResnetGenerator(3, 4, 2, padding="replicate"))
    torch.save(network.state_dict(), tmp_path / "x.pth")
    flags = [f"--input={tmp_path / 'x.pth'}", f"--output={tmp_path / 'x.safetensors'}"]
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    wanted = network(torch.from_numpy(images)).detach().numpy()
    differences = []
    for padding in ([], ["--padding=replicate"]):
        assert convert.main([*flags, *padding]) == 0
        variables, about = network_files.load(tmp_path / "x.safetensors")
        made = outputs(about, variables, images)
        differences.append(np.abs(made - wanted).max())
    assert differences[0] > 0.01
    assert differences[1] < 1e-4
    assert "give --padding=replicate" in capsys.readouterr().out


@FORMATS
def test_every_float_type_is_read_exactly(options, tmp_path):
    kinds = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
    wanted = {str(kind): torch.randn(3, 4, 5).to(kind) for kind in kinds}
    wanted["count"] = torch.tensor(7)
    torch.save(wanted, tmp_path / "x.pth", **options)
    found = torch_files.read(tmp_path / "x.pth")
    for name, tensor in wanted.items():
        assert found[name].dtype.name == str(tensor.dtype).removeprefix("torch.")
        assert found[name].shape == tensor.shape
        exact = tensor.double().numpy()  # holds each of these types
        np.testing.assert_array_equal(found[name].astype(np.float64), exact)
    torch_files.write(tmp_path / "y.pth", found)
    returned = torch.load(tmp_path / "y.pth", weights_only=True)
    assert all(torch.equal(returned[name], wanted[name]) for name in wanted)
    assert all(returned[name].dtype == wanted[name].dtype for name in wanted)


@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16"])
def test_a_network_keeps_its_type_there_and_back(kind, tmp_path):
    network = official.randomise(official.PatchCritic(3, 2, norm="batch"))
    network = network.to(getattr(torch, kind))
    torch.save(network.state_dict(), tmp_path / "x.pth")
    for name, other in (("x.pth", "x.safetensors"), ("x.safetensors", "back.pth")):
        flags = [f"--input={tmp_path / name}", f"--output={tmp_path / other}"]
        assert convert.main(flags) == 0
    returned = torch.load(tmp_path / "back.pth", weights_only=True)
    same_weights(returned, network.state_dict())


@FORMATS
def test_views_of_shared_storages(options, tmp_path):
    base = torch.arange(120.0).reshape(4, 5, 6)
    wanted = {
        "all": base,
        "turned": base.permute(2, 0, 1),
        "part": base[1:3, ::2, 3:],
        "one": base[3, 4, 5],
        "parameter": torch.nn.Parameter(base.t() if base.ndim == 2 else base[0]),
    }
    torch.save(wanted, tmp_path / "x.pth", **options)
    found = torch_files.read(tmp_path / "x.pth")
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor.detach().numpy())


@FORMATS
def test_storages_of_a_gpu(options, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:1")
    torch.save({"x": torch.arange(3.0)}, tmp_path / "x.pth", **options)
    assert b"cuda:1" in (tmp_path / "x.pth").read_bytes()
    assert torch_files.read(tmp_path / "x.pth")["x"].tolist() == [0, 1, 2]


@FORMATS
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module."])
def test_old_files_with_statistics_of_instance_norm(
    options, prefix, tmp_path, monkeypatch
):
    plain = official.randomise(official.ResnetGenerator(3, 2, 1))
    tracked = {"track_running_stats": True}
    norms = official.NORMS | {
        "instance": lambda n: torch.nn.InstanceNorm2d(n, **tracked)
    }
    monkeypatch.setattr(official, "NORMS", norms)
    old = official.randomise(official.ResnetGenerator(3, 2, 1), seed=1)
    old.load_state_dict(plain.state_dict(), strict=False)
    named = {prefix + key: value for key, value in old.state_dict().items()}
    assert any(key.endswith("running_var") for key in named)
    state = collections.OrderedDict(named)
    state._metadata = old.state_dict()._metadata
    torch.save(state, tmp_path / "x.pth", **options)
    variables, about = network_files.load(tmp_path / "x.pth")
    assert variables["batch_stats"] == {}
    assert about["network"]["norm"] == "instance"
    network_files.save(tmp_path / "x.safetensors", variables, about)
    flags = [f"--input={tmp_path / 'x.safetensors'}", f"--output={tmp_path / 'b.pth'}"]
    assert convert.main(flags) == 0
    returned = torch.load(tmp_path / "b.pth", weights_only=True)
    same_weights(returned, plain.state_dict())


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_pickled_network_is_refused(tmp_path, capsys):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1))
    for options in ({}, OLD):
        torch.save(network, tmp_path / "x.pth", **options)
        flags = [f"--input={tmp_path / 'x.pth'}", f"--output={tmp_path / 'y.pth'}"]
        assert convert.main(flags) == 2
        error = capsys.readouterr().err
        assert "torch.nn.modules.container.Sequential: it holds more than" in error
        assert error.count("\n") == 1


def test_a_training_checkpoint_with_its_optimizer_is_refused(tmp_path, capsys):
    network = official.PatchCritic(3, 2).state_dict()
    state = {"net": network, "optimizer": {"lr": 2e-4, "betas": (0.5, 0.999)}}
    torch.save(state, tmp_path / "x.pth")
    flags = [f"--input={tmp_path / 'x.pth'}", f"--output={tmp_path / 'y.pth'}"]
    assert convert.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "net.state_dict()" in error
