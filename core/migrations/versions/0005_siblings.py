"""messages that stand beside each other: an answer and the one before it, a question and its other words"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

EACH_FOLLOWS_THE_ONE_BEFORE = """
UPDATE messages SET parent_id = (
    SELECT earlier.id FROM messages AS earlier
    WHERE earlier.chat_id = messages.chat_id AND earlier.position < messages.position
    ORDER BY earlier.position DESC LIMIT 1
)
"""


def upgrade() -> None:
    op.add_column("messages", sa.Column("parent_id", sa.String(length=64), nullable=True))
    op.add_column("messages", sa.Column("shown", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("messages", sa.Column("left_out", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_messages_parent_id"), "messages", ["parent_id"], unique=False)
    op.execute(EACH_FOLLOWS_THE_ONE_BEFORE)


def downgrade() -> None:
    op.execute("DELETE FROM messages WHERE NOT shown")
    op.drop_index(op.f("ix_messages_parent_id"), table_name="messages")
    for column in ("left_out", "shown", "parent_id"):
        op.drop_column("messages", column)
