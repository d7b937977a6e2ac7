"""Where files live, and how they appear: temporary name
in the same folder, fsync, rename; the database row comes last.

::

    DATA_DIR/
    ├── luthier.db               metadata
    ├── secrets/                 mode 700
    ├── staging/                 what one call or one process needs; swept at start
    ├── uploads/upl_…            files on their way in, or waiting for their review; they survive a restart
    ├── datasets/dsv_…/          data.parquet, original (the uploaded bytes), rejects.jsonl
    ├── models/mdv_…/            weights, tokenizer, template, card
    ├── jobs/ftj_…/              log.txt, metrics, checkpoints/step-N
    ├── exports/exp_…/           one file to take away, .zip or .gguf, made from a model version and checked
    ├── trash/                   what no row names, for as many days as the admin says: ``trash``
    ├── folder-id                which database this folder belongs to: ``pairing``
    └── logs/

Paths come from ids that we made, never from a user's file name.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.config import settings
from core.errors import DiskFull, is_full_disk
from core.security import new_token

# names of what one call or process makes for itself in ``staging``
_SCRATCH = re.compile(r"(in-|sql-|work-|tmp|spill).*")
_ID = re.compile(r"^(dsv|mdv|ftj|upl|exp)_[a-z2-7]{8,60}$")


def version_dir(version_id: str) -> Path:
    return _folder("datasets", version_id)


def parquet_path(version_id: str) -> Path:
    return version_dir(version_id) / "data.parquet"


def original_path(version_id: str) -> Path:
    return version_dir(version_id) / "original"


def upload_path(upload_id: str) -> Path:
    """The bytes of an upload so far. The folder is made; the file may not be there yet."""
    path = _folder("uploads", upload_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def model_dir(model_version_id: str) -> Path:
    return _folder("models", model_version_id)


def job_dir(job_id: str) -> Path:
    return _folder("jobs", job_id)


def export_dir(export_id: str) -> Path:
    return _folder("exports", export_id)


def checkpoint_model_dir(job_id: str, step: int) -> Path:
    """The model of one checkpoint, as ``core.training.checkpoints`` writes it."""
    return job_dir(job_id) / "checkpoints" / f"step-{step}" / "model"


def staging_dir() -> Path:
    path = settings().data_dir / "staging"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def new_staging_path() -> Path:
    """A fresh name for an upload; the sweep at start removes what was left there."""
    return staging_dir() / f"in-{new_token()}"


def clear_scratch(kept: Collection[str]) -> None:
    """Remove from ``staging`` what calls and processes left that are gone.

    Only at start; what has other names is not ours.
    """
    for left in staging_dir().iterdir():
        if left.name not in kept and _SCRATCH.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def require_space(needed_bytes: int = 0) -> None:
    """Raises DiskFull when writing ``needed_bytes`` would leave less than the reserve."""
    root = settings().data_dir
    root.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(root).free - needed_bytes < settings().disk_reserve_mb * 2**20:
        raise DiskFull


@contextmanager
def publishing(final: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``final`` at the end, whole or not at all.

    Raises DiskFull instead of the operating system's error when the disk runs full on the way.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.parent / f".{final.name}.{new_token()[:8]}.tmp"
    draft.mkdir()
    try:
        yield draft
        for file in draft.rglob("*"):
            if file.is_file():
                _fsync(file)
        _fsync(draft)
        os.replace(draft, final)
        _fsync(final.parent)
    except OSError as error:
        if is_full_disk(error):
            raise DiskFull from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete a folder: out of sight by one rename first, then in peace. Missing is fine."""
    grave = folder.parent / f".{folder.name}.{new_token()[:8]}.gone"
    try:
        os.replace(folder, grave)
    except FileNotFoundError:
        return
    shutil.rmtree(grave, ignore_errors=True)


def link(source: str | Path, target: str | Path) -> None:
    """The same file under a second name, a copy where the disk cannot do that: for files that never change.

    Raises FileNotFoundError, FileExistsError.
    """
    try:
        os.link(source, target)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:
        shutil.copy2(source, target)


def folder_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _folder(kind: str, object_id: str) -> Path:
    if not _ID.match(object_id):
        raise ValueError(f"not an id of ours: {object_id!r}")
    return settings().data_dir / kind / object_id


def _fsync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
