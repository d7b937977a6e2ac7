"""Lists of messages: the rules that chat and preference share.

Roles are ``system``, ``user`` and ``assistant`` (``developer`` is read as ``system``). Content is text, or a
list of text parts. Tool calls and images are refused by name rather than dropped: a model must not silently
learn half a conversation.
"""

from typing import Any

from core.errors import Detail
from core.formats.base import ROLES, Message, unpacked

_SYNONYMS = {"developer": "system"}


def check_messages(value: Any, field: str, *, needs_assistant: bool, only: str | None = None) -> list[Detail]:
    """What is wrong with a list of messages. ``only``: every message must have this role."""
    messages = unpacked(value)
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
    if not details and needs_assistant and not any(_role(message) == "assistant" for message in messages):
        details = [Detail(field, "has no message of the assistant, so there is nothing to learn")]
    return details


def read_messages(value: Any) -> list[Message]:
    """Messages that ``check_messages`` found right, in our plain shape."""
    return [_plain(message) for message in unpacked(value)]


def _check_message(message: Any, field: str, only: str | None) -> list[Detail]:
    if not isinstance(message, dict):
        return [Detail(field, "must be an object with role and content")]
    role, details = _role(message), []
    if role not in ROLES:
        details.append(Detail(f"{field}.role", _wrong_role(message.get("role"))))
    elif only and role != only:
        details.append(Detail(f"{field}.role", f"must be {only}, not {role}"))
    if message.get("tool_calls") or message.get("function_call"):
        details.append(Detail(f"{field}.tool_calls", "tool calls cannot be trained yet"))
    elif (problem := _wrong_content(message.get("content"))) is not None:
        details.append(Detail(f"{field}.content", problem))
    if message.get("weight") not in (None, 0, 1):
        details.append(Detail(f"{field}.weight", "must be 0 or 1"))
    return details


def _role(message: Any) -> str | None:
    role = message.get("role") if isinstance(message, dict) else None
    return _SYNONYMS.get(role, role) if isinstance(role, str) else None


def _wrong_role(role: Any) -> str:
    if role is None:
        return f"is missing: one of {', '.join(ROLES)}"
    return f"{str(role)[:40]!r} is not one of {', '.join(ROLES)}"


def _wrong_content(content: Any) -> str | None:
    if content is None:
        return "is missing"
    if not isinstance(content, (str, list)):
        return "must be text"
    if isinstance(content, list) and not all(_is_text_part(part) for part in content):
        return "must be text: other parts, such as images, cannot be trained"
    return None if _content(content).strip() else "is empty"


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _content(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _plain(message: dict[str, Any]) -> Message:
    plain: Message = {"role": _role(message), "content": _content(message["content"])}
    if message.get("weight") == 0:
        plain["weight"] = 0
    return plain
