"""A training from its rows to its draft, the same for every method.

The order of work: read and tokenize, split off validation rows, load the base, run the loop, write the draft.
torch and transformers are imported only when ``train`` runs, in the worker.
"""

import shutil
import time
from collections.abc import Sequence
from typing import Any

from core import hardware, storage
from core.training import checkpoints, examples, pretrained
from core.training.distributed import ALONE, World
from core.training.examples import TokenizedRows
from core.training.hyperparameters import Settings
from core.training.loop import Loop, LoopState
from core.training.method import Interrupted, Method, Outcome, Report, Rows, TrainingFailed, TrainingTask
from core.training.samples import Sampler


def train(method: Method, task: TrainingTask, report: Report, *, world: World = ALONE) -> Outcome:
    """Raises Interrupted on a wish, TrainingFailed, DiskFull.

    Every process of a world calls it; the first writes the draft.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    hardware.set_up_torch(threads=task.threads)
    began = time.monotonic()
    tokenizer = pretrained.load_tokenizer(task.weights)
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
    return Outcome(
        draft=task.draft,
        kind="full" if settings.tuning == "full" else "adapter",
        trained_tokens=state.tokens,
        metrics=_metrics(state, chosen),
    )


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
    if reading.empty:
        report.event(
            f"{len(reading.empty):,} rows have nothing to learn within that length and were left out.",
            level="warn",
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
