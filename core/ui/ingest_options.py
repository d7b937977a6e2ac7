"""How an upload is to be read, for the rare file that does not say it itself."""

from typing import Any

import streamlit as st

DELIMITERS = {"": "Found by itself", ",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar"}
ENCODINGS = {"": "Found by itself", "utf-8": "UTF-8", "latin-1": "Latin-1", "windows-1252": "Windows-1252", "utf-16": "UTF-16"}


def choose_options(key: str) -> dict[str, Any]:
    """What differs from the defaults, by the names of ``core.ingest.IngestOptions``."""
    with st.expander("Reading options", icon=":material/tune:", key=key):
        left, middle, right = st.columns(3)
        delimiter = left.selectbox("Delimiter", list(DELIMITERS), format_func=DELIMITERS.__getitem__, key=f"{key}_delimiter")
        encoding = middle.selectbox("Encoding", list(ENCODINGS), format_func=ENCODINGS.__getitem__, key=f"{key}_encoding")
        sheet = right.text_input("Excel sheet", key=f"{key}_sheet", placeholder="The first one")
        skip = st.checkbox("Skip rows that cannot be read, and list them", key=f"{key}_skip")
    chosen = {"delimiter": delimiter, "encoding": encoding, "sheet": (sheet or "").strip(), "skip_bad_rows": skip}
    return {name: value for name, value in chosen.items() if value}
