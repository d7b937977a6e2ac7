"""Folders of the server that the admin opened for import (``LUTHIER_IMPORT_FOLDERS``).

Rules kept here: a path is walked part by part from the folder down, through descriptors, and no symbolic link
is followed, so that nothing outside can be named, also not by a link that appears meanwhile; only folders and
regular files of a readable kind are seen, nothing hidden, and never Luthier's own data folder. What becomes
of a file is ``core.uploads``'s business.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.config import settings
from core.errors import NotFound, UnsupportedMediaType
from core.readers import kind_of

MOST_ENTRIES = 2000
_NO_LINK = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_UNSAFE = re.compile(r"[\x00\\:]" if os.name == "nt" else r"\x00")
_HAS_DESCRIPTORS = os.open in os.supports_dir_fd and os.scandir in os.supports_fd


@dataclass(frozen=True)
class Folder:
    """``name`` is what users call it; where it lies they need not know."""

    name: str
    root: Path


@dataclass(frozen=True)
class Found:
    name: str
    path: str
    is_folder: bool
    size_bytes: int = 0


def listed() -> list[Folder]:
    """The folders that are there, each under a name of its own."""
    folders: list[Folder] = []
    for root in settings().import_folder_list:
        if root.is_dir():
            name = root.name or "server"
            twins = sum(folder.name == name or folder.name.startswith(f"{name} (") for folder in folders)
            folders.append(Folder(f"{name} ({twins + 1})" if twins else name, root))
    return folders


def entries(folder: str, path: str = "") -> list[Found]:
    """What can be opened or entered at ``path``: folders first, then files, by name. Raises NotFound."""
    parts = _parts(path)
    with _opened(folder, parts) as (handle, _):
        items = [one for entry in os.scandir(handle) if (one := _seen(entry, parts)) is not None]
    return sorted(items, key=lambda one: (not one.is_folder, one.name.lower()))[:MOST_ENTRIES]


def open_file(folder: str, path: str) -> BinaryIO:
    """A regular file inside a folder, open for reading. Raises NotFound."""
    *above, name = _parts(path) or [""]
    if not name:
        raise NotFound
    with _opened(folder, above) as (handle, place):
        try:
            descriptor = (
                os.open(name, os.O_RDONLY | _NO_LINK, dir_fd=handle)
                if _HAS_DESCRIPTORS
                else _open_plainly(place / name)
            )
        except OSError as error:
            raise NotFound from error
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise NotFound
    return file


def size_of(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _parts(path: str) -> list[str]:
    """Names with ``/`` between. Raises NotFound for what is no plain way down."""
    parts = [part for part in path.split("/") if part]
    if any(part.startswith(".") or _UNSAFE.search(part) for part in parts):
        raise NotFound
    return parts


@contextmanager
def _opened(folder: str, parts: list[str]) -> Iterator[tuple[Any, Path]]:
    """The folder at the end of the way, as a descriptor where the system has them, and as a path."""
    root = next((one.root for one in listed() if one.name == folder), None)
    if root is None:
        raise NotFound
    place = root.joinpath(*parts)
    if not _HAS_DESCRIPTORS:
        _require_plain_way(root, parts)
        yield place, place
        return
    handle = -1
    try:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        for part in parts:
            _require_not_ours(os.fstat(handle))
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=handle)
            os.close(handle)
            handle = below
        _require_not_ours(os.fstat(handle))
        yield handle, place
    except OSError as error:
        raise NotFound from error
    finally:
        with suppress(OSError):
            os.close(handle)


def _require_not_ours(found: os.stat_result) -> None:
    """An admin may list a folder that holds the data folder;
    other users' files in there are still nobody's business."""
    ours = settings().data_dir.stat()
    if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
        raise NotFound


def _seen(entry: "os.DirEntry[str]", above: list[str]) -> Found | None:
    path = "/".join([*above, entry.name])
    try:
        if entry.name.startswith(".") or _UNSAFE.search(entry.name) or entry.is_symlink():
            return None
        if entry.is_dir(follow_symlinks=False):
            _require_not_ours(entry.stat(follow_symlinks=False))
            return Found(entry.name, path, is_folder=True)
        kind_of(entry.name)
        return (
            Found(entry.name, path, False, entry.stat(follow_symlinks=False).st_size)
            if entry.is_file()
            else None
        )
    except (OSError, UnsupportedMediaType, NotFound):
        return None


def _require_plain_way(root: Path, parts: list[str]) -> None:
    """Without descriptors (Windows): the way must be the same after links are resolved."""
    place = root
    for part in parts:
        _require_not_ours(place.stat())
        place = place / part
        if not place.is_dir() or place.resolve() != place:
            raise NotFound


def _open_plainly(path: Path) -> int:
    if path.resolve() != path:
        raise NotFound
    return os.open(path, os.O_RDONLY | _NO_LINK)
