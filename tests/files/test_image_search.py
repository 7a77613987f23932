"""The search for image files: links, hidden files, and what is told about the rest."""

import os
from pathlib import Path

import pytest
from PIL import Image

from jaxgan.files import image_search
from jaxgan.files.image_search import has_image_ending, search_images
from jaxgan.files.skipped_files import (
    HIDDEN,
    IN_TRAINING,
    NO_FILE,
    OTHER_ENDING,
    REPEATED,
    UNREADABLE,
    describe_skipped,
)


def make(root, *names):
    """Write small files, whose sizes are all different."""
    for size, name in enumerate(names, 1):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)


def test_images_are_sorted_as_paths_are_and_have_sizes(tmp_path):
    names = ["b/1.png", "a-b/2.JPG", "a/c/0.png", "a/9.tiff", "a.b.webp", "a/10.jpg"]
    make(tmp_path, *names)
    found = search_images(str(tmp_path))
    assert [tmp_path / name for name in found.names] == sorted(
        path for path in tmp_path.rglob("*") if path.is_file()
    )
    assert found.names == sorted(names, key=lambda name: Path(name).parts)
    assert found.sizes == {name: size for size, name in enumerate(names, 1)}
    assert [found.path(name) for name in found.names[:1]] == [f"{tmp_path}/a/10.jpg"]
    assert found.skipped == {}
    assert describe_skipped(found.skipped) == ""


def test_links_never_multiply_images(tmp_path):
    root = tmp_path / "set" / "train"
    make(tmp_path / "set", "train/0.png", "train/sub/1.png", "test/2.png")
    make(tmp_path / "elsewhere", "3.png", "deep/4.png", "deep/5.txt")
    make(tmp_path / "far", "6.png")
    for name, target in {
        "again.png": "0.png",
        "back": root / "sub",
        "self": ".",
        # Its other folder, test, must not be trained on.
        "sub/parent": tmp_path / "set",
        "sub/top": "/",
        "away": tmp_path / "elsewhere",
        "way": tmp_path / "elsewhere" / "deep",
        "one.png": tmp_path / "far" / "6.png",
        "two.png": tmp_path / "set" / "train" / "one.png",
    }.items():
        (root / name).symlink_to(target)
    (tmp_path / "elsewhere" / "home").symlink_to(root)
    os.link(root / "0.png", root / "hard.png")
    found = search_images(str(root))
    assert found.names == [
        "0.png", "away/3.png", "away/deep/4.png", "one.png", "sub/1.png",
    ]  # fmt: skip
    assert {reason: sorted(names) for reason, names in found.skipped.items()} == {
        REPEATED: [
            "again.png", "away/home", "back", "hard.png", "self", "sub/parent",
            "sub/top", "two.png", "way",
        ],
        OTHER_ENDING: ["away/deep/5.txt"],
    }  # fmt: skip
    # A translation is wanted for every name; folders are searched once all the same.
    each = search_images(str(root), repeat_files=True)
    assert set(each.names) - set(found.names) == {"again.png", "hard.png", "two.png"}
    assert each.sizes["again.png"] == each.sizes["0.png"] == 1


def test_names_that_git_annex_and_others_link_to_their_store(tmp_path):
    make(tmp_path, "store/ab12", "store/cd34")
    for name, key in (("a.png", "ab12"), ("b.png", "cd34"), ("c.png", "ab12")):
        (tmp_path / name).symlink_to(f"store/{key}")
    found = search_images(str(tmp_path))
    assert found.names == ["a.png", "b.png"]
    assert found.sizes == {"a.png": 1, "b.png": 2}
    assert found.skipped[REPEATED] == ["c.png"]


def test_a_root_that_is_a_link_or_hidden(tmp_path):
    make(tmp_path, ".hidden/0.png")
    (tmp_path / "link").symlink_to(".hidden")
    for root in (".hidden", "link"):
        assert search_images(str(tmp_path / root)).names == ["0.png"]


