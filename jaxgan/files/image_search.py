"""The search for image files in a folder: one for training and for translation."""

import os
import stat
from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from PIL import features

from jaxgan.files import buckets
from jaxgan.files.skipped_files import (
    HIDDEN,
    IN_TRAINING,
    NO_FILE,
    OF_RUN,
    OTHER_ENDING,
    REPEATED,
    UNREADABLE,
)

# Files with other endings are not taken for images; upper and lower case are the same.
IMAGE_ENDINGS = (
    ".apng", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp",
    *((".avif",) if features.check("avif") else ()),
    *((".j2k", ".jp2", ".jpf", ".jpx") if features.check("jpg_2000") else ()),
)  # fmt: skip
# Files and folders that systems put beside images, with previews and thrown-away files.
# In lower case.
SYSTEM_NAMES = (
    "__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin",
    "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",
)  # fmt: skip
# What lies in the folder of a run, whose pictures are not to be trained on.
RUN_NAMES = {"config.json", "checkpoints"}


class FoundImages(NamedTuple):
    """The image files of a folder and its subfolders.

    Attributes:
        folder: the folder, local or gs://.
        names: paths relative to the folder, with '/', sorted by their parts.
        sizes: name -> size in bytes.
        places: name -> what is the same for two names of one file.
        generations: name -> an object's generation; empty for a local folder.
        skipped: reason, one of `skipped_files.REASONS` -> names of what was left out.
    """

    folder: str
    names: list[str]
    sizes: dict[str, int]
    places: dict[str, object]
    generations: dict[str, str]
    skipped: dict[str, list[str]]

    def path(self, name: str) -> str:
        """Return the path of an image."""
        return f"{self.folder.rstrip('/')}/{name}"


