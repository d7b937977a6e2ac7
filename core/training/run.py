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
from core.training import asking, checkpoints, examples, pretrained
from core.training.distributed import ALONE, World
from core.training.examples import TokenizedRows
from core.training.hyperparameters import Settings
from core.training.loop import Loop, LoopState
from core.training.method import Interrupted, Method, Outcome, Report, Rows, TrainingFailed, TrainingTask
from core.training.samples import Sampler
from core.weights import Weights


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
    learned, held_out, settings = _read(task, tokenizer, report)
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
    report.event(
        f"Asked {of} of its rows, the model stops by itself: {stopped} of {of}.{more}",
        level="info" if stopped == of else "warn",
        data=stops,
    )
    return {"stops_by_itself": stops}


def _read(task: TrainingTask, tokenizer: Any, report: Report) -> tuple[list[Any], list[Any], Settings]:
    """(rows to learn, rows to validate on, settings for so many)"""
    first = task.settings_for(0)  # what it says about reading does not depend on the number of rows
    reading = examples.read(_watched(task.train(), report), tokenizer, first)
    learned, held_out = examples.split(reading.items, fraction=task.validation_fraction, seed=task.seed)
    if task.validation:
        held_out = examples.read(task.validation(), tokenizer, first).items
    settings = task.settings_for(len(learned))
    _tell_about_data(reading, learned, held_out, settings, report)
    return learned, held_out, settings


def _watched(rows: Rows, report: Report) -> Rows:
    """The rows; ends when somebody asked for it, since a long dataset takes minutes to read."""
    for count, row in enumerate(rows):
        if count % 256 == 0 and (wish := report.wish()):
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
    if len(learned) < examples.FEWEST_ROWS:
        raise TrainingFailed(
            f"Only {len(learned)} rows have something to learn; at least {examples.FEWEST_ROWS} are needed.",
            code="invalid_training_file",
        )
    tokens, trained = sum(map(len, learned)), sum(item.num_learned for item in learned)
    held = f", {len(held_out):,} rows kept for validation" if held_out else ""
    report.event(
        f"{len(learned):,} rows to learn, {tokens:,} tokens, {trained / tokens:.0%} of them learned{held}.",
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
        report.event(
            f"{len(reading.cut):,} rows are longer than {settings.max_length:,} tokens and were cut.",
            level="warn",
        )
    _tell_about_template(reading, report)
    if reading.empty:
        report.event(
            f"{len(reading.empty):,} rows have nothing to learn within that length and were left out.",
            level="warn",
        )


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
