"""Weights of CycleGAN's networks: official keys, files of both kinds, the command."""

import errno
import json
import os
import runpy

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict
from helpers import cyclegans
from helpers.checkpoints import loop_numbers

from jaxgan import convert, experiment
from jaxgan.errors import UserError
from jaxgan.weights import (
    network_files,
    network_folders,
    official_keys,
    official_networks,
    torch_files,
)
from jaxgan.workdir import checkpoint_files
from jaxgan.workdir.checkpoint_manager import Checkpoints

RESNET = {
    "name": "resnet_1blocks", "channels": 3, "width": 2, "norm": "instance",
    "padding": "reflect", "block": "residual", "dropout": False,
    "upsample": "transposed", "initializer": "normal", "gain": 0.02,
}  # fmt: skip
UNET = RESNET | {"name": "unet_32"}
PATCH = {
    "name": "patch", "channels": 3, "width": 2, "num_layers": 3, "norm": "instance",
    "initializer": "normal", "gain": 0.02,
}  # fmt: skip


# docs/papers.md, "CycleGAN: ResNet generator", "CycleGAN: U-Net generator" and
# "CycleGAN: critics".
COUNTS = [
    (RESNET | {"name": "resnet_9blocks", "width": 64}, 11_378_179),
    (RESNET | {"name": "resnet_6blocks", "width": 64}, 7_837_699),
    (UNET | {"name": "unet_256", "width": 64}, 54_409_603),
    (UNET | {"name": "unet_256", "width": 64, "norm": "batch"}, 54_413_955),
    (UNET | {"name": "unet_128", "width": 64}, 41_825_667),
    (PATCH | {"width": 64, "num_layers": 1}, 136_385),
    (PATCH | {"width": 64, "num_layers": 2}, 662_977),
    (PATCH | {"width": 64, "num_layers": 3}, 2_764_737),
    (PATCH | {"width": 64, "num_layers": 4}, 6_959_553),
    (PATCH | {"width": 64, "num_layers": 5}, 11_154_369),
    (PATCH | {"name": "pixel", "width": 64}, 8_705),
]


@pytest.mark.parametrize(("definition", "count"), COUNTS)
def test_parameters_of_the_official_networks(definition, count):
    leaves = official_keys.leaves(definition).values()
    params = [leaf for leaf in leaves if leaf.path.startswith("params/")]
    assert sum(int(np.prod(leaf.shape)) for leaf in params) == count


def keys(text, *endings):
    """Return {'model.1.weight', ...} for 'model.{1,4}' and the endings."""
    root, _, rest = text.partition("{")
    inner, _, tail = rest.partition("}")
    return {f"{root}{n}{tail}.{e}" for n in inner.split(",") for e in endings}


def test_keys_are_the_official_ones():
    """docs/papers.md, "CycleGAN: weight files"."""
    both = ("weight", "bias")
    whole = (*both, "running_mean", "running_var")
    nine = RESNET | {"name": "resnet_9blocks"}
    blocks = ",".join(map(str, range(10, 19)))
    wanted = keys("model.{1,4,7,19,22,26}", *both)
    for index in (1, 5):
        wanted |= keys(f"model.{{{blocks}}}.conv_block.{index}", *both)
    assert official_keys.leaves(nine).keys() == wanted

    wanted = keys("model.{1,4,7,19,22,26}", "weight") | {"model.26.bias"}
    wanted |= keys("model.{2,5,8,20,23}", *whole)
    for index in (1, 6):
        wanted |= keys(f"model.{{{blocks}}}.conv_block.{index}", "weight")
        wanted |= keys(f"model.{{{blocks}}}.conv_block.{index + 1}", *whole)
    batch = nine | {"norm": "batch", "dropout": True}
    assert official_keys.leaves(batch).keys() == wanted

    six = official_keys.leaves(RESNET | {"name": "resnet_6blocks"}).keys()
    assert keys("model.{16,19,23}", *both) <= six
    assert official_keys.leaves(PATCH).keys() == keys("model.{0,2,5,8,11}", *both)
    wanted = keys("model.{0,11}", *both) | keys("model.{2,5,8}", "weight")
    wanted |= keys("model.{3,6,9}", *whole)
    assert official_keys.leaves(PATCH | {"norm": "batch"}).keys() == wanted
    wanted = (
        keys("net.{0}", *both) | keys("net.{2,5}", "weight") | keys("net.{3}", *whole)
    )
    pixel = PATCH | {"name": "pixel", "norm": "batch"}
    assert official_keys.leaves(pixel).keys() == wanted


