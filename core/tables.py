"""The rows. Uniqueness, allowed states and references are named constraints here and nowhere else.

"Model" never means a row: a model is an AI model, and ``models`` is the table of them. Times are UTC. Ids are opaque and prefixed.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.clock import now

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
Json = dict[str, Any]
BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in an INTEGER PRIMARY KEY


class Utc(TypeDecorator[datetime]):
    """A timestamp that goes in and comes out as aware UTC, also on SQLite, which has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(v) for v in values)})", name=column)


def _id() -> Mapped[str]:
    return mapped_column(String(64), primary_key=True)


def _ref(target: str, *, ondelete: str = "CASCADE", nullable: bool = False) -> Mapped[Any]:
    return mapped_column(ForeignKey(target, ondelete=ondelete), index=True, nullable=nullable)


class Row(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: Utc, Json: JSON, list[Any]: JSON, int: BigInteger}


# Who ---------------------------------------------------------------------------------------------------------------------------


class UserRow(Row):
    __tablename__ = "users"
    __table_args__ = (one_of("role", "admin", "member"),)
    id: Mapped[str] = _id()
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    password_hash: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(16), default="member")
    tokens_valid_from: Mapped[datetime] = mapped_column(default=now)  # API tokens issued before are refused: sign out everywhere
    created_at: Mapped[datetime] = mapped_column(default=now)


