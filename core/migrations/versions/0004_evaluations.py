"""evaluations that wait their turn: a row each while they wait, run or have failed"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ENDED = "The evaluation ended unexpectedly. Start it again."
ASKED = ("method", "dataset_version_id", "dataset", "columns", "rows")
UNSAID = ("run", "columns", "heard_at")  # what a result had only for the process that made it


def upgrade() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_id", sa.String(length=64), nullable=True),
        sa.Column("model_version_id", sa.String(length=64), nullable=True),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("worker_pid", sa.BigInteger(), nullable=True),
        sa.Column("worker_started", sa.Double(), nullable=True),
        sa.Column("heartbeat_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "status IN ('waiting', 'running', 'ready', 'failed')", name=op.f("ck_evaluations_status")
        ),
        sa.CheckConstraint(
            "(checkpoint_id IS NULL) != (model_version_id IS NULL)", name=op.f("ck_evaluations_of_one")
        ),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"],
            ["checkpoints.id"],
            name=op.f("fk_evaluations_checkpoint_id_checkpoints"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.id"],
            name=op.f("fk_evaluations_model_version_id_model_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("checkpoint_id", name=op.f("uq_evaluations_checkpoint_id")),
        sa.UniqueConstraint("model_version_id", name=op.f("uq_evaluations_model_version_id")),
    )
    op.create_index(op.f("ix_evaluations_status"), "evaluations", ["status"], unique=False)
    for table, reference in (("checkpoints", "checkpoint_id"), ("model_versions", "model_version_id")):
        _move(table, reference)


def downgrade() -> None:
    op.drop_table("evaluations")


def _move(table: str, reference: str) -> None:
    """Until now all of an evaluation stood among the metrics: only results stay there."""
    rows = sa.table(table, sa.column("id", sa.String), sa.column("metrics", sa.JSON))
    evaluations = sa.table(
        "evaluations",
        sa.column("id", sa.String),
        sa.column(reference, sa.String),
        sa.column("asked", sa.JSON),
        sa.column("status", sa.String),
        sa.column("progress", sa.Double),
        sa.column("error", sa.Text),
        sa.column("created_at", MOMENT),
        sa.column("finished_at", MOMENT),
    )
    connection, moment = op.get_bind(), datetime.now(UTC)
    for row in connection.execute(sa.select(rows)).fetchall():
        known: dict[str, Any] | None = (row.metrics or {}).get("evaluation")
        if not known:
            continue
        metrics = {name: value for name, value in row.metrics.items() if name != "evaluation"}
        if known.get("status") == "ready":
            metrics["evaluation"] = {name: value for name, value in known.items() if name not in UNSAID}
        else:
            connection.execute(
                evaluations.insert().values(
                    {
                        "id": f"eval_{uuid4().hex[:24]}",
                        reference: row.id,
                        "asked": {name: known.get(name) for name in ASKED},
                        "status": "failed",
                        "progress": known.get("progress") or 0.0,
                        "error": known.get("error") or ENDED,
                        "created_at": moment,
                        "finished_at": moment,
                    }
                )
            )
        connection.execute(rows.update().where(rows.c.id == row.id).values(metrics=metrics))
