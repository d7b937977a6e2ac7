"""The table of fine-tuning jobs: sorted, filtered, with the columns one wants, live while any job is active.

Order, filters and columns are in the address. What can be done with the ticked rows: ``job_bulk``.
"""

from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core import fine_tuning
from core.fields import parse
from core.fine_tuning import Job, JobList
from core.listing import Listed
from core.models import Origins
from core.people.users import User
from core.training import METHODS
from core.ui import digits, lists, places, show
from core.ui.elements import link_table
from core.ui.fine_tuning.jobs import job_bulk, job_cards

PAGE, SORT = "jobs_page", "jobs_sort"
NEWEST = "-created_at"
PER_PAGE = 25
EVERY = 2.0  # seconds
STATES = ("running", "queued", "paused", "succeeded", "failed", "cancelled")
TONES = {
    "succeeded": "good",
    "failed": "failed",
    "running": "busy",
    "validating": "busy",
    "paused": "bad",
}
COLUMNS = [
    {"name": "name", "label": "Name", "sort": "name", "kind": "name"},
    {"name": "status", "label": "Status", "sort": "status", "kind": "state"},
    {"name": "base", "label": "Base", "sort": "base", "kind": "short"},
    {"name": "data", "label": "Data", "sort": "dataset", "kind": "short"},
    {"name": "method", "label": "Method", "sort": "method", "kind": "short"},
    {"name": "learning_rate", "label": "Rate", "sort": "-learning_rate", "kind": "number"},
    {"name": "train_loss", "label": "Loss", "sort": "train_loss", "kind": "number"},
    {"name": "valid_loss", "label": "Valid. loss", "sort": "valid_loss", "kind": "number"},
    {"name": "best_loss", "label": "Best loss", "sort": "best_loss", "kind": "number"},
    {"name": "time", "label": "Time", "sort": "-duration", "kind": "number unitless"},
    {"name": "tuning", "label": "Tuning", "sort": "tuning", "kind": "short"},
    {"name": "epochs", "label": "Epochs", "sort": "n_epochs", "kind": "number"},
    {"name": "batch_size", "label": "Batch size", "sort": "batch_size", "kind": "number"},
    {"name": "seed", "label": "Seed", "sort": "seed", "kind": "number"},
    {"name": "speed", "label": "Tokens/s", "sort": "-tokens_per_second", "kind": "number"},
    {"name": "tags", "label": "Tags", "sort": "", "kind": "tags"},
    {"name": "created", "label": "Created", "sort": NEWEST, "kind": "short"},
]
ALWAYS = ("name", "status")
DEFAULT = (
    "base", "data", "method", "learning_rate", "train_loss", "valid_loss", "time", "tags", "created"
)  # fmt: skip


def show_jobs(user: User) -> None:
    job_bulk.show_question(user)
    if not fine_tuning.list_jobs(user, JobList(limit=1)).total:
        _show_none()
        return
    origins = fine_tuning.origins(user)
    with st.container(horizontal=True, vertical_alignment="center", key="jobs_controls"):
        filters = _pick_filters(user, origins)
        columns = lists.pick_columns("jobs_columns", COLUMNS, always=ALWAYS, default=DEFAULT)
    lists.begin_anew(PAGE, filters)
    page = _fetch(user, filters)
    if not page.total:
        show.empty("No job matches", "Change the search or a filter above.", "search_off")
        return
    active = any(job.status in fine_tuning.ACTIVE for job in page.items)
    st.fragment(_draw, run_every=EVERY if active else None)(user, filters, columns, origins)


