"""DPO's reference is computed in passes that fit: many short pairs, few long ones, each time the same."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.training import METHODS, memory
from core.training.examples import Pair, Tokens
from core.training.memory import Shape
from core.training.methods import dpo
from core.training.settings import CommonSettings
from tests.core.training.shared import make_loop, rows_for

SMALL = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 4096}
LARGE = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 128_256}


class Numbers(np.ndarray):
    """As much of a tensor as is asked for."""

    def cpu(self) -> "Numbers":
        return self

    def numpy(self) -> Any:
        return np.asarray(self)


def pair_of(length: int, other: int = 4) -> Pair:
    preferred, non_preferred = (Tokens(np.zeros(n, np.int64), np.ones(n, bool)) for n in (length, other))
    return Pair(preferred, non_preferred)


def passes_of(
    pairs: list[Pair], config: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> list[list[int]]:
    """The longest answers of each pass. Every pair is looked at once, and gets its own numbers."""
    seen: list[list[int]] = []

    def look(_model: Any, part: list[Pair]) -> Any:
        seen.append([max(len(pair.preferred), len(pair.non_preferred)) for pair in part])
        return np.array([[len(p.preferred), len(p.non_preferred)] for p in part], float).view(Numbers)

    monkeypatch.setattr(dpo, "log_probabilities", look)
    weight = SimpleNamespace(numel=lambda: 1_000_000, device=SimpleNamespace(type="cpu"))
    text = SimpleNamespace(to_dict=lambda: config)
    model = SimpleNamespace(parameters=lambda: [weight], config=SimpleNamespace(get_text_config=lambda: text))
    chosen: dict[str, Any] = {"batch_size": 4, "max_length": 2048} | settings
    start = {"n_epochs": 1, "learning_rate": 1e-4, "learning_rate_multiplier": 1.0, "tuning": "full"}
    objective = METHODS["dpo"].objective(CommonSettings(**start, lora_rank=None, lora_alpha=None, **chosen))
    objective.prepare(model, [[pair] for pair in pairs], folder / "reference.npy", _nothing)
    assert objective._reference == {id(p): (len(p.preferred), len(p.non_preferred)) for p in pairs}
    return seen


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: Any) -> None: ...


def test_short_pairs_of_a_small_model_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = passes_of([pair_of(8) for _ in range(40)], SMALL, tmp_path, monkeypatch)
    assert list(map(len, passes)) == [16, 16, 8]


@pytest.mark.parametrize(
    ("length", "config"), [(2048, SMALL), (256, LARGE), (2048, LARGE)], ids=["long", "large", "both"]
)
def test_long_rows_and_large_vocabularies_take_fewer(
    length: int, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = passes_of([pair_of(length) for _ in range(20)], config, tmp_path, monkeypatch)
    most = max(map(len, passes))
    assert 1 <= most < 16
    logits = 2 * most * length * config["vocab_size"]
    assert most == 1 or logits <= memory.LOGITS_OF_A_PASS["cpu"]


def test_what_a_training_step_takes_is_enough_for_a_pass() -> None:
    """The memory is there: gradients and the optimizer are not yet."""
    for config in (SMALL, LARGE):
        shape = memory.shape_of(config, num_parameters=10**6)
        assert shape is not None
        for length in (64, 2048):
            settings = CommonSettings(1, 4, 1e-4, 1.0, "full", None, None, max_length=length)
            rows = {"longest_row": length, "sequences": 2}
            need = memory.estimate(shape, settings, gpu=False, **rows)
            tokens = memory.tokens_without_gradients(shape, settings, gpu=False, **rows)
            one_layer = Shape(shape.num_parameters, 1, *(getattr(shape, name) for name in OTHERS))
            looking = memory._activations(one_layer, settings, tokens) + 8 * tokens * shape.vocabulary
            assert looking <= need.total - need.weights - need.program


OTHERS = ("hidden", "key_value_size", "inner", "vocabulary")


def test_one_long_pair_does_not_slow_the_short_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair_of(8), pair_of(1500), *(pair_of(8) for _ in range(15))]
    passes = passes_of(pairs, SMALL, tmp_path, monkeypatch)
    assert sorted(map(sorted, passes)) == [[8] * 16, [1500]]


def test_the_passes_are_those_of_base_settings_and_length_whatever_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is run again computes the same, also on a fuller machine."""
    pairs = [pair_of(100 + n) for n in range(30)]
    first = passes_of(pairs, LARGE, tmp_path / "a", monkeypatch)
    monkeypatch.setattr("core.hardware.look", lambda: pytest.fail("what is free was asked"))
    assert passes_of(pairs, LARGE, tmp_path / "b", monkeypatch) == first


@pytest.mark.parametrize("config", [{}, {"vocab_size": 100}])
def test_a_base_that_says_too_little_takes_what_the_training_takes(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = passes_of([pair_of(8) for _ in range(9)], config, tmp_path, monkeypatch)
    assert list(map(len, passes)) == [4, 4, 1]


def test_the_reference_is_the_same_in_passes_of_any_size(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = []
    for most in (16, 1):
        monkeypatch.setattr(dpo, "MOST_AT_ONCE", most)
        loop = make_loop(tiny_base, tmp_path / str(most), method="dpo", rows=rows_for("dpo", 9))
        every = [[row] for row in loop.train]
        loop.objective.prepare(loop.model, every, tmp_path / f"{most}.npy", loop.measuring)
        references.append(np.load(tmp_path / f"{most}.npy"))
    np.testing.assert_allclose(*references, atol=1e-4)
