"""An upload before it is taken in, /review?id=upl_…:
what was detected, on its first rows, each decision changeable."""

import streamlit as st

from core import datasets, uploads
from core.errors import NotFound
from core.people.users import User
from core.ui import places, show
from core.ui.datasets import dataset_view
from core.ui.sign_in import require_user
from core.ui.uploads import (
    review_columns,
    review_import,
    review_options,
    review_questions,
    review_rows,
    review_state,
    waiting_uploads,
)
from core.ui.uploads.review_state import Review
from core.uploads import Upload


def show_header(user: User, upload: Upload) -> None:
    if upload.dataset_id:
        target = datasets.get(user, upload.dataset_id)
        places.link("dataset", show.plain(target.name), icon="arrow_back", id=target.id)
        actions = show.header(f"A new version of {target.name}", icon="fact_check")
    else:
        places.link("datasets", "All datasets", icon="arrow_back")
        actions = show.header(upload.filename, icon="fact_check")
    with actions:
        review_import.show_discard(user, upload)


def show_facts(review: Review) -> None:
    """What is at hand, in one line."""
    look, upload = review.look, review.upload
    rows = (
        show.count(look.num_rows, "row")
        if look.num_rows is not None
        else f"more than {show.count(len(look.rows), 'row')}"
    )
    parts = [show.plain(upload.filename) if upload.dataset_id else "", show.bytes_(upload.size_bytes)]
    parts += [rows, show.count(len(look.columns), "column")] if look.columns else []
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="review_facts"):
        st.caption(" · ".join(part for part in parts if part), width="content")
        if look.columns:
            st.markdown(dataset_view.format_badge(look.format), width="content")


def show_reading(review: Review) -> None:
    """How it is read, and the pickers to read it otherwise."""
    sentence = review_options.describe(review.look.detected)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader("How it is read", anchor=False, width="content")
        if sentence:
            st.caption(show.plain(sentence), width="content")
        if review.from_version:
            st.badge(f"As for version {review.from_version}", icon=":material/history:", color="blue")
        if review.options.model_dump(exclude_defaults=True):
            args = (review.user, review.upload.id)
            st.button(
                "Detect afresh",
                key="review_afresh",
                type="tertiary",
                icon=":material/restart_alt:",
                on_click=review_state.start_over,
                args=args,
            )
    review_options.show_options(review)


def show_tables(review: Review) -> None:
    rows, columns = st.columns([5, 4], gap="medium")
    with rows:
        st.subheader("First rows", anchor=False)
        review_rows.show_rows(review)
    with columns:
        st.subheader("Columns", anchor=False)
        with st.container(height=560, border=False, key="review_columns"):
            review_columns.show_columns(review)


def show_form(review: Review) -> None:
    show_facts(review)
    review_import.show_bar(review)
    review_rows.show_trouble(review)
    review_questions.show_questions(review)
    review_questions.show_notes(review)
    show_reading(review)
    if review.look.columns:
        show_tables(review)


def show_gone() -> None:
    show.header("Review before the import", icon="fact_check")
    show.empty(
        "There is no such upload",
        "It was imported or discarded already, or the link is not complete.",
        icon="search_off",
    )
    places.link("datasets", "All datasets", icon="arrow_back")


def show_unfinished(user: User, upload: Upload) -> None:
    """Nothing to look at yet, or never."""
    with show.header(upload.filename, icon="fact_check"):
        review_import.show_discard(user, upload)
    if upload.state == "failed":
        st.error(show.plain(upload.error or "This upload has failed."), icon=":material/error:")
    else:
        waiting_uploads.show_arrival(user, upload.id)
    places.link("datasets", "All datasets", icon="arrow_back")


user = require_user()
try:
    upload = uploads.get(user, places.query("id") or "")
except NotFound:
    if review_import.was_just_discarded(places.query("id") or ""):
        places.go("datasets")
    show_gone()
    st.stop()
if upload.state != "received":
    show_unfinished(user, upload)
    st.stop()

review_state.turn_to(upload)
with st.container():
    show_header(user, upload)
with show.guarded():
    review = review_state.open_review(user, upload)
    if review_import.is_asked_for(upload):
        review_import.show_import(review)
    with st.container(key="review_form"):
        show_form(review)
