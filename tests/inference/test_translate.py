"""Translation of image files: pixel values, file names, and the command."""

import os
import signal
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.checkpoints import loop_numbers
from PIL import Image

from configs import cyclegan, wgan_gp
from jaxgan import experiment, translate
from jaxgan.errors import UserError
from jaxgan.files import image_files, image_folders
from jaxgan.files.image_files import Picture
from jaxgan.inference.generators import (
    TrainedGenerator,
    Translator,
    load_from_file,
    load_from_run,
    pad_by_reflection,
)
from jaxgan.models import translation
from jaxgan.weights import network_files, official_networks, torch_files
from jaxgan.workdir import checkpoint_files, checkpoint_manager

RNG = np.random.default_rng(0)
NETWORK = {
    "name": "resnet_1blocks",
    "channels": 3,
    "width": 4,
    "norm": "instance",
    "padding": "reflect",
    "block": "residual",
    "dropout": True,
    "upsample": "transposed",
    "initializer": "normal",
    "gain": 0.2,
}


class Same(nn.Module):
    """Returns its images."""

    @nn.compact
    def __call__(self, images, *, train):
        return images


class Negative(nn.Module):
    """Returns the negative of its images."""

    @nn.compact
    def __call__(self, images, *, train):
        return -images


class Gray(nn.Module):
    """Returns the green channel."""

    @nn.compact
    def __call__(self, images, *, train):
        return images[..., 1:2]


class Colour(nn.Module):
    """Returns gray images, their negatives and black as red, green and blue."""

    @nn.compact
    def __call__(self, images, *, train):
        return jnp.concatenate([images, -images, jnp.full_like(images, -1)], -1)


def generator(module, channels=3, multiple=4):
    """Return a generator without variables."""
    return TrainedGenerator(module, {}, channels, multiple, "a2b")