class SessionRow(Row):
    """A signed-in browser. The cookie holds the token, this row its hash."""

    __tablename__ = "sessions"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = _ref("users.id")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class TicketRow(Row):
    """A single-use ticket by which a page asks the browser to fetch its cookie. Lives 30 seconds."""

    __tablename__ = "session_tickets"
    ticket_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = _ref("users.id")
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RevokedTokenRow(Row):
    """An API token that was signed out before it expired."""

    __tablename__ = "revoked_tokens"
    jti: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AttemptRow(Row):
    """A failed sign-in or a successful registration, for throttling."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_kind_address_created_at", "kind", "address", "created_at"),
        one_of("kind", "login", "register"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(16))
    email: Mapped[str] = mapped_column(String(254))
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class InvitationRow(Row):
    __tablename__ = "invitations"
    id: Mapped[str] = _id()
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_by: Mapped[str] = _ref("users.id")
    note: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[str | None] = _ref("users.id", ondelete="SET NULL", nullable=True)
    revoked_at: Mapped[datetime | None]


class ServerSettingRow(Row):
    """What the admin decides in the browser; wins over the environment."""

    __tablename__ = "server_settings"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Json]


class ApiKeyRow(Row):
    __tablename__ = "api_keys"
    id: Mapped[str] = _id()
    user_id: Mapped[str] = _ref("users.id")
    name: Mapped[str] = mapped_column(String(100))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[list[Any]]
    models: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    monthly_token_limit: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class UsageRow(Row):
    """One metered act: a reply, a query, a finished training, a stored upload."""

    __tablename__ = "usage_records"
    __table_args__ = (
        one_of("kind", "chat", "training", "query", "storage"),
        Index("ix_usage_records_user_id_created_at", "user_id", "created_at"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = _ref("users.id")
    api_key_id: Mapped[str | None] = _ref("api_keys.id", ondelete="SET NULL", nullable=True)
    model_id: Mapped[str | None] = mapped_column(String(64), index=True)  # no reference: the record outlives the model
    kind: Mapped[str] = mapped_column(String(16))
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    trained_tokens: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    bytes: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)


# Data --------------------------------------------------------------------------------------------------------------------------


class UploadRow(Row):
    """A file on its way in, or here and waiting for a decision: its bytes lie at ``storage.upload_path(id)``."""

    __tablename__ = "uploads"
    __table_args__ = (
        one_of("source", "browser", "api", "text", "url", "folder"),
        one_of("state", "receiving", "received", "failed"),
        CheckConstraint("state != 'received' OR sha256 IS NOT NULL", name="received_has_hash"),
        Index("ix_uploads_user_id_fingerprint", "user_id", "fingerprint"),
    )
    id: Mapped[str] = _id()
    user_id: Mapped[str] = _ref("users.id")
    dataset_id: Mapped[str | None] = _ref("datasets.id", nullable=True)  # the dataset it is to be the next version of
    source: Mapped[str] = mapped_column(String(16), default="browser")
    state: Mapped[str] = mapped_column(String(16), default="receiving", index=True)
    filename: Mapped[str] = mapped_column(String(255))  # for display only
    location: Mapped[str | None] = mapped_column(Text)  # the address or the path on the server it came from
    fingerprint: Mapped[str | None] = mapped_column(String(128))  # how the sender knows it again after a broken transfer
    size_bytes: Mapped[int | None]  # as announced; null while nobody knows
    received_bytes: Mapped[int] = mapped_column(default=0)
    sha256: Mapped[str | None] = mapped_column(String(64))
    options: Mapped[Json] = mapped_column(default=dict)  # what was chosen so far in the review
    version_id: Mapped[str | None] = _ref("dataset_versions.id", ondelete="SET NULL", nullable=True)  # what is being made of it
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, index=True)


class DatasetRow(Row):
    """A named line of versions."""

    __tablename__ = "datasets"
    __table_args__ = (Index("ix_datasets_owner_id_name", "owner_id", "name"),)
    id: Mapped[str] = _id()
    owner_id: Mapped[str] = _ref("users.id")
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(2000), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class DatasetVersionRow(Row):
    """One immutable Parquet, or the try to make one. Its folder is ``storage.version_dir(id)``."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        one_of("status", "processing", "ready", "failed"),
        CheckConstraint("status != 'ready' OR content_hash IS NOT NULL", name="ready_has_content"),
        one_of("origin", "upload", "query", "edit", "append", "split", "python"),
    )
    id: Mapped[str] = _id()
    dataset_id: Mapped[str] = _ref("datasets.id")
    origin: Mapped[str] = mapped_column(String(16), default="upload", server_default="upload")  # how it was made
    created_by: Mapped[str] = _ref("users.id")
    number: Mapped[int]
    status: Mapped[str] = mapped_column(String(16), default="processing", index=True)
    progress: Mapped[float] = mapped_column(default=0.0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    heartbeat_at: Mapped[datetime | None]
    worker_pid: Mapped[int | None]
    worker_started: Mapped[float | None]  # process creation time: a pid alone may be somebody else's by now
    errors: Mapped[list[Any]] = mapped_column(default=list)  # [{"line": n | null, "message": str}], 100 at most
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
    detected: Mapped[Json] = mapped_column(default=dict)  # what the reader decided: encoding, delimiter, header …
    sql: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str] = mapped_column(String(500), default="")
    removed_at: Mapped[datetime | None]  # its files are gone since then; number, note, hash and lineage stay
    removed_why: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)


class VersionReportRow(Row):
    """What is computed about a version after it is ready: its profile, its quality, its token lengths."""

    __tablename__ = "dataset_version_reports"
    __table_args__ = (one_of("status", "waiting", "running", "ready", "failed"),)
    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(100), primary_key=True)  # profile, quality, tokens:<model version>
    status: Mapped[str] = mapped_column(String(16), default="waiting", index=True)
    progress: Mapped[float] = mapped_column(default=0.0)
    result: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    worker_pid: Mapped[int | None]
    worker_started: Mapped[float | None]
    heartbeat_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class VersionParentRow(Row):
    """Which versions one was made from: what a saved query read, what an edit changed, what a split cut."""

    __tablename__ = "dataset_version_parents"
    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True)
    parent_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True, index=True)


# Models ------------------------------------------------------------------------------------------------------------------------