def test_what_is_no_image_is_told(tmp_path):
    make(
        tmp_path,
        "a/0.png", "a/.DS_Store", "a/._0.png", "a/Thumbs.db", "@eaDir/0.png/S.jpg",
        "b/__MACOSX/a/0.png", "#recycle/1.png", ".git/x.png", "readme", "1.txt",
        "b/2.TXT", "b/3.heic", "b/4.heic", "b/5.heic", "b/6.json", "b/7.xcf",
    )  # fmt: skip
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "loop.png").symlink_to("loop.png")
    found = search_images(str(tmp_path))
    assert found.names == ["a/0.png"]
    assert describe_skipped(found.skipped) == (
        "8 not named like images (.heic 3, .txt 2, no ending 1, ...); "
        "3 broken link or no regular file (pipe.png, broken.png, loop.png); "
        "7 hidden or made by the system (#recycle, .git, @eaDir, ...)"
    )
    assert sorted(found.skipped[HIDDEN]) == [
        "#recycle", ".git", "@eaDir", "a/.DS_Store", "a/._0.png", "a/Thumbs.db",
        "b/__MACOSX",
    ]  # fmt: skip
    assert found.skipped[NO_FILE] == ["pipe.png", "broken.png", "loop.png"]


def test_the_pictures_of_a_run_are_no_data(tmp_path):
    """By default, a run's folder is below the current one, which may hold the data."""
    make(tmp_path, "0.png", "runs/x/samples/1.png", "runs/x/config.json")
    assert search_images(str(tmp_path)).names == ["0.png", "runs/x/samples/1.png"]
    make(tmp_path, "runs/x/checkpoints/1/x")
    found = search_images(str(tmp_path))
    assert found.names == ["0.png"]
    assert describe_skipped(found.skipped) == "1 folder of a run (runs/x)"
    assert search_images(str(tmp_path / "runs" / "x")).names == ["samples/1.png"]


def test_control_characters_are_escaped():
    text = describe_skipped({REPEATED: ["a\x1b[31m\n.png", "b\udcff.png", "ö.png"]})
    assert (
        text
        == "3 found already by another path (a\\x1b[31m\\n.png, b\\udcff.png, ö.png)"
    )


def test_subfolders_that_cannot_be_listed_are_told(tmp_path, monkeypatch):
    make(tmp_path, "a/0.png", "b/1.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith(refused):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(image_search.os, "scandir", refuse)
    refused = "/b"
    found = search_images(str(tmp_path))
    assert found.names == ["a/0.png"]
    assert found.skipped == {UNREADABLE: ["b: Permission denied"]}
    refused = tmp_path.name
    with pytest.raises(PermissionError):
        search_images(str(tmp_path))


def test_files_of_the_other_part_are_left_out(tmp_path):
    make(tmp_path, "train/0.png", "train/1.png", "test/2.png")
    (tmp_path / "test" / "3.png").symlink_to("../train/0.png")
    os.link(tmp_path / "train" / "1.png", tmp_path / "test" / "4.png")
    train = search_images(str(tmp_path / "train"))
    places = set(train.places.values())
    test = search_images(str(tmp_path / "test"), training_places=places)
    assert test.names == ["2.png"]
    assert sorted(test.skipped[IN_TRAINING]) == ["3.png", "4.png"]


def test_every_ending_is_one_that_pillow_reads():
    Image.init()
    known = Image.registered_extensions()
    for ending in image_search.IMAGE_ENDINGS:
        assert known[ending] in {*Image.OPEN, "MPO"}, ending
        assert has_image_ending(f"A{ending.upper()}")
    assert {".jfif", ".jpe", ".tga", ".png"} <= set(image_search.IMAGE_ENDINGS)
    for name in ("a.txt", "a.heic", "png", "a.png.part", "a.eps", "a.pdf"):
        assert not has_image_ending(name)
