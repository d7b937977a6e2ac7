"""Conversations: ``{"messages": [{"role", "content"}, …]}`` with at least one message of the assistant."""

from collections.abc import Sequence

from core.errors import Detail
from core.formats.base import (
    ChatExample,
    Column,
    ColumnMapping,
    Format,
    Record,
    Role,
    column_of,
    is_nested,
    types_of,
)
from core.formats.conversation import check_messages, read_messages


class ChatFormat(Format):
    name = "chat"
    title = "Conversations"
    help = "Each row is a conversation. The model learns what the assistant says in it."
    shape = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
    roles = (Role("messages", "Messages", "Column with a list of messages, each with role and content."),)

    def detect(self, columns: Sequence[Column]) -> bool:
        return is_nested(types_of(columns).get("messages"))

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        column = column_of("messages", mapping)
        return check_messages(row.get(column), column, needs_assistant=True)

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> ChatExample:
        return ChatExample(read_messages(row[column_of("messages", mapping)]))
