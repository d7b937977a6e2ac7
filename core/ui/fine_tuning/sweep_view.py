"""Sweeps: their list, and one of them with its best job, its plot and its table.

Live while a job has not ended.
"""

from typing import Any

import pandas as pd
import streamlit as st

from core import fine_tuning
from core.fine_tuning import sweep_space, sweeps
from core.fine_tuning.sweeps import Sweep, SweepList, Trial
from core.people.users import User
from core.ui import dialogs, lists, places, show
from core.ui.fine_tuning import sweep_charts, sweep_form

PAGE = "sweeps_page"
EVERY = 2.0  # seconds
TALL, TALL_HEIGHT = 15, 560  # rows from which the table scrolls, and its pixels then
WITHOUT_VALIDATION = (
    "No rows were held back, so the training loss of the last step is compared; "
    "it says little about new rows."
)


def show_sweeps(user: User) -> None:
    page = lists.page_of(
        lambda limit, offset: sweeps.list_sweeps(user, SweepList(limit=limit, offset=offset)), key=PAGE
    )
    if not page.total:
        show.empty(
            "No sweep yet",
            (
                "A sweep tries several settings on the same data and compares the outcome. "
                "Choose “Try several settings” in the form."
            ),
            "scatter_plot",
        )
        places.button("New fine-tuning", "fine_tuning", key="sweep_first", icon="add", primary=True, new=1)
        return
    for sweep in page.items:
        with st.container(border=True, gap="xsmall", key=f"sweep_row_{sweep.id}"):
            with st.container(
                horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
            ):
                places.link("sweep", show.plain(sweep.name), icon="scatter_plot", id=sweep.id)
                show_state(sweep)
            if sweep.active:
                st.progress(min(sweep.progress, 1.0))
            st.caption(f"{describe(sweep)} · {show.ago(sweep.created_at)}")
    lists.pages(page, key=PAGE)


def show_state(sweep: Sweep) -> None:
    """One badge per state that a job is in, with their number."""
    looks = {status: show.look_of(status) for status in sweep.statuses}
    badges = (
        f":{looks[s].colour}-badge[:material/{looks[s].icon}: {n} {looks[s].label.lower()}]"
        for s, n in sweep.statuses.items()
    )
    st.markdown(" ".join(badges), width="content")


def describe(sweep: Sweep) -> str:
    """``Every combination of learning rate, batch size · 6 jobs``"""
    names = ", ".join(sweep_form.title_of(name).lower() for name in sweep.settings)
    how = "Every combination of" if sweep.kind == "grid" else "Random search over"
    return f"{how} {names} · {show.count(sweep.num_jobs, 'job')}"


def show_live(user: User, sweep: Sweep) -> None:
    """The part that is drawn again and again; asks for a full run
    once the last job has ended, as the buttons above depend on that."""
    st.fragment(_draw, run_every=EVERY if sweep.active else None)(user, sweep.id, sweep.active)


def _draw(user: User, sweep_id: str, was_active: bool) -> None:
    with show.guarded():
        sweep = sweeps.get(user, sweep_id)
        if sweep.active != was_active:
            dialogs.renew()
        with st.container(horizontal=True, vertical_alignment="center"):
            show_state(sweep)
        if sweep.active:
            ended = sum(count for status, count in sweep.statuses.items() if status not in fine_tuning.ACTIVE)
            st.progress(
                min(sweep.progress, 1.0), text=f"{ended} of {show.count(sweep.num_jobs, 'job')} ended"
            )
        show_best(sweep)
        with st.container(border=True, key="sweep_plot"):
            st.subheader("Settings and loss", anchor=False)
            sweep_charts.show_parallel(sweep)
            if sweep.measure == "train_loss" and sweep.best_job_id:
                st.caption(f":material/info: {WITHOUT_VALIDATION}")
        with st.container(border=True, key="sweep_jobs"):
            st.subheader("Jobs", anchor=False)
            show_table(sweep)


