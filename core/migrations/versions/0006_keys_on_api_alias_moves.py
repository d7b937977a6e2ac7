"""scopes of keys hold on /api as well, a password change keeps the token that asked for it, alias moves"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Keys of today were made for /v1: they reach no more until somebody sets their scopes again
    op.add_column("api_keys", sa.Column("reaches_api", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("users", sa.Column("kept_token", sa.String(length=64), nullable=True))
    op.create_table(
        "alias_moves",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("from_version", sa.BigInteger(), nullable=True),
        sa.Column("to_version", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_alias_moves_model_id_models"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_alias_moves_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias_moves")),
    )
    op.create_index("ix_alias_moves_model_id_alias", "alias_moves", ["model_id", "alias"], unique=False)
    op.create_index(op.f("ix_alias_moves_user_id"), "alias_moves", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_table("alias_moves")
    op.drop_column("users", "kept_token")
    op.drop_column("api_keys", "reaches_api")
