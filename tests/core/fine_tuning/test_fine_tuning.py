"""Fine-tuning as its owner sees it."""

from collections.abc import Callable
from typing import Any

import pytest

from core import fine_tuning, storage
from core.db import reading, writing
from core.errors import Conflict, DiskFull, NotFound, ValidationError
from core.fields import parse
from core.fine_tuning import EventList, JobList, NewJob, provenance, recipes
from core.fine_tuning.monitor.series import downsample
from core.fine_tuning.sources import CHECKED_AT_ONCE
from core.jobs import notes
from core.listing import ListQuery
from core.people.users import User
from core.tables import DatasetRow, JobRow, ModelRow
from core.training import Hyperparameters
from core.workers.supervisor import Supervisor

MakeVersion = Callable[..., Any]
MakeJob = Callable[..., JobRow]
QUESTIONS = [{"question": f"What is {n}?", "answer": f"It is {n}."} for n in range(40)]
MAPPING = {"prompt": "question", "completion": "answer"}


@pytest.fixture
def new_job(ada: User, base_model: ModelRow, make_version: MakeVersion) -> Callable[..., NewJob]:
    """``new_job(**fields)``: a request of Ada's on the FAQ."""
    version = make_version(ada)

    def make(**fields: Any) -> NewJob:
        return parse(NewJob, **({"base_model_id": base_model.id, "dataset_id": version.dataset_id} | fields))

    return make


def test_a_new_job_waits_in_the_queue_with_everything_decided(ada: User, new_job: Any) -> None:
    job = fine_tuning.create(
        ada, new_job(suffix="bot", seed=5, hyperparameters={"n_epochs": 3, "batch_size": 5})
    )
    assert (job.status, job.name, job.seed, job.total_steps) == ("queued", "tiny-bot", 5, 9)
    assert (job.hyperparameters["n_epochs"], job.asked["learning_rate"]) == (3, "auto")
    assert isinstance(job.hyperparameters["learning_rate"], float)
    assert [e.message for e in fine_tuning.events(ada, job.id).items] == [
        "Created.",
        "The rows are checked. Waiting for a free place.",
    ]


