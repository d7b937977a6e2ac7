"""The data folder and the database know each other by an id, and a pair that does not match refuses to start.

The rows say what the files are, and what no row names is swept. So a start with the wrong database (a typo in
its address, a missing ``luthier.db``, a new PostgreSQL) must end before anything is looked after. The id is
made at the first start and kept on both sides: in the file ``folder-id`` and in the table
``server_settings``. A copy of both, moved together, goes on as it is.

Where a side has no id (it was made before there were ids, or the file was lost) what they hold decides: they
belong together when the database names something that lies in the folder, for names are random, or when
neither holds anything. Nothing is written before that is known; a database that does not exist is not made.
``join`` is for an admin who knows better.
"""

import logging
import os
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import DatabaseError

from core import db
from core.config import settings
from core.db import engine, migrate, reading, writing
from core.errors import CannotStart, FolderMismatch
from core.security import new_id
from core.storage import trash
from core.tables import DatasetVersionRow, ExportRow, JobRow, ModelVersionRow, ServerSettingRow, UploadRow

KEY = "data_folder"
ID_FILE = "folder-id"
NAMED_BY: dict[str, Any] = {
    "datasets": DatasetVersionRow,
    "models": ModelVersionRow,
    "jobs": JobRow,
    "exports": ExportRow,
    "uploads": UploadRow,
}
WAY_ON = (
    "Nothing was changed. Correct LUTHIER_DATA_DIR or LUTHIER_DATABASE_URL, "
    "or put the missing one back from the same backup. To begin anew, "
    "name an empty folder and an empty database. If you know that these two belong together: "
    "python -m core join"
)
log = logging.getLogger("luthier.storage")


@dataclass(frozen=True)
class Side:
    """What the folder or the database holds.

    ``names``: ids by kind. ``needed``: those whose files must be there.
    """

    id: str | None = None
    names: dict[str, set[str]] = field(default_factory=dict)
    needed: int = 0

    @property
    def all_names(self) -> set[str]:
        return set().union(*self.names.values())

    def __str__(self) -> str:
        """For instance “12 dataset versions and 1 job”."""
        counts = Counter({kind: len(names) for kind, names in self.names.items() if names})
        words = [f"{count} {trash.NOUNS[kind]}{'s' if count > 1 else ''}" for kind, count in counts.items()]
        return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]])) or "nothing"


def check() -> None:
    """Raises FolderMismatch when the data folder and the database do not belong together, CannotStart where
    the database cannot be used. Changes nothing."""
    db.require_usable()
    folder, database = look_at_folder(), look_at_database()
    if why := _what_parts(folder, database):
        raise FolderMismatch(
            f"The data folder {settings().data_dir} and the database {db.name()} do not belong "
            f"together: {why} {WAY_ON}"
        )


def open_database() -> None:
    """Check, migrate, and have both sides remember each other. Raises CannotStart."""
    check()
    migrate()
    _remember(look_at_folder().id)


def join() -> str:
    """Make the two belong together whatever they hold; what no row names goes to the trash at the next start.

    Returns the id.
    """
    db.require_usable()
    migrate()
    known = look_at_folder().id or look_at_database().id or new_id("fld")
    with writing() as session:
        session.merge(ServerSettingRow(key=KEY, value={"id": known}))
    _write_id(known)
    return known


def look_at_folder() -> Side:
    root = settings().data_dir
    names = {
        kind: {path.name for path in _children(root / kind) if trash.is_ours(kind, path.name)}
        for kind in NAMED_BY
    }
    return Side(_read_id(), names)


def look_at_database() -> Side:
    """An empty side where there is no database yet. Raises CannotStart when a file is no database, or when
    the server of a database does not answer."""
    reader = _reader()
    if reader is None:
        return Side()
    try:
        with reader.connect() as connection:
            return _read_side(connection)
    except DatabaseError as error:
        if db.is_away(error):
            raise CannotStart(
                f"The database {db.name()} cannot be reached. Start it, or correct LUTHIER_DATABASE_URL "
                "(address, name, user and password)."
            ) from error
        if reader.dialect.name != "sqlite":
            raise
        raise FolderMismatch(
            f"{db.name()} cannot be read as a database ({error.orig}). Correct LUTHIER_DATABASE_URL."
        ) from error


