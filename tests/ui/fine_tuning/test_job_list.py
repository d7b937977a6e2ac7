"""The table of jobs: what a row tells, order, filters, columns, and what is done with chosen rows."""

import pytest
from streamlit.testing.v1 import AppTest

from core import fine_tuning
from core.fine_tuning.monitor.comparing import MOST
from core.people.users import User
from core.tables import JOB_STATUSES
from core.ui import lists
from core.ui.fine_tuning.jobs import job_bulk, job_list
from tests.ui.conftest import Visit, kept_from_the_browser, names_of, table_of, text_of
from tests.ui.things import make_dataset, make_job, make_model


def tick(app: AppTest, *job_ids: str) -> AppTest:
    """As the table tells it."""
    app.session_state[job_bulk.TICKED] = list(job_ids)
    return app.run()


def offered(app: AppTest) -> set[str]:
    names = {f"jobs_{name}" for name in (*job_bulk.ACTIONS, "compare")}
    return {str(button.key) for button in app.button if button.key in names}


def states(user: User) -> dict[str, str]:
    return {job.name: job.status for job in fine_tuning.list_jobs(user).items}


def test_a_row_tells_everything_at_a_glance(ada: User, visit: Visit) -> None:
    data, base = make_dataset(ada, [{"prompt": "a", "completion": "b"}] * 4), make_model(None, "tiny-base")
    job_id = make_job(
        ada,
        tags=["baseline", "night"],
        notes="The *first* try.\nMore.",
        spent_seconds=125.0,
        base_model_id=base,
        dataset_id=data.dataset_id,
        dataset_version_id=data.id,
    )
    table = table_of(visit(ada, "fine_tuning"))
    (row,) = table["rows"]
    shown = {"base": "tiny-base", "data": "faq v1", "learning_rate": "0.002", "time": "2 min 5 s"}
    losses = {"train_loss": "1.250", "valid_loss": "1.500", "best_loss": None}
    state = {"state": "Running", "progress": 0.5, "why": "step 50 / 100 · 1 min 30 s left", "tone": "busy"}
    more = {"tags": ["baseline", "night"], "about": "The *first* try.", "href": f"job?id={job_id}"}
    assert row.items() >= {**shown, **losses, **state, **more}.items()
    assert [column["name"] for column in table["columns"]] == ["name", "status", *job_list.DEFAULT]
    assert table["missing"] == "null"


def test_a_failed_row_says_why_and_what_is_gone_is_missing(ada: User, visit: Visit) -> None:
    make_job(ada, "failed", error={"code": "x", "message": "The disk is full.", "line": None}, resolved={})
    (row,) = table_of(visit(ada, "fine_tuning"))["rows"]
    assert (row["tone"], row["why"], row["progress"]) == ("failed", "The disk is full.", None)
    assert (row["base"], row["data"], row["learning_rate"], row["epochs"]) == (None, None, None, None)


@pytest.mark.parametrize("status", JOB_STATUSES)
def test_every_state_has_its_look(ada: User, visit: Visit, status: str) -> None:
    make_job(ada, status)
    (row,) = table_of(visit(ada, "fine_tuning"))["rows"]
    assert row["state"] == status.capitalize()
    assert (row["progress"] is not None) == (status in fine_tuning.ACTIVE)


def test_another_users_jobs_are_not_listed(ada: User, bob: User, visit: Visit) -> None:
    make_job(ada, name="secret")
    app = visit(bob, "fine_tuning")
    assert "No fine-tuning yet" in text_of(app)
    make_job(bob, name="mine")
    assert names_of(visit(bob, "fine_tuning")) == ["mine"]


def test_every_header_sorts_and_what_is_missing_comes_last(ada: User, visit: Visit) -> None:
    """The address says the order; one that no column has is none."""
    few, many = (
        {"learning_rate": rate, "n_epochs": epochs, "batch_size": epochs, "tuning": tuning}
        for rate, epochs, tuning in ((1e-4, 2, "lora"), (0.1, 10, "full"))
    )
    make_job(ada, "succeeded", name="b", train_loss=1.0, valid_loss=3.0, spent_seconds=9.0, resolved=few)
    make_job(ada, "failed", name="a", train_loss=2.0, valid_loss=2.0, spent_seconds=99.0, resolved=many)
    make_job(ada, "queued", name="c", train_loss=None, valid_loss=None, spent_seconds=0.0, resolved={})
    expected = {
        "name": "abc",
        "-name": "cba",
        "status": "acb",
        "train_loss": "bac",
        "-train_loss": "abc",
        "valid_loss": "abc",
        "-duration": "abc",
        "learning_rate": "bac",
        "-learning_rate": "abc",
        "n_epochs": "bac",
        "-batch_size": "abc",
        "tuning": "abc",
        "'; --": "cab",
    }
    for sort, names in expected.items():
        app = visit(ada, "fine_tuning", jobs_sort=sort)
        assert "".join(names_of(app)) == names, sort
    for column in job_list.COLUMNS:
        if column["sort"]:
            assert len(names_of(visit(ada, "fine_tuning", jobs_sort=column["sort"]))) == 3, column


