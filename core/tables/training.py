"""Fine-tuning: jobs, what they measure and keep, alerts, and exports of what came out."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.clock import now
from core.tables.alert_kinds import ALERT_KINDS
from core.tables.base import BigId, Json, Row, WorkRow, id_, one_of, ref

JOB_STATUSES = ("validating", "queued", "running", "paused", "succeeded", "failed", "cancelled")
ACTIVE_STATUSES = ("validating", "queued", "running", "paused")
ENDED_STATUSES = ("succeeded", "failed", "cancelled")


class JobGroupRow(Row):
    """A sweep: jobs that differ in a few settings, to be compared."""

    __tablename__ = "job_groups"
    __table_args__ = (one_of("kind", "grid", "random"),)
    id: Mapped[str] = id_()
    user_id: Mapped[str] = ref("users.id")
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
    id: Mapped[str] = id_()
    user_id: Mapped[str] = ref("users.id")
    name: Mapped[str] = mapped_column(String(100))
    suffix: Mapped[str | None] = mapped_column(String(64))
    # pressing start twice makes one job
    idempotency_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    base_model_id: Mapped[str | None] = ref("models.id", ondelete="SET NULL", nullable=True)
    base_version_id: Mapped[str | None] = ref("model_versions.id", ondelete="SET NULL", nullable=True)
    dataset_id: Mapped[str | None] = ref("datasets.id", ondelete="SET NULL", nullable=True)
    dataset_version_id: Mapped[str | None] = ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    validation_version_id: Mapped[str | None] = ref("dataset_versions.id", ondelete="SET NULL", nullable=True)
    validation_fraction: Mapped[float] = mapped_column(default=0.0)
    columns: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))
    method: Mapped[str] = mapped_column(String(32), default="supervised")
    runner: Mapped[str] = mapped_column(String(32), default="subprocess")
    num_processes: Mapped[int] = mapped_column(default=1, server_default="1")  # one per device
    group_id: Mapped[str | None] = ref("job_groups.id", ondelete="SET NULL", nullable=True)
    copied_from: Mapped[str | None] = mapped_column(String(64))  # the job it repeats or varies
    # answered while it trains
    sample_prompts: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
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
    # what a runner beyond this machine knows its worker by
    worker_ref: Mapped[str | None] = mapped_column(String(200))
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
    # of all attempts, also of those that were killed
    spent_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    hardware: Mapped[Json] = mapped_column(default=dict, server_default="{}")  # what it ran on
    model_id: Mapped[str | None] = ref("models.id", ondelete="SET NULL", nullable=True)
    model_version_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class JobEventRow(Row):
    __tablename__ = "job_events"
    __table_args__ = (one_of("level", "info", "warn", "error"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = ref("fine_tuning_jobs.id")
    level: Mapped[str] = mapped_column(String(8), default="info")
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class MetricPointRow(Row):
    """One value of one series at one step. A resumed worker writes the same step again over it."""

    __tablename__ = "metric_points"
    job_id: Mapped[str] = mapped_column(
        ForeignKey("fine_tuning_jobs.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float]


class CheckpointRow(Row):
    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)
    id: Mapped[str] = id_()
    job_id: Mapped[str] = ref("fine_tuning_jobs.id")
    step: Mapped[int]
    metrics: Mapped[Json] = mapped_column(default=dict)
    size_bytes: Mapped[int] = mapped_column(default=0)
    pinned: Mapped[bool] = mapped_column(default=False, server_default=false())  # the user wants it kept
    model_version_id: Mapped[str | None] = mapped_column(String(64))  # what it became in the registry
    created_at: Mapped[datetime] = mapped_column(default=now)
    evaluation: Mapped["EvaluationRow | None"] = relationship(lazy="joined", viewonly=True)


class SampleRow(Row):
    """What the model answered at one step, to a fixed prompt or to a row it did badly on."""

    __tablename__ = "job_samples"
    __table_args__ = (one_of("kind", "fixed", "worst"),)
    job_id: Mapped[str] = mapped_column(
        ForeignKey("fine_tuning_jobs.id", ondelete="CASCADE"), primary_key=True
    )
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
        one_of("kind", *ALERT_KINDS),
        one_of("delivery", "none", "waiting", "sent", "failed"),
        Index("ix_alerts_user_id_seen_at", "user_id", "seen_at"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    user_id: Mapped[str] = ref("users.id")
    job_id: Mapped[str] = ref("fine_tuning_jobs.id")
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


class ExportRow(WorkRow, Row):
    """A model version in another form, made and checked by a process of its own.

    Its folder is ``storage.export_dir(id)``.
    """

    __tablename__ = "exports"
    __table_args__ = (
        one_of("status", "waiting", "running", "ready", "failed"),
        # a shared base may be exported by several users
        UniqueConstraint("user_id", "model_version_id", "kind", "target"),
    )
    id: Mapped[str] = id_()
    user_id: Mapped[str] = ref("users.id")
    model_version_id: Mapped[str] = ref("model_versions.id")
    kind: Mapped[str] = mapped_column(String(32))  # adapter, merged, gguf-f16, gguf-q8_0, hub
    # repository of a push, precision of merged weights
    target: Mapped[str] = mapped_column(String(200), default="")
    error: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(default=0)
    # prompts, the answers of both, whether they are the same
    checks: Mapped[list[Any]] = mapped_column(default=list)
    # what it does now, precision, what checked it, address of a push
    facts: Mapped[Json] = mapped_column(default=dict)
    finished_at: Mapped[datetime | None]


class EvaluationRow(WorkRow, Row):
    """A checkpoint or a version of a model that is to be measured, is being measured, or could not be.

    When it is done its numbers stand among the other metrics of that one, as ``evaluation``, and this goes.
    """

    __tablename__ = "evaluations"
    __table_args__ = (
        one_of("status", "waiting", "running", "ready", "failed"),
        CheckConstraint("(checkpoint_id IS NULL) != (model_version_id IS NULL)", name="of_one"),
        UniqueConstraint("checkpoint_id"),
        UniqueConstraint("model_version_id"),
    )
    id: Mapped[str] = id_()
    checkpoint_id: Mapped[str | None] = mapped_column(ForeignKey("checkpoints.id", ondelete="CASCADE"))
    model_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_versions.id", ondelete="CASCADE"))
    asked: Mapped[Json] = mapped_column(default=dict)  # method, dataset_version_id, dataset, columns, rows
    error: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None]