DEFINITIONS = [
    *(RESNET | {"norm": norm} for norm in ("instance", "batch", "none")),
    RESNET | {"dropout": True, "name": "resnet_3blocks", "channels": 1},
    RESNET | {"padding": "zero"},
    RESNET | {"padding": "zero", "dropout": True, "norm": "batch"},
    *(UNET | {"norm": norm} for norm in ("instance", "batch", "none")),
    UNET | {"name": "unet_128", "width": 1},
    # Images of another number of channels than the network takes.
    *(net | {"channels": 1, "input_channels": 3} for net in (RESNET, UNET)),
    *(net | {"input_channels": 1, "norm": "batch"} for net in (RESNET, UNET)),
    RESNET | {"channels": 4, "input_channels": 2, "name": "resnet_12blocks"},
    *(PATCH | {"norm": norm} for norm in ("instance", "batch", "none")),
    *(PATCH | {"num_layers": count} for count in (1, 2, 5)),
    *(
        PATCH | {"name": "pixel", "norm": norm}
        for norm in ("instance", "batch", "none")
    ),
]


def about_of(definition, name=""):
    player = "critic" if "num_layers" in definition else "generator"
    return {"player": player, "name": name, "network": definition}


def random_variables(definition, seed=0):
    """Return variables of a network, none of them 0 or alike."""
    rng = np.random.default_rng(seed)
    shapes = network_files.shapes(about_of(definition))
    drawn = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    return {"params": {}, "batch_stats": {}} | drawn


