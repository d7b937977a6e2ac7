"""The list of fine-tuning jobs: state, progress, loss, base and age of each, live while any is active."""

from typing import Any

import streamlit as st

from core import fine_tuning, models
from core.errors import NotFound
from core.fine_tuning import JobList
from core.fine_tuning.monitor.comparing import MOST
from core.listing import Listed
from core.people.users import User
from core.ui import lists, places, show
from core.ui.fine_tuning.jobs import job_notes_view

PAGE = "jobs_page"
EVERY = 2.0  # seconds
ORDERS = {
    "-created_at": "Newest first",
    "best_loss": "Best validation loss",
    "valid_loss": "Last validation loss",
    "train_loss": "Training loss",
    "-duration": "Longest first",
    "name": "Name",
}
STATES = ("All", "running", "queued", "paused", "succeeded", "failed", "cancelled")


def show_jobs(user: User) -> None:
    state = st.segmented_control(
        "Show",
        STATES,
        default="All",
        required=True,
        format_func=lambda name: name if name == "All" else show.look_of(name).label,
        key="jobs_status",
        label_visibility="collapsed",
    )
    wanted = _pick(user, None if state == "All" else state)
    page = _fetch(user, wanted)
    if not page.total:
        _show_empty(wanted)
        return
    active = any(job.status in fine_tuning.ACTIVE for job in page.items)
    st.fragment(_draw, run_every=EVERY if active else None)(user, wanted)
    lists.pages(page, key=PAGE)


def _pick(user: User, status: Any) -> JobList:
    """Search, tag and order beside the state; only where there is something to choose from."""
    with st.container(horizontal=True, vertical_alignment="center", key="jobs_controls"):
        text = lists.search("jobs_q", placeholder="Search names and notes")
        tags = fine_tuning.tags(user)
        tag = lists.choose("jobs_tag", "Tag", {"": "All tags", **{tag: tag for tag in tags}}) if tags else ""
        order = lists.choose("jobs_sort", "Order", ORDERS)
    return JobList(status=status, q=text, tag=tag or None, sort=order)


def _fetch(user: User, wanted: JobList) -> Listed[fine_tuning.Job]:
    return lists.page_of(
        lambda limit, offset: fine_tuning.list_jobs(
            user, wanted.model_copy(update={"limit": limit, "offset": offset})
        ),
        key=PAGE,
    )


def _show_empty(wanted: JobList) -> None:
    if wanted.q or wanted.tag:
        show.empty("No job matches", "Change the search or the tag above.", "search_off")
        return
    if wanted.status:
        show.empty(f"No job is {wanted.status}", "Choose another state above.", "filter_alt_off")
        return
    show.empty(
        "No fine-tuning yet",
        (
            "Pick a dataset and a base model, press start, and watch the loss fall. "
            "With a bundled sample it takes about two minutes."
        ),
        "model_training",
    )
    places.button("Start the first one", "fine_tuning", key="ft_first", icon="add", primary=True, new=1)


def _draw(user: User, wanted: JobList) -> None:
    names: dict[str, str] = {}
    with show.guarded():
        jobs = _fetch(user, wanted).items
        _show_compare([job.id for job in jobs])
        for job in jobs:
            base = names.setdefault(job.base_model_id or "", _name_of(user, job.base_model_id))
            show_job(job, base)


def _show_compare(shown: list[str]) -> None:
    """What is marked on this page of the list goes to the comparison."""
    marked = [job_id for job_id in shown if st.session_state.get(f"mark_{job_id}")]
    if marked:
        with st.container(horizontal=True, vertical_alignment="center", key="jobs_marked"):
            st.markdown(f"**{show.count(len(marked), 'run')} marked**", width="content")
            places.button(
                "Compare", "compare", key="jobs_compare", icon="compare_arrows", primary=True,
                disabled=len(marked) < 2, ids=",".join(marked[:MOST]),
            )  # fmt: skip


def _name_of(user: User, model_id: str | None) -> str:
    try:
        return models.get(user, model_id).name if model_id else "a deleted model"
    except NotFound:
        return "a deleted model"


def show_job(job: fine_tuning.Job, base: str) -> None:
    with st.container(border=True, gap="xsmall", key=f"job_row_{job.id}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", width="content"):
                st.checkbox(
                    f"Mark {show.plain(job.name)}",
                    key=f"mark_{job.id}",
                    label_visibility="collapsed",
                    help="Mark it to compare.",
                )
                places.link("job", show.plain(job.name), icon="monitoring", id=job.id)
                if job.tags:
                    st.markdown(job_notes_view.tags_text(job.tags), width="content")
            show.badge(job.status)
        if job.status in fine_tuning.ACTIVE and job.total_steps:
            st.progress(min(job.progress, 1.0))
        st.caption(describe(job, base))


def describe(job: fine_tuning.Job, base: str) -> str:
    """``from luthier-starter · step 42 / 100 · loss 1.234 · 3 min left · started 2 min ago``"""
    words = [f"from {show.plain(base)}"]
    if job.status in fine_tuning.ACTIVE and job.total_steps:
        words.append(f"step {job.step:,} / {job.total_steps:,}")
    if job.train_loss is not None:
        words.append(f"loss {job.train_loss:.3f}")
    if job.valid_loss is not None:
        best = (
            f" (best {job.best_loss:.3f})"
            if job.best_loss is not None and job.best_loss < job.valid_loss
            else ""
        )
        words.append(f"validation {job.valid_loss:.3f}{best}")
    if job.status == "running" and job.eta_seconds is not None:
        words.append(f"{show.duration(job.eta_seconds, parts=1)} left")
    if job.started_at and job.finished_at:
        words.append(f"took {show.duration((job.finished_at - job.started_at).total_seconds())}")
    if job.status == "failed" and job.error:
        words.append(show.plain(str(job.error.get("message", ""))[:160]))
    words.append(show.ago(job.created_at))
    return " · ".join(words)
