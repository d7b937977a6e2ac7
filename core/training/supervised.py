"""Supervised fine-tuning: the model learns to give the answers of the data. All weights, or a LoRA adapter.

The order of work: read and tokenize, split off validation rows, load the base, run the loop, write the draft. torch and
transformers are imported here only when ``train`` runs, in the worker.
"""

import time
from collections.abc import Sequence

from core.training import examples, pretrained
from core.training.examples import Reading, Tokens
from core.training.hyperparameters import Settings
from core.training.loop import Loop
from core.training.method import Interrupted, Method, Outcome, Report, Rows, Task, TrainingFailed

FEW_ROWS = 10


def train(task: Task, report: Report) -> Outcome:
    """Raises Interrupted on a wish, TrainingFailed, DiskFull."""
    import torch

    torch.set_num_threads(task.threads)
    began = time.monotonic()
    tokenizer = pretrained.load_tokenizer(task.base)
    max_length = task.settings_for(0).max_length  # does not depend on the number of rows
    reading = examples.read(_watched(task.train(), report), tokenizer, max_length=max_length)
    learned, held_out = examples.split(reading.sequences, fraction=task.validation_fraction, seed=task.seed)
    if task.validation:
        held_out = examples.read(task.validation(), tokenizer, max_length=max_length).sequences
    settings = task.settings_for(len(learned))
    _tell_about_data(reading, learned, held_out, settings, report)
    _check_wish(report)
    model = pretrained.load_model(task.base, settings, seed=task.seed)
    _tell_about_model(model, settings, report, seconds=time.monotonic() - began)
    loop = Loop(model, learned, held_out, settings, task.seed, task.folder, report, task.checkpoint_seconds)
    state = loop.run()
    pretrained.save_draft(model, tokenizer, task.base, task.draft)
    return Outcome(
        draft=task.draft,
        kind="adapter" if settings.tuning == "lora" else "full",
        trained_tokens=state.tokens,
        metrics={"train_loss": state.train_loss, "valid_loss": state.valid_loss, "steps": state.step},
    )


def _watched(rows: Rows, report: Report) -> Rows:
    """The rows, with an ear for the wish to end: a long dataset takes minutes to read."""
    for count, row in enumerate(rows):
        if count % 256 == 0:
            _check_wish(report)
        yield row


def _check_wish(report: Report) -> None:
    if wish := report.wish():
        raise Interrupted(wish, 0)


def _tell_about_data(
    reading: Reading, learned: Sequence[Tokens], held_out: Sequence[Tokens], settings: Settings, report: Report
) -> None:
    if len(learned) < 2:
        raise TrainingFailed(
            f"Only {len(learned)} rows have something to learn; at least 2 are needed.", code="invalid_training_file"
        )
    tokens = sum(len(s) for s in learned)
    held = f", {len(held_out):,} rows kept for validation" if held_out else ""
    report.event(
        f"{len(learned):,} rows to learn, {tokens:,} tokens{held}.",
        data={"num_examples": len(learned), "num_validation": len(held_out), "num_tokens": tokens},
    )
    if len(learned) < FEW_ROWS:
        report.event("These are very few rows: the model will repeat them rather than learn from them.", level="warn")
    if reading.cut:
        report.event(f"{reading.cut:,} rows are longer than {settings.max_length:,} tokens and were cut.", level="warn")
    if reading.empty:
        report.event(f"{reading.empty:,} rows have nothing to learn within that length and were left out.", level="warn")


def _tell_about_model(model: object, settings: Settings, report: Report, *, seconds: float) -> None:
    count = sum(p.numel() for p in pretrained.trainable(model).values())
    report.event(
        f"Training {count:,} weights ({'LoRA adapter' if settings.tuning == 'lora' else 'all of them'}), "
        f"{settings.n_epochs} epochs of batches of {settings.batch_size}, learning rate {settings.learning_rate:.2g}.",
        data={"trainable_parameters": count, "seconds_to_load": round(seconds, 1)},
    )


SUPERVISED = Method(
    name="supervised",
    title="Supervised fine-tuning",
    help="The model learns to give the answers in your data.",
    formats=("chat", "completion", "text"),
    train=train,
)
