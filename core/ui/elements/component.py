"""Our own elements: a folder with ``NAME.html``, ``NAME.css``
and ``NAME.js`` beside the Python side that talks to it.

Their scripts get data and answer by triggers; nothing of a user is ever read as HTML in them.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

SKELETON = Path(__file__).parent / "skeleton.css"


def declare(name: str, folder: Path, *, stem: str) -> Any:
    """The component ``luthier_{name}``. What has the class ``skeleton`` in its HTML keeps its place until its
    script takes the class away.

    Asking again is cheap, and the manager of a test is a new one each time.
    """
    html, css, js = _sources(folder, stem)
    return st.components.v2.component(f"luthier_{name}", html=html, css=css, js=js)


def reserve(key: str, height: float) -> None:
    """Before the element ``key`` is drawn: ``height`` is about what it will take, in rem."""
    name = re.sub("[^a-zA-Z0-9_-]", "-", key.strip())
    st.html(f"<style>.st-key-{name} {{ --skeleton-height: {height:.1f}rem }}</style>")


def tell(key: str, on_act: Callable[[dict[str, Any]], None]) -> None:
    """Hand on what the trigger ``acted`` of the element ``key`` says."""
    acted = st.session_state[key].acted
    if isinstance(acted, dict):
        on_act(acted)


@lru_cache(maxsize=32)
def _sources(folder: Path, stem: str) -> tuple[str, ...]:
    paths = (folder / f"{stem}.{kind}" for kind in ("html", "css", "js"))
    html, css, js = (path.read_text(encoding="utf-8") for path in paths)
    return html, f"{css}\n{SKELETON.read_text(encoding='utf-8')}", js
