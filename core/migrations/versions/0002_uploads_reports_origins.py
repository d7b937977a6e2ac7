"""uploads that can be resumed, reports about versions, how a version was made, and when its files went"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
ORIGINS = "'upload', 'query', 'edit', 'append', 'split', 'python'"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("dataset_id", sa.String(64), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(128), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("version_id", sa.String(64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint("source IN ('browser', 'api', 'text', 'url', 'folder')", name=op.f("ck_uploads_source")),
        sa.CheckConstraint("state IN ('receiving', 'received', 'failed')", name=op.f("ck_uploads_state")),
        sa.CheckConstraint("state != 'received' OR sha256 IS NOT NULL", name=op.f("ck_uploads_received_has_hash")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_uploads_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_uploads_dataset_id_datasets"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_uploads_version_id_dataset_versions"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    for columns in (["user_id"], ["dataset_id"], ["version_id"], ["state"], ["updated_at"], ["user_id", "fingerprint"]):
        op.create_index("ix_uploads_" + "_".join(columns), "uploads", columns)
    op.create_table(
        "dataset_version_reports",
        sa.Column("version_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("worker_pid", sa.BigInteger(), nullable=True),
        sa.Column("worker_started", sa.Double(), nullable=True),
        sa.Column("heartbeat_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint("status IN ('waiting', 'running', 'ready', 'failed')", name=op.f("ck_dataset_version_reports_status")),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_dataset_version_reports_version_id_dataset_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "kind", name=op.f("pk_dataset_version_reports")),
    )
    op.create_index("ix_dataset_version_reports_status", "dataset_version_reports", ["status"])
    # As plain SQL: a batch would copy the table, and dropping the old one takes the rows that refer to it along.
    op.execute(
        "ALTER TABLE dataset_versions ADD COLUMN origin VARCHAR(16) DEFAULT 'upload' NOT NULL "
        f"CONSTRAINT ck_dataset_versions_origin CHECK (origin IN ({ORIGINS}))"
    )
    op.execute("UPDATE dataset_versions SET origin = 'query' WHERE sql IS NOT NULL")
    op.add_column("dataset_versions", sa.Column("removed_at", MOMENT, nullable=True))
    op.add_column("dataset_versions", sa.Column("removed_why", sa.String(200), nullable=True))


def downgrade() -> None:
    for column in ("removed_why", "removed_at", "origin"):
        op.drop_column("dataset_versions", column)
    op.drop_table("dataset_version_reports")
    op.drop_table("uploads")
