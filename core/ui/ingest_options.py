"""How an upload is to be read, for the rare file that does not say it itself. Titles and help are those of ``IngestOptions``."""

from typing import Any

import streamlit as st

from core.ingest import IngestOptions

DELIMITERS = {"": "Detected", ",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar"}
ENCODINGS = {"": "Detected", "utf-8": "UTF-8", "latin-1": "Latin-1", "cp1252": "Windows-1252", "utf-16": "UTF-16"}
HEADERS = {None: "Detected", True: "First row is names", False: "No header"}


def choose_options(key: str) -> dict[str, Any]:
    """What differs from the defaults, by the names of ``IngestOptions``. Keys: ``{key}_<field>``."""
    with st.expander("Reading options", icon=":material/tune:", key=key):
        left, middle, right = st.columns(3)
        chosen = {
            "delimiter": _select(left, key, "delimiter", DELIMITERS),
            "encoding": _select(middle, key, "encoding", ENCODINGS),
            "header": _select(right, key, "header", HEADERS),
            "date_format": _text(left, key, "date_format", "Detected, e.g. %d/%m/%Y"),
            "sheet": _text(middle, key, "sheet", "The first one"),
        }
        about = IngestOptions.model_fields["skip_bad_rows"]
        skip = st.checkbox(about.title or "", key=f"{key}_skip_bad_rows", help=about.description)
    return {name: value for name, value in chosen.items() if value not in ("", None)} | ({"skip_bad_rows": True} if skip else {})


def _select(place: Any, key: str, field: str, choices: dict[Any, str]) -> Any:
    about = IngestOptions.model_fields[field]
    return place.selectbox(
        about.title, list(choices), format_func=choices.__getitem__, key=f"{key}_{field}", help=about.description
    )


def _text(place: Any, key: str, field: str, placeholder: str) -> str:
    about = IngestOptions.model_fields[field]
    return (place.text_input(about.title, key=f"{key}_{field}", placeholder=placeholder, help=about.description) or "").strip()
