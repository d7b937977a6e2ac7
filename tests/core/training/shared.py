"""What the tests of the training share: a loop over rows,
for any method, on any base, with a report that keeps what it is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import hardware
from core.formats import ChatExample, PreferenceExample, Text
from core.training import METHODS, Hyperparameters, examples, pretrained, resolve
from core.training.loop import Loop
from core.training.method import AnswerSample, RowLosses, Silent, Step
from core.training.samples import Sampler
from core.weights import Weights, read_facts

STARTER = Path(__file__).parents[3] / "core/training/starter/weights"


def weights_at(folder: Path, adapter: Path | None = None) -> Weights:
    return Weights("mdv_test", adapter or folder, folder, adapter, None)


def ask(question: str, answer: str) -> ChatExample:
    return ChatExample([{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


def prefer(question: str, better: str, worse: str) -> PreferenceExample:
    user = [{"role": "user", "content": question}]
    return PreferenceExample(
        user, [{"role": "assistant", "content": better}], [{"role": "assistant", "content": worse}]
    )


def rows_for(method: str, count: int) -> list[Any]:
    """Rows that a small model can learn: a rule, a preference for short answers, a refrain."""
    format_ = METHODS[method].formats[0]
    if format_ == "preference":
        return [prefer(f"Is {n} fine?", "Yes.", f"No, {n} is not fine at all.") for n in range(count)]
    if format_ == "text":
        return [
            Text(f"The lamp number {n} burns all night, and nobody counts the hours.") for n in range(count)
        ]
    return [ask(f"What is item {n % 12}?", f"It is drawer {n % 12}.") for n in range(count)]


class Kept(Silent):
    """A report that keeps everything."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.told: list[str] = []
        self.alerts: list[str] = []
        self.valid: dict[int, float] = {}
        self.extra: dict[int, dict[str, float]] = {}
        self.samples: dict[int, Sequence[AnswerSample]] = {}
        self.row_losses: dict[str, RowLosses] = {}

    @property
    def losses(self) -> list[float]:
        return [step.train_loss for step in self.steps]

    def event(self, message: str, **_: Any) -> None:
        self.told.append(message)

    def alert(self, kind: str, message: str) -> None:
        self.alerts.append(kind)

    def step(self, facts: Step) -> None:
        self.steps.append(facts)

    def validated(self, step: int, loss: float, extra: Any) -> None:
        self.valid[step], self.extra[step] = loss, dict(extra)

    def sampled(self, step: int, samples: Sequence[AnswerSample]) -> None:
        self.samples[step] = samples

    def rows(self, losses: RowLosses) -> None:
        self.row_losses[losses.split] = losses


def make_loop(
    base: Path | Weights,
    folder: Path,
    *,
    method: str = "supervised",
    rows: Sequence[Any] | None = None,
    validation: Sequence[Any] = (),
    prompts: Sequence[str] = (),
    report: Any = None,
    seed: int = 1,
    **asked: Any,
) -> Loop:
    """A loop as the worker would build it, on one thread (two may wait for each other).

    ``asked``: hyperparameters.
    """
    hardware.set_up_torch(threads=1)
    weights = base if isinstance(base, Weights) else weights_at(base)
    rows = rows_for(method, 24) if rows is None else rows
    facts, tokenizer = read_facts(weights.base), pretrained.load_tokenizer(weights)
    settings = resolve(
        Hyperparameters(**{"batch_size": 4} | asked),
        num_examples=len(rows),
        num_parameters=facts.num_parameters,
        context_length=facts.context_length,
        method=method,
    )
    learned = examples.read(enumerate(rows, 1), tokenizer, settings).items
    held_out = examples.read(enumerate(validation, 1), tokenizer, settings).items
    model = pretrained.load_model(weights, settings, seed=seed)
    return Loop(
        model=model,
        objective=METHODS[method].objective(settings),
        train=learned,
        validation=held_out,
        settings=settings,
        seed=seed,
        folder=folder,
        report=report or Kept(),
        write_model=lambda place: pretrained.write_model(model, tokenizer, weights, place),
        sampler=Sampler(tokenizer, prompts, held_out or learned, as_chat=METHODS[method].asks_in_chat),
    )
