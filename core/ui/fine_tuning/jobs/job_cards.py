"""The metric cards of a job: what it measures now, how that changes, and its curve in small."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import streamlit as st

from core import fine_tuning
from core.ui import show
from core.ui.fine_tuning.jobs.job_charts import Points, Series

CARD_HEIGHT = 184  # pixels: a card without its curve yet is as tall as one that has it
LONG_SECONDS = 600  # from here on the card says minutes or hours alone
SPARK = 60  # points of a card's curve


def show_cards(job: fine_tuning.Job, series: Series) -> None:
    def values(name: str) -> list[float]:
        return spark(series.get(name) or ())

    losses, checks, speeds = values("train_loss"), values("valid_loss"), values("tokens_per_second")
    memory, rates = values("memory_bytes"), values("learning_rate")
    speed = show.number(None if job.tokens_per_second is None else round(job.tokens_per_second))
    rate = _scientific(job.learning_rate)
    with st.grid(6, min_column_width=145, row_height=CARD_HEIGHT, gap="small", key="job_cards"):
        _card(
            "Training loss", _fixed(job.train_loss), losses, delta=_signed(change(losses)), colour="inverse"
        )
        _card(
            "Validation loss", _fixed(job.valid_loss), checks, delta=_signed(change(checks)), colour="inverse"
        )
        _card("Tokens per second", speed, speeds, delta=_mean(speeds), colour="green", chart="bar")
        _time_card(job, series)
        _card(
            "Memory",
            show.bytes_(job.memory_bytes),
            memory,
            delta=_peak(memory, job.memory_bytes, show.bytes_),
            colour="violet",
            chart="area",
        )
        _card(
            "Learning rate",
            rate,
            rates,
            delta=_peak(rates, job.learning_rate, _scientific),
            colour="orange",
            chart="area",
        )


def _card(
    label: str,
    value: str,
    points: Sequence[float],
    *,
    delta: str | int | None,
    colour: Any,
    chart: Any = "line",
) -> None:
    drawn = list(points) if len(points) > 1 else None
    arrow: Any = "auto" if colour == "inverse" else "off"
    st.metric(
        label, value, delta, colour, delta_arrow=arrow, chart_data=drawn, chart_type=chart, border=True,
        height="stretch",
    )  # fmt: skip


def _time_card(job: fine_tuning.Job, series: Series) -> None:
    """The curve is what was still to be done at each measured step."""
    active = job.status in fine_tuning.ACTIVE
    seconds = job.eta_seconds if active else _seconds(job)
    left = [job.total_steps - step for step, _ in series.get("train_loss") or ()]
    st.metric(
        "Time left" if active else "Took",
        show.duration(seconds, parts=1 if (seconds or 0) >= LONG_SECONDS else 2),
        f"{job.progress:.0%}",
        delta_color="blue",
        delta_arrow="off",
        delta_description="done",
        chart_data=left[:: max(1, len(left) // SPARK)] if len(left) > 1 else None,
        chart_type="area",
        border=True,
        height="stretch",
    )


def spark(points: Points, most: int = SPARK) -> list[float]:
    """The values of a series thinned evenly to ``most``, the last one kept."""
    values = [float(value) for _, value in points]
    stride = max(1, -(-len(values) // most))
    return values[::-1][::stride][::-1]


def change(values: Sequence[float]) -> float | None:
    """How the mean of the curve's last tenth differs
    from the mean of the tenth before: single steps are noise."""
    if len(values) < 2:
        return None
    tenth = max(1, len(values) // 10)
    return round(fmean(values[-tenth:]) - fmean(values[-2 * tenth : -tenth]), 4)


def _signed(step: float | None) -> str | int | None:
    """A number zero is drawn grey and without an arrow."""
    return None if step is None else f"{step:+.3f}" if abs(step) >= 0.0005 else 0


def _mean(values: Sequence[float]) -> str | None:
    return f"mean {fmean(values):,.0f}" if len(values) > 1 else None


def _peak(values: Sequence[float], current: float | None, write: Callable[[float], str]) -> str | None:
    return f"peak {write(max(*values, current or 0))}" if len(values) > 1 else None


def _seconds(job: fine_tuning.Job) -> float | None:
    return (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else None


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _scientific(value: float | None) -> str:
    return "–" if value is None else f"{value:.1e}".replace("e-0", "e-")
