"""The columns of an upload under review: a name that can be changed,
a type that can be chosen, and the first values of each."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.readers import TYPES
from core.sql_types import kind
from core.ui import show
from core.ui.uploads import review_state
from core.ui.uploads.review_state import PREFIX, Review

PER_PAGE = 25
SAMPLES, SAMPLE_CHARACTERS = 3, 46


def show_columns(review: Review) -> None:
    """A page of columns as rows of two fields.

    Keys: container ``review_column_{n}``, ``review_{name,type}_{view}_{n}``.
    """
    columns = review.look.columns
    page = st.session_state.get(f"{PREFIX}columns_page") or 1
    first = (min(page, -(-len(columns) // PER_PAGE)) - 1) * PER_PAGE
    originals = [_found(column) for column in columns]
    # other columns are other fields: nothing typed is carried over
    view = f"{zlib.crc32(json.dumps(originals).encode()):x}"
    for n in range(first, min(first + PER_PAGE, len(columns))):
        with st.container(gap=None, key=f"review_column_{n}"):
            _show_column(review, columns[n], key=f"{view}_{n}")
    if len(columns) > PER_PAGE:
        st.pagination(-(-len(columns) // PER_PAGE), key=f"{PREFIX}columns_page")


def _show_column(review: Review, column: dict[str, Any], *, key: str) -> None:
    original = _found(column)
    with st.container(horizontal=True, gap="xsmall"):
        _show_name(review, column, original, f"{PREFIX}name_{key}")
        _show_type(review, column, original, f"{PREFIX}type_{key}")
    changed = (
        [f"was {label(column['detected'])}"]
        if original in (review.options.types or {}) and "detected" in column
        else []
    )
    changed += [f"{original} in the file"] if column["name"] != original else []
    note = f":blue[{show.plain(', '.join(changed))}] · " if changed else ""
    st.caption(note + show.plain(_samples(review.look.rows, column["name"]) or "no values"))


def _show_name(review: Review, column: dict[str, Any], original: str, key: str) -> None:
    st.text_input(
        f"Name of the column {show.plain(original)}",
        value=column["name"],
        max_chars=200,
        key=key,
        label_visibility="collapsed",
        on_change=_rename,
        args=(review, original, key),
    )


def _show_type(review: Review, column: dict[str, Any], original: str, key: str) -> None:
    chosen = (review.options.types or {}).get(original)
    detected = column.get("detected") or (column["type"] if chosen is None else "")
    st.session_state.setdefault(key, chosen)  # with an index instead it could not be cleared
    st.selectbox(
        f"Type of the column {show.plain(original)}",
        list(TYPES),
        index=None,
        format_func=TYPES.__getitem__,
        placeholder=label(detected) if detected else "Detected",
        key=key,
        persist_state="page",
        label_visibility="collapsed",
        on_change=_retype,
        args=(review, original, key),
    )


def label(type_: str) -> str:
    """What people call a type; a nested or rare one keeps its own word."""
    if type_ in TYPES:
        return TYPES[type_]
    word = kind(type_)
    return WORDS.get(word) or word.capitalize()


WORDS = {
    "STRUCT": "Nested",
    "MAP": "Nested",
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"),
        TYPES["BIGINT"],
    ),
    **dict.fromkeys(("FLOAT", "DECIMAL"), TYPES["DOUBLE"]),
    **dict.fromkeys(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), TYPES["TIMESTAMP"]),
}


def _rename(review: Review, original: str, key: str) -> None:
    """An emptied field means: as it stands in the file."""
    name = (st.session_state[key] or "").strip()
    names = {old: new for old, new in (review.options.names or {}).items() if old != original}
    if name and name != original:
        names[original] = name
    if not review_state.change(review.user, review.upload.id, names=names) or not name:
        st.session_state[key] = (review.options.names or {}).get(original, original) if name else original


def _retype(review: Review, original: str, key: str) -> None:
    types = {name: type_ for name, type_ in (review.options.types or {}).items() if name != original}
    if st.session_state[key]:
        types[original] = st.session_state[key]
    review_state.change(review.user, review.upload.id, types=types)


def _found(column: dict[str, Any]) -> str:
    return str(column.get("source") or column["name"])


def _samples(rows: Sequence[dict[str, Any]], name: str) -> str:
    """The first different values in one short line."""
    values = (row.get(name) for row in rows)
    texts = dict.fromkeys(
        text_of(value)[:SAMPLE_CHARACTERS] for value in values if value is not None and value != ""
    )
    line = " · ".join(list(texts)[:SAMPLES])
    return line if len(line) <= SAMPLE_CHARACTERS else line[: SAMPLE_CHARACTERS - 1] + "…"


def text_of(value: Any) -> str:
    """A value as text: nested ones as JSON, numbers with all their digits."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
