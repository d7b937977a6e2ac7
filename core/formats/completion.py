"""A question and its answer: ``{"prompt", "completion"}``, optionally with ``system`` and ``input``.

It is learned as a conversation (prompt: user, completion: assistant), so that the tuned model answers in a
chat. What the prompt is about (Alpaca's ``input``) stands behind it, after a blank line. Either may also be a
list of messages, as TRL writes them: both together are then the conversation, of which only the completion's
answers are learned.
"""

from typing import Any

from core.errors import Detail
from core.formats.base import (
    ChatExample,
    ColumnMapping,
    Format,
    Message,
    Record,
    Role,
    as_text,
    column_of,
)
from core.formats.conversation import (
    PYTHON_TOLD,
    check_messages,
    is_python,
    messages_in,
    read_messages,
    unread_keys,
)
from core.formats.layouts import TableLayout, asked_in_text, plain_or_messages, text_or_messages

_SPEAKERS = {"prompt": "user", "completion": "assistant"}
_SYSTEM, _CONTEXT = ("system", "system"), ("input", "context")


class CompletionFormat(Format):
    name = "completion"
    title = "Questions and answers"
    help = "Each row is a prompt and the completion the model should give."
    shape = '{"prompt": "…", "completion": "…"}'
    roles = (
        Role(
            "prompt",
            "Prompt",
            "Column with what the user asks.",
            likely=(
                *("prompt", "question", "instruction", "input", "query", "problem", "source", "request"),
                "user",
            ),
        ),
        Role(
            "completion",
            "Completion",
            "Column with what the model should answer.",
            likely=(
                *("completion", "answer", "response", "output", "solution", "target", "reply"),
                "assistant",
            ),
        ),
        Role(
            "input",
            "Input",
            "Column with what the prompt is about. It follows the prompt after a blank line.",
            required=False,
            likely=("input", "context"),
        ),
        Role(
            "system",
            "System prompt",
            "Column with instructions for this row.",
            required=False,
            likely=("system", "system_prompt"),
        ),
    )
    layouts = (
        TableLayout(
            "prompt and completion",
            {"prompt": "prompt", "completion": "completion"},
            plain_or_messages,
            (_SYSTEM,),
            certain=True,
        ),
        TableLayout(
            "Alpaca",
            {"prompt": "instruction", "completion": "output"},
            asked_in_text,
            (("input", "input"), _CONTEXT, _SYSTEM),
        ),
        *(
            TableLayout(
                f"{asked} and {answered}",
                {"prompt": asked, "completion": answered},
                fits,
                () if asked == "prompt" else (_CONTEXT, _SYSTEM),
            )
            for asked, answered, fits in (
                ("instruction", "response", asked_in_text),
                ("question", "answer", asked_in_text),
                ("question", "response", asked_in_text),
                ("prompt", "response", text_or_messages),
                ("prompt", "answer", asked_in_text),
                ("query", "response", text_or_messages),
                ("query", "answer", text_or_messages),
                ("input", "output", text_or_messages),
            )
        ),
    )

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        details: list[Detail] = []
        for role in _SPEAKERS:
            column = column_of(role, mapping)
            messages = messages_in(row.get(column))
            if row.get(column) == [] and (role == "prompt" or _asks_in_messages(row, mapping)):
                details.append(Detail(column, "has no messages"))
            elif is_python(row.get(column)):
                details.append(Detail(column, PYTHON_TOLD))
            elif messages is not None:
                details += check_messages(messages, column, needs_assistant=role == "completion")
            elif not as_text(row.get(column)).strip():
                details.append(Detail(column, "is empty"))
        return details or _check_beside(row, mapping)

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> ChatExample:
        prompt, completion = _said(row, mapping, "prompt"), _said(row, mapping, "completion")
        system = as_text(row.get(column_of("system", mapping)))
        first: list[Message] = [{"role": "system", "content": system}] if system.strip() else []
        asked = [{**m, "weight": 0} if m["role"] == "assistant" else m for m in prompt]
        return ChatExample([*first, *asked, *completion])

    def left_out(self, row: Record, mapping: ColumnMapping | None = None) -> set[str]:
        columns = [column_of(role, mapping) for role in _SPEAKERS]
        return {
            f"{column}[].{key}" for column in columns for key in unread_keys(messages_in(row.get(column)))
        }


def _asks_in_messages(row: Record, mapping: ColumnMapping | None) -> bool:
    """Then an empty list behind it is a conversation without messages, not an answer that is a structure."""
    return messages_in(row.get(column_of("prompt", mapping))) is not None


def _said(row: Record, mapping: ColumnMapping | None, role: str) -> list[Message]:
    value: Any = row.get(column_of(role, mapping))
    messages = messages_in(value)
    if messages is not None:
        return read_messages(messages)
    text = as_text(value)
    about = as_text(row.get(column_of("input", mapping))) if role == "prompt" and mapping else ""
    return [{"role": _SPEAKERS[role], "content": f"{text}\n\n{about}" if about.strip() else text}]


def _check_beside(row: Record, mapping: ColumnMapping | None) -> list[Detail]:
    """What cannot stand beside a prompt that is a list of messages."""
    column = column_of("prompt", mapping)
    messages = messages_in(row.get(column))
    if messages is None:
        return []
    details = []
    about = column_of("input", mapping) if mapping else ""
    if as_text(row.get(about)).strip():
        details.append(Detail(about, f"cannot follow {column}, which is a list of messages; leave it out"))
    system = column_of("system", mapping)
    if as_text(row.get(system)).strip() and any(m["role"] == "system" for m in read_messages(messages)):
        details.append(Detail(system, f"is given beside a system message in {column}; keep one of them"))
    return details
