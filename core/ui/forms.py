"""Forms inside dialogs: submit by callback, stay open on an error, close when it worked.

A dialog's body runs again without its page, so the act happens in the button's callback and the body only
looks at what came of it.
"""

from collections.abc import Callable

import streamlit as st

from core.errors import LuthierError
from core.ui import show

OUTCOME = "_outcome_of_{}"


def submit(key: str, label: str, act: Callable[[], object], *, form: bool = True) -> None:
    """The submit button ``{key}_submit``; ``act`` reads the form's values
    from the session state and may raise a LuthierError."""
    draw = st.form_submit_button if form else st.button
    draw(label, key=f"{key}_submit", type="primary", on_click=_attempt, args=(key, act))


def settle(key: str) -> None:
    """Below the form: show why the last attempt failed, or close the dialog when it worked."""
    outcome = st.session_state.pop(OUTCOME.format(key), None)
    if isinstance(outcome, LuthierError):
        show.error(outcome)
    elif outcome == "done":
        st.rerun()


def _attempt(key: str, act: Callable[[], object]) -> None:
    try:
        act()
    except LuthierError as err:
        st.session_state[OUTCOME.format(key)] = err
    else:
        st.session_state[OUTCOME.format(key)] = "done"
