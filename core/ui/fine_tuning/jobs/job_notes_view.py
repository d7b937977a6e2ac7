"""Notes and tags of a job: shown under its title, changed in a popover."""

import streamlit as st

from core import fine_tuning
from core.fields import parse
from core.people.users import User
from core.ui import show


def show_notes(job: fine_tuning.Job) -> None:
    """Nothing when there is nothing."""
    if job.tags:
        with st.container(key="job_notes"):
            st.markdown(tags_text(job.tags))
    if job.notes:
        with st.container(key="job_notes_text"):
            st.markdown("  \n".join(show.plain(line) for line in job.notes.splitlines()))


def show_form(user: User, job: fine_tuning.Job) -> None:
    with st.popover("Notes and tags", icon=":material/edit_note:", key="job_notes_open"):
        _show_form(user, job)


def tags_text(tags: list[str]) -> str:
    """Badges within a line of markdown."""
    return " ".join(f":gray-badge[{show.plain(tag)}]" for tag in tags)


def _show_form(user: User, job: fine_tuning.Job) -> None:
    with st.form("job_notes_form", border=False):
        tags = st.multiselect(
            "Tags",
            job.tags,
            default=job.tags,
            accept_new_options=True,
            key="job_tags",
            placeholder="Type a word, press Enter",
        )
        notes = st.text_area("Notes", value=job.notes, key="job_notes_field", max_chars=10_000, height=140)
        if st.form_submit_button("Save", key="job_notes_save", type="primary"):
            with show.guarded():
                fine_tuning.annotate(
                    user, job.id, parse(fine_tuning.Annotation, tags=list(tags), notes=notes)
                )
                st.rerun()
