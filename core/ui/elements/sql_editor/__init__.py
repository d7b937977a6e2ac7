"""The SQL field: coloured text, Ctrl + Enter, a mark at the mistake,
names from ``sql_tables`` written at the caret."""

from pathlib import Path

import streamlit as st

from core.ui.elements import component

HERE = Path(__file__).parent


def field(key: str, *, text: str, wrong: int | None = None) -> str | None:
    """Draw the field; what was submitted, None when nothing was.

    ``text`` fills it at first and whenever :func:`replace` was called; ``wrong`` marks a place in it.
    """
    revision = st.session_state.get(f"_{key}_revision", 0)
    result = component.declare("sql", HERE, stem="editor")(
        key=key, data={"text": text, "revision": revision, "wrong": wrong}, on_submitted_change=_nothing
    )
    return result.submitted["text"] if result.submitted else None


def replace(key: str) -> None:
    """Let the next run's ``text`` take the place of what is written."""
    st.session_state[f"_{key}_revision"] = st.session_state.get(f"_{key}_revision", 0) + 1


def _nothing() -> None: ...
