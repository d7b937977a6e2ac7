"""How many steps a training takes: the plan, the forecast, the job, the queue and the training itself say the
same, whatever the rows, the batches and the number of processes."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import config, fine_tuning, hardware
from core.clock import now
from core.db import reading
from core.fields import parse
from core.fine_tuning import NewJob
from core.fine_tuning.before import forecast, preview, totals
from core.fine_tuning.before.preview import Totals
from core.fine_tuning.expected import START_SECONDS, durations
from core.people.users import User
from core.tables import JobRow, ModelRow
from core.training import Settings
from core.training.distributed import World
from core.training.loop import Loop
from tests.core.training.shared import STARTER, ask, make_loop

SECONDS_PER_ROW = 0.5  # of the job that ran before
EXAMPLE = {"rows": 64, "n_epochs": 2, "batch_size": 4, "num_processes": 2}  # 16 steps


def drawn(seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    return {
        "rows": chance.randint(2, 90),
        "n_epochs": chance.randint(1, 4),
        "batch_size": chance.randint(1, 9),
        "gradient_accumulation": chance.randint(1, 3),
        "max_steps": chance.choice(["auto", 1, 7, 500]),
        "num_processes": chance.randint(1, 5),
        "validation_fraction": chance.choice([0.0, 0.1, 0.5]),
    }


CASES = [EXAMPLE, *(drawn(seed) for seed in range(11))]


@pytest.fixture
def make_request(
    ada: User, base_model: ModelRow, make_version: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., NewJob]:
    """``make_request(rows=64, num_processes=2, n_epochs=3)``: a job on so many rows, with these settings."""
    monkeypatch.setattr(hardware, "device_count", lambda: 8)

    def make(*, rows: int, num_processes: int, validation_fraction: float = 0.0, **settings: Any) -> NewJob:
        version = make_version(ada, [{"prompt": f"{n}?", "completion": f"{n}!"} for n in range(rows)])
        return parse(
            NewJob,
            base_model_id=base_model.id,
            dataset_id=version.dataset_id,
            hyperparameters=settings,
            num_processes=num_processes,
            validation_fraction=validation_fraction,
        )

    return make


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plan_forecast_job_and_queue_count_the_same_steps(
    ada: User,
    make_request: Callable[..., NewJob],
    make_job: Callable[..., JobRow],
    monkeypatch: pytest.MonkeyPatch,
    case: dict[str, Any],
) -> None:
    new = make_request(**case)
    plan = fine_tuning.plan(ada, new)
    monkeypatch.setattr(preview, "known_totals", lambda _subject: counted(case["rows"]))
    told = forecast.forecast(ada, new)
    job = fine_tuning.create(ada, new)
    assert (told.plan.total_steps, job.total_steps) == (plan.total_steps, plan.total_steps)
    make_job(
        ada, status="succeeded", step=10, total_steps=10, num_processes=1, started_at=now(),
        trained_tokens=1000, tokens_per_second=1000 / (10 * 4 * SECONDS_PER_ROW),
        resolved={"batch_size": 4, "gradient_accumulation": 1},
    )  # fmt: skip
    with reading() as session:
        seconds = durations(session, [job.id])[job.id]
    settings = Settings(**plan.resolved)
    per_step = settings.rows_per_step(new.num_processes)
    assert seconds == pytest.approx(START_SECONDS + plan.total_steps * per_step * SECONDS_PER_ROW)
    if settings.max_steps is None:
        passes = settings.n_epochs * plan.num_examples  # the last step of an epoch may have fewer rows
        assert 0 <= plan.total_steps * per_step - passes < settings.n_epochs * per_step


def test_a_forecast_knows_how_busy_the_machine_is(
    ada: User, make_request: Callable[..., NewJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times as slow is three times as long, measured or not, unless it was as slow when measured."""

    def told(times: float, measured: dict[str, Any] | None = None) -> forecast.Forecast:
        monkeypatch.setattr(hardware, "slowdown", lambda **_more: times)
        monkeypatch.setattr(forecast.kept, "get", lambda _key: measured)
        monkeypatch.setattr(preview, "known_totals", lambda _subject: None)
        monkeypatch.setattr(totals, "known_of", lambda *_what: None)
        return forecast.forecast(ada, new)

    new = make_request(**CASES[0])
    free, busy = told(1.0), told(3.0)
    assert free.seconds
    assert busy.seconds == pytest.approx(3 * free.seconds)
    assert not any("busy" in warning for warning in free.plan.warnings)
    assert any("3.0 times as long" in warning for warning in busy.plan.warnings)
    facts: dict[str, Any] = dict.fromkeys(
        ("seconds_per_step", "tokens_per_second", "tokens_per_step", "longest_row", "seconds_to_load"), 1
    )
    facts |= {"memory_bytes": 1, "gpu_memory_bytes": None, "device": "cpu"}
    on_free = told(1.0, facts).seconds
    assert on_free
    assert told(3.0, facts).seconds == pytest.approx(3 * on_free)
    assert told(3.0, facts | {"slowdown": 3.0}).seconds == pytest.approx(on_free)
    assert told(1.0, facts | {"slowdown": 3.0}).seconds == pytest.approx(on_free), "careful: not faster"


