"""The first rows of an upload under review, and what is wrong with it: which lines, and what can be done."""

from typing import Any

import pandas as pd
import streamlit as st

from core.sql_types import is_number
from core.ui import digits, show
from core.ui.uploads import review_state
from core.ui.uploads.review_columns import text_of
from core.ui.uploads.review_state import PREFIX, Review

MAX_COLUMNS = 200  # drawn at once; all of them come in
MAX_LINES = 12
LONG, UNSCROLLED = 40, 13


def show_rows(review: Review) -> None:
    """A grid of the first rows as they would come in: an empty cell is empty text, ``null`` is no value."""
    look = review.look
    names = [column["name"] for column in look.columns[:MAX_COLUMNS]]
    types = {column["name"]: str(column["type"]) for column in look.columns}
    cells = {name: _cells(name, [row.get(name) for row in look.rows], types[name]) for name in names}
    table = pd.DataFrame(cells, columns=names, dtype=object)
    table.index = pd.RangeIndex(1, len(look.rows) + 1, name="row")
    config: dict[str, Any] = {"row": st.column_config.NumberColumn("#", width=50, pinned=True)}
    config |= {name: _column([row.get(name) for row in look.rows], cells[name]) for name in names}
    st.dataframe(
        table,
        key="review_rows",
        placeholder=digits.NULL,
        column_config=config,
        height="content" if len(table) <= UNSCROLLED else 530,
    )
    st.caption(_words(review))


def show_trouble(review: Review) -> None:
    """Why it cannot be read as chosen, or what is left out, with lines; and a button to skip it."""
    look = review.look
    if look.error:
        message, lines = str(look.error["message"]), look.error.get("lines") or []
        listed = _listed(lines, look.error.get("count", 0)) if len(lines) > 1 else ""
        st.error(f"**{show.plain(message)}**{listed}", icon=":material/error:")
        if lines and "skip_bad_rows" in look.choices and not review.options.skip_bad_rows:
            count = show.count(look.error.get("count") or len(lines), "row")
            words = f"Skip bad rows ({count}{' in the part looked at' if look.is_sample else ''})"
            st.button(words, key=f"{PREFIX}skip", icon=":material/skip_next:", on_click=_skip, args=(review,))
    elif look.num_skipped:
        part = " of the part looked at" if look.is_sample else ""
        message = (
            f"**{show.count(look.num_skipped, 'row')}{part} cannot be read and will be left out**, "
            f"listed with the version."
        )
        st.warning(message + _listed(look.skipped, look.num_skipped), icon=":material/warning:")


def _skip(review: Review) -> None:
    if review_state.change(review.user, review.upload.id, skip_bad_rows=True):
        st.session_state[f"{PREFIX}skip_bad_rows"] = True


def _listed(lines: list[list[Any]], count: int) -> str:
    """``lines`` are [number or None, message] of the first of ``count``."""
    text = "".join(
        f"\n- {f'line {line:,}: ' if line else ''}{show.plain(str(message))}"
        for line, message in lines[:MAX_LINES]
    )
    more = max(count, len(lines)) - MAX_LINES
    return f"\n{text}" + (f"\n- and {show.count(more, 'more line')}" if more > 0 else "")


def _words(review: Review) -> str:
    look = review.look
    sentence = (
        f"All {show.count(len(look.rows), 'row')}"
        if look.num_rows == len(look.rows)
        else f"The first {len(look.rows):,} rows"
    )
    sentence += (
        f" and {MAX_COLUMNS} of {len(look.columns):,} columns" if len(look.columns) > MAX_COLUMNS else ""
    )
    has_gaps = any(value is None for row in look.rows for value in row.values())
    return f"{sentence}, as they will come in.{' A grey null is a missing value.' if has_gaps else ''}"


def _cells(name: str, values: list[Any], type_: str) -> list[str | None]:
    texts = [_cell(value) for value in values]
    return digits.aligned(name, texts, places=digits.scale_of(type_)) if is_number(type_) else texts


def _cell(value: Any) -> str | None:
    """As text, digit for digit: a grid of numbers would round them."""
    return None if value is None else text_of(value)[:500]


def _column(values: list[Any], cells: list[str | None]) -> Any:
    """Numbers stand at the right; long text leaves room for its neighbours."""
    is_number = any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    is_long = max((len(cell) for cell in cells if cell), default=0) > LONG
    return st.column_config.TextColumn(
        alignment="right" if is_number else "left", width="medium" if is_long else None
    )
