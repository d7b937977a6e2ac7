"""The values that ``core.datasets`` answers with, and how rows become them.

Shapes follow the API: names there are names here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from core.tables import DatasetRow, DatasetVersionRow

SUMMARY_KEYS = ("line", "message")
INTERNAL_OPTIONS = frozenset({"keep_original", "append_to"})  # between a service and its converter


@dataclass(frozen=True)
class Version:
    """One immutable table.

    ``status`` processing or failed: the try to make one, with ``progress`` and ``errors``.
    """

    id: str
    dataset_id: str
    version: int  # counted from 1 in its dataset
    num_rows: int
    num_columns: int
    content_hash: str | None  # of names, types and rows in any order; None until it is ready
    sql: str | None  # the query it was saved from
    parents: list[str]  # ids of the versions it was made from
    status: str  # processing, ready or failed
    training: dict[str, Any] | None  # format, number of examples and what is wrong, once it is ready
    created_at: datetime
    columns: list[dict[str, str]]  # {"name", "type": the DuckDB type}
    format: str  # table, or that of its training rows
    filename: str  # of the uploaded file
    sha256: str | None  # of the uploaded bytes
    size_bytes: int  # of the Parquet
    original_bytes: int  # of the uploaded file
    progress: float  # of the try to make it, 0 to 1
    errors: list[dict[str, Any]]  # {"line": n or None, "message"}, 100 at most
    skipped_rows: int  # left out as the options allow
    note: str  # its author's
    detected: dict[str, Any]  # what the reader decided: encoding, delimiter, header and others
    notes: list[str]  # what it decided that a person may want to change, and what is not as it was
    author: dict[str, str] | None = None  # {"id", "name"}
    origin: str = "upload"  # upload, query, edit, append, split, python
    options: dict[str, Any] = field(default_factory=dict)  # what was chosen when it was made
    removed_at: datetime | None = None  # its files are gone since then; the rest stays
    removed_why: str | None = None
    # the version that already had these bytes, said once by the call that found it
    same_as: dict[str, Any] | None = None


@dataclass(frozen=True)
class Dataset:
    """A dataset as its newest ready version shows it, or as its only try does.

    ``version`` is null before one is ready.
    """

    id: str
    owner_id: str
    name: str
    description: str
    filename: str
    version: int | None  # number of the newest ready version
    latest_version_id: str | None
    num_rows: int
    num_columns: int
    size_bytes: int  # of the uploaded file, or of what an edit, a query or a program handed over
    stored_bytes: int  # of the Parquet, zero before it is ready
    sha256: str | None  # of the uploaded bytes
    format: str  # table, or that of its training rows
    status: str  # processing, ready or failed
    progress: float  # of the try to make it, 0 to 1
    errors: list[dict[str, Any]]  # {"line": n or None, "message"}, 100 at most
    skipped_rows: int  # left out as the options allow
    columns: list[dict[str, str]]  # {"name", "type": the DuckDB type}
    training: dict[str, Any] | None  # as in Version
    note: str  # of the version shown
    notes: list[str]  # as in Version
    created_at: datetime
    updated_at: datetime
    # the version that already had these bytes, said once by the call that found it
    same_as: dict[str, Any] | None = None


@dataclass(frozen=True)
class SqlTable:
    """A ready version that SQL may name. ``is_latest``: the highest ready number of its dataset."""

    dataset_id: str
    dataset_name: str
    version_id: str
    number: int
    is_latest: bool
    columns: list[dict[str, str]]
    num_rows: int
    why: str = ""  # of a removed one: when and how its files went


@dataclass(frozen=True)
class Profile:
    """What is in each column, in the shapes that ``compute`` of the profile describes. While it is not ready
    the columns say less."""

    columns: list[dict[str, Any]]
    num_rows: int
    status: str = "ready"  # none, waiting, running, failed
    progress: float = 1.0
    ahead: int | None = None  # while it waits: how many reports are computed before it


@dataclass(frozen=True)
class TrainingReport:
    """Whether and how a version trains.

    ``errors`` ({"line", "field", "message"}) are the first hundred; ``remarks`` ({"field", "rows", "level",
    "message"}) say what stands in the rows and is not learned.
    """

    format: str
    ok: bool
    num_examples: int
    errors: list[dict[str, Any]]
    num_errors: int = 0
    remarks: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Content:
    """A download: a file to send, or chunks to stream."""

    filename: str
    media_type: str
    path: Path | None = None
    open_chunks: Callable[[], Iterator[bytes]] | None = None

    @property
    def chunks(self) -> Iterator[bytes]:
        """The bytes, whichever way they are held."""
        if self.open_chunks:
            return self.open_chunks()
        return self._file_chunks()

    def _file_chunks(self) -> Iterator[bytes]:
        assert self.path is not None
        with self.path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk


@dataclass(frozen=True)
class Sample:
    """A bundled dataset to try things on."""

    name: str
    title: str
    description: str
    filename: str
    num_rows: int = field(default=0)


def present_version(row: DatasetVersionRow, parents: Sequence[str] = (), author: str = "") -> Version:
    return Version(
        id=row.id,
        dataset_id=row.dataset_id,
        version=row.number,
        num_rows=row.num_rows,
        num_columns=row.num_columns,
        content_hash=row.content_hash or None,  # of a large version it comes a little later
        sql=row.sql,
        parents=list(parents),
        status=row.status,
        training=row.training,
        created_at=row.created_at,
        columns=row.columns,
        format=row.format,
        filename=row.filename,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        original_bytes=row.original_bytes,
        progress=row.progress,
        errors=_public(row.errors),
        skipped_rows=row.skipped_rows,
        note=row.note,
        detected=row.detected,
        notes=list((row.detected or {}).get("notes") or []),
        author={"id": row.created_by, "name": author},
        origin=row.origin,
        options={name: value for name, value in row.options.items() if name not in INTERNAL_OPTIONS},
        removed_at=row.removed_at,
        removed_why=row.removed_why,
    )


def present(row: DatasetRow, shown: DatasetVersionRow) -> Dataset:
    is_ready = shown.status == "ready"
    return Dataset(
        id=row.id,
        owner_id=row.owner_id,
        name=row.name,
        description=row.description,
        filename=shown.filename,
        version=shown.number if is_ready else None,
        latest_version_id=shown.id if is_ready else None,
        num_rows=shown.num_rows,
        num_columns=shown.num_columns,
        size_bytes=shown.original_bytes,
        stored_bytes=shown.size_bytes,
        sha256=shown.sha256,
        format=shown.format,
        status=shown.status,
        progress=shown.progress,
        errors=_public(shown.errors),
        skipped_rows=shown.skipped_rows,
        columns=shown.columns,
        training=shown.training,
        note=shown.note,
        notes=list((shown.detected or {}).get("notes") or []),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _public(errors: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what only the process that waits for a converter needs."""
    return [{key: entry.get(key) for key in SUMMARY_KEYS} for entry in errors]
