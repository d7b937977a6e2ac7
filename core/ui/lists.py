"""Lists in pages: a page of a service's list, its pagination, the search field, the order and the columns
of a table; all of it kept in the address. And which rows of a table are ticked, kept while one is signed in.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import streamlit as st

PER_PAGE = 20
MOST_TICKED = 100


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


def choose_of(key: str, label: str, everything: str, options: dict[str, str]) -> str:
    """As ``choose``, with ``everything`` first and the default; nothing is drawn without options."""
    return choose(key, label, {"": everything, **options}) if options else ""


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


def begin_anew(key: str, wanted: Any) -> None:
    """Another question begins on its first page; a reload stays where it was. ``key``: of the pagination."""
    last = f"_{key}_asked"
    if st.session_state.get(last, wanted) != wanted:
        st.session_state[key] = 1
    st.session_state[last] = wanted


def sort_of(key: str, columns: Sequence[dict[str, str]], default: str) -> str:
    """The order in the address, if it is one of the columns'; ``-`` in front means descending."""
    chosen = st.query_params.get(key) or default
    return chosen if chosen.removeprefix("-") in _sorts(columns) else default


def sort_by(key: str, columns: Sequence[dict[str, str]], chosen: str, *, page: str) -> None:
    """What a header asked for becomes the address; from the first page on."""
    if chosen.removeprefix("-") in _sorts(columns):
        st.query_params[key] = chosen
        st.session_state[page] = 1


def pick_columns(
    key: str, columns: Sequence[dict[str, str]], *, always: Sequence[str], default: Sequence[str]
) -> list[dict[str, str]]:
    """Those of ``columns`` that are to be seen, in their order; ``always``: those that cannot be hidden."""
    labels = {column["name"]: column["label"] for column in columns if column["name"] not in always}
    with st.popover("Columns", icon=":material/view_column:", key=f"{key}_open"):
        chosen = st.pills(
            "Columns to show",
            list(labels),
            selection_mode="multi",
            default=list(default),
            format_func=lambda name: labels[name],
            key=key,
            bind="query-params",
        )
    return [column for column in columns if column["name"] in {*always, *chosen}]


def ticked(key: str) -> list[str]:
    """The ids of the ticked rows, also of those on other pages of the list, in the order of ticking."""
    return list(st.session_state.get(key) or ())


def tick(key: str, told: Sequence[str], *, shown: Sequence[str]) -> None:
    """``told``: those that are ticked of the rows ``shown``; others keep their tick."""
    kept = [one for one in ticked(key) if one in told or one not in shown]
    st.session_state[key] = [*kept, *(one for one in told if one in shown and one not in kept)][:MOST_TICKED]


def cell(value: Any, write: str) -> str | None:
    """A number as a table's text; None for what is none, as a setting that waits to be chosen ("auto")."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return write.format(value) if is_number else None


def _sorts(columns: Sequence[dict[str, str]]) -> set[str]:
    return {column["sort"].removeprefix("-") for column in columns if column["sort"]}