def test_adams_settings_go_with_the_job_wherever_it_goes(ada: User, new_job: Any) -> None:
    """Plan, job, the same job again, its recipe, what a version remembers of it."""
    chosen = {"adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-6}
    new = new_job(hyperparameters=chosen)
    job = fine_tuning.create(ada, new)
    again = fine_tuning.rerun(ada, job.id)
    with reading() as session:
        made = provenance.describe(
            session, session.get_one(JobRow, job.id), model=None, step=None, seconds=1.0
        )
    kept = (
        fine_tuning.plan(ada, new).resolved,
        job.resolved,
        again.asked,
        recipes.from_yaml(recipes.to_yaml(recipes.of_job(job))).hyperparameters.model_dump(),
        made["resolved"],
    )
    assert [{name: values[name] for name in chosen} for values in kept] == [chosen] * len(kept)


def test_the_plan_is_what_the_job_becomes(ada: User, new_job: Any) -> None:
    new = new_job(validation_fraction=0.25)
    plan, job = fine_tuning.plan(ada, new), fine_tuning.create(ada, new)
    assert (plan.num_examples, plan.num_validation) == (9, 3)
    assert (plan.resolved, plan.total_steps) == (job.resolved, job.total_steps)
    assert plan.estimated_seconds
    assert any("validation" in warning for warning in plan.warnings)


def test_pressing_start_twice_makes_one_job(
    ada: User, bob: User, new_job: Any, make_version: MakeVersion
) -> None:
    first = fine_tuning.create(ada, new_job(idempotency_key="k"))
    assert fine_tuning.create(ada, new_job(idempotency_key="k")).id == first.id
    bobs = make_version(bob)
    other = fine_tuning.create(bob, new_job(idempotency_key="k", dataset_id=bobs.dataset_id))
    assert other.id != first.id


@pytest.mark.parametrize(
    "field", ["base_model_id", "dataset_id", "dataset_version_id", "validation_dataset_id"]
)
def test_unknown_things_are_not_found(ada: User, new_job: Any, field: str) -> None:
    with pytest.raises(NotFound):
        fine_tuning.create(ada, new_job(**{field: "ds_nothing"}))


def test_other_users_dataset_and_jobs_look_missing(ada: User, bob: User, new_job: Any) -> None:
    with pytest.raises(NotFound):
        fine_tuning.create(bob, new_job())
    job = fine_tuning.create(ada, new_job())
    for look in (
        fine_tuning.get,
        fine_tuning.cancel,
        fine_tuning.pause,
        fine_tuning.resume,
        fine_tuning.progress,
        fine_tuning.events,
        fine_tuning.metrics,
        fine_tuning.list_checkpoints,
        fine_tuning.log_tail,
        fine_tuning.log_path,
    ):
        with pytest.raises(NotFound):
            look(bob, job.id)
    assert fine_tuning.list_jobs(bob).total == 0


def test_a_table_trains_through_a_mapping(ada: User, new_job: Any, make_version: MakeVersion) -> None:
    table = make_version(ada, QUESTIONS, format="table")
    job = fine_tuning.create(ada, new_job(dataset_id=table.dataset_id, columns=MAPPING))
    assert (job.status, job.columns) == ("queued", MAPPING)


def test_a_table_without_a_mapping_asks_for_one(ada: User, new_job: Any, make_version: MakeVersion) -> None:
    table = make_version(ada, [{"asked": "q", "said": "a"}] * 3, format="table")
    with pytest.raises(ValidationError, match="columns: say which column"):
        fine_tuning.create(ada, new_job(dataset_id=table.dataset_id))


def test_a_mapping_that_gives_empty_prompts_names_line_and_column(
    ada: User, new_job: Any, make_version: MakeVersion
) -> None:
    table = make_version(ada, [*QUESTIONS, {"question": " ", "answer": "x"}], format="table")
    with pytest.raises(ValidationError, match="line 41: question"):
        fine_tuning.create(ada, new_job(dataset_id=table.dataset_id, columns=MAPPING))


def test_a_mapping_to_a_missing_column_is_refused(ada: User, new_job: Any) -> None:
    with pytest.raises(ValidationError, match="no column 'nothing'"):
        fine_tuning.plan(ada, new_job(columns={"prompt": "nothing", "completion": "completion"}))


def test_a_dataset_with_a_wrong_row_is_a_conflict_that_names_it(
    ada: User, new_job: Any, make_version: MakeVersion
) -> None:
    version = make_version(ada, [{"prompt": "a", "completion": "b"}, {"prompt": "", "completion": "c"}])
    with pytest.raises(Conflict, match="faq, line 2: prompt"):
        fine_tuning.create(ada, new_job(dataset_id=version.dataset_id))


def test_one_row_is_too_few_and_three_are_warned_about(
    ada: User, new_job: Any, make_version: MakeVersion
) -> None:
    rows = [{"prompt": f"{n}?", "completion": "yes"} for n in range(3)]
    one, three = make_version(ada, rows[:1]), make_version(ada, rows)
    with pytest.raises(Conflict, match="at least 2"):
        fine_tuning.create(ada, new_job(dataset_id=one.dataset_id))
    assert "very few" in fine_tuning.plan(ada, new_job(dataset_id=three.dataset_id)).warnings[0]


def test_preferences_do_not_train_supervised(ada: User, new_job: Any, make_version: MakeVersion) -> None:
    question, answer = (
        {"messages": [{"role": "user", "content": "q"}]},
        [{"role": "assistant", "content": "a"}],
    )
    rows = [{"input": question, "preferred_output": answer, "non_preferred_output": answer}] * 3
    types = {"input": "STRUCT(messages JSON)", "preferred_output": "JSON[]", "non_preferred_output": "JSON[]"}
    version = make_version(ada, rows, format="preference", types=types)
    with pytest.raises(Conflict, match="preference"):
        fine_tuning.create(ada, new_job(dataset_id=version.dataset_id))


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"method": "magic"}, "method"),
        ({"suffix": "no spaces"}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"validation_fraction": 0.9}, "validation_fraction"),
        ({"name": "x" * 10_000}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "nul\0"}, "name"),
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": {"batch_size": 257}}, "hyperparameters.batch_size"),
    ],
)
def test_field_rules(new_job: Any, fields: dict[str, Any], broken: str) -> None:
    with pytest.raises(ValidationError) as caught:
        new_job(**fields)
    assert [detail.field for detail in caught.value.details] == [broken]


