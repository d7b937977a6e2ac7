"""Two answers to the same question, one better.

A row is ``{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}``, or
``{"prompt", "chosen", "rejected"}`` as TRL has it. Each part may also be plain text: the input is then the
user's message and the outputs are the assistant's. Where both outputs are whole conversations, what they
begin with is the input, which then needs no column of its own.
"""

from typing import Any

from core.errors import Detail
from core.formats.base import (
    ColumnMapping,
    Format,
    Message,
    PreferenceExample,
    Record,
    Role,
    as_text,
    column_of,
    unpacked,
)
from core.formats.conversation import (
    check_messages,
    has_answer,
    is_python,
    messages_in,
    read_messages,
    unread_keys,
)
from core.formats.layouts import TableLayout, only_messages, text_or_nested

_OUTPUTS = ("preferred_output", "non_preferred_output")
_CHOSEN = {"preferred_output": "chosen", "non_preferred_output": "rejected"}
_ASKED = ("prompt", "question", "instruction", "query", "conversations", "messages")


class PreferenceFormat(Format):
    name = "preference"
    title = "Preferences"
    help = "Each row holds two answers to the same question. The model learns to prefer the first."
    shape = (
        '{"input": {"messages": […]}, "preferred_output": [{"role": "assistant", …}], '
        '"non_preferred_output": […]}'
    )
    roles = (
        Role(
            "input",
            "Input",
            "Column with the conversation, or the question as text. None where both answers begin with it.",
            required=False,
            likely=("input", "prompt", "question", "instruction", "messages"),
        ),
        Role(
            "preferred_output",
            "Preferred answer",
            "Column with the better answer.",
            likely=("preferred_output", "chosen", "preferred", "better"),
        ),
        Role(
            "non_preferred_output",
            "Other answer",
            "Column with the worse answer.",
            likely=("non_preferred_output", "rejected", "non_preferred", "worse"),
        ),
    )
    layouts = (
        TableLayout(
            "input, preferred and other output",
            {name: name for name in ("input", *_OUTPUTS)},
            text_or_nested,
            certain=True,
        ),
        *(
            TableLayout(
                f"{asked}, chosen and rejected", {"input": asked, **_CHOSEN}, text_or_nested, certain=True
            )
            for asked in _ASKED
        ),
        TableLayout("chosen and rejected", _CHOSEN, only_messages),
    )

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        details = _check_input(row, mapping)
        for role in _OUTPUTS:
            column = column_of(role, mapping)
            value = _messages_of(row.get(column), "assistant")
            # a list of other speakers alone is no answer, whatever it begins with
            only = None if has_answer(value) else "assistant"
            details += check_messages(value, column, needs_assistant=True, only=only)
        if details:
            return details
        return _Parts(row, mapping).check()

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> PreferenceExample:
        return _Parts(row, mapping).example()

    def left_out(self, row: Record, mapping: ColumnMapping | None = None) -> set[str]:
        column = column_of("input", mapping)
        asked = row.get(column)
        fields = {f"{column}[].{key}" for key in unread_keys(_messages_of(asked, "user"))}
        fields |= {f"{column}.{key}" for key in unread_keys([_holder(asked)]) - {"messages"}}
        for role in _OUTPUTS:
            column = column_of(role, mapping)
            fields |= {f"{column}[].{key}" for key in unread_keys(_messages_of(row.get(column), "assistant"))}
        return fields


