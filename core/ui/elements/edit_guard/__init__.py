"""What is typed in the table editor reaches the server before anything else happens in the browser.

The editor keeps its edits in the browser until the next run of the page, and then they all come with it:
whatever starts that run (saving, another page of rows, a search) never arrives before them. This element
sends them soon after they are made, so that the page can say what is changed; delays a click on a link until
the server has confirmed that it has them; and lets the browser ask before the tab is closed. It also sees to
it that no key is lost that comes before the table's cell is ready for it.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent


def show(
    key: str,
    *,
    table: str,
    switches: list[str],
    heard: int,
    pending: bool,
    on_told: Callable[[int], None],
) -> None:
    """Watch the container with the key ``table``; ``switches`` are its columns of truth values.

    ``on_told`` gets the number of a run that was asked for; ``heard`` confirms it to the browser.

    To be drawn after the edits have been read. ``pending``: there are edits that are not saved.
    """
    _component()(
        key=key,
        data={
            "table": f"st-key-{table}",
            "switches": switches,
            "heard": heard,
            "pending": pending,
            "editors": _editors(),
        },
        on_told_change=lambda: on_told(_told(key)),
    )


def _told(key: str) -> int:
    """Zero when the page was left meanwhile."""
    return int(getattr(st.session_state.get(key), "told", None) or 0)


@lru_cache(maxsize=1)
def _editors() -> list[str]:
    """Addresses of the scripts that Streamlit's table fetches only when a cell is opened."""
    folder = Path(st.__file__).parent / "static"
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.glob("static/js/*-overlay-editor.*.js")
    )


def _component() -> Any:
    """Registered under one name; asking again is cheap, and the manager of a test is a new one each time."""
    scripts = "".join((HERE / name).read_text() for name in ("keys.js", "guard.js"))
    return st.components.v2.component("luthier_edit_guard", html="<span hidden></span>", js=scripts)
