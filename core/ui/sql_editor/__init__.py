"""The SQL field: coloured text, Ctrl + Enter, table names inserted at the caret."""

from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


def field(key: str, *, text: str, wrong: int | None = None) -> str | None:
    """Draw the field; what was submitted, None when nothing was.

    ``text`` fills it at first and whenever :func:`replace` was called; ``wrong`` marks a place in it.
    """
    insertion = st.session_state.get(f"_{key}_insertion")
    revision = st.session_state.get(f"_{key}_revision", 0)
    result = _component()(
        key=key,
        data={"text": text, "revision": revision, "insertion": insertion, "wrong": wrong},
        on_submitted_change=_nothing,
    )
    if insertion:
        st.session_state[f"_{key}_insertion"] = {**insertion, "fresh": False}
    return result.submitted["text"] if result.submitted else None


def replace(key: str) -> None:
    """Let the next run's ``text`` take the place of what is written."""
    st.session_state[f"_{key}_revision"] = st.session_state.get(f"_{key}_revision", 0) + 1


def insert(key: str, words: str) -> None:
    """Put ``words`` where the caret is."""
    last = st.session_state.get(f"_{key}_insertion") or {"number": 0}
    st.session_state[f"_{key}_insertion"] = {"number": last["number"] + 1, "text": words, "fresh": True}


def _component() -> Any:
    html, css, js = ((HERE / f"editor.{kind}").read_text() for kind in ("html", "css", "js"))
    return st.components.v2.component("luthier_sql", html=html, css=css, js=js)


def _nothing() -> None: ...
