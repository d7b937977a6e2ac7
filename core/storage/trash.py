"""What no row of the database names goes into a trash folder, never away at once.

::

    DATA_DIR/trash/KIND/NAME@MOMENT      for instance trash/datasets/dsv_…@20261129T101500Z

A folder without a row is mostly what a crash left. It may as well be somebody's work whose row is missing:
the database was restored from an older copy, or is another one than yesterday. So a start moves such folders
here, says so in the log, and keeps them for ``LUTHIER_TRASH_DAYS``. As soon as a row names one of them again,
the next start puts it back.

Only names that this program gives are touched: ``lost+found`` or an admin's notes stay where they are. Drafts
that a dead process left (``.ID.….tmp``, ``.ID.….gone``) were never complete, or were deleted by somebody, and
are removed at once.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.clock import now
from core.config import settings

KINDS = {
    "datasets": "dsv",
    "models": "mdv",
    "jobs": "ftj",
    "exports": "exp",
    "uploads": "upl",
    "staging": "dsv",
}
NOUNS = {
    "datasets": "dataset version",
    "models": "model version",
    "jobs": "job",
    "exports": "export",
    "uploads": "upload",
    "staging": "file of a dataset version",
}
NAMELESS = "is named by no row of the database"
MOMENT = "%Y%m%dT%H%M%SZ"
_DRAFT = re.compile(r"^\.(?P<id>[a-z]{3}_[a-z2-7]{8,60})\.[^.]+\.(tmp|gone)$")
log = logging.getLogger("luthier.trash")


@dataclass(frozen=True)
class Discarded:
    """One folder or file in the trash. ``kind``: the folder of the data folder that it comes from."""

    kind: str
    name: str
    moved_at: datetime
    path: Path

    @property
    def noun(self) -> str:
        return NOUNS[self.kind]

    @property
    def leaves_at(self) -> datetime:
        return self.moved_at + timedelta(days=settings().trash_days)

    @property
    def size_bytes(self) -> int:
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())


def sweep(kind: str, known: Set[str], *, older_than_seconds: float = 0) -> list[str]:
    """Put back what ``known`` names, then move what it does not name out
    of ``kind``; returns the names that were moved.

    Only at the start of a server, when nothing is being written but by the processes whose names are in
    ``known``.
    """
    put_back(kind, known)
    newest = time.time() - older_than_seconds
    strays = [
        path
        for path in _children(settings().data_dir / kind)
        if path.name not in known and _changed_at(path) <= newest
    ]
    for draft in strays:
        if is_draft(kind, draft.name):
            _delete(draft)
    return [path.name for path in strays if is_ours(kind, path.name) and put(kind, path.name)]


def put(kind: str, name: str, *, why: str = NAMELESS) -> bool:
    """Move one folder or file of ``kind`` into the trash and say so in the log.

    False: it is not there, or cannot be moved.
    """
    source = settings().data_dir / kind / name
    target = _folder(kind) / f"{name}@{now().strftime(MOMENT)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():  # twice within a second
            return False
        os.rename(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        log.error("%s/%s %s and could not be moved to the trash: %s", kind, name, why, error)
        return False
    days = settings().trash_days
    log.warning(
        "%s/%s %s: moved to trash/%s/%s and kept for %s days", kind, name, why, kind, target.name, days
    )
    return True


def put_back(kind: str, known: Set[str]) -> list[str]:
    """What rows name and is missing in its place comes back
    from the trash, the newest where there are several."""
    returned = []
    for one in sorted(_entries(kind), key=lambda one: one.moved_at, reverse=True):
        place = settings().data_dir / kind / one.name
        if one.name not in known or place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(one.path, place)
        log.warning("%s/%s is named by the database again: put back from the trash", kind, one.name)
        returned.append(one.name)
    return returned


def list_all() -> list[Discarded]:
    """Everything in the trash, what leaves first in front."""
    return sorted((one for kind in KINDS for one in _entries(kind)), key=lambda one: one.moved_at)


def remove_expired(at: datetime | None = None) -> list[Discarded]:
    """Delete for good what has been in the trash for ``LUTHIER_TRASH_DAYS``; returns it."""
    expired = [one for one in list_all() if one.leaves_at <= (at or now())]
    for one in expired:
        _delete(one.path)
        log.warning("%s/%s was in the trash for %s days: deleted", one.kind, one.name, settings().trash_days)
    return expired


def is_ours(kind: str, name: str) -> bool:
    """Whether ``name`` is one that this program gives to what lies under ``kind``."""
    return re.fullmatch(KINDS[kind] + "_[a-z2-7]{8,60}", name) is not None


def is_draft(kind: str, name: str) -> bool:
    """Whether ``name`` is that of something not yet published, or half deleted."""
    match = _DRAFT.match(name)
    return match is not None and is_ours(kind, match["id"])


def _folder(kind: str) -> Path:
    return settings().data_dir / "trash" / kind


def _entries(kind: str) -> Iterator[Discarded]:
    for path in _children(_folder(kind)):
        name, _, moment = path.name.rpartition("@")
        try:
            moved_at = datetime.strptime(moment, MOMENT).replace(tzinfo=UTC)
        except ValueError:
            continue  # not put here by us
        if is_ours(kind, name):
            yield Discarded(kind, name, moved_at, path)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()  # gone meanwhile: nothing to do about it


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
