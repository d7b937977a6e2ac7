"""Which steps the curves show, and how smooth they are:
a slider of steps, or a brush over the loss; kept in the address.

The address is written here and not bound to the slider: a bound one keeps the old stretch when brush and
slider follow each other.
"""

import streamlit as st

from core import fine_tuning
from core.ui.fine_tuning.jobs import job_charts

STEPS, SMOOTHING = "steps", "smoothing"
TURN = "_zoom_turn"  # how often the stretch was set from outside the slider
FEWEST = 2  # steps; a click without a drag brushes nothing


def chosen(job: fine_tuning.Job) -> tuple[int, int] | None:
    """The stretch of steps, None for all of them."""
    steps = st.session_state.get(slider_key(job)) or _of_address()
    if steps is None:
        return None
    first, last = int(steps[0]), min(int(steps[1]), job.total_steps)
    return None if last - first < FEWEST or (first <= 0 and last >= job.total_steps) else (first, last)


def show_controls(job: fine_tuning.Job) -> None:
    left, middle, right = st.columns([5, 3, 3], vertical_alignment="bottom", gap="medium")
    steps = chosen(job)
    with left:
        if job.total_steps > FEWEST:
            st.session_state[slider_key(job)] = steps or (0, job.total_steps)
            st.slider(
                "Steps",
                0,
                job.total_steps,
                key=slider_key(job),
                help="Shows more detail of a part. Dragging over the curve does the same.",
            )
            _to_address(steps)
    with middle:
        st.slider(
            "Smoothing",
            0.0,
            0.99,
            job_charts.SMOOTHING,
            0.01,
            key=SMOOTHING,
            help="0 draws the raw curve alone.",
        )
    with right:
        st.button(
            "Whole run",
            key="job_zoom_out",
            icon=":material/zoom_out_map:",
            on_click=_set,
            args=(job, 0, job.total_steps),
            disabled=steps is None,
        )


def take_brush(job: fine_tuning.Job) -> None:
    """As the chart's callback: what was brushed becomes the stretch that is shown."""
    state = st.session_state.get(chart_key()) or {}
    brushed = (state.get("selection", {}).get(job_charts.BRUSH) or {}).get("step")
    if brushed and len(brushed) == 2:
        first, last = sorted(round(float(step)) for step in brushed)
        if last - first >= FEWEST:
            _set(job, max(0, first), min(last, job.total_steps))


def slider_key(job: fine_tuning.Job) -> str:
    """Of this job alone: another one has other steps."""
    return f"{STEPS}_{job.id}"


def chart_key() -> str:
    """Another one after each zoom:
    the brush that was drawn over the old stretch would cover all of the new one."""
    return f"{job_charts.LOSS_CHART}_{st.session_state.get(TURN, 0)}"


def _set(job: fine_tuning.Job, first: int, last: int) -> None:
    st.session_state[slider_key(job)] = (first, last)
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def _of_address() -> tuple[int, int] | None:
    """Before the slider is drawn for the first time only the address knows."""
    texts = [
        text
        for text in st.query_params.get_all(STEPS)
        if text.isascii() and text.isdecimal() and len(text) < 10
    ]
    return (int(texts[0]), int(texts[1])) if len(texts) == 2 and int(texts[0]) < int(texts[1]) else None


def _to_address(steps: tuple[int, int] | None) -> None:
    """Only when it changes: each writing is a message to the browser.

    When all steps are shown, the address says nothing about them.
    """
    texts = [str(step) for step in steps or ()]
    if texts != st.query_params.get_all(STEPS):
        if texts:
            st.query_params[STEPS] = texts
        else:
            st.query_params.pop(STEPS, None)
