"""The live monitor of one fine-tuning job.

Everything is read from the database, so any number of tabs may follow, and closing them changes nothing.
``show_live`` redraws itself while the job is active and asks for a full run once the status changes, because
the buttons above it depend on the status.
"""

from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from core import datasets, fine_tuning, models
from core.errors import NotFound
from core.people.users import User
from core.training import METHODS, Hyperparameters
from core.ui import dialogs, digits, places, show
from core.ui.fine_tuning import checkpoint_view
from core.ui.fine_tuning.jobs import job_cards, job_charts, job_log, job_rows, job_samples, job_zoom
from core.ui.fine_tuning.jobs.job_charts import LINE_HEIGHT, Points, Series

# seconds; a status not named here is final
EVERY = {"validating": 1.0, "queued": 1.0, "running": 1.0, "paused": 3.0}
OVERFITTING = 1.1  # times the lowest validation loss
TUNINGS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}


class Link(NamedTuple):
    """A link to something the job was made from: label, page, symbol, query parameters."""

    label: str
    page: str
    icon: str
    query: dict[str, Any]


def show_live(user: User, job: fine_tuning.Job) -> None:
    """The part that is drawn again and again: progress, curves, checkpoints, cards, events and log."""
    live = st.fragment(_draw, run_every=EVERY.get(job.status))
    live(user, job.id, job.status)


def _draw(user: User, job_id: str, shown_status: str) -> None:
    with show.guarded():
        job = fine_tuning.get(user, job_id)
        if job.status != shown_status:
            dialogs.renew()
        full_series = fine_tuning.metrics(user, job_id, max_points=job_charts.MAX_POINTS).series
        series = full_series
        if steps := job_zoom.chosen(job):
            series = fine_tuning.metrics(
                user, job_id, from_step=steps[0], to_step=steps[1], max_points=job_charts.MAX_POINTS
            ).series
        show_progress(job)
        show_curves(user, job, series)
        with st.container(key="job_cards"):
            job_cards.show_cards(job, full_series)
        show_details(user, job, series)


def build_lineage(user: User, job: fine_tuning.Job) -> list[Link]:
    """Links to what the job was made from; what has been deleted since is left out."""
    links: list[Link] = []
    with suppress(NotFound):
        if job.base_model_id:
            base = models.get(user, job.base_model_id)
            links.append(Link(show.plain(base.name), "model", "deployed_code", {"id": base.id}))
    with suppress(NotFound):
        if job.dataset_id and job.dataset_version_id:
            version = datasets.get_version(user, job.dataset_version_id)
            label = (
                f"{datasets.get(user, job.dataset_id).name} v{version.version}, "
                f"{show.count(version.num_rows, 'row')}"
            )
            links.append(
                Link(
                    show.plain(label),
                    "dataset",
                    "database",
                    {"id": job.dataset_id, "version": version.version},
                )
            )
    return links


def describe_times(job: fine_tuning.Job) -> str:
    """``LoRA · started 2026-12-01 10:32``: on the part of the page that is not renewed, so no "just now"."""
    tuning = str(job.resolved.get("tuning") or job.asked.get("tuning") or "")
    words = [TUNINGS.get(tuning, ""), f"created {show.when(job.created_at)}"]
    if job.started_at:
        words[1] = f"started {show.when(job.started_at)}"
    if job.finished_at:
        words.append(f"ended {show.when(job.finished_at)}")
    return " · ".join(word for word in words if word)


def show_progress(job: fine_tuning.Job) -> None:
    st.progress(min(max(job.progress, 0.0), 1.0), text=describe_progress(job))


def describe_progress(job: fine_tuning.Job) -> str:
    """``Step 42 / 100 · epoch 1.3 of 3 · at work for 2 min 5 s · about 3 min left``, or what it waits for."""
    if job.status == "validating":
        return "Checking the data before the job enters the queue"
    if job.status == "queued" and not job.step:
        return "Waiting for its turn in the queue"
    worked = job_cards.duration(job.elapsed_seconds) if job.elapsed_seconds else ""
    if job.status == "running" and not job.step:
        return " · ".join(
            [
                "Starting the worker: it loads the model and reads the rows",
                *([f"for {worked}"] if worked else []),
            ]
        )
    epochs = job.resolved.get("n_epochs") or job.asked.get("n_epochs")
    of = f" of {epochs}" if isinstance(epochs, int) else ""
    words = [f"Step {job.step:,} / {job.total_steps:,}", f"epoch {job.epoch:.1f}{of}"]
    if worked:
        words.append(f"at work for {worked}" if job.status in EVERY else f"took {worked}")
    if (left := job_cards.seconds_left(job)) is not None:
        words.append("nearly done" if left < 1 else f"about {job_cards.duration(left)} left")
    return " · ".join(words)


