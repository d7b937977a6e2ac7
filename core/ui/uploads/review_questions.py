"""What is not certain about an upload, as questions: each reading with its first cells, one click to choose;
and what was decided without asking, with what undoes it.

Keys: ``review_question_{about}_{n}``, in it ``review_answer_{n}_{m}`` for another reading; ``review_notes``,
in it ``review_offer_{n}_{m}``.
"""

from typing import Any

import pandas as pd
import streamlit as st

from core.ui import digits, show
from core.ui.uploads import review_state
from core.ui.uploads.review_state import PREFIX, Review

CELL = 40  # characters


def show_questions(review: Review) -> None:
    """Two or three readings side by side, below each other on a narrow screen."""
    for n, question in enumerate(review.look.questions):
        with st.container(border=True, key=f"{PREFIX}question_{question['about']}_{n}", gap="small"):
            st.markdown(f":material/help: **{show.plain(question['ask'])}**")
            readings = question["readings"]
            for m, (place, reading) in enumerate(zip(st.columns(len(readings)), readings, strict=True)):
                with place, st.container(border=True, height="stretch", gap="small"):
                    _show_reading(review, reading, key=f"{PREFIX}answer_{n}_{m}")


def show_notes(review: Review) -> None:
    """What the reader decided and a person might not expect, but for what is asked already."""
    asked = {question["note"] for question in review.look.questions}
    notes = [str(note) for note in review.look.detected.get("notes") or [] if note not in asked]
    if not notes:
        return
    with st.container(border=True, key=f"{PREFIX}notes", gap="xsmall"):
        for n, note in enumerate(notes):
            offers = [offer for offer in review.look.offers if offer["note"] == note]
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f":material/info: {show.plain(note)}", width="stretch")
                for m, offer in enumerate(offers):
                    st.button(
                        show.plain(offer["label"]),
                        key=f"{PREFIX}offer_{n}_{m}",
                        on_click=review_state.answer,
                        args=(review, offer["change"]),
                    )


def _show_reading(review: Review, reading: dict[str, Any], *, key: str) -> None:
    is_current = bool(reading["is_current"])
    mark = " :green-badge[:material/check: As it is read now]" if is_current else ""
    st.markdown(f"**{show.plain(reading['label'])}**{mark}")
    names = [show.plain(_cut(name)) or " " for name in reading["columns"]]
    rows = [
        [f":gray[*{digits.NULL}*]" if cell is None else show.plain(_cut(cell)) for cell in row]
        for row in reading["rows"]
    ]
    st.table(pd.DataFrame(rows, columns=names, dtype=object), border="horizontal", hide_index=True)
    if not is_current:
        st.space("stretch")
        args = (review, reading["change"])
        st.button("Read it like this", key=key, on_click=review_state.answer, args=args)


def _cut(text: str) -> str:
    line = text.replace("\n", " ↵ ")
    return line if len(line) <= CELL else line[: CELL - 1] + "…"
