"""Dialogs that stay open while the page below them renews itself.

A run of the whole page closes the dialog over it, with what was typed there. So parts of a page that watch
something, and want all of it drawn again when that has ended, wait until no dialog is open.
"""

from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec

import streamlit as st

OPEN = "_dialog_is_open"
P = ParamSpec("P")


def dialog(
    title: str, *, on_dismiss: Callable[[], object] | None = None, **looks: Any
) -> Callable[[Callable[P, object]], Callable[P, None]]:
    """``st.dialog``, known to :func:`renew`. ``on_dismiss`` runs when it is closed without an answer."""

    def closed() -> None:
        st.session_state.pop(OPEN, None)
        if on_dismiss:
            on_dismiss()

    def wrap(draw: Callable[P, object]) -> Callable[P, None]:
        shown = st.dialog(title, on_dismiss=closed, **looks)(draw)

        def open_it(*args: P.args, **more: P.kwargs) -> None:
            st.session_state[OPEN] = True
            shown(*args, **more)

        return open_it

    return wrap


def begin_run() -> None:
    """At the beginning of a run of the whole page: no dialog is open any more."""
    st.session_state.pop(OPEN, None)


def renew() -> NoReturn:
    """From a part that watches: draw the whole page again, at once or when the dialog over it is closed."""
    if st.session_state.get(OPEN):
        st.stop()
    st.rerun()
