"""Every method, all weights and LoRA, fresh, resumed and killed:
each learns, and each goes on as if nothing had happened."""

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.training import METHODS, checkpoints
from core.training.loop import Loop
from core.training.method import Interrupted, Wish
from tests.core.training.shared import STARTER, Kept, ask, make_loop, prefer, rows_for, weights_at

pytestmark = pytest.mark.slow

TUNINGS = ("full", "lora")
# All of them in ./test.sh everything; the short part runs each method once, and kills one
SHORT = {("supervised", "lora"), ("dpo", "full"), ("continued", "full")}
PAIRS = [
    pytest.param(
        method,
        tuning,
        marks=() if (method, tuning) in SHORT else pytest.mark.long,
        id=f"{method}-{tuning}",
    )
    for method in METHODS
    for tuning in TUNINGS
]
PAUSES = [
    pytest.param(
        method,
        tuning,
        marks=() if (method, tuning) == ("supervised", "lora") else pytest.mark.long,
        id=f"{method}-{tuning}",
    )
    for method in METHODS
    for tuning in TUNINGS
]
STEPS, EVERY = 24, 5  # steps of a run, and between two checkpoints
# training loss below which a run has learned; of another method half of what it began with
LEARNED = {"supervised": 0.5, "dpo": 0.45, "continued": 0.7}
# what could break a resume: randomness, packing, accumulation; of another method ``ACCUMULATED``
ACCUMULATED: dict[str, Any] = {"gradient_accumulation": 2, "batch_size": 2}
HARD: dict[str, dict[str, Any]] = {
    "supervised": {"packing": True, "max_length": 64, "gradient_accumulation": 2, "batch_size": 2},
    "dpo": ACCUMULATED,
    "continued": {"packing": True, "max_length": 64, "gradient_checkpointing": True},
}


def loop_of(method: str, tuning: str, folder: Path, report: Any = None) -> Loop:
    """A run of ``STEPS`` steps that writes a checkpoint at every ``EVERY``-th of them."""
    rows = rows_for(method, 32)
    asked = HARD.get(method, ACCUMULATED) | ({"lora_dropout": 0.1} if tuning == "lora" else {})
    loop = make_loop(
        STARTER, folder, method=method, rows=rows[:24], validation=rows[24:], tuning=tuning, report=report,
        n_epochs=50, max_steps=STEPS, evaluate_every=6, samples_every=0, **asked,
    )  # fmt: skip
    loop.checkpoint_seconds = 0.0
    loop._saving_is_cheap = lambda: loop.state.step % EVERY == 0  # type: ignore[method-assign]
    return loop


@pytest.fixture(scope="module")
def straight_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Loop]:
    """``straight_of(method, tuning)``: the run that nothing happened to.

    Each is made once and only looked at.
    """

    @functools.cache
    def run(method: str, tuning: str) -> Loop:
        loop = loop_of(method, tuning, tmp_path_factory.mktemp(f"{method}-{tuning}"))
        loop.run()
        return loop

    return run


def weights_of(loop: Loop) -> dict[str, Any]:
    return {name: weight.detach().numpy().copy() for name, weight in loop.weights.items()}


def assert_same(one: Loop, other: Loop) -> None:
    """To the bit: the numbers of each step that both have seen, and every weight at the end."""
    steps = {step.step: step for step in one.report.steps}
    for step in other.report.steps:
        mine = steps[step.step]
        assert (mine.train_loss, mine.grad_norm, mine.learning_rate, mine.tokens, mine.extra) == (
            step.train_loss, step.grad_norm, step.learning_rate, step.tokens, step.extra,
        )  # fmt: skip
    assert other.report.valid.items() <= one.report.valid.items()
    theirs = weights_of(other)
    for name, weight in weights_of(one).items():
        assert np.array_equal(weight, theirs[name]), name
    for split, log in one.row_losses.items():
        assert np.array_equal(log.losses, other.row_losses[split].losses), split


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_a_fresh_run_learns(straight_of: Callable[[str, str], Loop], method: str, tuning: str) -> None:
    loop = straight_of(method, tuning)
    losses = loop.report.losses
    assert len(losses) == STEPS
    assert np.mean(losses[-4:]) < LEARNED.get(method, losses[0] / 2) < losses[0]
    assert list(loop.report.valid) == [6, 12, 18, 24]
    assert loop.report.valid[24] < loop.report.valid[6]


