"""The upload field: drag and drop, a file picker, a bar
with speed and time left, cancel, one file after the other.

``st.file_uploader`` keeps a file in memory twice; this one sends pieces to our own ``/uploads`` routes, which
write them to disk. A broken connection is tried again by itself, and choosing the same file after a reload
goes on where it stopped. What arrives waits for its review; nothing is imported here.
"""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.config import settings
from core.storage import upload_size
from core.ui.elements import component

HERE = Path(__file__).parent
KINDS = "CSV, TSV, JSON, JSONL, Parquet, Arrow or Excel, plain or in .gz, .zst, .zip"
SEEN = "_arrived_uploads"


@dataclass(frozen=True)
class Arrived:
    """A file that is all here.

    ``alone`` when it was chosen by itself and its field was on the page when it arrived.
    """

    upload_id: str
    name: str
    size: int
    alone: bool


def field(key: str, *, title: str, dataset_id: str | None = None, multiple: bool = True) -> list[Arrived]:
    """Draw the field; the uploads that arrived since the last run.

    With ``dataset_id`` they are meant as versions of it.
    """
    known_ids: list[str] = st.session_state.setdefault(SEEN, [])
    result = component.declare("upload", HERE, stem="upload")(
        key=key,
        data={
            "store": f"{key}:{dataset_id or ''}",
            "title": title,
            "hint": f"{KINDS}. Up to {upload_size.in_words()} each.",
            "multiple": multiple,
            "dataset_id": dataset_id,
            "chunk_bytes": settings().upload_chunk_mb * 2**20,
            "seen": known_ids[-100:],
        },
        on_arrived_change=_nothing,
    )
    fresh = {one["id"]: one for one in result.arrived or [] if one["id"] not in known_ids}
    known_ids.extend(fresh)
    return [Arrived(one["id"], one["name"], one["size"], one["alone"]) for one in fresh.values()]


def _nothing() -> None: ...
