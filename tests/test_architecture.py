"""Who may import whom, and how large a module may grow: read from the sources."""

import ast
import sys

import pytest
from helpers import ROOT

PACKAGE = ROOT / "jaxgan"
# The table of layers, lowest first. A folder stands for its modules. A module imports
# only from the groups before its own, and from its own folder.
LAYERS = (
    "errors types",
    "rules",
    "keys losses gradients models runtime files",
    "turns penalties pool optim pixels weights metrics",
    "data gans",
    "experiment",
    "workdir",
    "inference",
    "train",
    "command_flags",
    "cli",
    "main sample translate evaluate convert",
)
COMMANDS = LAYERS[-1].split()
# Groups stand apart even where the order of layers would allow an import.
APART = [("losses", "models"), ("gans", "files"), ("data", "models"), ("data", "gans")]
# The packages that a room may import besides Python's own.
PACKAGES = {
    "errors": "",
    "rules": "",
    "types": "jax flax numpy optax",
    "keys": "jax",
    "losses": "jax optax jaxtyping",
    "models": "jax flax",
    "gradients": "jax",
    "turns": "jax optax",
    "penalties": "jax jaxtyping",
    "pool": "jax jaxtyping",
    "optim": "jax optax",
    "pixels": "jax numpy",
    "metrics": "jax numpy scipy jaxtyping",
    "gans": "jax flax",
    # Anything but JAX and what stands on it: tests below.
    "data": "numpy PIL grain sklearn tqdm tensorflow_datasets tensorflow",
    "files": "numpy PIL etils fsspec imagecodecs tifffile",
    "weights": "jax flax numpy safetensors ml_dtypes",
}
# The modules of this project that a room may import besides its own, where the layers
# alone would allow more.
OWN = {
    "losses": "",
    "models": "errors rules",
    "gradients": "types",
    "turns": "gradients types",
    "penalties": "errors keys types",
    "pool": "keys types",
    "pixels": "keys types",
    "metrics": "errors",
    "data": "errors files runtime",  # of which only what knows no JAX: see a test below
    "files": "errors",
    "gans": "errors gradients keys losses metrics penalties pixels pool turns types",
}
MAY_BE_MISSING = {
    "grain", "sklearn", "tqdm", "tensorboardX", "tensorflow", "tensorflow_datasets",
    "torch", "matplotlib", "imagecodecs", "tifffile", "gcsfs", "fsspec", "etils",
}  # fmt: skip
# The modules where ConfigDict is known: the flags, and the room of experiments.
KNOW_CONFIGS = {"cli", "experiment.variants", "experiment.experiment"}
MOST_MODULES, MOST_FOLDERS = 20, 11  # at the package's top
# The loop is the longest module: it is read from top to bottom.
LONGEST, LONGEST_FUNCTION = 260, 50
LONGER = {"train": 320, "experiment.schema": 280}  # the other is a table


def module_name(path):
    """Return 'gans.wgan' for jaxgan/gans/wgan.py, 'data' for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__").removesuffix("__init__")


SOURCES = {module_name(path): path.read_text() for path in PACKAGE.rglob("*.py")}
SOURCES.pop("")  # the front door
TREES = {name: ast.parse(text) for name, text in SOURCES.items()}


def imports(tree):
    """Yield the full name of each module or member that a tree imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(tree):
    """Return the top-level packages that a tree imports anywhere."""
    return {name.partition(".")[0] for name in imports(tree)}


def own_imports(name):
    """Return the modules of jaxgan that module `name` imports anywhere."""
    found = set()
    for imported in imports(TREES[name]):
        top, _, rest = imported.partition(".")
        if top == "jaxgan":
            # 'losses.drift' is a member of the module 'losses'.
            found.add(rest if rest in TREES else rest.rpartition(".")[0])
    return found - {""}


def room(name):
    """Return the folder or top-level module that a module belongs to."""
    return name.partition(".")[0]


def layer(name):
    """Return the number of a module's layer, 0 for the lowest."""
    found = [i for i, group in enumerate(LAYERS) if room(name) in group.split()]
    assert len(found) == 1, f"{name} is not in the table of layers"
    return found[0]


def members(part):
    """Return the modules of a room."""
    return [name for name in sorted(TREES) if room(name) == part]


def test_every_module_is_in_the_table_of_layers_and_every_entry_exists():
    for name in TREES:
        layer(name)
    for entry in " ".join(LAYERS).split():
        assert members(entry), entry


@pytest.mark.parametrize("name", sorted(TREES))
def test_modules_import_only_from_lower_layers_and_their_own_folder(name):
    for imported in own_imports(name):
        same_folder = room(imported) == room(name)
        assert same_folder or layer(imported) < layer(name), imported


def test_no_module_imports_itself_through_others():
    def visit(name, path):
        assert name not in path, " > ".join([*path, name])
        if name not in done:
            for imported in own_imports(name):
                # A package and its modules know one another.
                if not (f"{imported}.").startswith(f"{name}.") and not (
                    f"{name}."
                ).startswith(f"{imported}."):
                    visit(imported, [*path, name])
            done.add(name)

    done = set()
    for name in TREES:
        visit(name, [])


@pytest.mark.parametrize("pair", APART)
def test_rooms_that_stay_apart(pair):
    for one, other in (pair, pair[::-1]):
        for name in members(one):
            assert other not in {room(i) for i in own_imports(name)}, name


@pytest.mark.parametrize("part", PACKAGES)
def test_rooms_import_only_the_packages_that_they_need(part):
    allowed = {*PACKAGES[part].split(), "jaxgan"}
    for name in members(part):
        foreign = {p for p in packages(TREES[name]) if p not in sys.stdlib_module_names}
        assert foreign <= allowed, name


