"""Adam's own settings: as ever where they are left alone, and in every step where they are chosen."""

from pathlib import Path
from typing import Any

import pytest

from core.training import Hyperparameters, resolve
from tests.core.training.shared import make_loop

CHOSEN: dict[str, Any] = {"adam_beta1": 0.5, "adam_beta2": 0.75, "adam_epsilon": 1e-3}
RATE = 0.01
STEADY = {"learning_rate": RATE, "schedule": "constant", "warmup_share": 0.0, "samples_every": 0}


def test_left_alone_the_optimizer_is_what_it_was() -> None:
    auto = resolve(Hyperparameters(), num_examples=50, num_parameters=10**6, context_length=512)
    assert (auto.adam_beta1, auto.adam_beta2, auto.adam_epsilon) == (0.9, 0.99, 1e-8)


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf")])
def test_what_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Hyperparameters(**{name: value})


def test_the_ends_are_those_that_adam_bears() -> None:
    for name in ("adam_beta1", "adam_beta2"):
        assert getattr(Hyperparameters(**{name: 0.0}), name) == 0
        with pytest.raises(ValueError, match=name):
            Hyperparameters(**{name: 1.0})
    with pytest.raises(ValueError, match="adam_epsilon"):
        Hyperparameters(adam_epsilon=0.0)


def test_every_step_is_the_one_that_the_formula_gives(tiny_base: Path, tmp_path: Path) -> None:
    """Kingma and Ba, 2015 (https://arxiv.org/abs/1412.6980), algorithm 1, over three steps."""
    import torch

    loop = make_loop(tiny_base, tmp_path, **STEADY, **CHOSEN)
    name, weight = next(iter(loop.weights.items()))
    expected, first, second = weight.detach().clone(), torch.zeros_like(weight), torch.zeros_like(weight)
    step = loop.optimizer.step

    def note() -> None:
        nonlocal first, second
        assert weight.grad is not None
        first = 0.5 * first + 0.5 * weight.grad
        second = 0.75 * second + 0.25 * weight.grad**2
        done = loop.state.step + 1
        size = (first / (1 - 0.5**done)) / ((second / (1 - 0.75**done)).sqrt() + 1e-3)
        expected.sub_(RATE * size)
        step()

    loop.optimizer.step = note  # type: ignore[method-assign]
    for _ in range(3):
        loop.take_step()
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-6, msg=name)


def test_a_resumed_training_goes_on_with_them(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    whole = make_loop(tiny_base, tmp_path / "whole", n_epochs=1, **STEADY, **CHOSEN)
    whole.run()
    begun = make_loop(tiny_base, tmp_path / "parts", n_epochs=1, **STEADY, **CHOSEN)
    for _ in range(3):
        begun.take_step()
    begun.save()
    resumed = make_loop(tiny_base, tmp_path / "parts", n_epochs=1, **STEADY, **CHOSEN)
    resumed.run()
    assert all(group["betas"] == (0.5, 0.75) for group in resumed.optimizer.param_groups)
    for name, weight in whole.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name
