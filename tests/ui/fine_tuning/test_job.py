"""The live monitor of a job."""

import json
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import fine_tuning, jobs
from core.clock import now
from core.db import writing
from core.people.users import User
from core.tables import JobRow, MetricPointRow
from core.training import METHODS
from core.ui.fine_tuning.jobs import job_cards, job_charts, job_monitor
from tests.ui.conftest import Visit, text_of
from tests.ui.things import add_points, make_job, make_model

BUTTONS = {
    "validating": {"job_cancel"},
    "queued": {"job_pause", "job_cancel"},
    "running": {"job_pause", "job_cancel"},
    "paused": {"job_resume", "job_cancel"},
    "succeeded": set(),
    "failed": set(),
    "cancelled": set(),
}


def keys_of(app: AppTest) -> set[str]:
    return {button.key for button in app.button}


def cards_of(app: AppTest) -> list[dict[str, str]]:
    (cards,) = (one.proto for one in app.get("bidi_component") if "fact_cards" in one.proto.component_name)
    return json.loads(cards.json)["cards"]


def test_running_job_shows_what_is_measured(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    add_points(job_id)
    app = visit(ada, "job", id=job_id)
    assert not app.exception
    shown = {card["label"]: card["value"] for card in cards_of(app)}
    assert shown["Training loss"] == "1.250"
    assert shown["Validation loss"] == "1.500"
    assert shown["Tokens/s"] == "1,800"
    assert shown["Time left"] == "1 min 30 s"
    assert (shown["Step"], shown["Epoch"], shown["Memory"]) == ("50", "1.5", "600 MB")
    assert app.get("progress")[0].value == 50
    assert "Step 50 / 100 · epoch 1.5 of 3" in app.get("progress")[0].proto.text
    # loss, learning rate; the others say that nothing is measured yet
    assert len(app.get("vega_lite_chart")) == 2
    assert [list(tags) for tags in app.dataframe[0].value["tags"]] == [["best", "latest"], []]


@pytest.mark.parametrize(("status", "offered"), BUTTONS.items())
def test_buttons_follow_the_state(ada: User, visit: Visit, status: str, offered: set[str]) -> None:
    app = visit(ada, "job", id=make_job(ada, status))
    assert not app.exception
    assert keys_of(app) & {"job_pause", "job_resume", "job_cancel"} == offered


@pytest.mark.parametrize(("lets_go", "goes_on"), [(True, "queued"), (False, "running")])
def test_pause_and_resume_are_one_press(ada: User, visit: Visit, lets_go: bool, goes_on: str) -> None:
    """A job whose worker has not let go yet is shown as what it is:
    it runs, and has no place in the queue."""
    job_id = make_job(ada)
    app = visit(ada, "job", id=job_id)
    app.button(key="job_pause").click().run()
    assert fine_tuning.get(ada, job_id).status == "paused"
    if lets_go:
        with writing() as session:
            jobs.release(session, job_id, token=str(session.get_one(JobRow, job_id).lease_token))
    app.button(key="job_resume").click().run()
    assert fine_tuning.get(ada, job_id).status == goes_on
    assert [item.id for item in fine_tuning.queue(ada).items] == ([job_id] if lets_go else [])
    assert ("starts next" in text_of(app)) == lets_go
    assert keys_of(app) & {"job_pause", "job_resume"} == {"job_pause"}


def test_cancel_asks_before_it_acts(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    app = visit(ada, "job", id=job_id)
    app.button(key="job_cancel").click().run()
    assert fine_tuning.get(ada, job_id).status == "running"
    app.button(key="job_cancel_yes").click().run()
    assert fine_tuning.get(ada, job_id).status == "cancelled"
    assert "Nothing was added to the registry" in text_of(app)


def test_action_that_came_too_late_says_so(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    app = visit(ada, "job", id=job_id)
    fine_tuning.cancel(ada, job_id)
    app.button(key="job_pause").click().run()
    assert not app.exception
    assert "cancelled" in text_of(app)


def test_success_leads_to_the_model(ada: User, visit: Visit) -> None:
    app = visit(ada, "job", id=make_job(ada, "succeeded", model_id=make_model(ada)))
    assert {"job_chat", "job_open_model", "job_call"} <= keys_of(app)
    assert "The model is ready" in text_of(app)


def test_failure_says_why_and_offers_another_try(ada: User, visit: Visit) -> None:
    error = {"code": "row_too_long", "message": "A row is longer than the model can read.", "line": 12}
    app = visit(ada, "job", id=make_job(ada, "failed", error=error, dataset_id=None))
    assert "A row is longer than the model can read. (line 12)" in text_of(app)
    assert "job_again" in keys_of(app)


def test_events_are_shown_with_their_warnings(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    add_points(job_id)
    app = visit(ada, "job", id=job_id)
    app.session_state["job_tabs"] = "Events"
    app.run()
    assert "2 rows were cut to 256 tokens." in text_of(app)


def test_another_users_job_looks_missing(ada: User, bob: User, visit: Visit) -> None:
    job_id = make_job(ada)
    theirs, missing = visit(bob, "job", id=job_id), visit(bob, "job", id="ftj_aaaaaaaaaaaaaaaaaaaaaaaa")
    assert text_of(theirs) == text_of(missing)
    assert "support-bot" not in text_of(theirs)


WORKED = {
    "running": ("Elapsed", "at work for 2 min 5 s · about 1 min 30 s left"),
    "paused": ("Elapsed", "at work for 2 min 5 s"),
    "succeeded": ("Took", "took 2 min 5 s"),
    "failed": ("Took", "took 2 min 5 s"),
    "cancelled": ("Took", "took 2 min 5 s"),
}


@pytest.mark.parametrize("status", WORKED)
def test_time_at_work_is_told_without_its_pauses(ada: User, visit: Visit, status: str) -> None:
    """Started yesterday, with a long pause: a part of the page that is renewed says how long it worked."""
    left = {"eta_seconds": 90.0 if status == "running" else None}
    job_id = make_job(ada, status, started_at=now() - timedelta(days=1), spent_seconds=125.0, **left)
    app = visit(ada, "job", id=job_id)
    label, words = WORKED[status]
    assert app.get("progress")[0].proto.text.endswith(words)
    elapsed = cards_of(app)[0]
    assert (elapsed["label"], elapsed["value"]) == (label, "2 min 5 s")
    assert elapsed["note"].startswith("since 20")
    assert "just now" not in text_of(app)


def test_time_goes_on_before_the_worker_has_told_anything(ada: User) -> None:
    job = fine_tuning.get(ada, make_job(ada, started_at=now() - timedelta(seconds=70), step=0))
    assert job.elapsed_seconds == pytest.approx(70, abs=5)
    assert "loads the model" in job_monitor.describe_progress(job)
    assert "for 1 min 1" in job_monitor.describe_progress(job)
    waiting = fine_tuning.get(ada, make_job(ada, "queued", started_at=None, step=0))
    assert waiting.elapsed_seconds is None


def test_time_left_shrinks_between_two_steps(ada: User) -> None:
    def left(**fields: Any) -> float | None:
        return job_cards.seconds_left(fine_tuning.get(ada, make_job(ada, **fields)))

    assert left(stepped_at=None) == 90
    assert left(stepped_at=now() - timedelta(seconds=30)) == pytest.approx(60, abs=5)
    assert left(stepped_at=now() - timedelta(hours=1)) == 0
    assert left(status="paused") is None


def test_the_curve_stands_before_the_cards(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    add_points(job_id)
    kinds = [one.type for one in visit(ada, "job", id=job_id).main]
    assert kinds.index("vega_lite_chart") < kinds.index("bidi_component")


SPEEDS = [(step, 1000.0 + 10 * (step % 7)) for step in range(2, 50)]


@pytest.mark.parametrize("odd", [12.0, 250_000.0])
def test_one_odd_speed_does_not_flatten_the_others(odd: float) -> None:
    points = [(1, odd), *SPEEDS]
    within = job_charts.find_range([value for _, value in points])
    assert within == (1000.0, 1060.0)
    assert job_charts.describe_beyond(points, within) == (
        f"1 of 49 points is beyond the axis: {odd:,.0f} at step 1."
    )


def test_speeds_that_belong_together_are_all_on_the_axis() -> None:
    assert job_charts.find_range([value for _, value in SPEEDS]) is None
    assert job_charts.find_range([100.0, 120.0, 140.0, 160.0, 180.0, 200.0]) is None
    assert job_charts.find_range([1.0, 1000.0, 1000.0]) is None, "too few to know which is odd"
    assert job_charts.find_range([5.0] * 20) is None


def test_an_odd_speed_is_told_below_its_chart(ada: User, visit: Visit) -> None:
    job_id = make_job(ada)
    with writing() as session:
        session.add_all(
            MetricPointRow(job_id=job_id, name="tokens_per_second", step=step, value=value)
            for step, value in [(1, 3.0), *SPEEDS]
        )
    app = visit(ada, "job", id=job_id)
    assert "1 of 49 points is beyond the axis: 3 at step 1." in text_of(app)
    (spec,) = (json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart"))
    assert spec["encoding"]["y"]["scale"]["domain"] == [1000.0, 1060.0]


def test_running_mean_starts_at_the_first_value_and_follows() -> None:
    assert [value for _, value in job_charts.smooth([(1, 4.0), (2, 4.0), (3, 4.0)])] == pytest.approx(
        [4.0, 4.0, 4.0]
    )
    assert job_charts.smooth([(step, 1.0 if step > 50 else 3.0) for step in range(1, 101)])[-1][
        1
    ] == pytest.approx(1.0, abs=0.01)


def test_change_compares_tenths_not_single_steps() -> None:
    noisy_fall = [10 - i * 0.1 + (0.3 if i % 2 else 0) for i in range(100)]
    assert (job_cards.change(noisy_fall) or 0) < 0
    assert job_cards.change([1.0]) is None


def test_rising_validation_loss_is_remarked() -> None:
    rising = [(10, 2.0), (20, 1.0), (30, 1.2)]
    assert "lowest at step 20 (1.000)" in (job_monitor.describe_overfitting(rising) or "")
    assert job_monitor.describe_overfitting([(10, 2.0), (20, 1.0), (30, 1.05)]) is None
    assert job_monitor.describe_overfitting(rising[:2]) is None


@pytest.mark.parametrize(
    ("step", "total", "end"),
    [(0, 279, 10), (8, 1263, 10), (60, 1263, 100), (400, 1263, 500), (900, 1263, 1000), (1000, 1263, 1263)],
)
def test_axis_grows_in_few_jumps_up_to_the_jobs_end(step: int, total: int, end: int) -> None:
    assert job_charts.axis_end(step, total) == end


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_reports_is_drawn(ada: User, visit: Visit, name: str) -> None:
    series = METHODS[name].series
    job_id = make_job(ada, method=name)
    add_points(job_id)
    with writing() as session:
        session.add_all(
            MetricPointRow(job_id=job_id, name=one.name, step=step, value=step / 10)
            for one in series
            for step in (1, 2, 3)
        )
    app = visit(ada, "job", id=job_id)
    assert not app.exception
    assert all(f"**{one.title}**" in text_of(app) for one in series)
    assert len(app.get("vega_lite_chart")) == 2 + len(series)  # beside the loss and the learning rate
