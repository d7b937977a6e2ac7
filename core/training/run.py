"""A training from its rows to its draft, the same for every method.

The order of work: read and tokenize, split off validation rows, load the base, run the loop, write the draft.
torch and transformers are imported only when ``train`` runs, in the worker.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from core import chat_templates, hardware, storage
from core.chat_templates import TemplateFinding
from core.formats.sentences import CutAway, count, kept_otherwise, same_answers, too_few, were_cut, why_empty
from core.training import asking, checkpoints, examples, pretrained
from core.training.distributed import ALONE, World
from core.training.examples import TokenizedRows
from core.training.hyperparameters import Settings
from core.training.loop import Loop, LoopState
from core.training.method import Interrupted, Method, Outcome, Report, Rows, TrainingFailed, TrainingTask
from core.training.samples import Sampler
from core.training.settings import CommonSettings
from core.weights import Weights, read_facts


def train(method: Method, task: TrainingTask, report: Report, *, world: World = ALONE) -> Outcome:
    """Raises Interrupted on a wish, TrainingFailed, DiskFull.

    Every process of a world calls it; the first writes the draft.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    hardware.set_up_torch(threads=task.threads)
    tokenizer = pretrained.load_tokenizer(task.weights)
    findings = _check_template(method, task, tokenizer)
    learned, metrics, settings = _learn(method, task, tokenizer, report, world)
    kind: Literal["full", "adapter"] = "full" if settings.tuning == "full" else "adapter"
    if world.is_first and method.asks_in_chat:
        metrics |= _ask_again(task, kind, learned, report)
    return Outcome(
        draft=task.draft,
        kind=kind,
        trained_tokens=metrics.pop("trained_tokens"),
        metrics=metrics,
        chat_template=[asdict(finding) for finding in findings],
    )


def _learn(
    method: Method, task: TrainingTask, tokenizer: Any, report: Report, world: World
) -> tuple[list[Any], dict[str, Any], Settings]:
    """From the rows to the draft: (the rows learned, metrics, settings). Afterwards no model is in memory."""
    began = time.monotonic()
    learned, held_out, settings = read_rows(task, tokenizer, report)
    if world.size == 1 and (wish := report.wish()):
        raise Interrupted(wish, 0)
    model = pretrained.load_model(task.weights, settings, seed=task.seed, device=_device(world))
    _tell_about_model(model, settings, report, seconds=time.monotonic() - began)
    loop = Loop(
        model=model,
        objective=method.objective(settings),
        train=learned,
        validation=held_out,
        settings=settings,
        seed=task.seed,
        folder=task.folder,
        report=report,
        write_model=lambda folder: pretrained.write_model(model, tokenizer, task.weights, folder),
        sampler=Sampler(tokenizer, task.sample_prompts, held_out or learned, as_chat=method.asks_in_chat)
        if settings.samples_every != 0
        else None,
        world=world,
        pinned=task.pinned,
        checkpoint_seconds=task.checkpoint_seconds,
    )
    state = loop.run()
    chosen = state.best_step if settings.keep == "best" and state.best_step else state.step
    if world.is_first:
        _write_draft(task, model, tokenizer, step=chosen, is_last=chosen == state.step, report=report)
    return learned, {**_metrics(state, chosen), "trained_tokens": state.tokens}, settings


def _check_template(method: Method, task: TrainingTask, tokenizer: Any) -> list[TemplateFinding]:
    """What the base's chat template does that people should know. Raises TrainingFailed where it would spoil
    the model."""
    if not method.asks_in_chat:
        return []
    findings = chat_templates.check(
        tokenizer, ends=chat_templates.ends_of_folder(tokenizer, task.weights.base)
    )
    if wrong := chat_templates.sentences(findings, "error"):
        raise TrainingFailed(wrong[0], code="invalid_chat_template")
    return findings


def _ask_again(task: TrainingTask, kind: str, learned: Sequence[Any], report: Report) -> dict[str, Any]:
    """``stops_by_itself`` for the metrics, where prompts could be asked."""
    base, adapter = (task.draft, None) if kind == "full" else (task.weights.base, task.draft)
    made = Weights(task.weights.version_id, task.draft, base, adapter, None)
    lines = sorted({item.line for item in learned})
    stops = asking.stops_by_itself(made, task.train(), lines, report)
    if stops is None:
        return {}
    stopped, of = stops["stopped"], stops["of"]
    more = "" if stopped == of else " An answer that does not stop goes on to the limit: train longer."
    if unfinished := stops.get("unfinished"):
        more = f" Still being written after {asking.SECONDS:.0f} s on this machine: {unfinished}."
    report.event(
        f"Asked {of} of its rows, the model stops by itself: {stopped} of {of}.{more}",
        level="info" if stopped == of else "warn",
        data=stops,
    )
    return {"stops_by_itself": stops}


def read_rows(task: TrainingTask, tokenizer: Any, report: Report) -> tuple[list[Any], list[Any], Settings]:
    """(rows to learn, rows to validate on, settings for so many)"""
    first = task.settings_for(0)  # what it says about reading does not depend on the number of rows
    reading = examples.read(_watched(task.train(), report), tokenizer, first)
    learned, held_out = examples.split(reading.items, fraction=task.validation_fraction, seed=task.seed)
    if len(learned) < examples.FEWEST_ROWS:
        raise _too_few(reading, learned, first, task)
    _tell_about_split(reading, held_out, task.validation_fraction, report)
    if task.validation:
        measured = examples.read(task.validation(), tokenizer, first)
        held_out = measured.items
        for why in _why_empty(measured, first):
            report.event(f"Validation: {why}", level="warn")
    settings = task.settings_for(len(learned))
    _tell_about_data(reading, learned, held_out, settings, report)
    return learned, held_out, settings