class ModelRow(Row):
    """An AI model in the registry: a name, and versions under it. Base models have no owner: everyone sees them."""

    __tablename__ = "models"
    __table_args__ = (
        one_of("type", "base", "custom", "finetuned", "external"),
        UniqueConstraint("owner_id", "name"),
        Index(
            "uq_models_shared_name",
            "name",
            unique=True,
            sqlite_where=text("owner_id IS NULL"),
            postgresql_where=text("owner_id IS NULL"),
        ),
        CheckConstraint("(type = 'base') = (owner_id IS NULL)", name="only_bases_are_shared"),
    )
    id: Mapped[str] = _id()
    owner_id: Mapped[str | None] = _ref("users.id", nullable=True)
    name: Mapped[str] = mapped_column(String(100))
    type: Mapped[str] = mapped_column(String(16))
    base_model_id: Mapped[str | None] = _ref("models.id", ondelete="SET NULL", nullable=True)
    provider: Mapped[str] = mapped_column(String(32), default="local")
    description: Mapped[str] = mapped_column(String(2000), default="")
    system_prompt: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[Json] = mapped_column(default=dict)
    capabilities: Mapped[Json] = mapped_column(default=dict)
    context_length: Mapped[int] = mapped_column(default=1024)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class ModelVersionRow(Row):
    """One set of weights. ``kind`` full: the folder is a whole model; adapter: it is a LoRA over ``base_version_id``."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "version"), one_of("kind", "full", "adapter"))
    id: Mapped[str] = _id()
    model_id: Mapped[str] = _ref("models.id")
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16), default="full")
    folder: Mapped[str] = mapped_column(Text)  # relative to the data folder, or absolute for a base added in place
    base_version_id: Mapped[str | None] = _ref("model_versions.id", ondelete="SET NULL", nullable=True)
    finetune_job_id: Mapped[str | None] = mapped_column(String(64), index=True)  # no reference: jobs refer to versions already
    dataset_version_id: Mapped[str | None] = _ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    metrics: Mapped[Json] = mapped_column(default=dict)
    settings: Mapped[Json] = mapped_column(default=dict)  # exact training settings, environment, data version
    size_bytes: Mapped[int] = mapped_column(default=0)
    num_parameters: Mapped[int] = mapped_column(default=0)
    chat_template_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class ModelAliasRow(Row):
    __tablename__ = "model_aliases"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(String(64), primary_key=True)
    version_id: Mapped[str] = _ref("model_versions.id", ondelete="RESTRICT")
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


# Fine-tuning -------------------------------------------------------------------------------------------------------------------

JOB_STATUSES = ("validating", "queued", "running", "paused", "succeeded", "failed", "cancelled")
ACTIVE_STATUSES = ("validating", "queued", "running", "paused")
ENDED_STATUSES = ("succeeded", "failed", "cancelled")


class JobGroupRow(Row):
    """A sweep: jobs that differ in a few settings, to be compared."""

    __tablename__ = "job_groups"
    __table_args__ = (one_of("kind", "grid", "random"),)
    id: Mapped[str] = _id()
    user_id: Mapped[str] = _ref("users.id")
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    space: Mapped[Json] = mapped_column(default=dict)  # setting -> what was tried
    created_at: Mapped[datetime] = mapped_column(default=now)


class JobRow(Row):
    """One fine-tuning. Only the holder of ``lease_token`` may change a running job."""

    __tablename__ = "fine_tuning_jobs"
    __table_args__ = (
        one_of("status", *JOB_STATUSES),
        CheckConstraint("status != 'running' OR lease_token IS NOT NULL", name="running_has_lease"),
        CheckConstraint("progress >= 0 AND progress <= 1", name="progress_is_a_share"),
        CheckConstraint("priority BETWEEN -1 AND 1", name="priority"),
        Index("ix_fine_tuning_jobs_status_created_at", "status", "created_at"),
    )
    id: Mapped[str] = _id()
    user_id: Mapped[str] = _ref("users.id")
    name: Mapped[str] = mapped_column(String(100))
    suffix: Mapped[str | None] = mapped_column(String(64))
    idempotency_key: Mapped[str | None] = mapped_column(String(64), unique=True)  # pressing start twice makes one job
    base_model_id: Mapped[str | None] = _ref("models.id", ondelete="SET NULL", nullable=True)
    base_version_id: Mapped[str | None] = _ref("model_versions.id", ondelete="SET NULL", nullable=True)
    dataset_id: Mapped[str | None] = _ref("datasets.id", ondelete="SET NULL", nullable=True)
    dataset_version_id: Mapped[str | None] = _ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    validation_version_id: Mapped[str | None] = _ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    validation_fraction: Mapped[float] = mapped_column(default=0.0)
    columns: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    method: Mapped[str] = mapped_column(String(32), default="supervised")
    runner: Mapped[str] = mapped_column(String(32), default="subprocess")
    num_processes: Mapped[int] = mapped_column(default=1, server_default="1")  # one per device
    group_id: Mapped[str | None] = _ref("job_groups.id", ondelete="SET NULL", nullable=True)
    copied_from: Mapped[str | None] = mapped_column(String(64))  # the job it repeats or varies
    sample_prompts: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")  # answered while it trains
    priority: Mapped[int] = mapped_column(default=0, server_default="0")  # -1 low, 0 normal, 1 high
    position: Mapped[float | None]  # place among the owner's waiting jobs; without one: by age
    notes: Mapped[str] = mapped_column(Text, default="", server_default="")
    tags: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    hyperparameters: Mapped[Json] = mapped_column(default=dict)  # as asked, "auto" kept
    resolved: Mapped[Json] = mapped_column(default=dict)  # as run
    seed: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(16), default="validating")
    error: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    worker_pid: Mapped[int | None]
    worker_started: Mapped[float | None]  # process creation time: a pid alone may be somebody else's by now
    worker_ref: Mapped[str | None] = mapped_column(String(200))  # what a runner beyond this machine knows its worker by
    attempts: Mapped[int] = mapped_column(default=0)
    progress: Mapped[float] = mapped_column(default=0.0)
    stepped_at: Mapped[datetime | None]  # when the last step was heard of
    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int] = mapped_column(default=0)
    epoch: Mapped[float] = mapped_column(default=0.0)
    train_loss: Mapped[float | None]
    valid_loss: Mapped[float | None]
    learning_rate: Mapped[float | None]
    tokens_per_second: Mapped[float | None]
    memory_bytes: Mapped[int | None]
    gpu_memory_bytes: Mapped[int | None]
    gpu_utilisation: Mapped[float | None]  # share of 1
    best_loss: Mapped[float | None]  # lowest validation loss, and its step
    best_step: Mapped[int | None]
    eta_seconds: Mapped[float | None]
    trained_tokens: Mapped[int] = mapped_column(default=0)
    spent_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")  # of all attempts, also of those that were killed
    hardware: Mapped[Json] = mapped_column(default=dict, server_default="{}")  # what it ran on
    model_id: Mapped[str | None] = _ref("models.id", ondelete="SET NULL", nullable=True)
    model_version_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class JobEventRow(Row):
    __tablename__ = "job_events"
    __table_args__ = (one_of("level", "info", "warn", "error"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = _ref("fine_tuning_jobs.id")
    level: Mapped[str] = mapped_column(String(8), default="info")
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class MetricPointRow(Row):
    """One value of one series at one step. A resumed worker writes the same step again over it."""

    __tablename__ = "metric_points"
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


class CheckpointRow(Row):
    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)
    id: Mapped[str] = _id()
    job_id: Mapped[str] = _ref("fine_tuning_jobs.id")
    step: Mapped[int]
    metrics: Mapped[Json] = mapped_column(default=dict)
    size_bytes: Mapped[int] = mapped_column(default=0)
    pinned: Mapped[bool] = mapped_column(default=False, server_default=false())  # the user wants it kept
    model_version_id: Mapped[str | None] = mapped_column(String(64))  # what it became in the registry
    created_at: Mapped[datetime] = mapped_column(default=now)


class SampleRow(Row):
    """What the model answered at one step, to a fixed prompt or to a row it did badly on."""

    __tablename__ = "job_samples"
    __table_args__ = (one_of("kind", "fixed", "worst"),)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # from 0
    line: Mapped[int | None]  # of the row it comes from
    prompt: Mapped[str] = mapped_column(Text)
    expected: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    loss: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class AlertRow(Row):
    """Something about a job that its owner should know, in the app and by webhook."""

    __tablename__ = "alerts"
    __table_args__ = (
        one_of("kind", "finished", "failed", "paused", "nan", "diverged", "stalled"),
        one_of("delivery", "none", "waiting", "sent", "failed"),
        Index("ix_alerts_user_id_seen_at", "user_id", "seen_at"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = _ref("users.id")
    job_id: Mapped[str] = _ref("fine_tuning_jobs.id")
    kind: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[datetime | None]
    delivery: Mapped[str] = mapped_column(String(8), default="none", index=True)
    delivery_attempts: Mapped[int] = mapped_column(default=0)
    deliver_after: Mapped[datetime | None]
    delivery_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class WebhookRow(Row):
    """Where a user's alerts are sent."""

    __tablename__ = "webhooks"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(100))  # signs the body
    kinds: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)