def test_filters_of_the_address_narrow_the_list(ada: User, visit: Visit) -> None:
    base, other = make_model(None, "tiny-base"), make_model(None, "large-base")
    rows = [{"prompt": "a", "completion": "b"}] * 4
    faq, tales = make_dataset(ada, rows), make_dataset(ada, rows, "tales")
    of = [(base, faq, "one", "succeeded"), (other, faq, "two", "failed"), (base, tales, "three", "succeeded")]
    for model, data, name, status in of:
        sources = {"dataset_id": data.dataset_id, "dataset_version_id": data.id, "base_model_id": model}
        make_job(ada, status, name=name, tags=[f"tag-{name}"], **sources)
    asked: dict[str, dict[str, str]] = {
        "three one": {"jobs_base": "tiny-base"},
        "two one": {"jobs_dataset": "faq"},
        "two": {"jobs_status": "Failed"},
        "one": {"jobs_base": "tiny-base", "jobs_dataset": "faq"},
        "three": {"jobs_q": "THREE"},
        "two three one": {"jobs_sort": "-name"},
    }
    for names, query in asked.items():
        assert " ".join(names_of(visit(ada, "fine_tuning", **query))) == names, query
    assert names_of(visit(ada, "fine_tuning", jobs_tag="tag-one")) == ["one"]
    app = visit(ada, "fine_tuning", jobs_status="Paused")
    assert "No job matches" in text_of(app)
    assert app.selectbox(key="jobs_status").value == "paused"


def test_columns_are_chosen_and_stay_in_the_address(ada: User, visit: Visit) -> None:
    make_job(ada)
    app = visit(ada, "fine_tuning")
    app.get_by_key("jobs_columns").set_value(["seed", "tuning"]).run()
    assert [column["name"] for column in table_of(app)["columns"]] == ["name", "status", "tuning", "seed"]
    app.get_by_key("jobs_columns").set_value([]).run()
    assert [column["name"] for column in table_of(app)["columns"]] == ["name", "status"]


def test_a_page_holds_many_and_another_question_begins_on_the_first(ada: User, visit: Visit) -> None:
    for number in range(job_list.PER_PAGE + 2):
        make_job(ada, "succeeded", name=f"run-{number}")
    app = visit(ada, "fine_tuning", jobs_page="2")
    assert names_of(app) == ["run-1", "run-0"]
    app.text_input(key="jobs_q").set_value("run-1").run()
    assert "run-19" in names_of(app)


def test_nothing_is_offered_before_a_row_is_ticked(ada: User, visit: Visit) -> None:
    make_job(ada)
    app = visit(ada, "fine_tuning")
    assert offered(app) == set()
    assert table_of(app)["chosen"] == []


OFFERED: dict[str, set[str]] = {
    "validating": {"jobs_cancel"},
    "queued": {"jobs_pause", "jobs_cancel"},
    "running": {"jobs_pause", "jobs_cancel"},
    "paused": {"jobs_resume", "jobs_cancel"},
    "succeeded": {"jobs_delete"},
    "failed": {"jobs_delete"},
    "cancelled": {"jobs_delete"},
}


@pytest.mark.parametrize("status", JOB_STATUSES)
def test_what_is_offered_follows_the_states_of_the_ticked(ada: User, visit: Visit, status: str) -> None:
    app = tick(visit(ada, "fine_tuning"), make_job(ada, status))
    assert offered(app) == {"jobs_compare", *OFFERED[status]}
    assert app.button(key="jobs_compare").disabled


def test_ticked_rows_are_compared(ada: User, visit: Visit) -> None:
    first, second = make_job(ada, "succeeded", name="one"), make_job(ada, "succeeded", name="two")
    app = tick(visit(ada, "fine_tuning"), first, second)
    assert table_of(app)["chosen"] == [first, second]
    app.button(key="jobs_compare").click().run()
    assert not app.exception
    assert app.query_params["ids"] == f"{first},{second}"


