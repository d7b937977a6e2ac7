"""How an upload is read, each decision changeable. Titles and help are those of ``IngestOptions``; only what
``look.choices`` names is drawn. A picker without a choice shows what was detected, and clearing one returns
to that. Keys: ``review_<field>``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from core.readers import IngestOptions
from core.ui import show
from core.ui.uploads import review_state
from core.ui.uploads.review_state import PREFIX, Review

DELIMITERS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar |", " ": "Space", ":": "Colon"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": "Windows-1252",
    "iso8859-1": "Latin-1",
    "utf-16": "UTF-16",
    "cp1251": "Windows-1251 (Cyrillic)",
    "shift_jis": "Shift JIS",
    "gb18030": "GB 18030",
}
ENCODING_NAMES = {
    "ascii": "UTF-8",
    "utf-8-sig": "UTF-8",
    "latin-1": "Latin-1",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
} | ENCODINGS
HEADERS = {True: "First row", False: "None"}
HEADER_WORDS: dict[bool | None, str] = {True: "the first row holds the names", False: "no row of names"}
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces", ":": "colons"}
DECIMALS = {".": "Point, 1.5", ",": "Comma, 1,5"}
THOUSANDS = {",": "Comma, 1,234", ".": "Point, 1.234", " ": "Space, 1 234", "'": "Apostrophe, 1'234"}
COMMENTS = {"#": "#", "%": "%", "/": "/", ";": ";"}
DATES = {
    "%Y-%m-%d": "2024-12-31",
    "%d/%m/%Y": "31/12/2024, day first",
    "%m/%d/%Y": "12/31/2024, month first",
    "%d.%m.%Y": "31.12.2024, day first",
    "%Y/%m/%d": "2024/12/31",
}
NULLS = ["NA", "N/A", "n/a", "null", "NULL", "None", "NaN", "-", "?"]


def show_options(review: Review) -> None:
    """One picker per decision that makes sense for this kind of file."""
    drawn = [draw for field, draw in PICKERS.items() if field in review.look.choices]
    if drawn:
        with st.grid(4, min_column_width=160, vertical_alignment="bottom", key="review_options"):
            for draw in drawn:
                draw(review)


def describe(detected: Mapping[str, Any]) -> str:
    """What was decided, as a sentence:
    ``UTF-8 text, values separated by commas, the first row holds the names.``"""
    parts = [
        f"{_encoding(detected['encoding'])} text" if detected.get("encoding") else "",
        f"values separated by {SEPARATORS.get(detected['delimiter'], detected['delimiter'])}"
        if detected.get("delimiter")
        else "",
        HEADER_WORDS.get(detected.get("header"), ""),
        f"{show.count(detected['skip_lines'], 'line')} left out above" if detected.get("skip_lines") else "",
        f"sheet {detected['sheet']}" if detected.get("sheet") else "",
        f"file {detected['member']}" if detected.get("member") else "",
        f"lines that begin with {detected['comment']} left out" if detected.get("comment") else "",
        f"dates like {DATES.get(detected['date_format'], detected['date_format'])}"
        if detected.get("date_format")
        else "",
    ]
    sentence = ", ".join(part for part in parts if part)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def _pick(
    field: str, labels: Mapping[Any, str], say: Callable[[Any], str], *, is_open: bool = False
) -> Callable[[Review], None]:
    """A select box over ``labels``, empty while it is detected; ``is_open``: anything else may be typed."""

    def draw(review: Review) -> None:
        about, stored = IngestOptions.model_fields[field], getattr(review.options, field)
        choices = [*labels, *([stored] if stored is not None and stored not in labels else [])]
        detected = review.look.detected.get(field)
        # with an index instead it could not be cleared
        st.session_state.setdefault(f"{PREFIX}{field}", stored)
        st.selectbox(
            about.title or field,
            choices,
            index=None,
            format_func=lambda value: labels.get(value) or say(value),
            placeholder=f"Detected: {say(detected)}" if detected is not None else "Detected",
            key=f"{PREFIX}{field}",
            persist_state="page",
            help=about.description,
            accept_new_options=is_open,
            on_change=_store,
            args=(review, field),
        )

    return draw


def _pick_table(field: str, listed: str) -> Callable[[Review], None]:
    """Which sheet of a workbook or file of a zip, where there are several."""

    def draw(review: Review) -> None:
        tables = review.look.detected.get(listed)
        names = [str(name) for name in tables] if isinstance(tables, list) else []
        shown = getattr(review.options, field) or review.look.detected.get(field)
        if len(names) > 1:
            about = IngestOptions.model_fields[field]
            st.session_state[f"{PREFIX}{field}"] = shown if shown in names else names[0]
            st.selectbox(
                about.title or field,
                names,
                key=f"{PREFIX}{field}",
                on_change=_store,
                args=(review, field),
            )

    return draw


def _pick_lines(review: Review) -> None:
    about, detected = IngestOptions.model_fields["skip_lines"], review.look.detected.get("skip_lines") or 0
    st.session_state.setdefault(f"{PREFIX}skip_lines", review.options.skip_lines)
    st.number_input(
        about.title or "",
        value=None,
        min_value=0,
        max_value=10_000,
        step=1,
        placeholder=f"Detected: {detected}",
        key=f"{PREFIX}skip_lines",
        help=about.description,
        on_change=_store,
        args=(review, "skip_lines"),
    )


def _pick_nulls(review: Review) -> None:
    about, stored = IngestOptions.model_fields["null_values"], review.options.null_values or []
    st.multiselect(
        about.title or "",
        [*NULLS, *(word for word in stored if word not in NULLS)],
        default=stored,
        placeholder="Only empty fields",
        key=f"{PREFIX}null_values",
        help=about.description,
        accept_new_options=True,
        on_change=_store,
        args=(review, "null_values"),
    )


def _pick_skipping(review: Review) -> None:
    about = IngestOptions.model_fields["skip_bad_rows"]
    st.checkbox(
        about.title or "",
        value=review.options.skip_bad_rows,
        key=f"{PREFIX}skip_bad_rows",
        help=about.description,
        on_change=_store,
        args=(review, "skip_bad_rows"),
    )


def _store(review: Review, field: str) -> None:
    """A picker was changed: keep it with the upload. What is not possible goes back to what it was."""
    key = f"{PREFIX}{field}"
    if not review_state.change(review.user, review.upload.id, **{field: st.session_state[key]}):
        st.session_state[key] = getattr(review.options, field)


def _encoding(name: str) -> str:
    return ENCODING_NAMES.get(name, name)


def _delimiter(mark: str) -> str:
    return DELIMITERS.get(mark, mark)


PICKERS: dict[str, Callable[[Review], None]] = {
    "member": _pick_table("member", "members"),
    "sheet": _pick_table("sheet", "sheets"),
    "encoding": _pick("encoding", ENCODINGS, _encoding, is_open=True),
    "delimiter": _pick("delimiter", DELIMITERS, _delimiter, is_open=True),
    "header": _pick("header", HEADERS, lambda value: HEADERS.get(value, "")),
    "skip_lines": _pick_lines,
    "date_format": _pick("date_format", DATES, lambda value: DATES.get(value, value), is_open=True),
    "decimal": _pick("decimal", DECIMALS, lambda value: DECIMALS.get(value, value)),
    "thousands": _pick("thousands", THOUSANDS, lambda value: THOUSANDS.get(value, value)),
    "comment": _pick("comment", COMMENTS, str, is_open=True),
    "null_values": _pick_nulls,
    "skip_bad_rows": _pick_skipping,
}
