"""A training never begins on a model that sees what it must not: later tokens, or the row packed before."""

from pathlib import Path
from typing import Any

import pytest

from core.inference import base_checks
from core.training import METHODS, Hyperparameters, probe, resolve, run
from core.training.method import CANNOT_PACK, TrainingFailed, TrainingTask
from tests.core.training.shared import Kept, rows_for, weights_at
from tests.tiny_models import CONTEXT, KINDS, NOT_CAUSAL, write

LONG = pytest.mark.long


def train(base: Path, folder: Path, **asked: Any) -> Kept:
    """A whole training, as the worker calls it, with its report."""
    rows = rows_for("supervised", 8)

    def settings(num_examples: int) -> Any:
        chosen = Hyperparameters(**{"n_epochs": 1, "batch_size": 2, "samples_every": 0} | asked)
        return resolve(chosen, num_examples=num_examples, num_parameters=30_000, context_length=CONTEXT)

    task = TrainingTask(
        weights=weights_at(base),
        folder=folder,
        draft=folder / "draft",
        train=lambda: enumerate(rows, 1),
        validation=None,
        validation_fraction=0.0,
        settings_for=settings,
        seed=1,
        threads=1,
    )
    report = Kept()
    try:
        run.train(METHODS["supervised"], task, report)
    except TrainingFailed as failure:
        assert (report.steps, task.draft.exists()) == ([], False)
        report.told.append(f"{failure.code}: {failure.message}")
    return report


@pytest.mark.parametrize(
    ("kind", "tuning"),
    [
        ("opt", "full"),
        *(pytest.param(k, t, marks=LONG) for k, t in (("opt", "lora"), ("bloom", "full"), ("mamba", "full"))),
    ],
)
def test_packing_that_leaks_ends_before_the_first_step(
    tiny_base: Path, tmp_path: Path, kind: str, tuning: str
) -> None:
    base = write(kind, tmp_path / "base", tiny_base)
    report = train(base, tmp_path / "packed", packing=True, tuning=tuning, lora_rank=2)
    assert report.told[-1].startswith(f"{CANNOT_PACK}: Packing is not possible")
    assert "Start again with packing off" in report.told[-1]
    assert len(train(base, tmp_path / "alone", packing=False).steps) == 4


def test_a_measurement_before_the_start_finds_it_too(tiny_base: Path, tmp_path: Path) -> None:
    weights = weights_at(write("opt", tmp_path / "base", tiny_base))
    asked = Hyperparameters(packing=True, batch_size=2)
    settings = resolve(asked, num_examples=8, num_parameters=30_000, context_length=CONTEXT)
    rows = enumerate(rows_for("supervised", 8), 1)
    with pytest.raises(TrainingFailed, match="Packing is not possible"):
        probe.measure(METHODS["supervised"], weights, rows, settings, threads=1, told=lambda _: None)


@pytest.mark.parametrize(
    "kind", ["qwen3", *(pytest.param(k, marks=LONG) for k in ("mistral window", "gpt2"))]
)
def test_packing_that_does_not_leak_trains(tiny_base: Path, tmp_path: Path, kind: str) -> None:
    report = train(write(kind, tmp_path / "base", tiny_base), tmp_path / "packed", packing=True)
    assert report.steps


@pytest.mark.parametrize("kind", ["bert", pytest.param("t5", marks=LONG), pytest.param("bart", marks=LONG)])
def test_a_base_that_is_not_causal_trains_nothing(tiny_base: Path, tmp_path: Path, kind: str) -> None:
    """It was registered by an earlier release, or its configuration was changed since."""
    report = train(write(kind, tmp_path / "base", tiny_base), tmp_path / "job")
    assert report.told[-1].startswith("not_causal: The base model is no causal language model")


@pytest.mark.parametrize("packing", [False, True])
def test_a_base_whose_configuration_says_nothing_is_asked(
    tiny_base: Path, tmp_path: Path, packing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_checks, "refusal", lambda folder: None)
    report = train(write("bert", tmp_path / "base", tiny_base), tmp_path / "job", packing=packing)
    assert report.told[-1].startswith("not_causal: ")
    assert "whose tokens see those behind them" in report.told[-1]


def test_layers_that_take_no_adapter_are_told_before_the_first_step(tiny_base: Path, tmp_path: Path) -> None:
    base = write("mamba", tmp_path / "base", tiny_base)
    report = train(base, tmp_path / "named", tuning="lora", lora_rank=2, lora_targets="out_proj")
    assert report.told[-1].startswith("invalid_settings: LoRA cannot be put on these layers")
    assert train(base, tmp_path / "left alone", tuning="lora", lora_rank=2).steps


@pytest.mark.long
@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - NOT_CAUSAL))
def test_every_causal_model_trains(tiny_base: Path, tmp_path: Path, kind: str, tuning: str) -> None:
    base = write(kind, tmp_path / "base", tiny_base)
    report = train(base, tmp_path / "job", tuning=tuning, lora_rank=2, n_epochs=6, learning_rate=0.01)
    assert report.losses[-1] < report.losses[0]
