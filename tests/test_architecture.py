"""Who may import whom, and how large a module may grow: read from the sources."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jaxgan"


def module_name(path):
    """Return 'gans.wgan' for jaxgan/gans/wgan.py, 'data' for its __init__.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
        ".__init__"
    )


TREES = {module_name(path): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}
LINES = {
    module_name(path): len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")
}

VERBS = {"main", "sample", "translate", "evaluate", "convert", "report", "figures"}
# From the top down; a package stands for its modules. What is not named here is below
# all of them: turns, losses, penalties, models, data, images, keys, types, errors, ...
LAYERS = [
    VERBS,
    {"cli"},
    {"train", "describe", "scores"},
    {"preconditions"},
    {"sampling", "writers", "checks", "feed", "warm_start", "trained", "translating"},
    {"evaluation"},
    {"build"},
    {"gans"},
    {"turns"},
]
# Where a config may be known: down to the place where a Gan is built.
KNOW_CONFIGS = VERBS | {
    "cli", "config", "train", "describe", "scores", "sampling", "evaluation", "build",
    "checks", "feed", "trained", "preconditions",
}  # fmt: skip
NEEDED_ELSEWHERE = {
    "grain", "sklearn", "tqdm", "tensorboardX", "tensorflow", "tensorflow_datasets",
    "torch", "matplotlib", "imagecodecs", "tifffile", "gcsfs", "fsspec", "etils",
}  # fmt: skip
# The loop is the longest module (design): it is read from top to bottom.
LONGER = {"train": 300}


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


def of(*parts):
    """Return the modules that are, or are in, one of these modules and packages."""
    return [name for name in sorted(TREES) if inside(name, *parts)]


def inside(name, *parts):
    return name in parts or any(name.startswith(f"{part}.") for part in parts)


def layer(name):
    """Return a module's layer, 0 on top."""
    for number, members in enumerate(LAYERS):
        if inside(name, *members):
            return number
    return len(LAYERS)


def test_all_sources_are_read():
    assert {"main", "train", "gans.wgan_gp", "models", "data.plan"} <= TREES.keys()


@pytest.mark.parametrize("name", sorted(TREES))
def test_modules_import_from_their_own_or_a_lower_layer_alone(name):
    for imported in own_imports(name):
        assert layer(imported) >= layer(name), imported
        if inside(name, *VERBS):
            assert not inside(imported, *VERBS), "verbs do not call one another"


def test_no_module_imports_itself_through_others():
    def visit(name, path):
        assert name not in path, " > ".join([*path, name])
        if name not in done:
            for imported in own_imports(name):
                # A package and its modules know one another.
                if not (inside(imported, name) or inside(name, imported)):
                    visit(imported, [*path, name])
            done.add(name)

    done = set()
    for name in TREES:
        visit(name, [])


MAY_IMPORT = {
    # Modules of networks know no loss, optimizer, config or GAN.
    "models": ({"models", "errors"}, {"jax", "flax", "math", "dataclasses", "re"}),
    # Losses know scores and images, penalties a function: neither knows a network.
    "losses": (set(), {"jax", "optax", "jaxtyping"}),
    "penalties": ({"keys", "errors", "types"}, {"jax", "jaxtyping"}),
    # GANs know nothing of files, data sets or devices, but the name of an axis.
    "gans": (
        {
            "gans",
            "turns",
            "losses",
            "penalties",
            "pool",
            "images",
            "keys",
            "types",
            "errors",
        },
        {"jax", "flax", "optax", "jaxtyping"},
    ),
    "turns": ({"types"}, {"jax", "optax"}),
    "pool": ({"keys", "types"}, {"jax", "jaxtyping"}),
    "metrics": ({"metrics", "errors"}, {"jax", "numpy", "scipy", "jaxtyping"}),
}
HARMLESS = {"jaxgan", "collections", "functools", "itertools", "typing"}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_libraries_know_their_own_business_alone(part):
    own, others = MAY_IMPORT[part]
    assert of(part)
    for name in of(part):
        unknown = [known for known in own_imports(name) if not inside(known, *own)]
        assert not unknown, name
        assert packages(TREES[name]) <= others | HARMLESS, name


def test_gans_take_of_images_what_decodes_them_alone():
    """The rest of that module writes files."""
    for name in of("gans"):
        for node in ast.walk(TREES[name]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "images" or node.attr == "decode", name


def test_data_knows_no_jax_and_nothing_else_of_this_project_but_errors():
    for name in of("data"):
        assert packages(TREES[name]).isdisjoint(
            {"jax", "jaxlib", "flax", "optax", "orbax", "jaxtyping"}
        ), name
        assert all(inside(i, "data", "errors") for i in own_imports(name)), name


def test_only_verbs_and_what_they_share_touch_flags():
    for name in TREES:
        if not inside(name, *VERBS, "cli"):
            touched = [i for i in imports(TREES[name]) if i.startswith("absl.flags")]
            assert not touched, name
            assert "ml_collections.config_flags" not in imports(TREES[name]), name


def test_configs_are_unknown_below_the_place_where_a_gan_is_built():
    for name in TREES:
        if not inside(name, *KNOW_CONFIGS):
            assert "ml_collections" not in packages(TREES[name]), name
            assert "config" not in own_imports(name), name


def test_only_parallel_knows_of_pmap():
    for name, tree in TREES.items():
        code = [
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Name)
        ]
        taken = {i.rpartition(".")[2] for i in imports(tree)}
        known = {"pmap", "shard_map"} & {*code, *taken}
        assert not known or name == "parallel", name


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
        assert top.isdisjoint(NEEDED_ELSEWHERE), name
    used = set().union(*(packages(tree) for tree in TREES.values()))
    assert {"grain", "sklearn", "tqdm", "tensorboardX", "tensorflow_datasets"} <= used


def test_modules_and_functions_are_short_enough_to_read():
    for name, count in LINES.items():
        assert count <= LONGER.get(name, 260), name
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                # But for the docstring, which has shapes and sources to tell.
                first = node.body[bool(ast.get_docstring(node)) and len(node.body) > 1]
                assert node.end_lineno - first.lineno < 50, f"{name}.{node.name}"
