"""The first rows of an upload under review, and what is wrong with it: which lines, and what can be done."""

import json
from typing import Any

import pandas as pd
import streamlit as st

from core.ui import review_state, show
from core.ui.review_state import PREFIX, Review

MAX_COLUMNS = 200  # drawn at once; all of them come in
MAX_LINES = 12
BROWSERS_COUNT_TO = 2**53


def show_rows(review: Review) -> None:
    """A grid of the first rows as they would come in: an empty cell is empty text, ``None`` is no value."""
    look = review.look
    names = [column["name"] for column in look.columns[:MAX_COLUMNS]]
    table = pd.DataFrame({name: _cells([row.get(name) for row in look.rows]) for name in names}, columns=names)
    table.index = pd.RangeIndex(1, len(look.rows) + 1, name="row")
    config: dict[str, Any] = {"row": st.column_config.NumberColumn("#", width=50, pinned=True)}
    config |= {name: st.column_config.NumberColumn(format="plain") for name in names if table[name].dtype.kind in "if"}
    st.dataframe(table, key="review_rows", column_config=config, height=min(35 * (len(table) + 1) + 3, 530))
    st.caption(_words(review))


def show_trouble(review: Review) -> None:
    """Why it cannot be read as chosen, or what was left out, with lines; and the way round."""
    error = review.look.error
    if error:
        st.error(
            f"**{show.plain(error['message'])}**{_listed(error.get('lines') or [], error['message'])}", icon=":material/error:"
        )
        can_skip = "skip_bad_rows" in review.look.choices and not review.options.skip_bad_rows and error.get("lines")
        if can_skip:
            words = f"Skip bad rows ({show.count(len(error['lines']), 'row')} so far)"
            st.button(words, key=f"{PREFIX}skip", icon=":material/skip_next:", on_click=_skip, args=(review,))


def show_notes(review: Review) -> None:
    """What the reader decided and a person might not expect."""
    notes = review.look.detected.get("notes") or []
    if notes:
        text = show.plain(str(notes[0])) if len(notes) == 1 else "\n".join(f"- {show.plain(str(note))}" for note in notes)
        st.info(text, icon=":material/info:")


def _skip(review: Review) -> None:
    if review_state.change(review.user, review.upload.id, skip_bad_rows=True):
        st.session_state[f"{PREFIX}skip_bad_rows"] = True


def _listed(lines: list[list[Any]], said: str) -> str:
    """``lines`` are [number or None, message]; what the message has said already is not said again."""
    shown = [(line, str(message)) for line, message in lines[:MAX_LINES] if len(lines) > 1 or str(message) not in said]
    text = "".join(f"\n- {f'line {line:,}: ' if line else ''}{show.plain(message)}" for line, message in shown)
    more = len(lines) - MAX_LINES
    return f"\n{text}" + (f"\n- and {show.count(more, 'more line')}" if more > 0 else "") if text else ""


def _words(review: Review) -> str:
    look = review.look
    many = f" and {MAX_COLUMNS} of {len(look.columns):,} columns" if len(look.columns) > MAX_COLUMNS else ""
    if look.num_rows is not None and look.num_rows <= len(look.rows):
        return f"All {show.count(look.num_rows, 'row')}{many}, as they will come in."
    return f"The first {show.count(len(look.rows), 'row')}{many}, as they will come in."


def _cells(values: list[Any]) -> pd.Series:
    """Numbers as numbers where a browser can hold them; everything else as text, nested values as JSON."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        whole = all(isinstance(value, int) for value in known)
        if not whole or max(abs(value) for value in known) < BROWSERS_COUNT_TO:
            return pd.Series(values, dtype="Int64" if whole else "Float64")
    return pd.Series([_text(value) for value in values], dtype=object)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:500]
