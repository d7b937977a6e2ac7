"""What stands on a page whose address names nothing: the way to the list, instead of a dead end."""

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from core.errors import NotFound
from core.ui import places, show

T = TypeVar("T")


def found_or_list(find: Callable[[str], T], noun: str, *, page: str, all_of_them: str, icon: str) -> T:
    """What the ``id`` in the address names. Without such a thing the page ends here, with a link to ``page``.

    Somebody else's looks as if it were not there. Raises the other errors of ``find``.
    """
    try:
        return find(places.query("id") or "")
    except NotFound:
        show.header(noun.capitalize(), icon=icon)
        show.empty(
            f"There is no such {noun}",
            "It may have been deleted, or the link is not complete.",
            icon="search_off",
        )
        places.link(page, all_of_them, icon="arrow_back")
        st.stop()
