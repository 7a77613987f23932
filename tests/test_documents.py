"""The documents: links, citations, paths, modules and fields that they name exist."""

import ast
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from jaxgan.experiment import variants

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = [
    path
    for folder in ("jaxgan", "tests", "configs", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != Path(__file__)
]
# Pages of the official CycleGAN code's documentation, which is cited with its name.
OFFICIAL = {"docs/datasets.md", "docs/qa.md", "docs/tips.md"}
CONFIGS = ("wgan", "wgan_gp", "cyclegan")

LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
CITATION = re.compile(r'docs/papers\.md, "([^"\n]+)"')
# Not what is below another folder, such as ~/jaxgan, or behind a web address.
BEGINNING = r"(?<![\w./~-])"
# `one`, `two` and `three` in `folder/file.py`, over the end of a line as well.
LOCATED = re.compile(
    r"((?:`\w+`(?:, |,\n| and |\nand ))*)`(\w+)`,?\s+(?:in|of)\s+"
    r"`((?:jaxgan|tests|configs|benchmarks)/[\w/]+\.py)`"
)
FIELD = re.compile(
    r"(?:`|--config\.)"
    r"((?:gan|generator|critic|optimizer|data|train|parallel|eval)(?:\.[\w*]+)+)"
)


def ids(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def text_of(path):
    return path.read_text(encoding="utf-8")


def without_fences(text):
    """Return Markdown without its fenced code, where # begins a comment."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def headings(path):
    """Return [(level, title), ...] of a page."""
    found = re.findall(r"^(#+) (.+)$", without_fences(text_of(path)), re.MULTILINE)
    return [(len(marks), title.strip()) for marks, title in found]


@cache
def anchors(path):
    """Return the anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for _, title in headings(path):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = sum(1 for name in found if re.fullmatch(rf"{slug}(-\d+)?", name))
        found.add(f"{slug}-{number}" if number else slug)
    return found


def mentioned(folders, text):
    """Return the paths below `folders` that a text names."""
    found = re.findall(rf"{BEGINNING}(?:{folders})/[\w./-]*", text)
    return {path.rstrip(".") for path in found}


@cache
def config_module(name):
    return runpy.run_path(str(ROOT / "configs" / f"{name}.py"))


@cache
def fields():
    """Return every field of the config of any GAN."""
    configs = [config_module(name)["get_config"]() for name in CONFIGS]
    configs += [
        config_module(name)["get_config"](variant)
        for name in CONFIGS
        for variant in config_module(name)["VARIANTS"]
    ]
    return set().union(*(variants.flatten(config) for config in configs))


def test_pages_and_code_are_found():
    assert {"README.md", "docs/papers.md", "docs/scaling.md"} <= set(ids(PAGES))
    assert {"jaxgan/turns.py", "tests/test_turns.py"} <= set(ids(CODE))
    assert {"gan.clip", "gan.pool_size", "data.value_range"} <= fields()
    located = LOCATED.findall(text_of(ROOT / "docs" / "code.md"))
    networks = "jaxgan/models/latent/__init__.py"
    assert ("`GENERATORS` and ", "CRITICS", networks) in located


def test_anchors_are_githubs(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n## A: b-c\n```\n# no\n```\n    # no\n## A: b-c\n")
    assert anchors(page) == {"a-b-c", "a-b-c-1", "a-b-c-2"}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_to_files_and_headings(page):
    for found in LINK.findall(without_fences(text_of(page))):
        target = found[0] or found[1]
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        assert other.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_paths_in_pages_exist(page):
    found = mentioned("jaxgan|tests|configs|benchmarks|docs", text_of(page))
    missing = {path for path in found - OFFICIAL if not (ROOT / path).exists()}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_names_in_pages_are_in_the_files_that_they_are_said_to_be_in(page):
    """As: `critic_loss` in `jaxgan/gans/wgan_gp.py`."""
    for names, name, path in LOCATED.findall(text_of(page)):
        code = text_of(ROOT / path)
        for each in (*re.findall(r"`(\w+)`", names), name):
            assert re.search(rf"\b{each}\b", code), f"{each} in {path}"


def test_the_layers_in_the_page_are_those_of_the_test():
    """The commands, which are the last layer, stand there in one word."""
    tree = ast.parse(text_of(ROOT / "tests" / "test_architecture.py"))
    layers = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    line = " | ".join([*layers[:-1], "commands"])
    assert f"\n    {line}\n" in text_of(ROOT / "docs" / "code.md")


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_commands_in_pages_are_modules(page):
    for name in re.findall(r"-m jaxgan((?:\.[a-z]\w*)+)", text_of(page)):
        path = ROOT.joinpath("jaxgan", *name.split(".")[1:])
        assert path.with_suffix(".py").exists(), f"jaxgan{name}"


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_fields_in_pages_are_fields(page):
    """`optimizer.*` stands for both players'; names of files are no fields."""
    for field in FIELD.findall(text_of(page)):
        pattern = re.escape(field).replace(r"\*", r"\w+") + r"(\..+)?"
        known = any(re.fullmatch(pattern, name) for name in fields())
        assert known or field.endswith(".py"), field


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_variants_in_pages_exist(page):
    """Words in capitals stand for a variant; `key=value` is none."""
    found = re.findall(r"configs/(\w+)\.py:([a-z]\w*)(?!\w*=)", text_of(page))
    for name, variant in found:
        assert variant in config_module(name)["VARIANTS"], f"{name}:{variant}"


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_tables_have_rows_of_equal_width(page):
    """GitHub drops the cells that are too many, without a word."""
    width = 0
    for line in text_of(page).splitlines():
        cells = line.replace(r"\|", "").count("|") if line.startswith("|") else 0
        assert cells == width or not width or not cells, line
        width = cells


def test_pages_that_code_names_exist():
    for path in CODE:
        missing = {
            name
            for name in mentioned("docs", text_of(path)) - OFFICIAL
            if not (ROOT / name).exists()
        }
        assert not missing, path


def test_citations_name_a_section():
    """As docs/papers.md, comma, and a heading of level 2 in quotes, on one line."""
    sections = [title for level, title in headings(ROOT / "docs/papers.md")]
    assert len(set(sections)) == len(sections)
    titles = {title for level, title in headings(ROOT / "docs/papers.md") if level == 2}
    for path in CODE:
        text = text_of(path)
        cited = CITATION.findall(text)
        assert len(cited) == text.count("docs/papers.md"), f"{path}: no section"
        assert titles.issuperset(cited), path


def test_no_citation_of_a_document_that_is_not_here():
    old = re.compile(
        r"\bspec/\w+\.md|\b(users|tutorials|cyclegan|wgan|interface|design)\.md\b"
        r"|\bdesign traps?\b|\(design\)"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in CODE
        for match in old.finditer(text_of(path))
    ]
    assert not found


def test_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150
