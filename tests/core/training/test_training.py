"""What a training learns, in which order and at which pace:
masks, batches, schedule, settings, checkpoints, the loop."""

import math
from pathlib import Path
from typing import Any

import pytest

from core.errors import Detail
from core.formats import ChatExample, Text
from core.training import (
    METHODS,
    Hyperparameters,
    batches,
    checkpoints,
    examples,
    pretrained,
    resolve,
    schedule,
)
from core.training.batches import BatchOrder
from core.training.loop import Loop
from core.training.method import Silent, TrainingFailed
from core.training.methods.supervised import SUPERVISED
from core.weights import Weights

CHAT = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes, één."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "No."},
]
UNMARKED = (
    "{%- for m in messages -%}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)


@pytest.fixture
def tokenizer(tiny_base: Path) -> Any:
    return pretrained.load_tokenizer(weights_at(tiny_base))


def weights_at(folder: Path, adapter: Path | None = None) -> Weights:
    return Weights("mdv_test", adapter or folder, folder, adapter, None)


def settings_of(max_length: int = 128, *, method: str = "supervised", **asked: Any) -> Any:
    return resolve(
        Hyperparameters(max_length=max(16, max_length), **asked),
        num_examples=12,
        num_parameters=30_000,
        context_length=max_length,
        method=method,
    )


def learned_text(tokenizer: Any, messages: list[dict[str, Any]]) -> str:
    (one,) = examples.render(ChatExample(messages), tokenizer, settings_of())
    return str(tokenizer.decode([i for i, bit in zip(one.ids, one.learned, strict=True) if bit]))


@pytest.mark.parametrize("template", [None, UNMARKED])
def test_only_the_answers_and_their_end_are_learned(tokenizer: Any, template: str | None) -> None:
    tokenizer.chat_template = template or tokenizer.chat_template
    assert learned_text(tokenizer, CHAT) == "Yes, één.<|end|>No.<|end|>"


def test_an_answer_of_weight_zero_is_read_but_not_learned(tokenizer: Any) -> None:
    messages = [CHAT[0], CHAT[1] | {"weight": 0}, *CHAT[2:]]
    assert learned_text(tokenizer, messages) == "No.<|end|>"


def test_a_base_without_a_template_gets_the_plain_one(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    assert learned_text(examples.prepare_tokenizer(tokenizer), CHAT) == "Yes, één.<|end|>No.<|end|>"


def test_long_rows_are_cut_and_rows_without_an_answer_left_are_dropped(tokenizer: Any) -> None:
    rows = [(1, ChatExample(CHAT)), (2, ChatExample([{"role": "user", "content": "x" * 50}, CHAT[1]]))]
    reading = examples.read(rows, tokenizer, settings_of(16))
    assert [len(s) for s in reading.items] == [16]
    assert (reading.cut, reading.empty) == ([1, 2], [2])


def test_a_long_text_is_learned_in_windows(tokenizer: Any) -> None:
    reading = examples.read([(1, Text("abcdefghij"))], tokenizer, settings_of(4))
    assert [len(s) for s in reading.items] == [4, 4, 3]
    assert reading.items[-1].ids[-1] == tokenizer.eos_token_id
    assert [s.learned.tolist()[:2] for s in reading.items] == [[False, True]] * 3


def test_a_wrong_row_is_named_by_its_line(tokenizer: Any) -> None:
    with pytest.raises(TrainingFailed, match="Line 7: prompt is empty") as caught:
        examples.read([(7, [Detail("prompt", "is empty")])], tokenizer, settings_of(16))
    assert caught.value.line == 7


def test_the_same_content_is_never_on_both_sides(tokenizer: Any) -> None:
    rows = [(n, Text(f"text number {n % 20}")) for n in range(60)]
    sequences = examples.read(rows, tokenizer, settings_of(32)).items
    learned, held_out = examples.split(sequences, fraction=0.2, seed=1)
    assert (len(learned), len(held_out)) == (48, 12)
    assert not {s.key for s in learned} & {s.key for s in held_out}
    backwards, _ = examples.split(sequences[::-1], fraction=0.2, seed=1)
    assert {s.key for s in backwards} == {s.key for s in learned}


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 40, 101])
def test_as_many_rows_are_held_out_as_the_plan_says(tokenizer: Any, count: int, fraction: float) -> None:
    """The plan counts rows by the same rule by which the training splits them."""
    rows = examples.read([(n, Text(f"text {n}")) for n in range(count)], tokenizer, settings_of(32)).items
    learned, held_out = examples.split(rows, fraction=fraction, seed=1)
    assert len(held_out) == examples.num_held_out(count, fraction)
    assert len(learned) + len(held_out) == count
    assert learned


