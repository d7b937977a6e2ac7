"""Sweeps: what they try, and a group of jobs as one thing."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from core import fine_tuning, jobs, storage
from core.db import reading, writing
from core.errors import Conflict, InUse, NotFound, ValidationError
from core.fields import parse
from core.fine_tuning import sweep_space, sweeps
from core.fine_tuning.sweeps import NewSweep, SweepList
from core.people.users import User
from core.tables import JobGroupRow, JobRow, ModelRow
from core.training import Hyperparameters

MakeSweep = Callable[..., NewSweep]
RATES = {"low": 1e-5, "high": 1e-2, "scale": "log"}


@pytest.fixture
def new_sweep(ada: User, base_model: ModelRow, make_version: Any) -> MakeSweep:
    version = make_version(ada)

    def make(space: dict[str, Any], *, job: dict[str, Any] | None = None, **fields: Any) -> NewSweep:
        request = {
            "base_model_id": base_model.id,
            "dataset_id": version.dataset_id,
            "name": "faq",
            **(job or {}),
        }
        return parse(NewSweep, job=request, space=space, **fields)

    return make


def combine(
    space: dict[str, Any], kind: str = "grid", count: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    new = parse(
        NewSweep,
        job={"base_model_id": "m", "dataset_id": "d"},
        space=space,
        kind=kind,
        count=count,
        seed=seed,
    )
    return sweeps.draw(new)


def test_a_grid_is_every_combination_once() -> None:
    found = combine({"n_epochs": [1, 2, 2], "learning_rate": [0.001, 0.01]})
    assert found == [
        {"n_epochs": 1, "learning_rate": 0.001},
        {"n_epochs": 1, "learning_rate": 0.01},
        {"n_epochs": 2, "learning_rate": 0.001},
        {"n_epochs": 2, "learning_rate": 0.01},
    ]


def test_a_random_search_is_the_same_for_the_same_seed_and_has_no_repeats() -> None:
    space = {"learning_rate": RATES, "n_epochs": {"low": 1, "high": 5}, "tuning": ["full", "lora"]}
    found = combine(space, "random", count=20, seed=3)
    assert found == combine(space, "random", count=20, seed=3)
    assert found != combine(space, "random", count=20, seed=4)
    assert len({repr(values) for values in found}) == 20
    assert all(isinstance(values["n_epochs"], int) and 1 <= values["n_epochs"] <= 5 for values in found)
    assert all(1e-5 <= values["learning_rate"] <= 1e-2 for values in found)
    assert {values["tuning"] for values in found} == {"full", "lora"}


def test_a_log_range_gives_every_power_of_ten_its_share() -> None:
    drawn = [values["learning_rate"] for values in combine({"learning_rate": RATES}, "random", count=50)]
    powers = [sum(math.floor(math.log10(rate)) == power for rate in drawn) for power in (-5, -4, -3)]
    assert min(powers) >= 8


def test_a_small_space_ends_a_random_search_early() -> None:
    assert sorted(values["n_epochs"] for values in combine({"n_epochs": [1, 2, 3]}, "random", count=30)) == [
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("space", "kind", "field", "message"),
    [
        ({}, "grid", "space", "at least one"),
        (
            {"n_epochs": list(range(1, 9)), "batch_size": list(range(1, 9))},
            "grid",
            "space",
            "64 jobs, at most 50",
        ),
        ({"nothing": [1]}, "grid", "space.nothing", "no setting"),
        ({"n_epochs": []}, "grid", "space.n_epochs", "1 to 50 values"),
        ({"n_epochs": [1, 51]}, "grid", "space.n_epochs[1]", "at most 50"),
        ({"n_epochs": [True]}, "grid", "space.n_epochs[0]", ""),
        ({"tuning": ["huge"]}, "grid", "space.tuning[0]", "must be"),
        ({"seed": [-1]}, "grid", "space.seed[0]", "whole number"),
        ({"learning_rate": RATES}, "grid", "space.learning_rate", "random search"),
        ({"learning_rate": {"low": 0.5, "high": 5}}, "random", "space.learning_rate", "at most 1"),
        ({"tuning": {"low": 1, "high": 2}}, "random", "space.tuning", "no number"),
    ],
)
def test_what_cannot_be_tried_is_told_by_setting_and_value(
    space: Any, kind: str, field: str, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        combine(space, kind)
    (detail,) = caught.value.details
    assert detail.field == field
    assert message in detail.message


@pytest.mark.parametrize(
    "ends", [{"low": 2, "high": 1}, {"low": 0, "high": 1, "scale": "log"}, {"low": 1, "high": float("inf")}]
)
def test_ranges_have_ordered_finite_ends(ends: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        combine({"learning_rate": ends}, "random")


def test_every_setting_may_be_varied() -> None:
    assert len(combine({name: ["auto"] for name in list(Hyperparameters.model_fields)[:10]})) == 1
    for name in Hyperparameters.model_fields:
        assert combine({name: ["auto"]}) == [{name: "auto"}]


def test_names_say_what_differs_and_fit() -> None:
    values = {"learning_rate": 0.001, "batch_size": 8, "tuning": "lora", "packing": True}
    assert sweep_space.name_of("faq", values) == "faq-lr-0.001-batch-8-lora-packing-on"
    long = sweep_space.name_of("x" * 100, values)
    assert len(long) == 100
    assert long.endswith("-lr-0.001-batch-8-lora-packing-on")
    assert sweep_space.shown(values) == "learning rate 0.001, batch size 8, lora, packing on"


def test_a_sweep_is_jobs_that_differ_in_nothing_else(ada: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(
        ada,
        new_sweep({"n_epochs": [2, 3], "batch_size": [2, 4]}, job={"hyperparameters": {"warmup_share": 0.1}}),
    )
    assert (made.num_jobs, made.statuses, made.settings, made.active) == (
        4,
        {"queued": 4},
        ["n_epochs", "batch_size"],
        True,
    )
    assert [trial.name for trial in made.trials][:2] == ["faq-epochs-2-batch-2", "faq-epochs-2-batch-4"]
    assert made.trials[0].values == {"n_epochs": 2, "batch_size": 2}
    with reading() as session:
        rows = session.query(JobRow).order_by(JobRow.created_at).all()
    assert {row.seed for row in rows} == {rows[0].seed}
    assert {row.dataset_version_id for row in rows} == {rows[0].dataset_version_id}
    assert {row.hyperparameters["warmup_share"] for row in rows} == {0.1}
    assert {row.group_id for row in rows} == {made.id}
    assert [row.total_steps for row in rows] == [12, 6, 18, 9]


def test_the_seed_may_vary_too(ada: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(ada, new_sweep({"seed": [1, 2, 3]}))
    assert [trial.values["seed"] for trial in made.trials] == [1, 2, 3]
    with reading() as session:
        assert sorted(row.seed for row in session.query(JobRow)) == [1, 2, 3]


def test_pressing_start_twice_makes_one_sweep(ada: User, bob: User, new_sweep: MakeSweep) -> None:
    new = new_sweep({"n_epochs": [1, 2]}, idempotency_key="k")
    assert sweeps.create(ada, new).id == sweeps.create(ada, new).id
    assert fine_tuning.list_jobs(ada).total == 2
    with pytest.raises(NotFound):
        sweeps.create(bob, new)


def test_a_sweep_starts_whole_or_not_at_all(
    ada: User, new_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, calls = sweeps.starting.insert, []

    def fail_at_the_third(*args: Any, **more: Any) -> JobRow:
        calls.append(1)
        if len(calls) == 3:
            raise Conflict("the version was removed")
        return insert(*args, **more)

    monkeypatch.setattr(sweeps.starting, "insert", fail_at_the_third)
    with pytest.raises(Conflict):
        sweeps.create(ada, new_sweep({"n_epochs": [1, 2, 3, 4]}))
    with reading() as session:
        assert session.query(JobRow).count() == session.query(JobGroupRow).count() == 0


def test_its_table_is_sorted_and_the_best_is_marked(ada: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(ada, new_sweep({"n_epochs": [1, 2, 3]}))
    losses = {1: 2.0, 2: 1.0, 3: None}
    with writing() as session:
        for trial in made.trials:
            row = session.get_one(JobRow, trial.job_id)
            row.best_loss, row.valid_loss, row.train_loss = losses[trial.values["n_epochs"]], 9.0, 0.1
            row.valid_loss = None if row.best_loss is None else 9.0
    found = sweeps.get(ada, made.id, sort="valid_loss")
    assert [trial.values["n_epochs"] for trial in found.trials] == [2, 1, 3]
    assert [trial.best for trial in found.trials] == [True, False, False]
    assert (found.measure, found.best_job_id) == ("valid_loss", found.trials[0].job_id)
    assert [t.values["n_epochs"] for t in sweeps.get(ada, made.id, sort="-n_epochs").trials] == [3, 2, 1]
    with pytest.raises(ValidationError, match="sort"):
        sweeps.get(ada, made.id, sort="colour")


def test_without_validation_the_training_loss_decides(ada: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(ada, new_sweep({"n_epochs": [1, 2]}))
    assert made.best_job_id is None
    with writing() as session:
        session.get_one(JobRow, made.trials[1].job_id).train_loss = 0.5
    found = sweeps.get(ada, made.id)
    assert (found.measure, found.best_job_id) == ("train_loss", made.trials[1].job_id)


def test_a_sweep_is_cancelled_as_a_whole(ada: User, bob: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(ada, new_sweep({"n_epochs": [1, 2, 3]}))
    fine_tuning.cancel(ada, made.trials[0].job_id)
    with pytest.raises(NotFound):
        sweeps.cancel(bob, made.id)
    assert sweeps.cancel(ada, made.id).statuses == {"cancelled": 3}
    with pytest.raises(Conflict, match="ended already"):
        sweeps.cancel(ada, made.id)


def test_a_sweep_is_deleted_once_its_jobs_have_ended(ada: User, bob: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(ada, new_sweep({"n_epochs": [1, 2]}))
    storage.job_dir(made.trials[0].job_id).mkdir(parents=True)
    with pytest.raises(InUse):
        sweeps.delete(ada, made.id)
    assert fine_tuning.list_jobs(ada).total == 2
    sweeps.cancel(ada, made.id)
    with pytest.raises(NotFound):
        sweeps.delete(bob, made.id)
    sweeps.delete(ada, made.id)
    assert fine_tuning.list_jobs(ada).total == 0
    assert not storage.job_dir(made.trials[0].job_id).exists()
    with pytest.raises(NotFound):
        sweeps.get(ada, made.id)


def test_sweeps_are_listed_without_jobs_and_only_ones_own(ada: User, bob: User, new_sweep: MakeSweep) -> None:
    sweeps.create(ada, new_sweep({"n_epochs": [1, 2]}, name="first"))
    sweeps.create(ada, new_sweep({"n_epochs": [3]}, name="second"))
    listed = sweeps.list_sweeps(ada, SweepList(sort="name"))
    assert [(one.name, one.num_jobs, one.trials) for one in listed.items] == [
        ("first", 2, []),
        ("second", 1, []),
    ]
    assert [one.name for one in sweeps.list_sweeps(ada, SweepList(q="SEC")).items] == ["second"]
    assert sweeps.list_sweeps(bob).total == 0


def test_jobs_of_a_sweep_wait_in_the_queue_like_others(ada: User, new_sweep: MakeSweep) -> None:
    made = sweeps.create(ada, new_sweep({"n_epochs": [1, 2]}))
    assert [item.group_id for item in fine_tuning.queue(ada).items] == [made.id, made.id]
    with writing() as session:
        assert jobs.claim(session) == made.trials[0].job_id
