"""A question and its answer: ``{"prompt", "completion"}``, optionally with ``system``.

It is learned as a conversation of one turn (prompt: user, completion: assistant), so that the tuned model
answers in a chat.
"""

from collections.abc import Sequence

from core.errors import Detail
from core.formats.base import (
    ChatExample,
    Column,
    ColumnMapping,
    Format,
    Message,
    Record,
    Role,
    as_text,
    column_of,
    types_of,
)
from core.sql_types import is_nested

_SPEAKERS = (("system", "system"), ("prompt", "user"), ("completion", "assistant"))


class CompletionFormat(Format):
    name = "completion"
    title = "Questions and answers"
    help = "Each row is a prompt and the completion the model should give."
    shape = '{"prompt": "…", "completion": "…"}'
    roles = (
        Role("prompt", "Prompt", "Column with what the user asks."),
        Role("completion", "Completion", "Column with what the model should answer."),
        Role("system", "System prompt", "Column with instructions for this row.", required=False),
    )

    def detect(self, columns: Sequence[Column]) -> bool:
        types = types_of(columns)  # numbers and dates too: "2+2?", 4
        return all(role in types and not is_nested(types[role]) for role in ("prompt", "completion"))

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        wanted = (column_of(role, mapping) for role in ("prompt", "completion"))
        return [Detail(column, "is empty") for column in wanted if not as_text(row.get(column)).strip()]

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> ChatExample:
        messages: list[Message] = [
            {"role": speaker, "content": as_text(row.get(column_of(role, mapping)))}
            for role, speaker in _SPEAKERS
        ]
        return ChatExample(
            [message for message in messages if message["role"] != "system" or message["content"].strip()]
        )