class ExportRow(Row):
    """A model version in another form, made and checked by a process of its own. Its folder is ``storage.export_dir(id)``."""

    __tablename__ = "exports"
    __table_args__ = (
        one_of("status", "waiting", "running", "ready", "failed"),
        UniqueConstraint("user_id", "model_version_id", "kind", "target"),  # a shared base may be exported by several users
    )
    id: Mapped[str] = _id()
    user_id: Mapped[str] = _ref("users.id")
    model_version_id: Mapped[str] = _ref("model_versions.id")
    kind: Mapped[str] = mapped_column(String(32))  # adapter, merged, gguf-f16, gguf-q8_0, hub
    target: Mapped[str] = mapped_column(String(200), default="")  # repository of a push, precision of merged weights
    status: Mapped[str] = mapped_column(String(16), default="waiting", index=True)
    progress: Mapped[float] = mapped_column(default=0.0)
    error: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(default=0)
    checks: Mapped[list[Any]] = mapped_column(default=list)  # prompts, the answers of both, whether they are the same
    facts: Mapped[Json] = mapped_column(default=dict)  # what it does now, precision, what checked it, address of a push
    worker_pid: Mapped[int | None]
    worker_started: Mapped[float | None]
    heartbeat_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


# Chats -------------------------------------------------------------------------------------------------------------------------


