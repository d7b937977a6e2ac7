"""Lists of messages: the rules that all formats share which hold some.

A message is ``{"role", "content"}``, or ``{"from", "value"}`` as ShareGPT has it. Roles are ``system``,
``user`` and ``assistant`` (``developer`` is read as ``system``); ShareGPT's are ``system``, ``human`` or
``user``, and ``gpt`` or ``assistant``. Content is text, or a list of text parts. Tool calls and images are
refused by name rather than dropped: a model must not silently learn half a conversation. What else stands in
a message is not learned from, and ``unread_keys`` names it.
"""

import re
from collections.abc import Mapping
from typing import Any

from core.errors import Detail
from core.formats.base import ROLES, Message, unpacked

_SYNONYMS = {"developer": "system"}
_SHAREGPT = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
_AS_PYTHON = re.compile(r"\s*\[?\s*\{\s*'(role|content|from|value)'\s*:\s*['\"]")
PYTHON_TOLD = "holds messages as Python prints them, not as JSON: save the table as JSON lines or Parquet"
_OF_TOOLS = {"tool", "function", "function_call", "observation"}
_READ = {"role", "content", "weight", "tool_calls", "function_call"}
_READ_OF_SHAREGPT = {*_READ, "from", "value"}


def check_messages(value: Any, field: str, *, needs_assistant: bool, only: str | None = None) -> list[Detail]:
    """What is wrong with a list of messages. ``only``: every message must have this role."""
    messages = _opened(value)
    if is_python(messages):
        return [Detail(field, PYTHON_TOLD)]
    if not isinstance(messages, list):
        return [
            Detail(
                field,
                "is missing"
                if messages is None
                else "must be a list of messages, each with role and content",
            )
        ]
    if not messages:
        return [Detail(field, "has no messages")]
    details = [
        detail
        for i, message in enumerate(messages)
        for detail in _check_message(message, f"{field}[{i}]", only)
    ]
    if not details and needs_assistant and not has_answer(messages):
        details = [Detail(field, "has no message of the assistant, so there is nothing to learn")]
    return details


def has_answer(value: Any) -> bool:
    """Whether any message is the assistant's."""
    messages = _opened(value)
    return isinstance(messages, list) and any(_role(message) == "assistant" for message in messages)


def read_messages(value: Any) -> list[Message]:
    """Messages that ``check_messages`` found right, in our plain shape."""
    return [_plain(message) for message in _opened(value)]


def messages_in(value: Any) -> list[Any] | None:
    """The messages that a cell holds, right or not: a list, also as JSON, one alone, ``{"messages": […]}``.

    None for everything else, such as a text, or an answer that is a structure of its own.
    """
    if isinstance(value, str):
        return _messages_in_text(value)
    if isinstance(value, dict) and isinstance(unpacked(value.get("messages")), list):
        value = unpacked(value["messages"])
    messages = [value] if isinstance(value, dict) else value
    if not isinstance(messages, list) or not any(_is_message(_unpacked_message(one)) for one in messages):
        return None
    return messages


def is_python(value: Any) -> bool:
    """Whether a text is messages as Python prints them, which is what pandas writes into a CSV file."""
    return isinstance(value, str) and _AS_PYTHON.match(value) is not None


def unread_keys(value: Any) -> set[str]:
    """What stands in messages, with a value, beside role and content: nobody learns from it."""
    messages = _opened(value)
    if not isinstance(messages, list):
        return set()
    return {
        key
        for message in messages
        if isinstance(message, dict)
        for key, held in message.items()
        if key not in (_READ_OF_SHAREGPT if _is_of_sharegpt(message) else _READ) and not is_nothing(held)
    }


def is_nothing(value: Any) -> bool:
    """Null, or an empty text, list or object, also as JSON."""
    if isinstance(value, str):
        return value.strip() in ("", "null", "[]", "{}", '""')
    return value is None or (isinstance(value, (list, dict)) and not value)


def _opened(value: Any) -> Any:
    """The list in a cell, its messages opened where they came as JSON one by one."""
    messages = unpacked(value)
    return [_unpacked_message(one) for one in messages] if isinstance(messages, list) else messages


