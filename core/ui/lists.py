"""Lists in pages: a page of a service's list, its pagination,
and the search field; all of it kept in the address."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import streamlit as st

PER_PAGE = 20


class Paged(Protocol):
    """One page of a list, or of a table's rows."""

    @property
    def total(self) -> int: ...
    @property
    def limit(self) -> int: ...


P = TypeVar("P", bound=Paged)


def search(key: str, *, placeholder: str) -> str | None:
    """The text searched for, None when the field is empty."""
    text = st.text_input(
        "Search",
        key=key,
        type="search",
        placeholder=placeholder,
        label_visibility="collapsed",
        icon=":material/search:",
        bind="query-params",
        max_chars=200,
    )
    return (text or "").strip() or None


def choose(key: str, label: str, options: dict[str, str]) -> str:
    """A compact select box; ``options`` maps what is returned to what is shown.

    The first one is the default.
    """
    return st.selectbox(
        label,
        list(options),
        format_func=lambda name: options[name],
        key=key,
        label_visibility="collapsed",
        bind="query-params",
    )


def page_of(fetch: Callable[[int, int], P], *, key: str, per_page: int = PER_PAGE) -> P:
    """``fetch(limit, offset)`` for the page that the reader is on,
    or the last one when the list has become shorter."""
    wanted = max(current_page(key), 1)
    page = fetch(per_page, (wanted - 1) * per_page)
    last = max(1, -(-page.total // per_page))
    if wanted > last:
        st.session_state[key] = last
        page = fetch(per_page, (last - 1) * per_page)
    return page


def pages(page: Paged, *, key: str) -> None:
    """The pagination below a list; nothing when one page is enough."""
    count = -(-page.total // max(page.limit, 1))
    if count > 1:
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.pagination(count, key=key, bind="query-params")


def current_page(key: str) -> int:
    chosen = st.session_state.get(key) or st.query_params.get(key) or 1
    return int(chosen) if str(chosen).isdecimal() and len(str(chosen)) < 10 else 1