def _what_parts(folder: Side, database: Side) -> str | None:
    """Why the two do not belong together, as a sentence; None when they do."""
    if folder.id and database.id:
        return (
            None
            if folder.id == database.id
            else f"the folder has the id {folder.id}, the database knows {database.id}."
        )
    if folder.all_names & database.all_names:
        return None
    if folder.all_names:
        return f"the folder holds {folder}, and the database {_names_none(database)}."
    if database.needed:
        return f"the database names {database}, and the folder holds nothing of it. Is its disk mounted?"
    return None


def _names_none(database: Side) -> str:
    return f"names {database}, but nothing of that" if database.all_names else "is empty or missing"


def _reader() -> Engine | None:
    """A way to look at the database that changes nothing:
    SQLite would make a missing file, and rewrite one of another mode."""
    url = make_url(settings().sqlalchemy_url)
    if url.get_backend_name() != "sqlite" or not url.database or "uri" in url.query:
        return engine()
    path = Path(url.database).absolute()
    if not path.is_file() or not path.stat().st_size:
        return None
    address = f"file:{quote(str(path))}?mode=ro"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)


def _read_side(connection: Connection) -> Side:
    """From tables as any release made them:
    columns that came later are not asked for where they are missing."""
    inspector = sa.inspect(connection)
    tables = set(inspector.get_table_names())
    names = {
        kind: set(connection.scalars(sa.select(row.__table__.c.id)))
        for kind, row in NAMED_BY.items()
        if row.__tablename__ in tables
    }
    columns = (
        {column["name"] for column in inspector.get_columns("dataset_versions")}
        if "datasets" in names
        else set()
    )
    return Side(_known_id(connection, tables), names, _count_needed(connection, columns) if columns else 0)


def _known_id(connection: Connection, tables: set[str]) -> str | None:
    if ServerSettingRow.__tablename__ not in tables:
        return None
    stored = connection.scalar(sa.select(ServerSettingRow.value).where(ServerSettingRow.key == KEY))
    return stored["id"] if stored else None


def _count_needed(connection: Connection, columns: set[str]) -> int:
    """Versions of datasets and tuned models whose files somebody would miss.

    ``columns``: those of ``dataset_versions``.
    """
    version, model = DatasetVersionRow, ModelVersionRow
    ready = sa.select(sa.func.count()).select_from(version).where(version.status == "ready")
    if "removed_at" in columns:
        ready = ready.where(version.removed_at.is_(None))
    tuned = sa.select(sa.func.count()).select_from(model).where(model.finetune_job_id.is_not(None))
    return (connection.scalar(ready) or 0) + (connection.scalar(tuned) or 0)


def _remember(folder_id: str | None) -> None:
    """The database first: a crash in between leaves a folder without an id,
    which the next start gives one."""
    with reading() as session:
        stored = session.get(ServerSettingRow, KEY)
    if stored is None:
        with writing() as session:
            stored = session.get(ServerSettingRow, KEY) or ServerSettingRow(
                key=KEY, value={"id": folder_id or new_id("fld")}
            )
            session.add(stored)
    if folder_id is None:
        _write_id(stored.value["id"])


def _read_id() -> str | None:
    try:
        return (settings().data_dir / ID_FILE).read_text(encoding="utf-8").split()[0]
    except FileNotFoundError:
        return None
    except (IndexError, UnicodeDecodeError):
        return None  # damaged: what both sides hold decides


def _write_id(folder_id: str) -> None:
    path = settings().data_dir / ID_FILE
    draft = path.with_name(f".{ID_FILE}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(
            f"{folder_id}\n\nThe database of this folder knows this id. Keep this file with the folder.\n"
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