def same(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_definitions_are_found_again_and_weights_are_exact(definition, tmp_path):
    """Through .pth and .safetensors; the paths are those of our own modules."""
    variables = random_variables(definition)
    tensors = official_networks.to_torch(variables, definition)
    torch_files.write(tmp_path / "x.pth", tensors)
    found, about = network_files.load(tmp_path / "x.pth")
    assert about == about_of(definition)
    same(found, variables)
    network_files.save(tmp_path / "x.safetensors", found, about)
    again, about = network_files.load(tmp_path / "x.safetensors")
    assert about == about_of(definition)
    same(again, variables)
    back = official_networks.to_torch(again, definition)
    assert list(back) == list(tensors)
    for name in tensors:
        np.testing.assert_array_equal(back[name], tensors[name])


def wrong(tensors, **changes):
    """Return a copy of a state_dict with arrays changed (None: left out)."""
    changed = {name.replace("__", "."): array for name, array in changes.items()}
    made = {name: changed.get(name, array) for name, array in tensors.items()} | changed
    return {name: array for name, array in made.items() if array is not None}


def test_what_fits_no_network_names_its_first_key():
    resnet = official_networks.to_torch(random_variables(RESNET), RESNET)
    patch = official_networks.to_torch(random_variables(PATCH), PATCH)
    unet = official_networks.to_torch(random_variables(UNET), UNET)
    x = np.zeros((2, 2, 3, 3), np.float32)
    for tensors, words in [
        ({"features.0.weight": x, "b": x}, "key features.0.weight: belongs to no"),
        ({"model.model.9": x}, "key model.model.0.weight: missing"),
        ({"model.1.weight": x[0, 0, 0]}, "key model.0.weight: missing"),
        ({"net.7.weight": x}, "key net.0.weight: missing"),
        (wrong(resnet, model__4__weight=None), "key model.4.weight: missing"),
        (wrong(resnet, model__4__weight=x), "key model.4.weight: is float32 (2, 2, 3"),
        (wrong(resnet, model__30__weight=x), "key model.30.weight: does not fit"),
        (wrong(resnet, model__3__weight=x[0, 0, 0]), "key model.3.weight: does not"),
        (
            wrong(resnet, model__7__bias=np.zeros(8, np.int64)),
            "key model.7.bias: is int64 (8,)",
        ),
        (
            wrong(resnet, model__10__conv_block__9__weight=x),
            "key model.10.conv_block.1.weight: belongs to no block",
        ),
        (
            # It makes images of one channel, but has a bias for each of three.
            wrong(resnet, model__18__weight=np.zeros((1, 2, 7, 7), np.float32)),
            "key model.18.bias: is float32 (3,)",
        ),
        (wrong(resnet, model__18__weight=x), "key model.18.weight: is float32 (2, 2"),
        (wrong(resnet, model__18__weight=x[0]), "key model.18.weight: is float32 (2,"),
        (wrong(resnet, model__18__weight=None), "key model.18.weight: missing"),
        (wrong(patch, model__5__weight=x), "key model.5.weight: is float32 (2, 2,"),
        (wrong(unet, model__model__3__bias=None), "key model.model.3.bias: missing"),
    ]:
        with pytest.raises(UserError) as caught:
            official_networks.from_torch(tensors)
        assert words in str(caught.value)


def test_statistics_of_instance_norm_and_prefixes_are_left_out():
    variables = random_variables(RESNET)
    tensors = official_networks.to_torch(variables, RESNET)
    for layer in (2, 5, 8, 12, 15):
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            tensors[f"model.{layer}.{name}"] = np.ones(3, np.float32)
    for prefix in ("", "module.", "_orig_mod.", "module._orig_mod."):
        named = {prefix + key: array for key, array in tensors.items()}
        found, _, definition = official_networks.from_torch(named)
        assert definition == RESNET
        same(found, variables)


def test_a_batch_norms_running_variance_is_stored_as_it_is():
    definition = PATCH | {"norm": "batch"}
    tensors = official_networks.to_torch(random_variables(definition), definition)
    tensors["model.3.running_var"] = np.arange(4, dtype=np.float32)
    tensors["model.3.num_batches_tracked"] = np.array(7)
    found, _, _ = official_networks.from_torch(tensors)
    assert found["batch_stats"]["conv_1_norm"]["var"].tolist() == [0, 1, 2, 3]


def network_file(tmp_path, definition=RESNET, name="x.pth"):
    """Write a network as a state_dict; returns the path and its variables."""
    variables = random_variables(definition)
    tensors = official_networks.to_torch(variables, definition)
    torch_files.write(tmp_path / name, tensors)
    return tmp_path / name, variables


@pytest.mark.parametrize(
    ("file_name", "definition", "name"),
    [
        ("latest_net_G_A.pth", RESNET, "a2b"),
        ("5_net_G_B.pth", RESNET, "b2a"),
        ("iter_10_net_D_A.pth", PATCH, "b"),  # judges what G_A makes
        ("latest_net_D_B.pth", PATCH, "a"),
        ("latest_net_G.pth", RESNET, ""),
        ("horse2zebra.pth", RESNET, ""),
        ("latest_net_G_A.pth", PATCH, ""),  # no generator
    ],
)
def test_networks_are_named_by_official_files(file_name, definition, name, tmp_path):
    path, _ = network_file(tmp_path, definition, file_name)
    assert network_files.load(path)[1] == about_of(definition, name)


def test_there_and_back_with_the_command(tmp_path, capsys):
    path, variables = network_file(tmp_path, name="latest_net_G_A.pth")
    there, back = tmp_path / "new" / "a2b.safetensors", tmp_path / "back.pth"
    assert convert.main([f"--input={path}", f"--output={there}"]) == 0
    said = capsys.readouterr().out
    assert "generator a2b, resnet_1blocks of width 2, norm instance" in said
    assert "padding reflect assumed" in said
    assert convert.main([f"--input={there}", f"--output={back}"]) == 0
    assert "assumed" not in capsys.readouterr().out
    assert back.read_bytes() == path.read_bytes()
    found, about = network_files.load(there)
    assert about["name"] == "a2b"
    same(found, variables)
    assert [p.name for p in there.parent.iterdir()] == ["a2b.safetensors"]


def test_channels_in_and_out_are_said(tmp_path, capsys):
    path, _ = network_file(tmp_path, UNET | {"channels": 1, "input_channels": 3})
    out = tmp_path / "x.safetensors"
    assert convert.main([f"--input={path}", f"--output={out}"]) == 0
    assert "norm instance, 3 to 1 channels:" in capsys.readouterr().out
    path, _ = network_file(tmp_path)
    assert convert.main([f"--input={path}", f"--output={out}"]) == 0
    assert "no dropout, 3 channels:" in capsys.readouterr().out


def write_examples(folder):
    """Write files for MISTAKES, sound and not."""
    network_file(folder)
    network_file(folder, RESNET | {"padding": "zero"}, "zero.pth")
    tutorial = PATCH | {"name": "tutorial", "norm": "batch"}
    for name, definition in {
        "x": RESNET,
        "resize": RESNET | {"upsample": "resize"},
        "block": RESNET | {"block": "tutorial"},
        "tutorial": tutorial,
    }.items():
        variables = random_variables(definition)
        network_files.save(
            folder / f"{name}.safetensors", variables, about_of(definition)
        )
    safetensors.numpy.save_file({"x": np.zeros(1)}, folder / "foreign.safetensors")
    (folder / "page.pth").write_text("<html>404</html>")
    (folder / "text.safetensors").write_text("weights")
    (folder / "folder.pth").mkdir()


MISTAKES = [
    ("", ["--input: needed"]),
    ("--output=y.pth", ["--input: needed"]),
    ("--input=x.pth", ["--output: needed"]),
    ("--input=x.pth --output=", ["--output = '': needs a value: FILE.safetensors"]),
    ("--input=no.pth --output=y.pth", ["--input = no.pth:", "no such"]),
    ("--input=x.pth --output=y.npz", ["--output = y.npz:", ".safetensors or .pth"]),
    ("--input=x.pth --output=folder.pth", ["--output = folder.pth:", "folder"]),
    ("--input=x.pth --output=./x.pth", ["--output = x.pth:", "input"]),
    ("--input=x.pth --output=y.pth --network=a2b", ["--network = a2b:", "workdir"]),
    ("--input=x.pth --output=y.pth --step=0", ["--step = 0:", "workdir"]),
    ("--input=x.pth --output=y.pth --step=-1", ["--step"]),
    (
        "--input=x.pth --output=y.pth --padding=zero",
        ["--padding = zero: unknown", "reflect, replicate"],
    ),
    (
        "--input=zero.pth --output=y.pth --padding=reflect",
        ["--padding = reflect:", "zero.pth"],
    ),
    (
        "--input=x.safetensors --output=y.pth --padding=reflect",
        ["--padding = reflect:", "x.safetensors"],
    ),
    ("--input=. --output=y.pth", ["--network: needed", "a2b"]),
    ("--input=. --output=y.pth --network=a", ["config.json: not found"]),
    ("--input=x.pth --output=y.pth stray", ["'stray'"]),
    ("--inptu=x.pth --output=y.pth", ["inptu"]),
    ("--input=page.pth --output=y.pth", ["page.pth:", "no PyTorch file"]),
    ("--input=text.safetensors --output=y.pth", ["text.safetensors:", "no sound"]),
    ("--input=foreign.safetensors --output=y.pth", ["foreign", "jaxgan.convert"]),
    ("--input=resize.safetensors --output=y.pth", ["upsample = resize:", "official"]),
    ("--input=block.safetensors --output=y.pth", ["block = tutorial:", "official"]),
    ("--input=tutorial.safetensors --output=y.pth", ["name = tutorial:", "official"]),
]


def test_mistakes_are_one_line_and_exit_2(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_examples(tmp_path)
    before = sorted(tmp_path.iterdir())
    for flags, words in MISTAKES:
        assert convert.main(flags.split()) == 2, flags
        error = capsys.readouterr().err
        assert error.startswith("jaxgan: error: ")
        assert error.count("\n") == 1
        assert all(word in error for word in words), error
        assert sorted(tmp_path.iterdir()) == before


def test_help(capsys):
    assert convert.main(["--help"]) == 0
    said = capsys.readouterr().out
    for flag in ("input", "output", "network", "step", "padding"):
        assert f"--{flag}: " in said


def test_outputs_that_cannot_be_written_leave_all_as_it_was(
    tmp_path, capsys, monkeypatch
):
    """Below a file: the user's mistake. A full disk: exit code 1, and no half file."""
    path, _ = network_file(tmp_path)
    kept = tmp_path / "kept.safetensors"
    kept.write_bytes(b"older")

    def refused(code, output):
        before = {p: p.read_bytes() for p in tmp_path.iterdir()}
        assert convert.main([f"--input={path}", f"--output={output}"]) == code
        error = capsys.readouterr().err
        assert error.startswith("jaxgan: error: ")
        assert error.count("\n") == 1
        assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
        return error

    below = path / "out.safetensors"
    assert f"--output = {below}: lies below a file" in refused(2, below)
    assert "--output = /proc/no: no folder can be" in refused(2, "/proc/no/x.pth")

    def fill(file, *arguments):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(network_files, "save", fill)
    assert f"{kept}: No space left on device" in refused(1, kept)


def forged(path, about, arrays):
    """Write a .safetensors file with any metadata."""
    text = about if isinstance(about, str) else json.dumps(about)
    safetensors.numpy.save_file(arrays, path, metadata={"jaxgan": text})


def test_safetensors_files_that_are_not_what_they_say(tmp_path):
    path = tmp_path / "x.safetensors"
    variables = random_variables(PATCH)
    arrays = flatten_dict(variables["params"], sep="/")
    arrays = {f"params/{name}": array for name, array in arrays.items()}
    about = about_of(PATCH)
    bias = {"params/conv_2/bias": np.zeros(3, np.float32)}
    without = {k: v for k, v in arrays.items() if k != "params/conv_2/bias"}
    for said, held, words in [
        ("{", arrays, "metadata is damaged"),
        ("[]", arrays, "metadata is damaged"),
        ({"player": "critic"}, arrays, "metadata is damaged"),
        (about | {"player": "judge"}, arrays, "names no network"),
        (about | {"name": "c"}, arrays, "names no network"),
        (about | {"network": PATCH | {"channels": True}}, arrays, "of no network"),
        (
            about | {"network": PATCH | {"input_channels": "3"}},
            arrays,
            "of no network",
        ),
        (about | {"network": PATCH | {"input_channels": 1}}, arrays, "critic.input_c"),
        (about | {"network": PATCH | {"name": "pach"}}, arrays, "nearest: patch"),
        (about | {"network": PATCH | {"depth": 3}}, arrays, "critic.depth"),
        (about | {"network": PATCH | {"width": 10**6}}, arrays, "a size of 1000000"),
        (about | {"network": PATCH | {"num_layers": 10**9}}, arrays, "of no network"),
        (about | {"network": PATCH | {"num_layers": 16}}, arrays, "fewer arrays"),
        (about, arrays | bias, "array params/conv_2/bias is float32 (3,)"),
        (about, without, "lacks array params/conv_2/bias"),
        (about, arrays | {"params/x": np.zeros(1)}, "has the unknown array params/x"),
        (
            about,
            arrays | {"params/conv_2/bias": np.zeros(8, np.int32)},
            "is I32; must be F64, F32, F16, BF16",
        ),
    ]:
        forged(path, said, held)
        with pytest.raises(UserError) as caught:
            network_files.load(path)
        assert words in str(caught.value)
    generator = flatten_dict(random_variables(RESNET), sep="/")
    forged(path, about_of(RESNET | {"input_channels": 1}), generator)
    with pytest.raises(UserError, match=r"input/kernel .*needs floats \(7, 7, 1, 2\)"):
        network_files.load(path)
    forged(path, about, arrays)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(UserError):
            network_files.load(path)


def test_a_folder_of_weights(tmp_path):
    wanted = {}
    for name, file, definition in (
        ("a2b", "first.safetensors", RESNET),
        ("", "b2a.safetensors", RESNET),
        ("", "a.safetensors", PATCH),
    ):
        variables = random_variables(definition, seed=len(wanted))
        network_files.save(tmp_path / file, variables, about_of(definition, name))
        wanted[name or file.removesuffix(".safetensors")] = variables
    found = network_folders.load_folder(tmp_path)
    assert found.keys() == wanted.keys()
    for name, (variables, about) in found.items():
        same(variables, wanted[name])
        assert about["player"] == network_files.NAMES[name]

    def refused_with(file, definition, name, words):
        variables = random_variables(definition)
        network_files.save(tmp_path / file, variables, about_of(definition, name))
        with pytest.raises(UserError, match=words):
            network_folders.load_folder(tmp_path)
        (tmp_path / file).unlink()

    refused_with("zebra.safetensors", RESNET, "", "does not say which network")
    refused_with("b.safetensors", RESNET, "", "holds a generator, but is called b")
    refused_with("a2b.safetensors", RESNET, "", "holds a2b, as another file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.safetensors or \.pth"):
        network_folders.load_folder(tmp_path / "empty")


def run_of(tmp_path, **fields):
    """Write a CycleGAN's run at step 7; returns its workdir and state."""
    run = experiment.build(cyclegans.small(**fields))
    state = cyclegans.drawn_state(run.gan(cyclegans.SHAPE))
    if "average" in state.memory:
        average = jax.tree.map(lambda x: x + 1, state.memory["average"])
        state = state.replace(memory=state.memory | {"average": average})
    (tmp_path / "config.json").write_text(run.config_json)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    arrays = checkpoint_files.to_arrays(state)
    checkpoints.save(7, arrays, loop_numbers(cyclegans.SHAPE))
    checkpoints.close()
    return tmp_path, state


def test_networks_of_a_run(tmp_path, capsys):
    workdir, state = run_of(tmp_path, critic__norm="batch")
    for name in network_files.NAMES:
        out = tmp_path / f"{name}.safetensors"
        flags = [f"--input={workdir}", f"--network={name}", f"--output={out}"]
        assert convert.main(flags) == 0
        assert f"{name} of step 7" in capsys.readouterr().out
        variables, about = network_files.load(out)
        player = getattr(state, network_files.NAMES[name])
        same(variables["params"], player.params[name])
        same(variables["batch_stats"], player.batch_stats[name])
        assert (about["name"], about["network"]["channels"]) == (name, 3)
        assert convert.main([f"--input={out}", f"--output={tmp_path / 'x.pth'}"]) == 0
        again, definition = network_files.load(tmp_path / "x.pth")
        same(again, variables)
        assert definition["network"] == about["network"]
    assert network_folders.load_folder(tmp_path).keys() == set(network_files.NAMES)
    capsys.readouterr()
    out = f"--output={tmp_path / 'x.pth'}"
    for flags, words in (
        (["--network=ab"], ["--network = ab: unknown", "a, a2b, b, b2a"]),
        (["--network=a", "--step=3"], ["--step = 3:", "there are 7"]),
        (["--network=a2b", "--padding=reflect"], ["--padding = reflect:"]),
    ):
        assert convert.main([f"--input={workdir}", out, *flags]) == 2
        error = capsys.readouterr().err
        assert all(word in error for word in words), error
        assert error.count("\n") == 1


def test_the_moving_average_of_a_run_and_its_unet(tmp_path, monkeypatch):
    fields = {"gan__ema_decay": 0.9, "generator__name": "unet", "generator__width": 1}
    monkeypatch.setattr(cyclegans, "SHAPE", (32, 32, 3))
    workdir, state = run_of(tmp_path, **fields)
    out = tmp_path / "x.pth"
    flags = [f"--input={workdir}", "--network=b2a", f"--output={out}", "--step=7"]
    assert convert.main(flags) == 0
    variables, about = network_files.load(out)
    assert about["network"]["name"] == "unet_32"
    same(variables["params"], state.memory["average"]["params"]["b2a"])


def test_a_run_of_another_gan(tmp_path, capsys):
    config = runpy.run_path("configs/wgan_gp.py")["get_config"]("")
    (tmp_path / "config.json").write_text(experiment.build(config).config_json)
    flags = [f"--input={tmp_path}", "--network=a2b", f"--output={tmp_path / 'x.pth'}"]
    assert convert.main(flags) == 2
    assert f"{tmp_path}: a run of wgan_gp" in capsys.readouterr().err
