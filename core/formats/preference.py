"""Two answers to the same question, one better.

A row is ``{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}``. Each part may
also be plain text (columns such as ``prompt``, ``chosen``, ``rejected``): the input is then the user's
message and the outputs are the assistant's.
"""

from collections.abc import Sequence
from typing import Any

from core.errors import Detail
from core.formats.base import (
    Column,
    ColumnMapping,
    Format,
    Message,
    PreferenceExample,
    Record,
    Role,
    column_of,
    is_nested,
    types_of,
    unpacked,
)
from core.formats.conversation import check_messages, read_messages

_OUTPUTS = ("preferred_output", "non_preferred_output")


class PreferenceFormat(Format):
    name = "preference"
    title = "Preferences"
    help = "Each row holds two answers to the same question. The model learns to prefer the first."
    shape = (
        '{"input": {"messages": […]}, "preferred_output": [{"role": "assistant", …}], '
        '"non_preferred_output": […]}'
    )
    roles = (
        Role("input", "Input", "Column with the conversation, or the question as text."),
        Role("preferred_output", "Preferred answer", "Column with the better answer."),
        Role("non_preferred_output", "Other answer", "Column with the worse answer."),
    )

    def detect(self, columns: Sequence[Column]) -> bool:
        types = types_of(columns)
        return all(is_nested(types.get(role.name)) for role in self.roles)

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        column = column_of("input", mapping)
        value, field = _opened(row.get(column), "user"), column
        if isinstance(value, dict):
            value, field = value.get("messages"), f"{column}.messages"
        details = check_messages(value, field, needs_assistant=False)
        for role in _OUTPUTS:
            column = column_of(role, mapping)
            details += check_messages(
                _opened(row.get(column), "assistant"), column, needs_assistant=True, only="assistant"
            )
        return details

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> PreferenceExample:
        value = _opened(row[column_of("input", mapping)], "user")
        messages = read_messages(value["messages"] if isinstance(value, dict) else value)
        better, worse = (
            read_messages(_opened(row[column_of(role, mapping)], "assistant")) for role in _OUTPUTS
        )
        return PreferenceExample(messages, better, worse)


def _opened(value: Any, role: str) -> Any:
    """The structure in a cell; plain text becomes one message of ``role``."""
    structure = unpacked(value)
    if isinstance(structure, (dict, list)) or value is None:
        return structure
    message: Message = {"role": role, "content": str(value)}
    return [message]
