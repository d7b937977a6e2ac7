"""Our own elements: a folder with ``NAME.html``, ``NAME.css``
and ``NAME.js`` beside the Python side that talks to it.

Their scripts get data and answer by triggers; nothing of a user is ever read as HTML in them.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st


def declare(name: str, folder: Path, *, stem: str) -> Any:
    """The component ``luthier_{name}``.

    Asking again is cheap, and the manager of a test is a new one each time.
    """
    html, css, js = _sources(folder, stem)
    return st.components.v2.component(f"luthier_{name}", html=html, css=css, js=js)


def tell(key: str, on_act: Callable[[dict[str, Any]], None]) -> None:
    """Hand on what the trigger ``acted`` of the element ``key`` says."""
    acted = st.session_state[key].acted
    if isinstance(acted, dict):
        on_act(acted)


@lru_cache(maxsize=32)
def _sources(folder: Path, stem: str) -> tuple[str, ...]:
    return tuple((folder / f"{stem}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
