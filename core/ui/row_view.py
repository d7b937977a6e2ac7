"""One row, whole: conversations as conversations, everything else field by field."""

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from core.datasets import Preview
from core.ui import show

ROLES = {"user": "person", "assistant": "neurology", "system": "settings", "tool": "build"}
LONG = 80


def open_row(fetch: Callable[[int, int], Preview], offset: int, total: int, format: str) -> None:
    """A drawer at the right with row ``offset`` of what ``fetch`` lists, and the way to its neighbours."""

    @st.dialog("Row", width="medium", position="right", icon=":material/article:")
    def drawer() -> None:
        at = st.session_state.setdefault("row_at", offset)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Previous", key="row_previous", icon=":material/arrow_back:", disabled=at <= 0, on_click=_move, args=(-1,))
            st.button("Next", key="row_next", icon=":material/arrow_forward:", disabled=at >= total - 1, on_click=_move, args=(1,))
            st.caption(f"{at + 1:,} of {total:,}", width="content")
        with show.guarded():
            for item in fetch(1, at).items:
                show_row(item["data"], format)

    st.session_state["row_at"] = offset
    drawer()


def _move(step: int) -> None:
    st.session_state["row_at"] += step


def show_row(data: dict[str, Any], format: str) -> None:
    draw = {"chat": _show_chat, "preference": _show_preference, "completion": _show_completion}.get(format)
    drawn = draw(data) if draw else set()
    for name, value in data.items():
        if name not in drawn:
            _show_field(name, value)


def _show_chat(data: dict[str, Any]) -> set[str]:
    _show_messages(data.get("messages"))
    return {"messages"}


def _show_preference(data: dict[str, Any]) -> set[str]:
    _show_messages((_decoded(data.get("input")) or {}).get("messages"))
    for name, title, colour in (("preferred_output", "Preferred", "green"), ("non_preferred_output", "Not preferred", "red")):
        st.markdown(f":{colour}-badge[{title}]")
        _show_messages(data.get(name))
    return {"input", "preferred_output", "non_preferred_output"}


def _show_completion(data: dict[str, Any]) -> set[str]:
    _show_messages([{"role": "user", "content": data.get("prompt")}, {"role": "assistant", "content": data.get("completion")}])
    return {"prompt", "completion"}


def _show_messages(messages: Any) -> None:
    for message in _decoded(messages) or []:
        role = str(message.get("role")) if isinstance(message, dict) else "?"
        with st.chat_message(role if role in ("user", "assistant") else "system", avatar=f":material/{ROLES.get(role, 'notes')}:"):
            st.caption(show.plain(role))
            content = message.get("content") if isinstance(message, dict) else message
            st.text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2))


def _show_field(name: str, value: Any) -> None:
    st.markdown(f"**{show.plain(name)}**")
    if isinstance(value, (list, dict)):
        st.json(value)
    elif value is None:
        st.caption("empty")
    else:
        st.text(str(value))


def _decoded(value: Any) -> Any:
    """Nested values may come as JSON text, depending on how the file was read."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None
