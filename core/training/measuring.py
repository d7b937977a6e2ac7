"""How good a model is on given rows: the loss of its method and,
where there are answers to give, how many it gives exactly.

The numbers are those of the training: the same reading of rows, the same objective, the same precision. torch
is imported only when ``measure`` runs, in a process of its own.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core import hardware
from core.training import examples, pretrained
from core.training.batches import split_to_fit
from core.training.hyperparameters import Settings
from core.training.loop import MAX_LOGITS
from core.training.method import Method, Rows, TrainingFailed
from core.training.objective import Objective
from core.training.samples import generate
from core.weights import Weights

MAX_ROWS = 2000  # of more rows so many are measured, evenly spread
MAX_ANSWERS = 200
ANSWERS_AT_ONCE = 16
LONGEST_ANSWER = 256  # tokens
SHOWN_ANSWERS, SHOWN_CHARACTERS = 10, 500
LOSS_SHARE = 0.5  # of the work, where answers are asked for as well


@dataclass(frozen=True)
class Wanted:
    """What to measure. ``start``: what the training started from, which some methods compare with.
    ``held_out``: only the share of the rows that the training kept for validation, as (fraction, seed).
    ``with_answers``: whether the rows have answers."""

    method: Method
    settings: Settings
    weights: Weights
    start: Weights
    rows: Callable[[], Rows]
    held_out: tuple[float, int] | None
    with_answers: bool
    threads: int


def measure(wanted: Wanted, progress: Callable[[float], None]) -> dict[str, Any]:
    """``loss``, ``accuracy`` and so on by the method, ``exact_match`` (a share), counts and some answers.

    Raises TrainingFailed.
    """
    hardware.set_up_torch(threads=wanted.threads)
    tokenizer = pretrained.load_tokenizer(wanted.weights)
    items = _items(wanted, tokenizer)
    objective = wanted.method.objective(wanted.settings)
    if wanted.method.compares_with_start:
        _compare_with_start(wanted, objective, items)
    model = _load(wanted.weights, wanted.settings)
    share = LOSS_SHARE if wanted.with_answers else 1.0
    with _measuring(model, wanted.settings):
        metrics = _losses(model, objective, items, wanted.settings, lambda done: progress(done * share))
        if wanted.with_answers:
            metrics |= _answers(
                model,
                tokenizer,
                _spread(items, MAX_ANSWERS),
                lambda done: progress(share + done * (1 - share)),
            )
    return {**metrics, "num_rows": len(items)}


def _items(wanted: Wanted, tokenizer: Any) -> list[Any]:
    items = examples.read(wanted.rows(), tokenizer, wanted.settings).items
    if wanted.held_out:
        fraction, seed = wanted.held_out
        items = examples.split(items, fraction=fraction, seed=seed)[1]
    if not items:
        raise TrainingFailed(
            "These rows leave nothing to measure within the longest row the training allowed."
        )
    return _spread(items, MAX_ROWS)


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    if len(items) <= most:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, most)]


def _compare_with_start(wanted: Wanted, objective: Objective, items: Sequence[Any]) -> None:
    model = _load(wanted.start, wanted.settings)
    with tempfile.TemporaryDirectory() as folder:
        objective.prepare(
            model,
            [[item] for item in items],
            Path(folder) / "reference.npy",
            lambda: _measuring(model, wanted.settings),
        )


def _load(weights: Weights, settings: Settings) -> Any:
    tuning = "lora" if weights.adapter else "full"
    return pretrained.load_model(
        weights, replace(settings, tuning=tuning, gradient_checkpointing=False), seed=0
    )


@contextmanager
def _measuring(model: Any, settings: Settings) -> Iterator[None]:
    import torch

    model.eval()
    device = next(model.parameters()).device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        yield


def _losses(
    model: Any,
    objective: Objective,
    items: Sequence[Any],
    settings: Settings,
    progress: Callable[[float], None],
) -> dict[str, Any]:
    device = next(model.parameters()).device.type
    most = max(1, MAX_LOGITS[device] // model.config.get_text_config().vocab_size)
    lengths = [len(item) for item in items]
    order = sorted(range(len(items)), key=lengths.__getitem__)
    sums: dict[str, float] = {}
    done = 0
    for part in split_to_fit(order, lengths, max_tokens=most, max_rows=settings.batch_size):
        losses = objective.losses(model, [[items[row]] for row in part], measuring=True)
        for name, value in {"loss": losses.total, **losses.sums}.items():
            sums[name] = sums.get(name, 0.0) + float(value)
        done += len(part)
        progress(done / len(items))
    weight = objective.weight(items)
    return {name: value / weight for name, value in sums.items()}


def _answers(
    model: Any, tokenizer: Any, items: Sequence[Any], progress: Callable[[float], None]
) -> dict[str, Any]:
    """Greedy answers to the rows' questions, compared as text."""
    questions = sorted(((item, item.asked) for item in items), key=lambda pair: pair[1])
    results: list[dict[str, Any]] = []
    for start in range(0, len(questions), ANSWERS_AT_ONCE):
        some = questions[start : start + ANSWERS_AT_ONCE]
        longest = min(LONGEST_ANSWER, max(len(item) - place for item, place in some) + 8)
        texts = generate(
            model,
            tokenizer,
            [[int(i) for i in item.ids[:place]] for item, place in some],
            max_new_tokens=longest,
        )
        for (item, place), answer in zip(some, texts, strict=True):
            results.append(_compared(tokenizer, item, place, answer))
        progress(len(results) / len(questions))
    exact = sum(one["is_right"] for one in results)
    shown = sorted(results, key=lambda one: (one["is_right"], one["line"]))[:SHOWN_ANSWERS]
    return {"exact_match": exact / len(results), "num_answers": len(results), "answers": shown}


def _compared(tokenizer: Any, item: Any, place: int, answer: str) -> dict[str, Any]:
    prompt, expected = (
        str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
        for ids in (item.ids[:place], item.ids[place:])
    )
    texts = {"prompt": prompt, "expected": expected, "answer": answer}
    cut = {name: text[:SHOWN_CHARACTERS] for name, text in texts.items()}
    return {"line": item.line, "is_right": answer == expected, **cut}