def _unpacked_message(message: Any) -> Any:
    return unpacked(message) if isinstance(message, str) and message[:1] == "{" else message


def _messages_in_text(text: str) -> list[Any] | None:
    """A text that happens to be JSON is a text, unless it is a conversation and nothing else."""
    may_be = text.lstrip()[:1] in ("[", "{") and ('"role"' in text or '"from"' in text)
    value = unpacked(text) if may_be else None
    if isinstance(value, dict):
        value = (
            value["messages"] if set(value) == {"messages"} else [value] if _role(value) in ROLES else None
        )
    is_sure = isinstance(value, list) and all(_is_message(_unpacked_message(one)) for one in value)
    return value if value and is_sure else None


def _is_message(message: Any) -> bool:
    """By its keys, or by a role that only a conversation knows: an answer may be a structure with any key."""
    if not isinstance(message, dict):
        return False
    keys = set(message)
    is_known = isinstance(message.get("role"), str) and message["role"] in {*ROLES, *_SYNONYMS, *_OF_TOOLS}
    return is_known or {"role", "content"} <= keys or {"from", "value"} <= keys


def _is_of_sharegpt(message: Mapping[str, Any]) -> bool:
    return "from" in message and message.get("role") is None and message.get("content") is None


def _check_message(message: Any, field: str, only: str | None) -> list[Detail]:
    if not isinstance(message, dict):
        return [Detail(field, "must be an object with role and content")]
    role_key, content_key = ("from", "value") if _is_of_sharegpt(message) else ("role", "content")
    role, details = _role(message), []
    if role not in ROLES:
        details.append(Detail(f"{field}.{role_key}", _wrong_role(message.get(role_key), role_key)))
    elif only and role != only:
        details.append(Detail(f"{field}.{role_key}", f"must be {only}, not {role}"))
    if message.get("tool_calls") or message.get("function_call"):
        details.append(Detail(f"{field}.tool_calls", "tool calls cannot be trained yet"))
    elif (problem := _wrong_content(message.get(content_key))) is not None:
        is_refused = message.get(content_key) is None and message.get("refusal")
        advice = ": write the refusal into it" if is_refused else ""
        details.append(Detail(f"{field}.{content_key}", problem + advice))
    if message.get("weight") not in (None, 0, 1):
        details.append(Detail(f"{field}.weight", "must be 0 or 1"))
    return details


def _role(message: Any) -> str | None:
    if not isinstance(message, dict):
        return None
    if _is_of_sharegpt(message):
        speaker = message["from"]
        return _SHAREGPT.get(speaker) if isinstance(speaker, str) else None
    role = message.get("role")
    return _SYNONYMS.get(role, role) if isinstance(role, str) else None


def _wrong_role(role: Any, key: str) -> str:
    known = ", ".join(_SHAREGPT if key == "from" else ROLES)
    if role is None:
        return f"is missing: one of {known}"
    if isinstance(role, str) and role in _OF_TOOLS:
        return f"is {role!r}: tool calls cannot be trained yet"
    return f"{str(role)[:40]!r} is not one of {known}"


def _wrong_content(content: Any) -> str | None:
    if content is None:
        return "is missing"
    if not isinstance(content, (str, list)):
        return "must be text"
    if isinstance(content, list) and not all(_is_text_part(part) for part in content):
        return _wrong_part(next(part for part in content if not _is_text_part(part)))
    return None if _content(content).strip() else "is empty"


def _wrong_part(part: Any) -> str:
    type_ = part.get("type") if isinstance(part, dict) else None
    if isinstance(type_, str) and type_ != "text":
        return f"has a part of type {type_[:40]!r}: other parts than text cannot be trained"
    return 'must be text, or a list of parts such as {"type": "text", "text": "…"}'


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _content(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _plain(message: dict[str, Any]) -> Message:
    content = message["value"] if _is_of_sharegpt(message) else message["content"]
    plain: Message = {"role": _role(message), "content": _content(content)}
    if message.get("weight") == 0:
        plain["weight"] = 0
    return plain