class PausesAt(Kept):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.at = step

    def wish(self) -> Wish | None:
        return Wish.PAUSE if self.steps and self.steps[-1].step >= self.at else None


@pytest.mark.parametrize(
    ("method", "tuning"),
    [
        pytest.param(
            method, tuning, marks=() if (method, tuning) == ("supervised", "lora") else pytest.mark.long
        )
        for method in METHODS
        for tuning in TUNINGS
    ],
)
def test_a_paused_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, straight_of: Callable[[str, str], Loop], method: str, tuning: str
) -> None:
    straight, first = straight_of(method, tuning), loop_of(method, tuning, tmp_path / "b", PausesAt(8))
    with pytest.raises(Interrupted):
        first.run()
    assert checkpoints.steps(tmp_path / "b")[-1] == 8
    second = loop_of(method, tuning, tmp_path / "b")
    second.run()
    assert [step.step for step in second.report.steps] == list(range(9, STEPS + 1))
    assert_same(straight, second)


class DiesAt(Kept):
    """Ends its process without warning: after a step, or while a checkpoint is written."""

    def __init__(self, step: int, *, saving: bool) -> None:
        super().__init__()
        self.at, self.saving = step, saving

    def step(self, facts: Any) -> None:
        super().step(facts)
        if facts.step == self.at and not self.saving:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_die(method: str, tuning: str, folder: str, step: int, saving: bool) -> None:
    loop = loop_of(method, tuning, Path(folder), DiesAt(step, saving=saving))
    write = loop.write_model

    def die_while_writing(place: Path) -> None:
        write(place)
        if loop.state.step >= step and saving:
            os.kill(os.getpid(), signal.SIGKILL)

    loop.write_model = die_while_writing
    loop.run()


MOMENTS = {"any step": (13, False), "first step": (1, False), "while saving": (10, True)}
KILLS = [
    pytest.param(
        method,
        tuning,
        *MOMENTS[moment],
        id=f"{method}-{tuning}-{moment}",
        marks=() if (method, tuning, moment) == ("supervised", "lora", "any step") else pytest.mark.long,
    )
    for method in METHODS
    for tuning in TUNINGS
    for moment in MOMENTS
]


