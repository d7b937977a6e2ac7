"""Samples, hardest rows, log search, comparison and alerts as their owner sees them."""

import numpy as np
import pytest
from streamlit.runtime.state.query_params import QueryParams

from core import alerts, fine_tuning, storage
from core.db import writing
from core.jobs import notes, row_files
from core.people.users import User
from core.training.method import AnswerSample, RowLosses
from core.ui.fine_tuning.jobs import job_log
from tests.ui.conftest import Visit, kept_from_the_browser, text_of
from tests.ui.things import add_points, make_alert, make_dataset, make_job


@pytest.fixture
def job_id(ada: User) -> str:
    version = make_dataset(
        ada, [{"prompt": f"Question {i}?", "completion": f"Answer {i}."} for i in range(1, 6)]
    )
    found = make_job(ada, "succeeded", dataset_id=version.dataset_id, dataset_version_id=version.id)
    add_points(found)
    return found


def test_tabs_show_samples_rows_and_search(ada: User, visit: Visit, job_id: str) -> None:
    with writing() as session:
        for step in (10, 20, 30):
            notes.note_samples(
                session, job_id, step, [AnswerSample("fixed", "Who are you?", f"at {step}", expected="at 30")]
            )
    losses = np.array([0.1, 0.2, 3.5, 0.3, 0.4], np.float32)
    row_files.write(job_id, RowLosses("train", np.arange(1, 6), losses, losses + 1, np.full(5, 7), 30))
    (storage.job_dir(job_id) / "log.txt").write_text("one\ntwo <b>\nthree\n")
    app = visit(ada, "job", id=job_id)
    app.session_state["job_tabs"] = "Samples"
    app.run()
    assert "at 10" in text_of(app)
    assert "as expected" in text_of(app)
    assert "at 20" not in text_of(app)
    app.session_state["job_tabs"] = "Rows"
    app.run()
    assert "Question 3?" in text_of(app)
    assert text_of(app).index("Question 3?") < text_of(app).index("Question 5?")
    app.session_state["job_tabs"] = "Log"
    app.run()
    app.text_input(key="job_log_search").set_value("TWO").run()
    assert "1 line of 3" in text_of(app)
    assert not app.exception


def test_matches_are_marked_and_nothing_else_is_markup() -> None:
    assert job_log.mark("a<b>A", "a").count("<mark") == 2
    assert "<b>" not in job_log.mark("a<b>A", "a")


def test_comparison_shows_what_differs(ada: User, visit: Visit, job_id: str) -> None:
    other = make_job(ada, "succeeded", name="other", seed=9)
    add_points(other)
    app = visit(ada, "compare", ids=f"{job_id},{other}")
    assert not app.exception
    assert len(app.get("vega_lite_chart")) == 1
    assert "Seed" in list(app.dataframe[1].value["Setting"])
    assert kept_from_the_browser(app) == {}


def test_a_comparison_writes_its_address_only_when_other_runs_are_chosen(
    ada: User, visit: Visit, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writing of the address undoes what was chosen in the browser since the run began."""
    other, written = make_job(ada, "succeeded", name="other", seed=9), []
    send = QueryParams._send_query_param_msg

    def note(params: QueryParams) -> None:
        written.append(params.to_dict()["ids"])
        send(params)

    monkeypatch.setattr(QueryParams, "_send_query_param_msg", note)
    app = visit(ada, "compare", ids=f"{job_id},{other}")
    app.segmented_control(key="compare_axis").set_value("Tokens").run()
    assert written == []
    app.multiselect(key="compare_runs").set_value([job_id]).run()
    assert written == [job_id]


def test_another_users_run_cannot_be_compared(ada: User, bob: User, visit: Visit, job_id: str) -> None:
    app = visit(bob, "compare", ids=job_id)
    assert not app.exception
    assert "support-bot" not in text_of(app)


def test_a_run_that_is_gone_spoils_no_comparison(ada: User, visit: Visit, job_id: str) -> None:
    gone = make_job(ada, "failed", name="gone")
    fine_tuning.delete(ada, gone)
    app = visit(ada, "compare", ids=f"{job_id},{gone}")
    assert not app.exception
    assert "1 run of this address cannot be found" in text_of(app)
    assert app.query_params["ids"] == job_id
    assert app.multiselect(key="compare_runs").value == [job_id]


def test_bell_counts_and_alerts_are_marked_as_seen(ada: User, visit: Visit, job_id: str) -> None:
    make_alert(ada, job_id)
    app = visit(ada, "alerts")
    assert "It failed." in text_of(app)
    app.button(key="alerts_seen").click().run()
    assert alerts.count_unseen(ada) == 0
    assert not app.exception


def test_zoom_of_the_address_reaches_the_curves(ada: User, visit: Visit, job_id: str) -> None:
    app = visit(ada, "job", id=job_id, steps=["20", "30"])
    assert not app.exception
    assert app.slider(key=f"steps_{job_id}").value == (20, 30)
    assert fine_tuning.get(ada, job_id).total_steps == 100