def build_row(job: Job, origins: Origins) -> dict[str, Any]:
    """One line of the table, every cell as it is read; None for what is not known."""
    settings = {**job.asked, **job.resolved}
    method = METHODS.get(job.method)
    return {
        "id": job.id,
        "href": f"job?{urlencode({'id': job.id})}",
        "name": job.name,
        "about": job.notes.strip().splitlines()[0][:200] if job.notes.strip() else "",
        "mark": "",
        "tone": TONES.get(job.status, ""),
        "state": show.look_of(job.status).label,
        "why": _why(job),
        "progress": min(job.progress, 1.0) if job.status in fine_tuning.ACTIVE and job.total_steps else None,
        "base": origins.bases.get(job.base_model_id or ""),
        "data": origins.versions.get(job.dataset_version_id or ""),
        "method": job.method,
        "method_help": method.title if method else "",
        "learning_rate": lists.cell(settings.get("learning_rate"), "{:g}"),
        "train_loss": lists.cell(job.train_loss, "{:.3f}"),
        "valid_loss": lists.cell(job.valid_loss, "{:.3f}"),
        "best_loss": lists.cell(job.best_loss, "{:.3f}"),
        "time": job_cards.duration(job.elapsed_seconds) if job.elapsed_seconds else None,
        "time_help": job_cards.ELAPSED_HELP,
        "tuning": _text(settings.get("tuning")),
        "epochs": lists.cell(settings.get("n_epochs"), "{:g}"),
        "batch_size": lists.cell(settings.get("batch_size"), "{:g}"),
        "seed": str(job.seed),
        "speed": lists.cell(job.tokens_per_second, "{:,.0f}"),
        "tags": job.tags,
        "created": show.ago(job.created_at),
        "created_help": show.when(job.created_at),
    }


def _pick_filters(user: User, origins: Origins) -> dict[str, Any]:
    """Those of what there is to choose from."""
    text = lists.search("jobs_q", placeholder="Search names and notes")
    states = {name: show.look_of(name).label for name in STATES}
    tags = {tag: tag for tag in fine_tuning.tags(user)}
    chosen = {
        "status": lists.choose("jobs_status", "State", {"": "All states", **states}),
        "base_model_id": lists.choose_of("jobs_base", "Base", "All bases", origins.bases),
        "dataset_id": lists.choose_of("jobs_dataset", "Dataset", "All datasets", origins.datasets),
        "tag": lists.choose_of("jobs_tag", "Tag", "All tags", tags),
    }
    return {"q": text, **{name: value or None for name, value in chosen.items()}}


def _fetch(user: User, filters: dict[str, Any]) -> Listed[Job]:
    sort = lists.sort_of(SORT, COLUMNS, NEWEST)
    return lists.page_of(
        lambda limit, offset: fine_tuning.list_jobs(
            user, parse(JobList, limit=limit, offset=offset, sort=sort, **filters)
        ),
        key=PAGE,
        per_page=PER_PAGE,
    )


def _draw(user: User, filters: dict[str, Any], columns: list[dict[str, str]], origins: Origins) -> None:
    with show.guarded():
        page = _fetch(user, filters)
        shown = [job.id for job in page.items]
        job_bulk.show_actions(user)
        link_table.show_table(
            "jobs_table",
            [build_row(job, origins) for job in page.items],
            columns=columns,
            sort=lists.sort_of(SORT, COLUMNS, NEWEST),
            on_sort=lambda chosen: lists.sort_by(SORT, COLUMNS, chosen, page=PAGE),
            label="Fine-tuning jobs",
            missing=digits.NULL,
            chosen=lists.ticked(job_bulk.TICKED),
            on_choose=lambda told: lists.tick(job_bulk.TICKED, told, shown=shown),
        )
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.caption(show.count(page.total, "job"), width="content")
            lists.pages(page, key=PAGE)


def _show_none() -> None:
    show.empty(
        "No fine-tuning yet",
        (
            "Pick a dataset and a base model, press start, and watch the loss fall. "
            "With a bundled sample it takes about two minutes."
        ),
        "model_training",
    )
    places.button("Start the first one", "fine_tuning", key="ft_first", icon="add", primary=True, new=1)


def _why(job: Job) -> str:
    """``step 42 / 100 · 3 min left``, or why it failed."""
    if job.status == "failed":
        return str((job.error or {}).get("message", ""))[:160]
    if job.status not in fine_tuning.ACTIVE or not job.total_steps:
        return ""
    left = job_cards.seconds_left(job)
    return f"step {job.step:,} / {job.total_steps:,}" + (
        "" if left is None else f" · {job_cards.duration(left)} left"
    )


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "auto") else None
