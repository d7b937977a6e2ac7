"""Conversations: ``{"messages": [{"role", "content"}, …]}`` with at least one message of the assistant.

ShareGPT's ``{"conversations": [{"from", "value"}, …]}`` is the same under other names.
"""

from core.errors import Detail
from core.formats.base import (
    ChatExample,
    ColumnMapping,
    Format,
    Record,
    Role,
    column_of,
)
from core.formats.conversation import check_messages, read_messages, unread_keys
from core.formats.layouts import TableLayout, only_messages, text_or_nested


class ChatFormat(Format):
    name = "chat"
    title = "Conversations"
    help = "Each row is a conversation. The model learns what the assistant says in it."
    shape = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
    roles = (
        Role(
            "messages",
            "Messages",
            "Column with a list of messages, each with role and content (or from and value).",
            likely=("messages", "conversation", "conversations", "dialog", "chat"),
        ),
    )
    layouts = (
        TableLayout("messages", {"messages": "messages"}, text_or_nested, certain=True),
        TableLayout("ShareGPT", {"messages": "conversations"}, only_messages),
        TableLayout("conversation", {"messages": "conversation"}, only_messages),
    )

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        column = column_of("messages", mapping)
        return check_messages(row.get(column), column, needs_assistant=True)

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> ChatExample:
        return ChatExample(read_messages(row[column_of("messages", mapping)]))

    def left_out(self, row: Record, mapping: ColumnMapping | None = None) -> set[str]:
        column = column_of("messages", mapping)
        return {f"{column}[].{key}" for key in unread_keys(row.get(column))}
