"""How much of a long list is drawn: a page of it, and one more with each click."""

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from core.listing import Listed

T = TypeVar("T")
LARGEST_PAGE = 100  # what a service lists at a time


def show_more(name: str) -> None:
    """Callback: one page more of this list."""
    st.session_state[_key(name)] = _pages(name) + 1


def read(name: str, page_of: Callable[[int, int], Listed[T]], *, page: int) -> Listed[T]:
    """The beginning of a list, as far as it is drawn. ``page_of(limit, offset)`` asks the service."""
    wanted = _pages(name) * page
    items: list[T] = []
    while True:
        found = page_of(min(LARGEST_PAGE, wanted - len(items)), len(items))
        items += found.items
        if not found.items or len(items) >= min(wanted, found.total):
            return Listed(items, found.total, len(items), 0)


def _pages(name: str) -> int:
    return int(st.session_state.get(_key(name), 1))


def _key(name: str) -> str:
    return f"chat_pages_of_{name}"
