"""Why a start failed, where an admin can mend it: one sentence that names the setting."""

import shutil
from pathlib import Path

from core import db
from core.config import settings
from core.errors import CannotStart, DatabaseAway, DiskFull
from core.processes.rounds import reason_of


def why_not(error: Exception) -> str | None:
    """None for what nobody foresaw."""
    if isinstance(error, CannotStart):
        return error.message
    if isinstance(error, PermissionError):
        return (
            f"{error.filename or settings().data_dir} may not be read or written by this user. Change its "
            "owner, or name another folder in LUTHIER_DATA_DIR."
        )
    reason = reason_of(error)
    if isinstance(reason, DatabaseAway):
        return f"The database {db.name()} cannot be reached. Start it, or correct LUTHIER_DATABASE_URL."
    return _say_full() if isinstance(reason, DiskFull) else None


def _say_full() -> str:
    folder, reserve = settings().data_dir, settings().disk_reserve_mb
    free = shutil.disk_usage(_nearest(folder)).free // 2**20
    return (
        f"The disk of the data folder {folder} is too full to start: {free:,} MiB are free, and "
        f"LUTHIER_DISK_RESERVE_MB keeps {reserve:,} MiB of it free. Free some space, lower "
        "LUTHIER_DISK_RESERVE_MB, or name a folder on another disk in LUTHIER_DATA_DIR."
    )


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