def test_no_more_are_compared_than_one_can_tell_apart(ada: User, visit: Visit) -> None:
    ids = [make_job(ada, "succeeded", name=f"run-{number}") for number in range(MOST + 1)]
    app = tick(visit(ada, "fine_tuning"), *ids)
    assert app.button(key="jobs_compare").label == f"Compare the first {MOST}"
    app.button(key="jobs_compare").click().run()
    assert app.query_params["ids"] == ",".join(ids[:MOST])


@pytest.mark.parametrize("query", [{}, {"jobs_status": "Running", "jobs_columns": "seed"}])
def test_a_list_that_reached_no_browser_is_drawn_as_it_is(
    ada: User, visit: Visit, query: dict[str, str]
) -> None:
    make_job(ada, tags=["baseline"])
    assert kept_from_the_browser(visit(ada, "fine_tuning", **query)) == {}


def test_ticked_rows_are_paused_where_that_is_possible(ada: User, visit: Visit) -> None:
    ids = [make_job(ada, status, name=status) for status in ("running", "succeeded")]
    app = tick(visit(ada, "fine_tuning"), *ids)
    app.button(key="jobs_pause").click().run()
    assert not app.exception
    assert states(ada) == {"running": "paused", "succeeded": "succeeded"}
    assert "1 job paused." in text_of(app)
    app.button(key="jobs_none").click().run()
    assert offered(app) == set()


@pytest.mark.parametrize(("name", "status", "left"), [("cancel", "running", 2), ("delete", "failed", 0)])
def test_what_cannot_be_undone_is_asked_first(
    ada: User, visit: Visit, name: str, status: str, left: int
) -> None:
    ids = [make_job(ada, status, name=f"job-{number}") for number in (1, 2)]
    app = tick(visit(ada, "fine_tuning"), *ids)
    app.button(key=f"jobs_{name}").click().run()
    assert set(states(ada).values()) == {status}
    assert "**job-1, job-2**" in text_of(app).replace("\\", "")
    app.button(key=f"jobs_{name}_yes").click().run()
    assert not app.exception
    assert set(states(ada).values()) == ({"cancelled"} if left else set())
    assert f"2 jobs {job_bulk.ACTIONS[name].done}." in text_of(app)


def test_one_that_came_too_late_holds_up_no_other(ada: User, visit: Visit) -> None:
    first, second = make_job(ada, name="first"), make_job(ada, name="second")
    app = tick(visit(ada, "fine_tuning"), first, second)
    app.button(key="jobs_cancel").click().run()
    fine_tuning.cancel(ada, first)
    app.button(key="jobs_cancel_yes").click().run()
    assert set(states(ada).values()) == {"cancelled"}
    assert "The job is already cancelled." in text_of(app)
    assert "1 job cancelled." in text_of(app)


def test_a_tag_is_added_to_all_and_taken_away_again(ada: User, visit: Visit) -> None:
    ids = [make_job(ada, name="one", tags=["old"]), make_job(ada, name="two")]
    app = tick(visit(ada, "fine_tuning"), *ids)
    app.text_input(key="jobs_new_tag").set_value("  good   one ")
    app.button(key="jobs_tag_add").click().run()
    assert not app.exception
    assert [fine_tuning.get(ada, one).tags for one in ids] == [["old", "good one"], ["good one"]]
    app.text_input(key="jobs_new_tag").set_value("good one")
    app.button(key="jobs_tag_remove").click().run()
    assert [fine_tuning.get(ada, one).tags for one in ids] == [["old"], []]
    app.text_input(key="jobs_new_tag").set_value("a,b")
    app.button(key="jobs_tag_add").click().run()
    assert "without commas" in text_of(app)


def test_a_ticked_job_that_is_gone_counts_no_more(ada: User, bob: User, visit: Visit) -> None:
    kept, gone, theirs = make_job(ada, "failed"), make_job(ada, "failed"), make_job(bob, "failed")
    fine_tuning.delete(ada, gone)
    app = tick(visit(ada, "fine_tuning"), kept, gone, theirs)
    assert "**1 job chosen**" in text_of(app)


def test_ticks_of_other_pages_stay(ada: User, visit: Visit) -> None:
    def ticked_after(before: list[str], shown: list[str], now: list[str]) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lists.st, "session_state", {"t": before})
            lists.tick("t", now, shown=shown)
            return lists.ticked("t")

    assert ticked_after(["x", "a"], ["a", "b"], ["b"]) == ["x", "b"]
    assert ticked_after([], ["a", "b"], ["b", "a", "stranger"]) == ["b", "a"]
    assert ticked_after(["a", "b"], ["a", "b"], []) == []
