"""The SQL field: coloured text, Ctrl + Enter, a mark at the mistake, names from ``core.ui.sql_tables`` written at the caret."""

from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


def field(key: str, *, text: str, wrong: int | None = None) -> str | None:
    """Draw the field; what was submitted, None when nothing was.

    ``text`` fills it at first and whenever :func:`replace` was called; ``wrong`` marks a place in it.
    """
    revision = st.session_state.get(f"_{key}_revision", 0)
    result = _component()(key=key, data={"text": text, "revision": revision, "wrong": wrong}, on_submitted_change=_nothing)
    return result.submitted["text"] if result.submitted else None


def replace(key: str) -> None:
    """Let the next run's ``text`` take the place of what is written."""
    st.session_state[f"_{key}_revision"] = st.session_state.get(f"_{key}_revision", 0) + 1


def _component() -> Any:
    html, css, js = ((HERE / f"editor.{kind}").read_text() for kind in ("html", "css", "js"))
    return st.components.v2.component("luthier_sql", html=html, css=css, js=js)


def _nothing() -> None: ...
