"""The upload under review: what was chosen for it, and what its first rows looked like.

The choices live with the upload, not in the page: a reload, another window or another day show the same
review. Widgets write through :func:`change` and are drawn from what is stored. Reading the first rows
starts a process, so the last few results are kept per session.
"""

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import uploads
from core.errors import LuthierError
from core.fields import parse
from core.people.users import User
from core.readers import IngestOptions
from core.readers.look import Look
from core.ui import show
from core.uploads import Upload

PREFIX = "review_"
REVIEWED, LOOKS, KEPT = "_reviewed", "_looks", 8


@dataclass(frozen=True)
class Review:
    """One upload as it would be read.

    ``from_version``: the options are those of that version of the target dataset.
    """

    user: User
    upload: Upload
    options: IngestOptions
    from_version: int | None
    look: Look

    @property
    def tables(self) -> list[str]:
        """The sheets of a workbook or the files of a zip, when there is more than one."""
        names = self.look.detected.get("sheets") or self.look.detected.get("members") or []
        return [str(name) for name in names] if isinstance(names, list) and len(names) > 1 else []

    @property
    def tables_field(self) -> str:
        """The option that names one of ``tables``."""
        return "sheet" if self.look.detected.get("sheets") else "member"


def turn_to(upload: Upload) -> None:
    """Before anything is drawn: what was typed for another upload is forgotten."""
    if st.session_state.get(REVIEWED) != upload.id:
        forget_widgets()
        st.session_state[REVIEWED] = upload.id


def open_review(user: User, upload: Upload) -> Review:
    """Look at the upload as chosen so far. Raises what ``uploads.look`` raises."""
    chosen = uploads.chosen(user, upload.id)
    return Review(user, upload, chosen.options, chosen.from_version, _look(user, upload, chosen.options))


def change(user: User, upload_id: str, **changes: Any) -> bool:
    """Store other options with the upload; the next run looks again.

    False when they are not possible: the header says why.
    """
    options = uploads.chosen(user, upload_id).options
    try:
        uploads.choose(user, upload_id, parse(IngestOptions, **{**options.model_dump(), **changes}))
    except LuthierError as err:
        show.flash_error(err)
        return False
    return True


def answer(review: Review, changes: dict[str, Any]) -> None:
    """Take a reading that the reader proposes (``core.readers.questions``). Types are by column, None for the
    detected one; those of other columns stay. The pickers then show what is stored."""
    whole = dict(changes)
    if "types" in changes:
        types = {**(review.options.types or {}), **changes["types"]}
        whole["types"] = {name: type_ for name, type_ in types.items() if type_}
    if change(review.user, review.upload.id, **whole):
        for key in [key for key in st.session_state if isinstance(key, str) and _shows(key, changes)]:
            del st.session_state[key]


def _shows(key: str, changes: dict[str, Any]) -> bool:
    return key.removeprefix(PREFIX) in changes or ("types" in changes and key.startswith(f"{PREFIX}type_"))


def start_over(user: User, upload_id: str) -> None:
    """Everything as detected, whatever an earlier version was read with."""
    if change(user, upload_id, **IngestOptions().model_dump()):
        forget_widgets()


def forget_widgets() -> None:
    """Widgets show what is stored, not what was typed for another upload."""
    for key in [key for key in st.session_state if isinstance(key, str) and key.startswith(PREFIX)]:
        del st.session_state[key]


def _look(user: User, upload: Upload, options: IngestOptions) -> Look:
    looks: dict[str, Look] = st.session_state.setdefault(LOOKS, {})
    key = f"{upload.id} {json.dumps(options.model_dump(), sort_keys=True)}"
    if key not in looks:
        with st.spinner("Looking at the first rows …"):
            look = uploads.look(user, upload.id, options)
        for old in list(looks)[: max(0, len(looks) - KEPT + 1)]:
            del looks[old]
        looks[key] = look
    return looks[key]
