"""Which steps the curves show, and how smooth they are: a slider of steps, or a brush over the loss; kept in the address."""

import streamlit as st

from core import fine_tuning
from core.ui import job_charts

STEPS, SMOOTHING = "steps", "smoothing"
TURN = "_zoom_turn"  # how often the stretch was set from outside the slider
FEWEST = 2  # steps; a click without a drag brushes nothing


def chosen(job: fine_tuning.Job) -> tuple[int, int] | None:
    """The stretch of steps, None for all of them."""
    found = st.session_state.get(STEPS) or _of_address(job)
    if found is None:
        return None
    first, last = int(found[0]), min(int(found[1]), job.total_steps)
    return None if last - first < FEWEST or (first <= 0 and last >= job.total_steps) else (first, last)


def show_controls(job: fine_tuning.Job) -> None:
    left, middle, right = st.columns([5, 3, 3], vertical_alignment="bottom", gap="medium")
    with left:
        if job.total_steps > FEWEST:
            _settle(job)
            st.slider(
                "Steps",
                0,
                job.total_steps,
                value=(0, job.total_steps),
                key=STEPS,
                bind="query-params",
                help="Shows more detail of a part. Dragging over the curve does the same.",
            )
    with middle:
        st.slider("Smoothing", 0.0, 0.99, job_charts.SMOOTHING, 0.01, key=SMOOTHING, help="0 draws the raw curve alone.")
    with right:
        st.button(
            "Whole run",
            key="job_zoom_out",
            icon=":material/zoom_out_map:",
            on_click=_zoom_out,
            args=(job,),
            disabled=chosen(job) is None,
        )


def take_brush() -> None:
    """As the chart's callback: what was brushed becomes the stretch that is shown."""
    state = st.session_state.get(chart_key()) or {}
    brushed = (state.get("selection", {}).get(job_charts.BRUSH) or {}).get("step")
    if brushed and len(brushed) == 2:
        first, last = sorted(round(float(step)) for step in brushed)
        if last - first >= FEWEST:
            _set(max(0, first), last)


def chart_key() -> str:
    """Another one after each zoom: the brush that was drawn over the old stretch would cover all of the new one."""
    return f"{job_charts.LOSS_CHART}_{st.session_state.get(TURN, 0)}"


def _zoom_out(job: fine_tuning.Job) -> None:
    """A slider at its default is not in the address."""
    _set(0, job.total_steps)


def _set(first: int, last: int) -> None:
    st.session_state[STEPS] = (first, last)
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def _settle(job: fine_tuning.Job) -> None:
    """A stretch of another job, or one that ends behind the run, is brought into this one's steps."""
    found = st.session_state.get(STEPS)
    if found is not None:
        first, last = min(found[0], job.total_steps), min(found[1], job.total_steps)
        if (first, last) != tuple(found):
            st.session_state[STEPS] = (first, last)


def _of_address(job: fine_tuning.Job) -> tuple[int, int] | None:
    """Before the slider is drawn for the first time only the address knows."""
    told = [text for text in st.query_params.get_all(STEPS) if text.isascii() and text.isdecimal() and len(text) < 10]
    return (int(told[0]), int(told[1])) if len(told) == 2 and int(told[0]) < int(told[1]) else None
