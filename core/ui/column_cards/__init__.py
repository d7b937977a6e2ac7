"""Cards of columns: a chart, counts, and details to unfold. They draw what they are given and tell what was clicked.

One element however many cards there are. Every word is made in Python (``core.ui.column_words``), the browser only lays it out.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


def show(key: str, cards: Sequence[dict[str, Any]], *, on_act: Callable[[dict[str, Any]], None]) -> None:
    """Draw them. ``on_act`` is called before the next run with what was clicked, columns being told by their name:

    {"bar", "number"}, {"value", "number"}, {"nulls"}, {"finding"} (its key) or {"line"}.
    """
    _component()(key=key, data={"cards": list(cards)}, on_acted_change=lambda: _tell(key, on_act))


def _tell(key: str, on_act: Callable[[dict[str, Any]], None]) -> None:
    acted = st.session_state[key].acted
    if isinstance(acted, dict):
        on_act(acted)


def _component() -> Any:
    """Registered under one name; asking again is cheap, and the manager of a test is a new one each time."""
    html, css, js = _sources()
    return st.components.v2.component("luthier_column_cards", html=html, css=css, js=js)


@lru_cache(maxsize=1)
def _sources() -> tuple[str, ...]:
    return tuple((HERE / f"cards.{kind}").read_text() for kind in ("html", "css", "js"))