def noise(height, width, channels=3, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return RNG.integers(0, top, (height, width, channels), dtype, endpoint=True)


def randomly(shapes):
    """Return arrays of these shapes: filled by numpy, which compiles nothing."""

    def drawn(path, leaf):
        values = RNG.normal(0, 0.2, leaf.shape).astype(leaf.dtype)
        return np.abs(values) if "var" in jax.tree_util.keystr(path) else values

    return jax.tree_util.tree_map_with_path(drawn, shapes)


def made_up(direction="a2b", **options):
    """Return variables of NETWORK, or of one with other options, and what it is."""
    about = {"player": "generator", "name": direction, "network": NETWORK | options}
    return randomly(network_files.shapes(about)), about


def applied(variables, image, **options):
    """Return what NETWORK makes of one image, with running statistics."""
    module = translation.generator(**(NETWORK | options))
    apply = jax.jit(lambda v, x: module.apply(v, x, train=False))
    return np.asarray(apply(variables, image[None])[0])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file with the weights of an a2b."""
    path = tmp_path_factory.mktemp("weights") / "a2b.safetensors"
    network_files.save(path, *made_up())
    return path


@pytest.fixture
def negatives(tmp_path, capsys, monkeypatch):
    """Translate a folder to its negatives; returns exit code, output and errors."""
    monkeypatch.setattr(
        translate, "load_generator", lambda values: generator(Negative())
    )

    def run(given, output=tmp_path / "out"):
        flags = ["--weights=any", f"--input={given}", f"--output={output}"]
        code = translate.main(flags)
        text = capsys.readouterr()
        return code, text.out, text.err

    return run


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_identity_keeps_every_level(dtype, channels):
    apply = Translator(generator(Same(), channels), print)
    pixels = noise(37, 50, channels, dtype)
    found = apply(Picture(pixels)).pixels
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == dtype
    negative = Translator(generator(Negative(), channels), print)
    found = negative(Picture(pixels)).pixels
    np.testing.assert_array_equal(found, np.iinfo(dtype).max - pixels)


def test_a_generator_of_gray_images_from_colour_and_back():
    """It is given the channels that it takes, and returns those that it makes."""
    colour, gray = noise(9, 13, 3), noise(9, 13, 1)
    to_gray = Translator(generator(Gray(), 3), print)
    found = to_gray(Picture(colour, profile=b"rgb"))
    np.testing.assert_array_equal(found.pixels, colour[..., 1:2])
    assert found.profile is None  # a profile of RGB does not describe gray
    np.testing.assert_array_equal(to_gray(Picture(gray)).pixels, gray)

    to_colour = Translator(generator(Colour(), 1), print)
    for given in (gray, noise(9, 13, 1, np.uint16)):
        found = to_colour(Picture(given, profile=b"gray"))
        top = np.iinfo(given.dtype).max
        wanted = np.concatenate([given, top - given, np.zeros_like(given)], -1)
        np.testing.assert_array_equal(found.pixels, wanted)
        assert found.profile is None
    same = Translator(generator(Same(), 3), print)
    assert same(Picture(colour, profile=b"rgb")).profile == b"rgb"


def test_padding_reflects_right_and_below():
    image = np.arange(9 * 10).reshape(9, 10, 1)
    found = pad_by_reflection(image, 4)
    assert found.shape == (12, 12, 1)
    np.testing.assert_array_equal(found[:9, :10], image)
    np.testing.assert_array_equal(found[9:, :10], image[[7, 6, 5]])
    np.testing.assert_array_equal(found[:, 10:], found[:, [8, 7]])
    assert pad_by_reflection(image[:8, :8], 4).shape == (8, 8, 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (5, 70)])
def test_images_smaller_than_their_padding(size):
    image = np.arange(size[0] * size[1]).reshape(*size, 1)
    found = pad_by_reflection(image, 32)
    assert [side % 32 for side in found.shape[:2]] == [0, 0]
    # Forwards and backwards in turn, the ends once each.
    for axis, length in enumerate(size):
        period = max(1, 2 * (length - 1))
        way = np.arange(found.shape[axis]) % period
        way = np.where(way < length, way, period - way)
        rows = found.take(way, axis)
        np.testing.assert_array_equal(found, rows)
    apply = Translator(generator(Same(), 1, 32), print)
    pixels = noise(*size, 1)
    np.testing.assert_array_equal(apply(Picture(pixels)).pixels, pixels)


def test_translation_is_the_crop_of_that_of_the_padded_image(file):
    apply = Translator(load_from_file(file), print)
    images = RNG.uniform(-1, 1, (37, 50, 3)).astype(np.float32)
    padded = np.pad(images, [(0, 3), (0, 2), (0, 0)], mode="reflect")
    found = apply.translate(images)
    assert found.shape == images.shape
    expected = applied(network_files.load(file)[0], padded)
    np.testing.assert_allclose(found, expected[:37, :50], atol=1e-5)
    assert found.std() > 0.05
    np.testing.assert_array_equal(found, apply.translate(padded)[:37, :50])


def test_what_the_sides_must_be_a_multiple_of(file, tmp_path):
    path = tmp_path / "unet.safetensors"
    network_files.save(path, *made_up("", name="unet_32"))
    found = load_from_file(path, "b2a")
    assert (found.multiple, found.title) == (32, "unet.safetensors")
    assert load_from_file(file).multiple == 4


def test_one_compilation_for_each_size_is_said():
    lines = []
    apply = Translator(generator(Same()), lines.append)
    for height, width in ((13, 17), (16, 20), (14, 19), (20, 16), (13, 17)):
        apply(Picture(noise(height, width)))
    assert lines == [
        "compiling for images of 20 x 16 pixels",
        "compiling for images of 16 x 20 pixels",
    ]


def test_gray_and_colour_become_what_the_network_takes():
    gray, colour = Picture(noise(8, 8, 1)), Picture(noise(8, 8, 3))
    made = Translator(generator(Same(), 3), print)(gray)
    np.testing.assert_array_equal(made.pixels, gray.pixels.repeat(3, axis=-1))
    made = Translator(generator(Same(), 1), print)(colour)
    expected = np.asarray(Image.fromarray(colour.pixels).convert("L"))
    np.testing.assert_array_equal(made.pixels[..., 0], expected)
    assert "gray" in made.notes[0]


def test_what_is_not_finite_or_too_large_is_refused():
    class Broken(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            return images * jnp.nan

    with pytest.raises(UserError, match="not finite"):
        Translator(generator(Broken()), print)(Picture(noise(8, 8)))

    class Large(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            many = jnp.tile(images.ravel(), (10**6, 10**6 // 192))
            return images + jnp.sort(jnp.sort(many, axis=0), axis=1)[-1, -1]

    with pytest.raises(UserError, match=r"8 x 8 pixels need more memory"):
        Translator(generator(Large()), print)(Picture(noise(8, 8)))


def test_names_never_collide():
    def named(*names):
        found = image_folders.translation_names([Path(name) for name in names])
        return {str(path): str(name) for path, name in found.items()}

    assert named("a.jpg", "b.PNG", "c.tiff", "d.bmp", "e.webp") == {
        "a.jpg": "a.png",
        "b.PNG": "b.PNG",
        "c.tiff": "c.tiff",
        "d.bmp": "d.bmp",
        "e.webp": "e.png",
    }
    assert named("a.jpg", "a.png", "a.webp", "a.tif", "x/a.jpg") == {
        "a.jpg": "a.jpg.png",
        "a.png": "a.png",
        "a.tif": "a.tif",
        "a.webp": "a.webp.png",
        "x/a.jpg": "x/a.png",
    }
    assert named("A.jpg", "a.JPG", "a.jpg.png", "a.png") == {
        "A.jpg": "A.jpg.2.png",
        "a.JPG": "a.JPG.3.png",
        "a.jpg.png": "a.jpg.png",
        "a.png": "a.png",
    }


def test_folders_are_searched_but_for_the_output(tmp_path):
    names = ["a.png", "x/b.jpg", "x/y/c.tif", ".hidden.png", ".hidden/d.png", "t.txt"]
    for name in [*names, "out/e.png", "x/out.png", "none"]:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "x" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "f.png").touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "linked")
    lines = []
    output = tmp_path / "in" / "out"
    found = image_folders.translation_files(tmp_path / "in", output, lines.append)
    names = [
        (str(path.relative_to(tmp_path / "in")), str(target.relative_to(output)))
        for path, target in found.items()
    ]
    assert names == [
        ("a.png", "a.png"),
        ("link/f.png", "link/f.png"),
        ("x/b.jpg", "x/b.png"),
        ("x/out.png", "x/out.png"),
        ("x/y/c.tif", "x/y/c.tif"),
    ]
    assert lines == [
        "skipped: 2 not named like images (no ending 1, .txt 1); 1 found already by "
        "another path (x/loop); 2 hidden or made by the system (.hidden, .hidden.png)"
    ]


def test_no_input_is_overwritten(tmp_path):
    folder = tmp_path / "in"
    for name in ("in/in/a.png", "in/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "same").symlink_to(folder)
    for given, output in (
        (folder, folder),
        (folder, tmp_path / "same"),
        (folder / "a.png", folder),
        (folder / "a.png", folder / "in" / ".."),
    ):
        with pytest.raises(UserError, match=r"--output = .*input's own folder"):
            image_folders.translation_files(given, output, print)
    with pytest.raises(UserError, match="image of the input"):
        image_folders.translation_files(folder, tmp_path, print)
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"a.png is a folder, no image"):
        image_folders.translation_files(folder, tmp_path / "out", print)


def test_a_folder_from_end_to_end(negatives, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    pictures = {
        "a.png": noise(16, 16),
        "a.tif": noise(13, 17, 3, np.uint16),
        "x/b.png": noise(5, 7, 1, np.uint16),
        "x/c.bmp": noise(16, 16),
    }
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image_files.write(folder / name, Picture(pixels))
    Image.fromarray(pictures["a.png"]).save(folder / "a.jpg")
    clear = np.dstack([noise(16, 16), noise(16, 16, 1)])
    Image.fromarray(clear).save(folder / "d.webp", lossless=True)
    code, out, err = negatives(folder)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "jaxgan: compiling for images of 16 x 16 pixels",
        "jaxgan: 1 of 6 images",
        "jaxgan: 2 of 6 images",
        "jaxgan: compiling for images of 20 x 16 pixels",
        "jaxgan: 3 of 6 images",
        "jaxgan: 4 of 6 images",
        "jaxgan: compiling for images of 8 x 8 pixels",
        "jaxgan: 5 of 6 images",
        "jaxgan: 6 of 6 images",
        f"jaxgan: transparent parts are laid on white: {folder / 'd.webp'}",
        f"jaxgan: 6 of 6 images by a2b in {output}",
    ]
    names = ["a.jpg.png", "a.png", "a.tif", "d.png", "x/b.png", "x/c.bmp"]
    written = sorted(path for path in output.rglob("*") if path.is_file())
    assert [str(path.relative_to(output)) for path in written] == names
    for name, pixels in pictures.items():
        found = image_files.read(output / name).pixels
        expected = np.iinfo(pixels.dtype).max - pixels
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
        assert found.shape == (*pixels.shape[:2], 3)
        assert found.dtype == pixels.dtype
    # Once more, and into the input: the same names, the same bytes, nothing added.
    before = {path: path.read_bytes() for path in written}
    assert negatives(folder)[0] == 0
    assert {p: p.read_bytes() for p in output.rglob("*") if p.is_file()} == before
    for _ in range(2):
        assert negatives(folder, folder / "out")[0] == 0
    assert len([p for p in (folder / "out").rglob("*") if p.is_file()]) == 6


def test_damaged_images_are_named_and_all_others_done(negatives, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        image_files.write(folder / name, Picture(noise(8, 8)))
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:100])
    (folder / "d.jpg").write_bytes(b"")
    code, out, err = negatives(folder)
    assert code == 2
    assert "2 of 4 images by a2b" in out
    assert err.startswith("jaxgan: error: 2 of 4 images not translated: ")
    assert f"{folder / 'b.png'}: not a readable image" in err
    assert f"{folder / 'd.jpg'}: not a readable image" in err
    assert err.count("\n") == 1
    names = [path.name for path in sorted((tmp_path / "out").iterdir())]
    assert names == ["a.png", "c.png"]


def test_names_of_any_kind_and_length(negatives, tmp_path):
    """One whose translation cannot have its name fails alone, and says so in a line."""
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["n" * 251 + ".png", "n" * 251 + ".bmp", "n" * 251 + ".jpg"]
    names += [" two  spaces.png", "\x1b[31mred.png", "line\nfeed.png", "\udce9.png"]
    for name in names:
        Image.fromarray(noise(8, 8)).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(folder / name)
    (folder / "broken\x1b[31m\udce9.png").touch()
    code, out, err = negatives(folder)
    assert code == 2
    assert "6 of 8 images by a2b" in out
    assert err.startswith("jaxgan: error: 2 of 8 images not translated: ")
    assert "File name too long" in err
    assert r"broken\x1b[31m\udce9.png: not a readable image" in err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == set(names) - {"n" * 251 + ".jpg"}


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_after_the_image_at_hand(
    number, code, negatives, tmp_path, monkeypatch
):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        image_files.write(folder / name, Picture(noise(8, 8)))
    read, seen = image_files.read, []

    def reading(path):
        seen.append(path)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.Signals[number])
        return read(path)

    monkeypatch.setattr(image_files, "read", reading)
    found, out, err = negatives(folder)
    assert (found, err) == (code, "")
    assert "2 of 3 images by a2b" in out
    assert (
        out.splitlines()[-1]
        == f"jaxgan: stopped by {number}; the same command starts from the beginning"
    )
    names = [path.name for path in sorted((tmp_path / "out").iterdir())]
    assert names == ["a.png", "b.png"]


def test_converted_weights_make_the_same_image(
    file, tmp_path, capsys, plain_convolutions
):
    """And a single file is taken whatever its name."""
    Image.fromarray(noise(9, 9)).save(tmp_path / "picture", "PNG")
    official = tmp_path / "latest_net_G_A.pth"
    variables, about = network_files.load(file)
    torch_files.write(official, official_networks.to_torch(variables, about["network"]))
    for path, name in ((file, "ours"), (official, "official")):
        flags = [f"--weights={path}", f"--input={tmp_path / 'picture'}"]
        assert translate.main([*flags, f"--output={tmp_path / name}"]) == 0
        assert "1 of 1 images by a2b in" in capsys.readouterr().out
    ours = (tmp_path / "ours" / "picture.png").read_bytes()
    assert (tmp_path / "official" / "picture.png").read_bytes() == ours
    assert translate.main([*flags, "--output=none", "--direction=b2a"]) == 2
    assert "G_A.pth holds a2b" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's workdir, and its moving averages by step.

    With BatchNorm and in bfloat16, after training steps that were never made.
    """
    folder = tmp_path_factory.mktemp("run")
    config = cyclegan.get_config()
    config.generator = {**NETWORK}
    del config.generator.channels
    config.generator.norm = "batch"
    config.critic.width = 4
    config.gan.update(ema_decay=0.9, pool_size=1)
    config.train.precision = "bfloat16"
    trained = experiment.build(config)
    (folder / "config.json").write_text(trained.config_json)
    gan = trained.gan((32, 32, 3))
    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    checkpoints = checkpoint_manager.Checkpoints(folder / "checkpoints", keep=2)
    averages = {}
    for step in (0, 3):
        state = randomly(shapes)
        averages[step] = state.memory["average"]
        arrays = checkpoint_files.to_arrays(state)
        checkpoints.save(step, arrays, loop_numbers((32, 32, 3)))
    checkpoints.close()
    return folder, averages


def test_a_run_is_translated_by_its_moving_average(run, tmp_path, capsys):
    folder, averages = run
    for name, flags, step in (("a2b", [], 3), ("b2a", ["--step=0"], 0)):
        found = load_from_run(folder, name, step if flags else None)
        assert found.title == f"{name} of step {step}"
        average = {part: tree[name] for part, tree in averages[step].items()}
        jax.tree.map(np.testing.assert_array_equal, found.variables, average)
    pixels = noise(8, 8)
    image_files.write(tmp_path / "a.png", Picture(pixels))
    flags += [f"--workdir={folder}", "--direction=b2a"]
    flags += [f"--input={tmp_path / 'a.png'}", f"--output={tmp_path / 'out'}"]
    assert translate.main(flags) == 0
    assert "1 of 1 images by b2a of step 0 in" in capsys.readouterr().out
    expected = applied(average, image_files.to_floats(pixels), norm="batch")
    made = image_files.read(tmp_path / "out" / "a.png").pixels
    np.testing.assert_array_equal(made, image_files.to_pixels(expected, np.uint8))
    assert made.std() > 5


BY_FILE = {"weights": "FILE", "input": "IN", "output": "OUT"}
BY_RUN = {"workdir": "RUN", "input": "IN", "output": "OUT", "direction": "a2b"}
MISTAKES = [
    ({}, ["--workdir", "--weights", "found none"]),
    (BY_FILE | BY_RUN, ["--workdir", "--weights", "found both"]),
    (BY_FILE | {"input": ""}, ["--input = '': needs a value: image, or folder"]),
    (BY_FILE | {"output": ""}, ["--output = '': needs a value"]),
    ({"weights": "FILE", "output": "OUT"}, ["--input: needed"]),
    ({"weights": "FILE", "input": "IN"}, ["--output: needed"]),
    (BY_FILE | {"input": "NONE"}, ["--input = NONE:", "no such"]),
    (BY_FILE | {"input": "EMPTY"}, ["--input = EMPTY:", "no images"]),
    (BY_FILE | {"output": "FILE"}, ["--output = FILE:", "folder"]),
    (BY_FILE | {"output": "gs://a/b"}, ["--output = gs://a/b:", "this machine"]),
    (BY_FILE | {"output": "IN"}, ["--output = IN:", "input"]),
    (BY_FILE | {"direction": "b2a"}, ["--direction = b2a:", "FILE holds a2b"]),
    (BY_FILE | {"step": "3"}, ["--step = 3:", "--workdir"]),
    (BY_FILE | {"weights": "NONE"}, ["NONE:", "no such file"]),
    (BY_FILE | {"weights": "IN"}, ["--weights = IN:", "folder"]),
    (BY_FILE | {"weights": "IN/a.png"}, ["IN/a.png"]),
    (BY_FILE | {"weights": "CRITIC"}, ["--weights = CRITIC:", "critic", "generator"]),
    (BY_FILE | {"weights": "TWO"}, ["takes images of 2 channels", "1 or 3"]),
    (BY_FILE | {"weights": "MAKES_4"}, ["makes images of 4 channels", "1 or 3"]),
    (BY_FILE | {"outputt": "OUT"}, ["outputt"]),
    (BY_RUN | {"direction": ""}, ["--direction = '': needs a value: a2b or b2a"]),
    ({**BY_FILE, "weights": ""} | {"workdir": "RUN"}, ["--weights = ''"]),
    (BY_RUN | {"direction": "a2c"}, ["--direction = a2c:", "a2b or b2a"]),
    (BY_RUN | {"step": "1"}, ["--step = 1:", "0, 3"]),
    (BY_RUN | {"step": "-3"}, ["step"]),
    (BY_RUN | {"workdir": "EMPTY"}, ["EMPTY/config.json:", "not found"]),
    (BY_RUN | {"workdir": "NONE"}, ["--workdir = NONE:", "no such folder"]),
    (BY_RUN | {"workdir": "FILE"}, ["--workdir = FILE:", "is a file"]),
    (BY_RUN | {"workdir": "s3://a"}, ["s3://a:", "gs://"]),
    (BY_RUN | {"workdir": "OTHER"}, ["OTHER:", "wgan_gp"]),
]


@pytest.fixture(scope="module")
def places(file, run, tmp_path_factory):
    """Folders and files of every kind, by the name that stands for them."""
    folder = tmp_path_factory.mktemp("places")
    image_files.write(folder / "a.png", Picture(noise(8, 8)))
    (folder / "empty").mkdir()
    (folder / "other").mkdir()
    config = experiment.build(wgan_gp.get_config())
    (folder / "other" / "config.json").write_text(config.config_json)
    network_files.save(folder / "two.safetensors", *made_up(channels=2))
    four = made_up(channels=4, input_channels=3)
    network_files.save(folder / "four.safetensors", *four)
    options = {"width": 4, "norm": "none", "initializer": "normal", "gain": 0.02}
    pixel = {"name": "pixel", "num_layers": 3, **options}
    about = {"player": "critic", "name": "b", "network": {**pixel, "channels": 3}}
    made = randomly(network_files.shapes(about))
    network_files.save(folder / "b.safetensors", made, about)
    return {
        "FILE": file,
        "RUN": run[0],
        "IN": folder,
        "NONE": folder / "none",
        "EMPTY": folder / "empty",
        "OTHER": folder / "other",
        "TWO": folder / "two.safetensors",
        "MAKES_4": folder / "four.safetensors",
        "CRITIC": folder / "b.safetensors",
    }


@pytest.mark.parametrize(("flags", "words"), MISTAKES)
def test_mistakes_are_one_line_and_exit_2(flags, words, places, tmp_path, capsys):
    def filled(text):
        for name, path in {**places, "OUT": tmp_path / "out"}.items():
            text = text.replace(name, str(path))
        return text

    arguments = [f"--{name}={filled(value)}" for name, value in flags.items()]
    assert translate.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxgan: error: ")
    assert error.count("\n") == 1
    for word in words:
        assert filled(word) in error
    assert not (tmp_path / "out").exists()
