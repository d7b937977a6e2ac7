"""The upload field: drag and drop, a file picker, a bar of the transfer, cancel, one file after the other.

``st.file_uploader`` keeps a file in memory twice; this one streams to our own ``/upload`` route, which answers with the dataset it
made or with the reason it did not. What happens after the transfer (the conversion) is the page's to show.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.config import settings
from core.ui import show

HERE = Path(__file__).parent
KINDS = "CSV, TSV, JSON, JSONL, Parquet, Arrow or Excel, plain or in .gz, .zst, .zip"
SEEN = "_arrived_uploads"


@dataclass(frozen=True)
class Arrived:
    """A file that the server took. ``alone`` when it was chosen by itself; ``status`` is ``ready`` or ``processing``."""

    name: str
    dataset_id: str
    version_id: str
    status: str
    alone: bool


def field(key: str, *, title: str, dataset_id: str | None = None, multiple: bool = True, options: dict[str, Any]) -> list[Arrived]:
    """Draw the field; the uploads that arrived since the last run. With ``dataset_id`` they become versions of it."""
    limit = show.bytes_(settings().max_upload_mb * 1024 * 1024)
    result = _component()(
        key=key,
        data={
            "store": f"{key}:{dataset_id or ''}",
            "title": title,
            "hint": f"{KINDS}. Up to {limit} each.",
            "multiple": multiple,
            "dataset_id": dataset_id,
            "options": options,
        },
        on_arrived_change=_nothing,
    )
    seen: set[str] = st.session_state.setdefault(SEEN, set())
    fresh = [_arrived(a) for a in result.arrived or [] if a["version_id"] not in seen]
    seen.update(a.version_id for a in fresh)
    return fresh


def _arrived(answer: dict[str, Any]) -> Arrived:
    return Arrived(answer["name"], answer["dataset_id"], answer["version_id"], answer["status"], answer["batch"] == 1)


def _component() -> Any:
    """Registered under one name; asking again is cheap, and the manager of a test is a new one each time."""
    html, css, js = ((HERE / f"upload.{kind}").read_text() for kind in ("html", "css", "js"))
    return st.components.v2.component("luthier_upload", html=html, css=css, js=js)


def _nothing() -> None: ...
