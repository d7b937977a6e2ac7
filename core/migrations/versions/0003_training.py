"""fine-tuning people trust: queue order, sweeps, samples, alerts, kept checkpoints, exports"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NEW_IN_JOBS = (
    "num_processes",
    "copied_from",
    "sample_prompts",
    "position",
    "notes",
    "tags",
    "worker_ref",
    "stepped_at",
    "gpu_memory_bytes",
    "gpu_utilisation",
    "best_loss",
    "best_step",
    "hardware",
    "spent_seconds",
)


def upgrade() -> None:
    op.create_table(
        "job_groups",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("space", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('grid', 'random')", name=op.f("ck_job_groups_kind")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_job_groups_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_groups")),
    )
    op.create_index(op.f("ix_job_groups_user_id"), "job_groups", ["user_id"], unique=False)
    op.create_table(
        "webhooks",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_webhooks_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "exports",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("model_version_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("worker_pid", sa.BigInteger(), nullable=True),
        sa.Column("worker_started", sa.Double(), nullable=True),
        sa.Column("heartbeat_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint("status IN ('waiting', 'running', 'ready', 'failed')", name=op.f("ck_exports_status")),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"], name=op.f("fk_exports_model_version_id_model_versions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_exports_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.UniqueConstraint(
            "user_id", "model_version_id", "kind", "target", name=op.f("uq_exports_user_id_model_version_id_kind_target")
        ),
    )
    op.create_index(op.f("ix_exports_model_version_id"), "exports", ["model_version_id"], unique=False)
    op.create_index(op.f("ix_exports_status"), "exports", ["status"], unique=False)
    op.create_index(op.f("ix_exports_user_id"), "exports", ["user_id"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=True),
        sa.Column("delivery", sa.String(length=8), nullable=False),
        sa.Column("delivery_attempts", sa.BigInteger(), nullable=False),
        sa.Column("deliver_after", MOMENT, nullable=True),
        sa.Column("delivery_error", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("delivery IN ('none', 'waiting', 'sent', 'failed')", name=op.f("ck_alerts_delivery")),
        sa.CheckConstraint("kind IN ('finished', 'failed', 'paused', 'nan', 'diverged', 'stalled')", name=op.f("ck_alerts_kind")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["fine_tuning_jobs.id"], name=op.f("fk_alerts_job_id_fine_tuning_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_alerts_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_delivery"), "alerts", ["delivery"], unique=False)
    op.create_index(op.f("ix_alerts_job_id"), "alerts", ["job_id"], unique=False)
    op.create_index(op.f("ix_alerts_user_id"), "alerts", ["user_id"], unique=False)
    op.create_index("ix_alerts_user_id_seen_at", "alerts", ["user_id", "seen_at"], unique=False)
    op.create_table(
        "job_samples",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=True),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('fixed', 'worst')", name=op.f("ck_job_samples_kind")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["fine_tuning_jobs.id"], name=op.f("fk_job_samples_job_id_fine_tuning_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "step", "kind", "position", name=op.f("pk_job_samples")),
    )
    op.add_column("checkpoints", sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("checkpoints", sa.Column("model_version_id", sa.String(length=64), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("num_processes", sa.BigInteger(), server_default="1", nullable=False))
    op.add_column("fine_tuning_jobs", sa.Column("copied_from", sa.String(length=64), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("sample_prompts", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("fine_tuning_jobs", sa.Column("position", sa.Double(), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("notes", sa.Text(), server_default="", nullable=False))
    op.add_column("fine_tuning_jobs", sa.Column("tags", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("fine_tuning_jobs", sa.Column("worker_ref", sa.String(length=200), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("stepped_at", MOMENT, nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("gpu_memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("gpu_utilisation", sa.Double(), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("best_loss", sa.Double(), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("best_step", sa.BigInteger(), nullable=True))
    op.add_column("fine_tuning_jobs", sa.Column("hardware", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("fine_tuning_jobs", sa.Column("spent_seconds", sa.Double(), server_default="0", nullable=False))
    for table in ("chats", "messages"):
        op.add_column(table, sa.Column("checkpoint", sa.String(length=80), nullable=True))
    # As plain SQL: a batch would copy the table, and dropping the old one takes the rows that refer to it along.
    op.execute(
        "ALTER TABLE fine_tuning_jobs ADD COLUMN priority BIGINT DEFAULT 0 NOT NULL "
        "CONSTRAINT ck_fine_tuning_jobs_priority CHECK (priority BETWEEN -1 AND 1)"
    )
    op.execute(
        "ALTER TABLE fine_tuning_jobs ADD COLUMN group_id VARCHAR(64) "
        "CONSTRAINT fk_fine_tuning_jobs_group_id_job_groups REFERENCES job_groups (id) ON DELETE SET NULL"
    )
    op.create_index(op.f("ix_fine_tuning_jobs_group_id"), "fine_tuning_jobs", ["group_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_fine_tuning_jobs_group_id", "fine_tuning_jobs")
    for column in ("group_id", "priority"):
        op.execute(f"ALTER TABLE fine_tuning_jobs DROP COLUMN {column}")
    for column in NEW_IN_JOBS:
        op.drop_column("fine_tuning_jobs", column)
    for table in ("chats", "messages"):
        op.drop_column(table, "checkpoint")
    for column in ("model_version_id", "pinned"):
        op.drop_column("checkpoints", column)
    for table in ("job_samples", "alerts", "exports", "webhooks", "job_groups"):
        op.drop_table(table)