def _too_few(
    reading: TokenizedRows, learned: Sequence[Any], settings: CommonSettings, task: TrainingTask
) -> TrainingFailed:
    """Why: what was cut away, what has no weight, and what was kept for validation."""
    why = _why_empty(reading, settings, context_length=read_facts(task.weights.base).context_length)
    left, some = len(_lines(learned)), len(_lines(reading.items))
    message = too_few(left, some + len(reading.empty), fewest=examples.FEWEST_ROWS, why=why, kept=some - left)
    return TrainingFailed(message, code="invalid_training_file")


def _why_empty(
    reading: TokenizedRows, settings: CommonSettings, *, context_length: int | None = None
) -> list[str]:
    """A sentence for each cause for which rows have nothing to learn."""
    return why_empty(
        CutAway.of(reading.needed),
        num_empty=len(reading.empty),
        num_unweighted=reading.num_unweighted,
        num_rows=len(_lines(reading.items)) + len(reading.empty),
        max_length=settings.max_length,
        context_length=context_length,
    )


def _lines(items: Sequence[Any]) -> set[int]:
    """A long text is several items."""
    return {item.line for item in items}


def _tell_about_split(
    reading: TokenizedRows, held_out: Sequence[Any], fraction: float, report: Report
) -> None:
    """Equal rows stay on one side, so another share than was asked for may be kept, or none."""
    lines = _lines(reading.items)
    message = kept_otherwise(
        len(_lines(held_out)),
        asked=examples.num_held_out(len(lines), fraction),
        num_rows=len(lines),
        num_distinct=len({item.key for item in reading.items}),
    )
    if message:
        report.event(message, level="warn")


def _watched(rows: Rows, report: Report) -> Rows:
    """The rows; ends when somebody asked for it, since a long dataset takes minutes to read."""
    for number, row in enumerate(rows):
        if number % 256 == 0 and (wish := report.wish()):
            raise Interrupted(wish, 0)
        yield row


def _device(world: World) -> str:
    import torch

    return f"cuda:{world.local}" if torch.cuda.is_available() else "cpu"


def _write_draft(
    task: TrainingTask, model: Any, tokenizer: Any, *, step: int, is_last: bool, report: Report
) -> None:
    if is_last:
        return pretrained.save_draft(model, tokenizer, task.weights, task.draft)
    report.event(
        f"The checkpoint of step {step} had the lowest validation loss: it becomes the model.",
        data={"step": step},
    )
    with storage.publishing(task.draft) as folder:
        shutil.copytree(
            checkpoints.model_folder(task.folder, step),
            folder,
            dirs_exist_ok=True,
            copy_function=storage.link,
        )
    return None


def _metrics(state: LoopState, chosen: int) -> dict[str, Any]:
    best = state.best_loss if state.best_step else None
    return {
        "train_loss": state.train_loss,
        "valid_loss": best if chosen == state.best_step else state.valid_loss,
        "best_valid_loss": best,
        "best_step": state.best_step,
        "steps": state.step,
        "step": chosen,
    }


def _tell_about_data(
    reading: TokenizedRows,
    learned: Sequence[Any],
    held_out: Sequence[Any],
    settings: Settings,
    report: Report,
) -> None:
    tokens, trained = sum(map(len, learned)), sum(item.num_learned for item in learned)
    held = f", {count(len(held_out), 'row')} kept for validation" if held_out else ""
    facts = f"{count(len(learned), 'row')} to learn, {count(tokens, 'token')}"
    report.event(
        f"{facts}, {trained / tokens:.0%} of them learned{held}.",
        data={
            "num_examples": len(learned),
            "num_validation": len(held_out),
            "num_tokens": tokens,
            "num_learned": trained,
        },
    )
    if len(learned) < examples.FEW_ROWS:
        report.event(examples.very_few(len(learned)), level="warn")
    if reading.cut:
        report.event(were_cut(len(reading.cut), max_length=settings.max_length), level="warn")
    for why in _why_empty(reading, settings):
        report.event(why, level="warn")
    if reading.same:
        report.event(same_answers(len(reading.same), len(reading.items)), level="warn")
    _tell_about_template(reading, report)


def _tell_about_template(reading: TokenizedRows, report: Report) -> None:
    if reading.apart:
        several = "1 conversation" if reading.apart == 1 else f"{reading.apart:,} conversations"
        report.event(
            (
                f"In {several} the chat template writes earlier answers otherwise than the last: each is "
                "learned in a sequence of its own, as it will be asked for."
            ),
            data={"num_apart": reading.apart},
        )
    if reading.typed:
        line, token = next(iter(reading.typed.items()))
        is_text = bool(reading.items) and reading.items[0].answer_at is None
        how = "as the tokens that they are" if is_text else "as text"
        count = len(reading.typed)
        holds = "1 row holds" if count == 1 else f"{count:,} rows hold"
        report.event(
            f"{holds} control tokens of the base in the text, the first in line {line:,} ({token}). "
            f"They are learned {how}.",
            level="warn",
            data={"lines": list(reading.typed)[:100]},
        )


def _tell_about_model(model: object, settings: Settings, report: Report, *, seconds: float) -> None:
    count = sum(p.numel() for p in pretrained.trainable(model).values())
    what = {"full": "all of them", "lora": "LoRA adapter", "qlora": "LoRA adapter over a 4-bit base"}[
        settings.tuning
    ]
    report.event(
        (
            f"Training {count:,} weights ({what}), {settings.n_epochs} epochs of batches of "
            f"{settings.batch_size}, learning rate {settings.learning_rate:.2g}."
        ),
        data={"trainable_parameters": count, "seconds_to_load": round(seconds, 1)},
    )