def test_two_rows_can_be_split(tokenizer: Any) -> None:
    sequences = examples.read([(1, Text("ab")), (2, Text("cd"))], tokenizer, settings_of(8)).items
    assert [len(part) for part in examples.split(sequences, fraction=0.01, seed=1)] == [1, 1]


def test_every_epoch_sees_every_row_once_in_another_order() -> None:
    order = BatchOrder([n % 7 for n in range(103)], batch_size=8, seed=3)
    epochs = [[order.rows(epoch * 13 + step) for step in range(13)] for epoch in range(2)]
    assert all(sorted(row for batch in epoch for row in batch) == list(range(103)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    again = BatchOrder([n % 7 for n in range(103)], batch_size=8, seed=3)
    assert [again.rows(step) for step in range(13, 26)] == epochs[1]


def test_rows_of_a_batch_have_similar_length() -> None:
    lengths = [(n * 37) % 100 for n in range(128)]
    order = BatchOrder(lengths, batch_size=8, seed=1)
    spreads = [
        max(lengths[r] for r in order.rows(s)) - min(lengths[r] for r in order.rows(s)) for s in range(16)
    ]
    assert max(spreads) < 12


def test_a_batch_too_large_for_one_pass_is_split() -> None:
    assert batches.split_to_fit([0, 1, 2, 3], [4, 4, 9, 30], max_tokens=10) == [[0, 1], [2], [3]]


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [schedule.learning_rate(step, total=100, peak=1.0, warmup_share=0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1, abs=0.01)
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates.index(max(rates)) == 9
    assert rates[-1] == pytest.approx(schedule.FLOOR, abs=0.01)


def test_validation_comes_at_epoch_ends_but_not_too_often() -> None:
    every = schedule.evaluation_interval(total=30, steps_per_epoch=10)
    assert [step for step in range(1, 31) if schedule.is_due(step, every=every, total=30)] == [10, 20, 30]
    every = schedule.evaluation_interval(total=1000, steps_per_epoch=5)
    long = [step for step in range(1, 1001) if schedule.is_due(step, every=every, total=1000)]
    assert long[-1] == 1000
    assert len(long) <= schedule.VALIDATIONS


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
def test_every_schedule_starts_at_the_peak_and_ends_at_its_floor(shape: str) -> None:
    rates = [
        schedule.learning_rate(step, total=100, peak=1.0, warmup_share=0.0, shape=shape)
        for step in range(101)
    ]
    assert rates[0] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(1.0 if shape == "constant" else schedule.FLOOR)


def test_every_auto_is_decided_and_every_wish_is_kept() -> None:
    auto = resolve(Hyperparameters(), num_examples=50, num_parameters=1_300_000, context_length=1024)
    assert (auto.tuning, auto.lora_rank) == ("full", None)
    assert 1 <= auto.n_epochs <= 50
    asked = Hyperparameters(
        n_epochs=2, batch_size=3, learning_rate_multiplier=0.5, tuning="lora", lora_rank=4, max_length=5000
    )
    kept = resolve(asked, num_examples=50, num_parameters=1_300_000, context_length=1024)
    assert (kept.n_epochs, kept.batch_size, kept.lora_rank, kept.lora_alpha, kept.max_length) == (
        2,
        3,
        4,
        8,
        1024,
    )
    assert (
        resolve(Hyperparameters(), num_examples=50, num_parameters=10**9, context_length=1024).tuning
        == "lora"
    )
    assert kept.total_steps(50) == 34


def test_small_data_is_seen_more_often_than_large() -> None:
    epochs = [
        resolve(Hyperparameters(), num_examples=n, num_parameters=10**6, context_length=512).n_epochs
        for n in (10, 200, 7473, 10**6)
    ]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] >= 1


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_words_for_people_and_known_formats(name: str) -> None:
    from core.formats import FORMATS

    method = METHODS[name]
    assert method.name == name
    assert method.title
    assert method.help
    assert set(method.formats) <= set(FORMATS)


def test_every_hyperparameter_explains_itself() -> None:
    for name, field in Hyperparameters.model_fields.items():
        assert field.title, name
        assert field.description, name
        assert field.default == "auto", name


def make_loop(
    base: Path, folder: Path, *, rows: int = 12, batch_size: int = 4, validation: int = 0, **asked: Any
) -> Loop:
    """A loop over short made-up chats on the tiny model."""
    tokenizer = pretrained.load_tokenizer(weights_at(base))
    chats = [
        (
            n,
            ChatExample(
                [
                    {"role": "user", "content": "?" * (n % 5 + 1)},
                    {"role": "assistant", "content": f"answer {n}"},
                ]
            ),
        )
        for n in range(rows + validation)
    ]
    hyperparameters = Hyperparameters(**{"n_epochs": 10, "batch_size": batch_size} | asked)
    settings = resolve(hyperparameters, num_examples=rows, num_parameters=30_000, context_length=128)
    items = examples.read(chats, tokenizer, settings).items
    model = pretrained.load_model(weights_at(base), settings, seed=1)
    return Loop(
        model=model,
        objective=SUPERVISED.objective(settings),
        train=items[:rows],
        validation=items[rows:],
        settings=settings,
        seed=1,
        folder=folder,
        report=Quiet(),
        write_model=lambda place: pretrained.write_model(model, tokenizer, weights_at(base), place),
    )


class Quiet(Silent):
    """A report that nobody reads; it keeps the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.told: list[str] = []
        self.alerts: list[str] = []
        self.valid: dict[int, float] = {}

    def event(self, message: str, **_: Any) -> None:
        self.told.append(message)

    def alert(self, kind: str, message: str) -> None:
        self.alerts.append(kind)

    def step(self, facts: Any) -> None:
        self.losses.append(facts.train_loss)

    def validated(self, step: int, loss: float, extra: Any) -> None:
        self.valid[step] = loss


def test_the_loss_falls(tiny_base: Path, tmp_path: Path) -> None:
    loop = make_loop(tiny_base, tmp_path, learning_rate=0.02)
    loop.run()
    losses = loop.report.losses
    assert losses[-1] < losses[0] / 2


def test_the_loss_is_that_of_transformers(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    loop = make_loop(tiny_base, tmp_path)
    rows = loop.order.rows(0)
    ours = loop.backward(rows)[0]
    width = max(len(loop.train[row]) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, row in enumerate(rows):
        tokens = torch.from_numpy(loop.train[row].ids)
        ids[i, : len(tokens)], mask[i, : len(tokens)] = tokens, 1
        labels[i, : len(tokens)] = torch.where(torch.from_numpy(loop.train[row].learned), tokens, -100)
    theirs = loop.model(input_ids=ids, attention_mask=mask, labels=labels).loss.detach()
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_a_split_batch_has_the_same_loss_and_gradient(tiny_base: Path, tmp_path: Path) -> None:
    whole, parts = make_loop(tiny_base, tmp_path), make_loop(tiny_base, tmp_path)
    parts.max_tokens = 1
    rows = whole.order.rows(0)
    assert whole.backward(rows)[0] == pytest.approx(parts.backward(rows)[0], abs=1e-5)
    for name, weight in whole.weights.items():
        difference = (weight.grad - parts.weights[name].grad).abs().max()
        assert float(difference) < 1e-5, name


def test_one_bad_step_is_skipped_and_three_end_it(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(tiny_base, tmp_path)
    whole = Loop.backward
    bad = {2}
    monkeypatch.setattr(
        Loop, "backward", lambda self, rows: (math.nan, {}) if self.state.step in bad else whole(self, rows)
    )
    assert loop.run().step == 30
    assert len(loop.report.losses) == 29
    bad.update({31, 32, 33})
    again = make_loop(tiny_base, tmp_path / "again")
    bad.update({4, 5, 6})
    with pytest.raises(TrainingFailed, match="since step 5"):
        again.run()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tiny_base: Path, tmp_path: Path) -> None:
    loop = make_loop(tiny_base, tmp_path)
    for step in (5, 9):
        loop.state.step = step
        loop.save()
    (tmp_path / "checkpoints" / "step-9" / "state.pt").write_bytes(b"half")
    found = checkpoints.load_latest(tmp_path)
    assert found
    assert found["step"] == 5
    assert checkpoints.steps(tmp_path) == [5]


def test_the_last_two_checkpoints_and_the_best_are_kept(tiny_base: Path, tmp_path: Path) -> None:
    loop = make_loop(tiny_base, tmp_path)
    loop.state.best_step = 2
    for step in (1, 2, 3, 4, 5):
        loop.state.step = step
        loop.save()
    assert checkpoints.steps(tmp_path) == [2, 4, 5]


def test_lora_trains_only_the_adapter(tiny_base: Path, tmp_path: Path) -> None:
    loop = make_loop(tiny_base, tmp_path, tuning="lora", lora_rank=2)
    assert all("lora_" in name for name in loop.weights)
    loop.run()
    assert loop.report.losses[-1] < loop.report.losses[0]