@pytest.mark.parametrize(("places", "besides"), [(1, 1), (2, 0)])
def test_who_waits_for_a_place_does_not_compete_with_who_holds_it(
    ada: User,
    make_request: Callable[..., NewJob],
    make_job: Callable[..., JobRow],
    monkeypatch: pytest.MonkeyPatch,
    places: int,
    besides: int,
) -> None:
    monkeypatch.setenv("LUTHIER_TRAINING_CONCURRENCY", str(places))
    config.settings.cache_clear()
    make_job(ada, status="running", lease_token="x")
    asked: list[int] = []

    def slowdown(*, besides: int) -> float:
        asked.append(besides)
        return 1.0

    monkeypatch.setattr(hardware, "slowdown", slowdown)
    forecast.forecast(ada, make_request(**CASES[0]))
    assert asked == [besides]


def counted(rows: int) -> Totals:
    """As if all rows had been counted, each one sequence."""
    empty: dict[str, Any] = {name: [] for name in ("histogram", "longest", "cut", "empty", "wrong")}
    numbers = dict.fromkeys(("num_learned", "median_length", "num_cut", "num_empty", "num_wrong"), 0)
    return Totals(
        num_rows=rows, num_sequences=rows, num_tokens=9 * rows, max_length=9, num_packed=1,
        packed_exactly=True, **empty, **numbers,
    )  # fmt: skip


def test_the_issues_example_takes_sixteen_steps(ada: User, make_request: Callable[..., NewJob]) -> None:
    new = make_request(**EXAMPLE)
    assert (fine_tuning.plan(ada, new).total_steps, fine_tuning.create(ada, new).total_steps) == (16, 16)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    rows = [ask(f"{n}?", f"{n}!" * (n % 5)) for n in range(1, 41)]
    return make_loop(STARTER, tmp_path_factory.mktemp("loop"), rows=rows, samples_every=0)


@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("case", CASES[:8], ids=str)
def test_the_training_takes_as_many_steps_as_were_told(
    loop: Loop, tmp_path: Path, case: dict[str, Any], packing: bool
) -> None:
    """``Loop`` sets the steps of each process from the settings; all its rows are learned once an epoch."""
    chosen = {name: value for name, value in case.items() if name in Settings.__dataclass_fields__}
    chosen["max_steps"] = None if case.get("max_steps") == "auto" else case.get("max_steps")
    settings = replace(loop.settings, **chosen, packing=packing, max_length=64)
    world = World(rank=0, size=case["num_processes"])
    planned = replace_loop(loop, settings, world, tmp_path)
    units = len(planned.units)
    assert planned.total == settings.total_steps(units, num_processes=world.size)
    per_epoch = settings.steps_per_epoch(units, num_processes=world.size)
    seen = [unit for step in range(per_epoch) for unit in planned.order.rows(step)]
    assert sorted(seen) == list(range(units))


def replace_loop(loop: Loop, settings: Settings, world: World, folder: Path) -> Loop:
    """The same rows and weights under other settings, as a process of this world would have them."""
    names = ("model", "objective", "train", "validation", "seed", "report", "write_model")
    same = {name: getattr(loop, name) for name in names}
    return Loop(**same, settings=settings, world=world, folder=folder)