@pytest.mark.parametrize("part", OWN)
def test_rooms_import_only_the_modules_that_they_need(part):
    allowed = {*OWN[part].split(), part}
    for name in members(part):
        assert {room(imported) for imported in own_imports(name)} <= allowed, name


def test_data_and_files_know_no_jax():
    for name in [*members("data"), *members("files")]:
        assert packages(TREES[name]).isdisjoint(
            {"jax", "jaxlib", "flax", "optax", "orbax", "jaxtyping"}
        ), name


def test_data_takes_only_light_modules_of_the_runtime():
    for name in members("data"):
        taken = {i for i in own_imports(name) if room(i) == "runtime"}
        light = {"runtime.signals", "runtime.streams", "runtime.user_folders"}
        assert taken <= light, name


def test_only_commands_touch_flags():
    for name in TREES:
        if name not in (*COMMANDS, "cli", "command_flags"):
            touched = [i for i in imports(TREES[name]) if i.startswith("absl.flags")]
            assert not touched, name
            assert "ml_collections.config_flags" not in imports(TREES[name]), name


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_begin_and_end_as_programs(name):
    """Signals are answered before the imports, and every end has its exit code."""
    as_program = "if __name__ == '__main__':\n    "
    begin = "from jaxgan.runtime import program\n    program.start()"
    end = "from jaxgan import cli\n    cli.exit_process(main)"
    _, first, *_, last = map(ast.unparse, TREES[name].body)
    assert (first, last) == (as_program + begin, as_program + end)


def test_few_modules_know_configs():
    known = {name for name in TREES if "ml_collections" in packages(TREES[name])}
    assert known == KNOW_CONFIGS


def test_only_the_table_of_gans_knows_their_names():
    """No other module compares a GAN's name with a string."""
    names = {"wgan", "wgan_gp", "cyclegan"}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and name != "gans":
                compared = [node.left, *node.comparators]
                texts = {n.value for n in compared if isinstance(n, ast.Constant)}
                # 'wgan_gp' is an adversarial loss as well.
                if names & texts:
                    assert "adversarial" in ast.unparse(node), (name, node.lineno)


def test_no_field_is_read_with_a_default_on_the_spot():
    """Defaults of fields are in one place: experiment/schema.py."""
    for name in TREES:
        assert "config.get(" not in SOURCES[name], name
        assert 'values.get("' not in SOURCES[name], name


def test_only_devices_knows_of_pmap():
    for name, tree in TREES.items():
        code = [
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
        ]
        taken = {i.rpartition(".")[2] for i in imports(tree)}
        known = {"pmap", "shard_map"} & {*code, *taken}
        assert not known or name == "runtime.devices", name


def at_module_level(tree):
    """Yield the imports that importing the module itself runs."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.ClassDef):
            yield from at_module_level(node)
        else:
            yield from imports(node)


def test_packages_that_may_be_missing_are_imported_where_they_are_used():
    for name, tree in TREES.items():
        top = {i.partition(".")[0] for i in at_module_level(tree)}
        assert top.isdisjoint(MAY_BE_MISSING), name
    used = set().union(*(packages(tree) for tree in TREES.values()))
    assert {"grain", "sklearn", "tqdm", "tensorboardX", "tensorflow_datasets"} <= used


def test_a_newcomer_sees_few_modules_and_folders():
    modules = [path for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    folders = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert len(modules) <= MOST_MODULES, sorted(path.stem for path in modules)
    assert len(folders) <= MOST_FOLDERS


def test_no_two_modules_differ_only_by_an_ending():
    folders = {name.rpartition(".")[0].rpartition(".")[2] for name in TREES}
    names = sorted({name.rpartition(".")[2] for name in TREES} - folders)
    endings = ("s", "es", "ing", "ion", "ation", "er")
    for name in names:
        stems = {name, name.removesuffix("e"), name.removesuffix("y")}
        alike = {stem + ending for stem in stems for ending in endings} & set(names)
        assert not alike - {name}, (name, alike)


def test_modules_and_functions_are_short_enough_to_read():
    for name, text in SOURCES.items():
        assert len(text.splitlines()) <= LONGER.get(name, LONGEST), name
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                # Without the docstring, which has shapes and sources to tell.
                first = node.body[bool(ast.get_docstring(node)) and len(node.body) > 1]
                lines = node.end_lineno - first.lineno
                assert lines < LONGEST_FUNCTION, f"{name}.{node.name}"


CORE = ("gradients", "turns", "losses", "penalties", "pool", "optim")
ARRAYS = ("Array", "Float[", "Int[", "Bool[", "Images", "Examples", "Index")


def core_modules():
    return [*members("gans"), *CORE]


def test_comments_of_the_core_are_at_least_6_percent_of_its_code():
    comments = code = 0
    for name in core_modules():
        docstrings = {
            line
            for node in ast.walk(TREES[name])
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for line in range(node.lineno, node.end_lineno + 1)
        }
        for number, line in enumerate(SOURCES[name].splitlines(), 1):
            if line.strip().startswith("#"):
                comments += 1
            elif line.strip() and number not in docstrings:
                code += 1
    assert comments >= 0.06 * code, (comments, code)


@pytest.mark.parametrize("name", ["keys", "pixels", *CORE, *members("gans")])
def test_docstrings_of_the_core_give_the_shapes_of_arrays(name):
    for node in ast.walk(TREES[name]):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        every = [*node.args.args, *node.args.kwonlyargs]
        types = [each.annotation for each in every] + [node.returns]
        texts = [ast.unparse(kind) for kind in types if kind is not None]
        docstring = ast.get_docstring(node)
        if docstring and any(kind in text for kind in ARRAYS for text in texts):
            assert "[" in docstring, f"{name}.{node.name}"
