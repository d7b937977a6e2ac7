"""QLoRA is offered where a CUDA GPU and its package are; elsewhere the reason is told before the queue."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from core import fine_tuning, hardware
from core.config import ROOT
from core.errors import ValidationError
from core.fields import parse
from core.fine_tuning import NewJob, choices, sweeps
from core.fine_tuning.before import forecast
from core.hardware import Gpu, Machine
from core.people.users import User
from core.runners import RUNNERS
from core.tables import ModelRow
from core.training.memory import Shape

GPU = Gpu("GPU", 80 * 2**30, 70 * 2**30, True)
NO_GPU, NO_PACKAGE = "needs a CUDA GPU", r"pip install -r requirements-qlora\.txt"


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``have(gpu=…, package=…)``: what this machine has."""

    def change(*, gpu: bool, package: bool) -> None:
        gpus = (GPU,) if gpu else ()
        monkeypatch.setattr(hardware, "gpus", lambda: gpus)
        monkeypatch.setattr(hardware, "look", lambda: Machine(64 * 2**30, 2**30, gpus))
        monkeypatch.setattr(hardware, "_is_installed", lambda name: package)

    return change


@pytest.fixture
def request_(ada: User, base_model: ModelRow, make_version: Callable[..., Any]) -> NewJob:
    data = make_version(ada)
    chosen = {"tuning": "qlora"}
    return parse(NewJob, base_model_id=base_model.id, dataset_id=data.dataset_id, hyperparameters=chosen)


@pytest.mark.parametrize(
    ("gpu", "package", "said"),
    [(False, False, NO_GPU), (False, True, NO_GPU), (True, False, NO_PACKAGE)],
)
def test_where_it_cannot_work_it_is_neither_offered_nor_queued(
    ada: User, request_: NewJob, have: Callable[..., None], gpu: bool, package: bool, said: str
) -> None:
    have(gpu=gpu, package=package)
    assert list(choices.unavailable()) == ["tuning"]
    assert "qlora" not in str(choices.schema()["properties"]["tuning"]["anyOf"])
    for start in (fine_tuning.plan, fine_tuning.create, forecast.forecast):
        with pytest.raises(ValidationError, match=said) as caught:
            start(ada, request_)
        assert [detail.field for detail in caught.value.details] == ["hyperparameters.tuning"]
    sweep = parse(sweeps.NewSweep, job=request_.model_dump(), space={"tuning": ["lora", "qlora"]})
    with pytest.raises(ValidationError, match=said):
        sweeps.create(ada, sweep)
    assert fine_tuning.list_jobs(ada).total == 0


def test_where_both_are_it_is_offered_and_queued(
    ada: User, request_: NewJob, have: Callable[..., None]
) -> None:
    have(gpu=True, package=True)
    assert choices.unavailable() == {}
    assert "qlora" in str(choices.schema()["properties"]["tuning"]["anyOf"])
    assert fine_tuning.create(ada, request_).status == "queued"


def test_a_cluster_may_have_what_this_machine_lacks(
    have: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    have(gpu=False, package=False)
    monkeypatch.setattr(type(RUNNERS["ray"]), "problem", lambda self: None)
    assert choices.unavailable() == {}


@pytest.mark.parametrize("package", [True, False])
def test_among_the_ways_to_fit_it_is_one_only_where_it_works(
    ada: User,
    request_: NewJob,
    have: Callable[..., None],
    package: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    have(gpu=True, package=package)
    shape = Shape(70_000_000_000, 80, 8192, 1024, 28672, 128_000)
    monkeypatch.setattr("core.training.memory.read_shape", lambda folder, num_parameters: shape)
    full = request_.model_copy(update={"hyperparameters": request_.hyperparameters.model_copy()})
    full.hyperparameters.tuning = "full"
    ways = forecast.forecast(ada, full).memory.ways
    assert any(way.changes.get("tuning") == "qlora" for way in ways) is package


def test_the_extra_file_pins_the_package_and_brings_the_rest() -> None:
    lines = (ROOT / "requirements-qlora.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in lines if not line.startswith("#")] == [
        "-r requirements.txt",
        hardware.FOUR_BITS_PACKAGE,
    ]
    assert hardware.FOUR_BITS_COMMAND.endswith("requirements-qlora.txt")


@pytest.mark.slow
def test_a_package_that_does_not_work_is_told_by_the_training() -> None:
    """It is there, and importing it fails, as a build for another CUDA does."""
    program = (
        "import sys; sys.modules['bitsandbytes'] = None\n"
        "from core.training.method import TrainingFailed\n"
        "from core.training.pretrained import _four_bits\n"
        "for device in ('cpu', 'cuda:0'):\n"
        "    try: _four_bits(device)\n"
        "    except TrainingFailed as error: print(error.code, error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    no_gpu, broken = done.stdout.splitlines()
    assert no_gpu.startswith("needs_gpu ")
    assert broken.startswith("needs_package ")
    assert "requirements-qlora.txt" in broken
