"""The estimate of memory against measured trainings, the settings that fit, and the measurement itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import hardware
from core.errors import Conflict
from core.fields import parse
from core.fine_tuning import NewJob
from core.fine_tuning.before import forecast, preview
from core.fine_tuning.before.forecast import Measured
from core.hardware import Gpu, Machine
from core.people.users import User
from core.tables import ModelRow
from core.training import Hyperparameters, Settings, loop, memory
from core.training.memory import Shape
from core.training.presets import PRESETS
from tests.waiting import wait_until

GIB = 2**30
SEVEN = Shape(
    num_parameters=6_738_000_000, layers=32, hidden=4096, key_value_size=4096, inner=11008, vocabulary=32000
)
FULL = Settings(1, 8, 1e-5, 1.0, "full", None, None, max_length=2048)
LORA = replace(
    FULL, tuning="lora", lora_rank=16, lora_alpha=32, lora_targets="all-linear", precision="bfloat16"
)


@pytest.fixture(autouse=True)
def end_process() -> Any:
    yield
    preview.stop()


def total(settings: Settings, *, gpu: bool = True, longest_row: int = 2048, sequences: int = 1) -> float:
    return memory.estimate(SEVEN, settings, longest_row=longest_row, gpu=gpu, sequences=sequences).total / GIB


def test_the_limit_of_a_pass_is_that_of_the_loop() -> None:
    assert loop.MAX_LOGITS == memory.LOGITS_OF_A_PASS


@pytest.mark.parametrize(
    ("settings", "mib"),
    [
        ({"batch_size": 4}, 1325),
        ({"batch_size": 4, "gradient_checkpointing": True}, 1144),
        ({"batch_size": 4, "tuning": "lora", "lora_rank": 16, "lora_targets": "all-linear"}, 1092),
    ],
)
def test_the_estimate_is_near_what_was_measured(settings: dict[str, Any], mib: int) -> None:
    """Measured on a CPU with 31M random weights and rows of 202 tokens."""
    shape = Shape(31_470_080, layers=8, hidden=512, key_value_size=256, inner=1376, vocabulary=16000)
    need = memory.estimate(shape, replace(FULL, max_length=512, **settings), longest_row=202, gpu=False)
    assert need.total / 2**20 == pytest.approx(mib, rel=1 / 3)


def test_less_is_needed_where_less_is_kept() -> None:
    # weights, gradients, two numbers of AdamW: 16 bytes each
    assert total(FULL) > 4 * 4 * SEVEN.num_parameters / GIB
    assert total(replace(FULL, gradient_checkpointing=True)) < total(FULL)
    assert total(replace(FULL, batch_size=1)) < total(FULL)
    assert total(LORA) < total(replace(LORA, precision="float32")) < total(FULL)
    assert total(replace(LORA, tuning="qlora")) < total(LORA)
    assert (
        total(LORA, longest_row=100)
        < total(LORA)
        < total(replace(LORA, batch_size=2), sequences=2) + total(LORA)
    )
    assert total(replace(LORA, batch_size=2), sequences=2) > total(replace(LORA, batch_size=2))


def test_the_ways_out_fit_and_change_little_first() -> None:
    ways = memory.ways_to_fit(SEVEN, FULL, longest_row=2048, free=24 * GIB, gpu=True, four_bits=True)
    assert ways
    assert all(way.total <= 24 * GIB for way in ways)
    # all weights of 7 billion never fit there
    assert all(way.changes["tuning"] in ("lora", "qlora") for way in ways)
    light = memory.ways_to_fit(SEVEN, LORA, longest_row=2048, free=40 * GIB, gpu=True, four_bits=True)
    assert light[0].changes == {"batch_size": 1, "gradient_accumulation": 8}
    assert all(parse(Hyperparameters, **way.changes) for way in [*ways, *light])
    on_cpu = memory.ways_to_fit(SEVEN, FULL, longest_row=2048, free=40 * GIB, gpu=False, four_bits=False)
    assert on_cpu
    assert not any("qlora" in way.changes.values() for way in on_cpu)
    assert memory.ways_to_fit(SEVEN, FULL, longest_row=2048, free=GIB, gpu=True, four_bits=True) == []


def test_presets_are_settings_that_exist() -> None:
    for preset in PRESETS.values():
        assert parse(Hyperparameters, **preset.changes).model_dump(exclude_unset=True) == preset.changes
        assert preset.help.endswith(".")


def test_a_shape_is_read_where_the_config_tells_it(tiny_base: Path, tmp_path: Path) -> None:
    shape = memory.read_shape(tiny_base, num_parameters=30_000)
    assert shape is not None
    assert (shape.layers, shape.hidden, shape.inner, shape.key_value_size, shape.vocabulary) == (
        2,
        32,
        64,
        32,
        261,
    )
    assert memory.read_shape(tmp_path, num_parameters=1) is None
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    assert memory.read_shape(tmp_path, num_parameters=1) is None


@pytest.fixture
def request_(ada: User, base_model: ModelRow, tiny_base: Path, make_version: Callable[..., Any]) -> NewJob:
    return parse(
        NewJob,
        base_model_id=base_model.id,
        dataset_id=make_version(ada).dataset_id,
        hyperparameters={"n_epochs": 2},
    )


def machine(
    monkeypatch: pytest.MonkeyPatch, *, free: int, gpus: tuple[Gpu, ...] = (), four_bits: bool = True
) -> None:
    monkeypatch.setattr(hardware, "look", lambda: Machine(64 * GIB, free, gpus))
    monkeypatch.setattr(hardware, "gpus", lambda: gpus)
    monkeypatch.setattr(hardware, "_is_installed", lambda package: four_bits)


def test_the_forecast_compares_with_what_is_free(
    ada: User, request_: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, free=8 * GIB)
    found = forecast.forecast(ada, request_)
    assert (found.memory.fits, found.memory.ways, found.measured) == (True, [], None)
    assert found.plan.total_steps == 2 * 3
    machine(monkeypatch, free=2**20)
    assert forecast.forecast(ada, request_).memory.fits is False
    with pytest.raises(Conflict, match="would not fit"):
        forecast.measure(ada, request_)


def test_a_gpu_counts_and_allows_qlora(ada: User, request_: NewJob, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, free=GIB, gpus=(Gpu("GPU", 80 * GIB, 70 * GIB, True),))
    qlora = request_.model_copy(update={"hyperparameters": parse(Hyperparameters, tuning="qlora")})
    found = forecast.forecast(ada, qlora)
    assert (found.memory.device, found.memory.free, found.plan.resolved["precision"]) == (
        "GPU",
        70 * GIB,
        "bfloat16",
    )


@pytest.mark.parametrize("method", ["supervised", pytest.param("dpo", marks=pytest.mark.long)])
def test_a_few_real_steps_tell_time_and_memory(
    ada: User, request_: NewJob, make_version: Callable[..., Any], method: str
) -> None:
    if method == "dpo":
        question, better = (
            {"messages": [{"role": "user", "content": "q"}]},
            [{"role": "assistant", "content": "a"}],
        )
        rows = [{"input": question, "preferred_output": better, "non_preferred_output": better}] * 5
        types = {
            "input": "STRUCT(messages JSON)",
            "preferred_output": "JSON[]",
            "non_preferred_output": "JSON[]",
        }
        version = make_version(ada, rows, format="preference", types=types)
        request_ = request_.model_copy(update={"dataset_id": version.dataset_id, "method": "dpo"})
    assert forecast.measured(ada, request_) is None
    found = wait_until(
        lambda: forecast.measure(ada, request_), lambda seen: isinstance(seen, Measured), seconds=90
    )
    assert isinstance(found, Measured)
    assert found.seconds_per_step > 0
    assert 100 * 2**20 < found.memory_bytes < 4 * GIB
    told = forecast.forecast(ada, request_)
    assert told.measured == found
    assert told.memory.measured_bytes == found.memory_bytes
    assert told.seconds
    assert told.seconds > found.seconds_per_step * told.plan.total_steps