def test_a_full_disk_starts_nothing(ada: User, new_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(needed_bytes: int = 0) -> None:
        raise DiskFull

    monkeypatch.setattr(storage, "require_space", no_space)
    with pytest.raises(DiskFull):
        fine_tuning.create(ada, new_job())
    assert fine_tuning.list_jobs(ada).total == 0


def test_a_large_table_is_checked_before_it_is_queued(
    ada: User, new_job: Any, make_version: MakeVersion
) -> None:
    good = [{"question": "q", "answer": "a"}] * CHECKED_AT_ONCE
    table = make_version(ada, [*good, *QUESTIONS], format="table")
    bad = make_version(ada, [*good, {"question": "q", "answer": ""}], format="table")
    fine, wrong = (
        fine_tuning.create(ada, new_job(dataset_id=v.dataset_id, columns=MAPPING)) for v in (table, bad)
    )
    assert (fine.status, wrong.status) == ("validating", "validating")
    for job in (fine, wrong):
        fine_tuning.admit(job.id)
    assert fine_tuning.get(ada, fine.id).status == "queued"
    failed = fine_tuning.get(ada, wrong.id)
    assert (failed.status, failed.error and failed.error["line"]) == ("failed", CHECKED_AT_ONCE + 1)


def test_pause_resume_and_cancel(ada: User, new_job: Any) -> None:
    job = fine_tuning.create(ada, new_job())
    assert fine_tuning.pause(ada, job.id).status == "paused"
    with pytest.raises(Conflict, match="paused"):
        fine_tuning.pause(ada, job.id)
    assert fine_tuning.resume(ada, job.id).status == "queued"
    assert fine_tuning.cancel(ada, job.id).status == "cancelled"
    for action in (fine_tuning.cancel, fine_tuning.pause, fine_tuning.resume):
        with pytest.raises(Conflict):
            action(ada, job.id)


def test_lists_filter_and_count_only_ones_own(ada: User, bob: User, make_job: MakeJob) -> None:
    running, queued = make_job(ada, status="running", lease_token="t"), make_job(ada)
    make_job(bob)
    everything = fine_tuning.list_jobs(ada, parse(JobList))
    assert (everything.total, [job.id for job in everything.items]) == (2, [queued.id, running.id])
    assert [job.id for job in fine_tuning.list_jobs(ada, parse(JobList, status="running")).items] == [
        running.id
    ]
    assert fine_tuning.list_jobs(ada, parse(JobList, dataset_id=queued.dataset_id)).total == 1
    with pytest.raises(ValidationError):
        fine_tuning.list_jobs(ada, parse(JobList, sort="colour"))


def test_events_come_in_order_and_in_pages(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    with writing() as session:
        for number in range(5):
            notes.add_event(session, job.id, f"event {number}", data={"n": number})
    page = fine_tuning.events(ada, job.id, parse(EventList, limit=2, offset=1))
    assert ([e.message for e in page.items], page.total) == (["event 1", "event 2"], 5)


def test_series_keep_their_peaks_when_thinned(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    values = [(step, 5.0 if step == 777 else -5.0 if step == 1234 else 1.0) for step in range(2000)]
    with writing() as session:
        notes.add_points(session, job.id, [("train_loss", step, value) for step, value in values])
    series = fine_tuning.metrics(ada, job.id, max_points=100).series["train_loss"]
    assert len(series) <= 100
    assert {(777, 5.0), (1234, -5.0), (0, 1.0), (1999, 1.0)} <= set(series)
    assert series == sorted(series)
    assert fine_tuning.metrics(ada, job.id, after_step=1997).series["train_loss"] == [
        (1998, 1.0),
        (1999, 1.0),
    ]


def test_few_points_are_not_thinned() -> None:
    assert downsample([(1, 2.0), (2, 3.0)], 600) == [(1, 2.0), (2, 3.0)]


def test_the_log_ends_where_it_ends(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada)
    assert fine_tuning.log_tail(ada, job.id) == ""
    path = fine_tuning.log_path(ada, job.id)
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {n}\n" for n in range(500)))
    assert fine_tuning.log_tail(ada, job.id, tail=2) == "line 498\nline 499\n"


def test_a_deleted_dataset_leaves_its_jobs_readable(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, status="succeeded")
    with writing() as session:
        session.delete(session.get_one(DatasetRow, job.dataset_id))
    assert fine_tuning.get(ada, job.id).dataset_id is None


def test_the_supervisor_admits_what_waits_for_its_check(ada: User, make_job: MakeJob) -> None:
    job = make_job(ada, status="validating")
    watch = Supervisor()
    watch._check_new()
    watch._checks.shutdown(wait=True)
    with reading() as session:
        assert session.get_one(JobRow, job.id).status == "queued"
    assert Hyperparameters.model_validate(job.hyperparameters).n_epochs == 10
    assert fine_tuning.list_checkpoints(ada, job.id, ListQuery(sort="step")).total == 0
