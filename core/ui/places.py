"""Where pages are, and how to get from one to another.

A page is named by its file in ``pages/``; query parameters carry what it shows, so that every link can be
reopened and shared.
"""

from typing import NoReturn

import streamlit as st


def path(page: str) -> str:
    """``dataset`` → the path Streamlit knows the page by (it resolves from the entry script's folder)."""
    return f"../../pages/{page}.py"


def go(page: str, **query: str | int | None) -> NoReturn:
    """Leave for another page."""
    st.switch_page(path(page), query_params=_present(query))


def link(
    page: str, label: str, *, icon: str | None = None, help: str | None = None, **query: str | int | None
) -> None:
    """A link to another page; ``icon`` is a Material symbol's name."""
    st.page_link(path(page), label=label, icon=_symbol(icon), help=help, query_params=_present(query))


def button(
    label: str,
    page: str,
    *,
    key: str,
    icon: str | None = None,
    primary: bool = False,
    disabled: bool = False,
    **query: str | int | None,
) -> None:
    """A button that opens another page: for the step
    that should be taken, where a link would be overlooked."""
    if st.button(
        label, key=key, icon=_symbol(icon), type="primary" if primary else "secondary", disabled=disabled
    ):
        go(page, **query)


def query(name: str) -> str | None:
    """A query parameter of this page, None when absent or empty."""
    return st.query_params.get(name) or None


def _present(values: dict[str, str | int | None]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _symbol(name: str | None) -> str | None:
    return f":material/{name}:" if name else None