def show_curves(user: User, job: fine_tuning.Job, series: Series) -> None:
    loss, checkpoints = st.columns([2, 1], gap="small")
    with loss.container(border=True, height="stretch", key="job_loss"):
        # on the left: the chart's own buttons appear on the right, over what is above it
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            st.subheader("Loss", anchor=False, width="content")
            scale = st.segmented_control(
                "Scale",
                ["Linear", "Log"],
                default="Linear",
                required=True,
                key="job_loss_scale",
                label_visibility="collapsed",
            )
        if overfitting := describe_overfitting(series.get("valid_loss") or ()):
            st.caption(f":material/lightbulb: {overfitting}")
        first_step, last_step = _shown_steps(job)
        job_charts.show_loss(
            series,
            first_step=first_step,
            last_step=last_step,
            log_scale=scale == "Log",
            waiting=job.status in EVERY,
            smoothing=float(st.session_state.get(job_zoom.SMOOTHING, job_charts.SMOOTHING)),
            key=job_zoom.chart_key(),
            on_select=partial(job_zoom.take_brush, job),
        )
        job_zoom.show_controls(job)
    with checkpoints.container(border=True, height="stretch", key="job_checkpoints"):
        st.subheader("Checkpoints", anchor=False)
        checkpoint_view.show_checkpoints(user, job)


def _shown_steps(job: fine_tuning.Job) -> tuple[int, int]:
    return job_zoom.chosen(job) or (0, job_charts.axis_end(job.step, job.total_steps))


def describe_overfitting(points: Points) -> str | None:
    """A remark when the validation loss has risen clearly above its lowest value."""
    if len(points) < 3:
        return None
    step, lowest = min(points, key=lambda point: point[1])
    if points[-1][1] < lowest * OVERFITTING:
        return None
    return (
        f"Validation loss was lowest at step {step:,} ({lowest:.3f}). "
        f"Since then the model rather learns the rows by heart."
    )


def show_details(user: User, job: fine_tuning.Job, series: Series) -> None:
    draw = {
        "Charts": lambda: show_small_charts(job, series),
        "Samples": lambda: job_samples.show_samples(user, job),
        "Rows": lambda: job_rows.show_rows(user, job),
        "Events": lambda: job_log.show_events(user, job),
        "Log": lambda: job_log.show_log(user, job),
        "Settings": lambda: show_settings(job),
    }
    for tab, show_tab in zip(
        st.tabs(list(draw), key="job_tabs", on_change="rerun"), draw.values(), strict=True
    ):
        if tab.open:
            with tab:
                show_tab()


def show_small_charts(job: fine_tuning.Job, series: Series) -> None:
    """Those of the method first; what this machine or method does not measure gets no chart."""
    method = METHODS.get(job.method)
    own = [job_charts.Small(one.name, one.title, one.format) for one in (method.series if method else ())]
    first_step, last_step = _shown_steps(job)
    with st.grid(2, min_column_width=300, gap="small"):
        for small in [*own, *job_charts.SMALL]:
            if not small.optional or series.get(small.name):
                with st.container(border=True):
                    st.markdown(f"**{small.title}**")
                    if series.get(small.name) or series.get(f"valid_{small.name}"):
                        job_charts.show_line(series, small, first_step=first_step, last_step=last_step)
                    else:
                        job_charts.show_nothing(height=LINE_HEIGHT, waiting=job.status in EVERY)


def show_settings(job: fine_tuning.Job) -> None:
    """As asked and as run: ``auto`` is resolved by the worker once it knows the data."""
    names = list(dict.fromkeys([*job.asked, *job.resolved]))
    rows = [(_title(name), _text(job.asked.get(name)), _text(job.resolved.get(name))) for name in names]
    rows += [("Seed", "", str(job.seed)), ("Held back for validation", "", f"{job.validation_fraction:.0%}")]
    st.dataframe(
        pd.DataFrame(rows, columns=["Setting", "As asked", "As run"]),
        placeholder=digits.NULL,
        hide_index=True,
        key="job_settings_table",
        alt="Settings of this job as asked and as run",
    )


def show_next(job: fine_tuning.Job) -> None:
    """The sensible step once the job has ended."""
    if job.status == "succeeded" and job.model_id:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="job_next"):
            st.markdown(
                ":green[:material/check_circle:] **The model is ready.** It is in the registry with its "
                "metrics and lineage."
            )
            places.button(
                "Chat with it", "chat", key="job_chat", icon="chat", primary=True, model=job.model_id
            )
            places.button(
                "Open the model", "model", key="job_open_model", icon="deployed_code", id=job.model_id
            )
            places.button(
                "Call it by API", "model", key="job_call", icon="code", id=job.model_id, view="call"
            )
    elif job.status == "failed":
        show_failure(job)
    elif job.status == "cancelled":
        st.info("The job was cancelled. Nothing was added to the registry.", icon=":material/cancel:")
        _again(job)


def show_failure(job: fine_tuning.Job) -> None:
    reason = job.error or {}
    line = f" (line {reason['line']})" if reason.get("line") else ""
    text = show.plain(
        str(reason.get("message") or "The worker ended without a reason. The log below may tell more.")
    )
    st.error(text + line, title="This job failed", icon=":material/error:")
    _again(job)


def _again(job: fine_tuning.Job) -> None:
    places.button(
        "Change the settings and try again", "fine_tuning", key="job_again", icon="replay", job=job.id
    )


def _title(name: str) -> str:
    field = Hyperparameters.model_fields.get(name)
    return (field.title if field else None) or name.replace("_", " ").capitalize()


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
