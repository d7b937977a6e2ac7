"""Uploads, datasets, their versions and what is computed about them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import now
from core.tables.base import Json, Row, WorkRow, id_, one_of, ref


class UploadRow(Row):
    """A file on its way in, or here and waiting for a decision:
    its bytes lie at ``storage.upload_path(id)``."""

    __tablename__ = "uploads"
    __table_args__ = (
        one_of("source", "browser", "api", "text", "url", "folder"),
        one_of("state", "receiving", "received", "failed"),
        CheckConstraint("state != 'received' OR sha256 IS NOT NULL", name="received_has_hash"),
        Index("ix_uploads_user_id_fingerprint", "user_id", "fingerprint"),
    )
    id: Mapped[str] = id_()
    user_id: Mapped[str] = ref("users.id")
    # the dataset it is to be the next version of
    dataset_id: Mapped[str | None] = ref("datasets.id", nullable=True)
    source: Mapped[str] = mapped_column(String(16), default="browser")
    state: Mapped[str] = mapped_column(String(16), default="receiving", index=True)
    filename: Mapped[str] = mapped_column(String(255))  # for display only
    location: Mapped[str | None] = mapped_column(Text)  # the address or the path on the server it came from
    # how the sender knows it again after a broken transfer
    fingerprint: Mapped[str | None] = mapped_column(String(128))
    size_bytes: Mapped[int | None]  # as announced; null while nobody knows
    received_bytes: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str | None] = mapped_column(String(64))
    options: Mapped[Json] = mapped_column(default=dict)  # what was chosen so far in the review
    # what is being made of it
    version_id: Mapped[str | None] = ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, index=True)


class DatasetRow(Row):
    """A named line of versions."""

    __tablename__ = "datasets"
    __table_args__ = (Index("ix_datasets_owner_id_name", "owner_id", "name"),)
    id: Mapped[str] = id_()
    owner_id: Mapped[str] = ref("users.id")
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(2000), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class DatasetVersionRow(WorkRow, Row):
    """One immutable Parquet, or the try to make one. Its folder is ``storage.version_dir(id)``."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        one_of("status", "processing", "ready", "failed"),
        CheckConstraint("status != 'ready' OR content_hash IS NOT NULL", name="ready_has_content"),
        one_of("origin", "upload", "query", "edit", "append", "split", "python"),
    )
    id: Mapped[str] = id_()
    dataset_id: Mapped[str] = ref("datasets.id")
    # how it was made
    origin: Mapped[str] = mapped_column(String(16), default="upload", server_default="upload")
    created_by: Mapped[str] = ref("users.id")
    number: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), default="processing", index=True)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    # [{"line": n | null, "message": str}], 100 at most
    errors: Mapped[list[Any]] = mapped_column(default=list)
    skipped_rows: Mapped[int] = mapped_column(default=0)
    filename: Mapped[str] = mapped_column(String(255), default="")  # for display only
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)  # of the uploaded bytes
    original_bytes: Mapped[int] = mapped_column(default=0)
    size_bytes: Mapped[int] = mapped_column(default=0)  # of the Parquet
    num_rows: Mapped[int] = mapped_column(default=0)
    num_columns: Mapped[int] = mapped_column(default=0)
    columns: Mapped[list[Any]] = mapped_column(default=list)  # [{"name": str, "type": DuckDB type}]
    content_hash: Mapped[str | None] = mapped_column(String(64))
    format: Mapped[str] = mapped_column(String(16), default="table")
    training: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    profile: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    options: Mapped[Json] = mapped_column(default=dict)
    # what the reader decided: encoding, delimiter, header …
    detected: Mapped[Json] = mapped_column(default=dict)
    sql: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str] = mapped_column(String(500), default="")
    removed_at: Mapped[datetime | None]  # its files are gone since then; number, note, hash and lineage stay
    removed_why: Mapped[str | None] = mapped_column(String(200))


class VersionReportRow(WorkRow, Row):
    """What is computed about a version after it is ready: its profile, its quality, its token lengths."""

    __tablename__ = "dataset_version_reports"
    __table_args__ = (one_of("status", "waiting", "running", "ready", "failed"),)
    version_id: Mapped[str] = mapped_column(
        ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True
    )
    # profile, quality, tokens:<model version>
    kind: Mapped[str] = mapped_column(String(100), primary_key=True)
    result: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None]


class VersionParentRow(Row):
    """Which versions one was made from: what a saved query read, what an edit changed, what a split cut."""

    __tablename__ = "dataset_version_parents"
    version_id: Mapped[str] = mapped_column(
        ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True
    )
    parent_id: Mapped[str] = mapped_column(
        ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True, index=True
    )