def show_best(sweep: Sweep) -> None:
    best = next((trial for trial in sweep.trials if trial.best), None)
    if best is None:
        return
    loss = f"{sweep_charts.LOSSES[sweep.measure]} {getattr(best, sweep.measure):.4f}"
    so_far = " so far" if sweep.active else ""
    with st.container(
        border=True,
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        key="sweep_best",
    ):
        st.markdown(
            f":green[:material/trophy:] **Best{so_far}**: {show.plain(sweep_space.shown(best.values))} · "
            f"{loss}"
        )
        with st.container(horizontal=True, width="content"):
            places.button("Open the job", "job", key="sweep_open_best", icon="monitoring", id=best.job_id)
            places.button(
                "Use these settings",
                "fine_tuning",
                key="sweep_use_best",
                icon="tune",
                primary=True,
                job=best.job_id,
            )


def show_table(sweep: Sweep) -> None:
    """Sorted by a click on a column; a chosen row can be opened or taken as the start of a new job."""
    config: dict[str, Any] = {
        "best": st.column_config.TextColumn("", width=40),
        "job": st.column_config.LinkColumn("Job", display_text=r"#(.+)$", width=230),
        "status": st.column_config.TextColumn("Status", width=100),
        "progress": st.column_config.ProgressColumn(
            "Progress", min_value=0, max_value=1, format="percent", width=110
        ),
        "valid_loss": st.column_config.NumberColumn("Validation loss", format="%.4f", width=120),
        "train_loss": st.column_config.NumberColumn("Training loss", format="%.4f", width=120),
        "took": st.column_config.NumberColumn("Took (s)", format="%.0f", width=90),
        **{name: st.column_config.Column(sweep_form.title_of(name)) for name in sweep.settings},
    }
    state = st.dataframe(
        build_table(sweep),
        column_config=config,
        hide_index=True,
        height="content" if len(sweep.trials) <= TALL else TALL_HEIGHT,
        placeholder="–",
        key="sweep_table",
        on_select="rerun",
        selection_mode="single-row",
        alt=f"Jobs of the sweep {sweep.name}",
    )
    chosen = [sweep.trials[row] for row in state.selection.rows if row < len(sweep.trials)]
    if not chosen:
        st.caption("Sort by a click on a column. Choose a row to open its job or to use its settings.")
        return
    _show_chosen(chosen[0])


def build_table(sweep: Sweep) -> pd.DataFrame:
    rows = [
        {
            "best": "★" if trial.best else "",
            "job": f"/job?id={trial.job_id}#{trial.name}",
            "status": show.look_of(trial.status).label,
            **{name: _plain(trial.values.get(name)) for name in sweep.settings},
            "valid_loss": trial.valid_loss,
            "train_loss": trial.train_loss,
            **({"progress": trial.progress} if sweep.active else {"took": trial.seconds}),
        }
        for trial in sweep.trials
    ]
    frame = pd.DataFrame(rows)
    return (
        frame.astype({name: str for name in sweep.settings if frame[name].dtype == object}) if rows else frame
    )


def _show_chosen(trial: Trial) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="sweep_chosen"):
        st.markdown(show.plain(sweep_space.shown(trial.values)), width="content")
        places.button("Open the job", "job", key="sweep_open", icon="monitoring", id=trial.job_id)
        places.button("Use these settings", "fine_tuning", key="sweep_use", icon="tune", job=trial.job_id)
    if trial.error:
        st.error(show.plain(trial.error), icon=":material/error:")


def _plain(value: Any) -> Any:
    return ("on" if value else "off") if isinstance(value, bool) else value


def ask_to_cancel(user: User, sweep: Sweep) -> None:
    active = sum(count for status, count in sweep.statuses.items() if status in fine_tuning.ACTIVE)
    text = (
        f"{show.count(active, 'job')} that {'has' if active == 1 else 'have'} not ended will stop without "
        f"a model."
    )
    show.confirm(
        "sweep_cancel",
        "Cancel this sweep?",
        text,
        lambda: sweeps.cancel(user, sweep.id),
        yes="Cancel the sweep",
        keep="Keep it",
    )
