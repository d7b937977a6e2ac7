"""The list of fine-tuning jobs: state, progress, loss, base and age of each, live while any is active."""

from typing import Any

import streamlit as st

from core import fine_tuning, models
from core.errors import NotFound
from core.listing import Listed
from core.ui import lists, places, show
from core.users import User

PAGE = "jobs_page"
EVERY = 2.0  # seconds
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
    wanted = None if state == "All" else state
    found = _fetch(user, wanted)
    if not found.total:
        _show_empty(wanted)
        return
    active = any(job.status in fine_tuning.ACTIVE for job in found.items)
    st.fragment(_draw, run_every=EVERY if active else None)(user, wanted)
    lists.pages(found, key=PAGE)


def _fetch(user: User, status: Any) -> Listed[fine_tuning.Job]:
    return lists.page_of(
        lambda limit, offset: fine_tuning.list_jobs(user, fine_tuning.JobList(status=status, limit=limit, offset=offset)), key=PAGE
    )


def _show_empty(status: str | None) -> None:
    if status:
        show.empty(f"No job is {status}", "Choose another state above.", "filter_alt_off")
        return
    show.empty(
        "No fine-tuning yet",
        "Pick a dataset and a base model, press start, and watch the loss fall. With a bundled sample it takes about two minutes.",
        "model_training",
    )
    places.button("Start the first one", "fine_tuning", key="ft_first", icon="add", primary=True, new=1)


def _draw(user: User, status: str | None) -> None:
    names: dict[str, str] = {}
    with show.guarded():
        for job in _fetch(user, status).items:
            base = names.setdefault(job.base_model_id or "", _name_of(user, job.base_model_id))
            show_job(job, base)


def _name_of(user: User, model_id: str | None) -> str:
    try:
        return models.get(user, model_id).name if model_id else "a deleted model"
    except NotFound:
        return "a deleted model"


def show_job(job: fine_tuning.Job, base: str) -> None:
    with st.container(border=True, gap="xsmall", key=f"job_row_{job.id}"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            places.link("job", show.plain(job.name), icon="monitoring", id=job.id)
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
        words.append(f"validation {job.valid_loss:.3f}")
    if job.status == "running" and job.eta_seconds is not None:
        words.append(f"{show.duration(job.eta_seconds, parts=1)} left")
    if job.started_at and job.finished_at:
        words.append(f"took {show.duration((job.finished_at - job.started_at).total_seconds())}")
    if job.status == "failed" and job.error:
        words.append(show.plain(str(job.error.get("message", ""))[:160]))
    words.append(show.ago(job.created_at))
    return " · ".join(words)