class ChatRow(Row):
    __tablename__ = "chats"
    __table_args__ = (Index("ix_chats_user_id_updated_at", "user_id", "updated_at"),)
    id: Mapped[str] = _id()
    user_id: Mapped[str] = _ref("users.id")
    title: Mapped[str] = mapped_column(String(200), default="New chat")
    model_id: Mapped[str | None] = _ref("models.id", ondelete="SET NULL", nullable=True)
    checkpoint: Mapped[str | None] = mapped_column(String(80))  # who answers instead of a model: ftj_…:step-N
    dataset_id: Mapped[str | None] = _ref("datasets.id", ondelete="SET NULL", nullable=True)
    system_prompt: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class MessageRow(Row):
    """One message. ``state`` generating: a reply that still grows; its owner is the server, not a page."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("chat_id", "position"),
        one_of("role", "user", "assistant", "system"),
        one_of("state", "generating", "complete"),
    )
    id: Mapped[str] = _id()
    chat_id: Mapped[str] = _ref("chats.id")
    position: Mapped[int]
    role: Mapped[str] = mapped_column(String(16))
    content: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default="complete", index=True)
    stop_requested: Mapped[bool] = mapped_column(default=False)
    model_id: Mapped[str | None] = _ref("models.id", ondelete="SET NULL", nullable=True)
    checkpoint: Mapped[str | None] = mapped_column(String(80))  # who answered instead of a model
    finish_reason: Mapped[str | None] = mapped_column(String(16))  # stop, length, cancelled, error
    error: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    usage: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    table: Mapped[Json | None] = mapped_column(
        JSON(none_as_null=True)
    )  # what /sql and /describe answered: columns, rows, truncated
    created_at: Mapped[datetime] = mapped_column(default=now)