@pytest.fixture(scope="module")
def processes() -> Any:
    """Processes that have torch loaded when they begin."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["torch", "transformers", "peft", "tests.core.training"])
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
@pytest.mark.parametrize(("method", "tuning", "step", "saving"), KILLS)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path,
    processes: Any,
    straight_of: Callable[[str, str], Loop],
    method: str,
    tuning: str,
    step: int,
    saving: bool,
) -> None:
    straight = straight_of(method, tuning)
    process = processes.Process(target=run_and_die, args=(method, tuning, str(tmp_path / "b"), step, saving))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    checkpoints.clear_leftovers(tmp_path / "b")
    assert checkpoints.steps(tmp_path / "b") == {1: [], 13: [5, 10], 10: [5]}[step]
    second = loop_of(method, tuning, tmp_path / "b")
    second.run()
    assert_same(straight, second)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_preferred_answers_move_ahead_on_pairs_it_never_saw(tmp_path: Path, tuning: str) -> None:
    rows = rows_for("dpo", 40)
    loop = make_loop(
        STARTER,
        tmp_path,
        method="dpo",
        rows=rows[:28],
        validation=rows[28:],
        tuning=tuning,
        n_epochs=3,
        samples_every=0,
    )
    loop.run()
    margins = [extra["valid_reward_margin"] for extra in loop.report.extra.values()]
    assert margins == sorted(margins)  # before the first step every margin is 0
    assert margins[-1] > margins[0] > 0
    assert list(loop.report.extra.values())[-1]["valid_reward_accuracy"] == 1.0


def test_only_the_last_answer_of_a_preference_is_compared(tmp_path: Path) -> None:
    one = prefer("Fine?", "Yes.", "No.")
    longer = type(one)(
        [*ask("Hello", "Hi there, how are you?").messages, *one.messages], one.preferred, one.non_preferred
    )
    loop = make_loop(STARTER, tmp_path, method="dpo", rows=[one, longer, one, longer])
    assert loop.train[0].num_learned == loop.train[1].num_learned
    assert len(loop.train[0]) < len(loop.train[1])


def test_packed_rows_have_the_losses_of_single_rows(tmp_path: Path) -> None:
    rows = [ask(f"What is {n}?", "It is " + "very " * (n % 5) + "fine.") for n in range(12)]
    single = make_loop(STARTER, tmp_path / "a", rows=rows, batch_size=16)
    packed = make_loop(STARTER, tmp_path / "b", rows=rows, batch_size=16, packing=True, max_length=48)
    assert 1 < len(packed.units) < len(rows)
    assert max(packed.lengths) <= 48
    one, other = single.backward(single.order.rows(0))[0], packed.backward(packed.order.rows(0))[0]
    assert one == pytest.approx(other, abs=1e-4)
    assert single.row_losses["train"].losses == pytest.approx(packed.row_losses["train"].losses, abs=1e-3)
    for name, weight in single.weights.items():
        assert float((weight.grad - packed.weights[name].grad).abs().max()) < 1e-3, name


def test_logits_are_computed_for_learned_tokens_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(STARTER, tmp_path, batch_size=6)
    seen: list[int] = []
    head = loop.model.get_output_embeddings()
    head.register_forward_hook(lambda _module, given, _made: seen.append(given[0].shape[:-1].numel()))
    units = loop.order.rows(0)
    loss, _ = loop.backward(units)
    assert seen == [sum(loop.train[row].num_learned for unit in units for row in loop.units[unit])]
    gradients = {name: weight.grad.clone() for name, weight in loop.weights.items()}
    loop.optimizer.zero_grad()
    # as of a model without a head of its own
    monkeypatch.setattr(loop.model, "get_output_embeddings", lambda: None)
    assert loop.backward(units)[0] == pytest.approx(loss, rel=1e-6)
    for name, weight in loop.weights.items():
        np.testing.assert_allclose(weight.grad, gradients[name], atol=1e-5)


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    rows = rows_for("supervised", 16)
    large = make_loop(STARTER, tmp_path / "a", rows=rows, batch_size=8, n_epochs=3, samples_every=0)
    small = make_loop(
        STARTER, tmp_path / "b", rows=rows, batch_size=2, gradient_accumulation=4, n_epochs=3, samples_every=0
    )
    large.run()
    small.run()
    assert large.total == small.total == 6
    assert large.report.losses == pytest.approx(small.report.losses, abs=1e-3)


def test_it_stops_early_and_knows_the_best_step(tmp_path: Path) -> None:
    rows = rows_for("supervised", 30)
    other = [ask(f"Say {n}", "Something else entirely, over and over") for n in range(6)]
    loop = make_loop(
        STARTER,
        tmp_path,
        rows=rows,
        validation=other,
        n_epochs=50,
        evaluate_every=4,
        early_stopping=3,
        keep="best",
        samples_every=0,
    )
    state = loop.run()
    assert state.is_over
    assert state.step < loop.total
    assert state.best_step == min(loop.report.valid, key=loop.report.valid.__getitem__)
    assert state.step == state.best_step + 3 * 4
    assert checkpoints.model_folder(tmp_path, state.best_step).is_dir()
    assert any("Stopped early" in told for told in loop.report.told)


def test_the_model_in_a_checkpoint_is_the_model_of_that_step(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    loop = make_loop(STARTER, tmp_path, n_epochs=2, samples_every=0)
    loop.run()
    stored = AutoModelForCausalLM.from_pretrained(checkpoints.model_folder(tmp_path, loop.state.step))
    for name, weight in stored.named_parameters():
        assert np.array_equal(weight.detach().numpy(), loop.weights[name].detach().numpy()), name


@pytest.mark.parametrize("tuning", TUNINGS)
def test_an_adapter_goes_on_as_an_adapter_or_is_merged(tmp_path: Path, tuning: str) -> None:
    import torch

    first = make_loop(STARTER, tmp_path / "a", tuning="lora", n_epochs=4, samples_every=0)
    first.run()
    base = weights_at(STARTER, adapter=checkpoints.model_folder(tmp_path / "a", first.state.step))
    further = make_loop(base, tmp_path / "b", tuning=tuning, n_epochs=1, samples_every=0)
    assert all(("lora_" in name) == (tuning == "lora") for name in further.weights)
    with torch.no_grad():
        loss = further.objective.losses(further.model, [[row] for row in further.train])
    mean = float(loss.total) / further.objective.weight(further.train)
    assert mean == pytest.approx(first.report.losses[-1], abs=0.3)
    further.run()
    assert further.report.losses[-1] < first.report.losses[0] / 2


def test_named_layers_get_the_adapter_and_wrong_names_are_told(tmp_path: Path) -> None:
    from core.training.method import TrainingFailed

    loop = make_loop(STARTER, tmp_path, tuning="lora", lora_targets="q_proj, v_proj")
    assert {name.split(".")[-4] for name in loop.weights} == {"q_proj", "v_proj"}
    loop = make_loop(STARTER, tmp_path, tuning="lora", lora_targets="mlp")
    assert {name.split(".")[-4] for name in loop.weights} == {"gate_proj", "up_proj", "down_proj"}
    with pytest.raises(TrainingFailed, match="no layer named nose_proj"):
        make_loop(STARTER, tmp_path, tuning="lora", lora_targets="q_proj,nose_proj")


def test_samples_are_asked_of_prompts_and_of_the_worst_rows(tmp_path: Path) -> None:
    rows = rows_for("supervised", 24)
    odd = ask("Tell me", "zyx wvu tsr qpo nml")
    loop = make_loop(
        STARTER,
        tmp_path,
        rows=rows,
        validation=[*rows[:5], odd],
        prompts=["What is item 3?"],
        n_epochs=12,
        samples_every=36,
    )
    loop.run()
    assert list(loop.report.samples) == [36, 72]
    last = loop.report.samples[72]
    assert [s.kind for s in last] == ["fixed", "worst", "worst", "worst"]
    assert (last[0].prompt, last[0].answer, last[0].expected) == ("What is item 3?", "It is drawer 3.", None)
    assert (last[1].prompt, last[1].expected, last[1].line) == ("Tell me", "zyx wvu tsr qpo nml", 6)
    assert last[1].loss == pytest.approx(float(loop.report.row_losses["validation"].losses.max()))


@pytest.mark.parametrize("loss_on", ["answers", "all"])
def test_a_row_is_asked_up_to_its_last_answer_whatever_is_learned(tmp_path: Path, loss_on: str) -> None:
    one, two = ask("One?", "First answer."), ask("Two?", "Second answer.")
    rows = [one, type(one)([*ask("Hello", "Hi.").messages, *two.messages])]
    loop = make_loop(STARTER, tmp_path, rows=rows, loss_on=loss_on)
    with loop.measuring():
        asked = loop.sampler.take(loop.model, [], np.array([]))
    assert [one.expected for one in asked] == ["First answer.", "Second answer."]
    assert asked[1].prompt.endswith("Two?")


def test_the_hardest_rows_are_known_by_their_lines(tmp_path: Path) -> None:
    rows = [*rows_for("supervised", 20), ask("Tell me", "zyx wvu tsr qpo nml kji")]
    loop = make_loop(STARTER, tmp_path, rows=rows, n_epochs=4, samples_every=0)
    loop.run()
    found = loop.report.row_losses["train"]
    assert int(found.lines[np.argmax(found.losses)]) == 21
    assert np.isfinite(found.losses).all()
    assert (found.first > found.losses).mean() > 0.8


def test_a_loss_that_runs_away_raises_one_alert(tmp_path: Path) -> None:
    loop = make_loop(STARTER, tmp_path, samples_every=0)
    for step in range(60):
        loop.state.step = step
        loop._watch(0.5 if step < 30 else 6.0)
    assert loop.report.alerts == ["diverged"]


def test_a_slow_first_step_does_not_spoil_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.training import loop as module

    loop = make_loop(STARTER, tmp_path, max_steps=10, n_epochs=10, samples_every=0)
    clock = iter([100.0, 100.0, 101.0, 102.0])  # the first step ends at 100 s, then one a second
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    for step in (1, 2, 3):
        loop.state.step = step
        loop._tell(1e-3, 1.0, {})
    monkeypatch.undo()
    assert [told.eta_seconds for told in loop.report.steps] == [None, 8.0, 7.0]