def has_image_ending(name: str) -> bool:
    """Return whether a file's name ends like an image's."""
    return name.lower().endswith(IMAGE_ENDINGS)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder begins with a dot or is one of SYSTEM_NAMES."""
    return name[:1] == "." or name.lower() in SYSTEM_NAMES


def search_images(
    folder: str,
    *,
    training_places: Collection[object] = (),
    leave_out: str = "",
    repeat_files: bool = False,
) -> FoundImages:
    """Find the image files in a folder and all its subfolders.

    Links are followed, but each folder is searched once, and a folder that contains
    `folder` is not searched at all. What is hidden is left out (`is_hidden`), and so
    are local folders of runs.

    Args:
        folder: local or gs://.
        training_places: values of `FoundImages.places`. These files are left out, so
            that no image is held out and trained on as well.
        leave_out: a local folder that is not searched, without a word.
        repeat_files: whether a file that is reached by several names (symbolic or hard
            links) counts once for each of them, and not once in all.

    Raises:
        OSError: the local folder cannot be listed.
        UserError: the gs:// folder cannot be listed.
    """
    if buckets.is_remote(folder):
        return _search_bucket(folder)
    search = _Search(folder, training_places, leave_out, repeat_files)
    search.run()
    return search.result()


def _search_bucket(folder: str) -> FoundImages:
    found = FoundImages(folder, [], {}, {}, {}, {})
    skipped: dict[str, dict[str, None]] = {}
    start = len(folder.rstrip("/")) + 1
    objects = {path[start:]: f for path, f in buckets.list_objects(folder).items()}
    for name in sorted(objects, key=_parts):
        parts = _parts(name)
        hidden = [depth for depth, part in enumerate(parts, 1) if is_hidden(part)]
        if not parts[-1]:  # the object that Google's console makes for an empty folder
            continue
        if hidden:  # the folder, once
            skipped.setdefault(HIDDEN, {})["/".join(parts[: hidden[0]])] = None
        elif not has_image_ending(name):
            skipped.setdefault(OTHER_ENDING, {})[name] = None
        else:
            found.names.append(name)
            found.places[name] = found.path(name)
            found.sizes[name], found.generations[name] = objects[name]
    return found._replace(skipped={reason: [*s] for reason, s in skipped.items()})


def _parts(name: str) -> list[str]:
    # As pathlib sorts paths, and not as strings are sorted: 'a/1' comes before 'a-b/1'.
    return name.split("/")


class _Search:
    """A search in a local folder; the arguments are those of `search_images`."""

    def __init__(
        self,
        folder: str,
        training_places: Collection[object],
        leave_out: str,
        repeat_files: bool,
    ):
        self.training_places, self.repeat_files = training_places, repeat_files
        self.real = os.path.realpath(folder)
        self.visited = {os.path.realpath(leave_out)} if leave_out else set()
        self.seen: set[object] = set()
        self.found = FoundImages(folder, [], {}, {}, {}, {})
        # Links wait until all real files and folders are found, which so keep their own
        # names. (relative name, path of the link)
        self.links: deque[tuple[str, str]] = deque()
        self.real_folders: dict[str, str] = {}

    def run(self) -> None:
        """Search everything."""
        self._search("", self.real)
        while self.links:
            self._follow(*self.links.popleft())

    def result(self) -> FoundImages:
        """Return the images, sorted."""
        return self.found._replace(names=sorted(self.found.names, key=_parts))

    def _skip(self, reason: str, name: str) -> None:
        self.found.skipped.setdefault(reason, []).append(name)

    def _search(self, name: str, real: str) -> None:
        """Search a folder, whose real path is given, and its subfolders."""
        waiting = [(name, real)]
        while waiting:
            name, real = waiting.pop()
            if real in self.visited:
                continue
            self.visited.add(real)
            try:
                with os.scandir(real) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                if real == self.real:
                    raise
                self._skip(UNREADABLE, f"{name}: {error.strerror}")
                continue
            if name and {entry.name for entry in entries} >= RUN_NAMES:
                self._skip(OF_RUN, name)
                continue
            prefix = f"{name}/" if name else ""
            folders = []
            for entry in entries:
                child = prefix + entry.name
                if is_hidden(entry.name):
                    self._skip(HIDDEN, child)
                elif entry.is_symlink():
                    self.links.append((child, entry.path))
                elif entry.is_dir():
                    folders.append((child, entry.path))
                else:
                    self._add(child, entry.path)
            waiting += reversed(folders)

    def _follow(self, name: str, path: str) -> None:
        """Add the file, or search the folder, to which a link leads."""
        real = self._real_path(path)
        if not os.path.isdir(real):
            self._add(name, real)
        elif real in self.visited or f"{self.real}/".startswith(real.rstrip("/") + "/"):
            self._skip(REPEATED, name)
        else:
            self._search(name, real)

    def _real_path(self, link: str) -> str:
        """Return where a link leads; many links lead to one folder, which is kept."""
        target = os.path.join(os.path.dirname(link), os.readlink(link))
        folder, last = os.path.split(target)
        if last in ("", ".", "..") or os.path.islink(target):
            return os.path.realpath(link)
        if folder not in self.real_folders:
            self.real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self.real_folders[folder], last)

    def _add(self, name: str, real: str) -> None:
        """Add a file if it is an image that is not there yet."""
        try:
            status = os.stat(real)
        except PermissionError as error:
            self._skip(UNREADABLE, f"{name}: {error.strerror}")
            return
        except OSError:  # a link to nothing or to itself, or a file just deleted
            self._skip(NO_FILE, name)
            return
        # A file with hard links has several real paths.
        shared = status.st_nlink > 1
        place = (status.st_dev, status.st_ino) if shared else real
        if not stat.S_ISREG(status.st_mode):
            self._skip(NO_FILE, name)
        elif not has_image_ending(name):
            self._skip(OTHER_ENDING, name)
        elif place in self.training_places:
            self._skip(IN_TRAINING, name)
        elif place in self.seen and not self.repeat_files:
            self._skip(REPEATED, name)
        else:
            self.seen.add(place)
            self.found.names.append(name)
            self.found.sizes[name] = status.st_size
            self.found.places[name] = place