class _Parts:
    """A row whose messages are right each by itself, taken apart into what is asked and the two answers."""

    def __init__(self, row: Record, mapping: ColumnMapping | None) -> None:
        self.names = {role: column_of(role, mapping) for role in ("input", *_OUTPUTS)}
        asked = row.get(self.names["input"])
        self.asked = None if asked is None else read_messages(_messages_of(asked, "user"))
        self.answers = [
            read_messages(_messages_of(row.get(self.names[role]), "assistant")) for role in _OUTPUTS
        ]
        self.begins = [_answer_begins(messages) for messages in self.answers]

    def check(self) -> list[Detail]:
        """That both answers follow the same messages, and the input where there is one."""
        better, worse = (self.names[role] for role in _OUTPUTS)
        if without := self._without_weight():
            return without
        if self.asked is None:
            if not any(self.begins):
                return [
                    Detail(self.names["input"], "is missing") if self.names["input"] else _no_prompt(better)
                ]
            at = _first_difference(*(a[:begin] for a, begin in zip(self.answers, self.begins, strict=True)))
            if at is None:
                return []
            return [
                Detail(
                    f"{worse}[{at}]",
                    f"differs from {better}[{at}]: both must begin with the same messages and differ only "
                    f"in their last answer. Mend the row or leave it out",
                )
            ]
        return [
            Detail(name, f"begins with another conversation than {self.names['input']}. Keep only the answer")
            for name, answer, begin in zip((better, worse), self.answers, self.begins, strict=True)
            if begin and not _same_end(answer[:begin], self.asked)
        ]

    def _without_weight(self) -> list[Detail]:
        sides = zip(_OUTPUTS, self.answers, self.begins, strict=True)
        told = "has weight 0 on its answer, so that there is nothing to compare: leave the weight out"
        return [
            Detail(self.names[role], told)
            for role, answer, begin in sides
            if all(message.get("weight") == 0 for message in answer[begin:])
        ]

    def example(self) -> PreferenceExample:
        beginning = self.answers[0][: self.begins[0]]
        asked = beginning if self.asked is None or len(beginning) > len(self.asked) else self.asked
        better, worse = (a[begin:] for a, begin in zip(self.answers, self.begins, strict=True))
        return PreferenceExample(asked, better, worse)


def _no_prompt(column: str) -> Detail:
    advice = "name the column of the prompt, or write both as lists of messages that begin with it"
    return Detail(column, f"holds only an answer: {advice}")


def _check_input(row: Record, mapping: ColumnMapping | None) -> list[Detail]:
    """What is wrong with the input, where there is one."""
    column = column_of("input", mapping)
    value = row.get(column)
    if value is None:
        return []
    field = column if _holder(value) is None else f"{column}.messages"
    return check_messages(_messages_of(value, "user"), field, needs_assistant=False)


def _messages_of(value: Any, role: str) -> Any:
    """The messages of a cell, right or not; a text, JSON or not, is one message of ``role``."""
    holder = _holder(value)
    if holder is not None:
        return holder.get("messages")
    found = messages_in(value)
    if found is not None or value is None or isinstance(value, list) or is_python(value):
        return value if found is None else found
    message: Message = {"role": role, "content": as_text(value)}
    return [message]


def _holder(value: Any) -> dict[str, Any] | None:
    """A structure that has messages in it, such as ``{"messages": […], "tools": […]}``."""
    opened = unpacked(value)
    if not isinstance(opened, dict) or (isinstance(value, str) and "messages" not in opened):
        return None
    return opened if messages_in([opened]) is None else None


def _answer_begins(messages: list[Message]) -> int:
    """Where the assistant's last words begin: behind the last message of somebody else."""
    others = [place for place, message in enumerate(messages) if message["role"] != "assistant"]
    return others[-1] + 1 if others else 0


def _first_difference(one: list[Message], other: list[Message]) -> int | None:
    for place in range(max(len(one), len(other))):
        if one[place : place + 1] != other[place : place + 1]:
            return place
    return None


def _same_end(one: list[Message], other: list[Message]) -> bool:
    """Whether the shorter is the end of the longer: a system message may stand before one of them only."""
    size = min(len(one), len(other))
    return [_plain(m) for m in one[len(one) - size :]] == [_plain(m) for m in other[len(other) - size :]]


def _plain(message: Message) -> tuple[str, str]:
    return message["role"], message["content"].strip()
