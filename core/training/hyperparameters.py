"""The settings of a training: what a person may choose, and what ``auto`` becomes.

The form, the API schema, the command line and the page in the docs are made from :class:`Hyperparameters`;
every field carries its own help. ``resolve`` is a pure function of what was asked, the size of the data and
the size of the model, so the plan shown before the start is what the worker runs.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from core.fields import Input

Auto = Literal["auto"]
FULL_UP_TO_PARAMETERS = 100_000_000  # below it all weights fit a laptop's memory with their optimizer
CHECKPOINTING_FROM_PARAMETERS = 2_000_000_000  # from here on activations are computed twice rather than kept
MAX_EPOCHS = 50
MAX_LORA_TARGETS = 500  # characters
DEFAULT_BETA = 0.1  # Rafailov et al. 2023
EARLY_STOPPING = 5  # evaluations without improvement, when it is asked for without a number


def _field(title: str, help: str, section: str, *, methods: tuple[str, ...] = (), basic: bool = False) -> Any:
    """A setting that may stay ``auto``. ``methods``: it means something only there; none: everywhere."""
    extra: dict[str, Any] = {"section": section, "advanced": not basic, "methods": list(methods)}
    return Field("auto", title=title, description=help, json_schema_extra=extra)


class Hyperparameters(Input):
    """How to train. ``auto`` is a good choice everywhere."""

    # Length
    n_epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | Auto = _field(
        "Epochs", "How often the model sees every row. Auto: more for fewer rows.", "Length", basic=True
    )
    max_steps: Annotated[int, Field(ge=1, le=10_000_000)] | Auto = _field(
        "Most steps",
        "The training ends after this many steps, whatever the epochs say. Auto: no limit.",
        "Length",
    )
    early_stopping: Annotated[int, Field(ge=0, le=100)] | Auto = _field(
        "Early stopping",
        "End after this many evaluations without a lower validation loss; 0 never ends early. Auto: 0.",
        "Length",
    )

    # What is tuned
    tuning: Literal["full", "lora", "qlora"] | Auto = _field(
        "What is tuned",
        (
            "Full: all weights, learns most. LoRA: a small adapter, needs less memory. QLoRA: "
            "an adapter over a 4-bit base, needs least and a CUDA GPU. Auto: full for small models."
        ),
        "What is tuned",
        basic=True,
    )
    lora_rank: Annotated[int, Field(ge=1, le=256)] | Auto = _field(
        "LoRA rank",
        "Size of the adapter; a higher rank learns more and needs more memory. Auto: 16.",
        "What is tuned",
    )
    lora_alpha: Annotated[int, Field(ge=1, le=1024)] | Auto = _field(
        "LoRA alpha",
        "Strength of the adapter: its output is scaled by alpha over rank. Auto: twice the rank.",
        "What is tuned",
    )
    lora_dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | Auto = _field(
        "LoRA dropout",
        "Share of the adapter's input that is left out at random, against learning by heart. Auto: 0.",
        "What is tuned",
    )
    lora_targets: (
        Annotated[str, Field(min_length=1, max_length=MAX_LORA_TARGETS, pattern=r"^[A-Za-z0-9_.,\- ]+$")]
        | Auto
    ) = _field(
        "LoRA targets",
        (
            "Which layers get an adapter: all-linear, attention, mlp, or names such as q_proj, v_proj. Auto: "
            "all-linear."
        ),
        "What is tuned",
    )

    # What is learned
    loss_on: Literal["answers", "all"] | Auto = _field(
        "Loss on",
        "Answers: only what the assistant says is learned. All: the questions too. Auto: answers.",
        "What is learned",
        methods=("supervised",),
    )
    beta: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] | Auto = _field(
        "Beta",
        f"How closely the model stays to its base; smaller lets it move further. Auto: {DEFAULT_BETA}.",
        "What is learned",
        methods=("dpo",),
        basic=True,
    )
    max_length: Annotated[int, Field(ge=16, le=131072)] | Auto = _field(
        "Longest row",
        "Rows longer than this many tokens are cut. Auto: what the model can read, at most 2,048.",
        "What is learned",
    )
    packing: bool | Auto = _field(
        "Packing",
        (
            "Puts short rows behind each other into one sequence, each blind to the others; "
            "saves padding on a GPU. Auto: off."
        ),
        "What is learned",
        methods=("supervised", "continued"),
    )

    # Optimizer
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | Auto = _field(
        "Learning rate multiplier",
        "Scales the automatic learning rate; below 1 is gentler. Auto: 1.",
        "Optimizer",
        basic=True,
    )
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | Auto = _field(
        "Learning rate",
        "The peak learning rate itself. Auto: from the size of the model, the method and what is tuned.",
        "Optimizer",
    )
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = _field(
        "Batch size",
        "Rows per pass and device. Larger is steadier and needs more memory. Auto: from the rows.",
        "Optimizer",
    )
    gradient_accumulation: Annotated[int, Field(ge=1, le=1024)] | Auto = _field(
        "Gradient accumulation",
        "Batches that make one step: the effect of a larger batch without its memory. Auto: 1.",
        "Optimizer",
    )
    schedule: Literal["cosine", "linear", "constant"] | Auto = _field(
        "Schedule", "How the learning rate falls after the warm-up. Auto: cosine.", "Optimizer"
    )
    warmup_share: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] | Auto = _field(
        "Warm-up", "Share of the steps in which the learning rate rises from zero. Auto: 0.05.", "Optimizer"
    )
    weight_decay: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | Auto = _field(
        "Weight decay",
        "Pulls weights towards zero at each step, against learning by heart. Auto: 0.",
        "Optimizer",
    )
    max_grad_norm: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | Auto = _field(
        "Gradient clipping",
        "Longer gradients are shortened to this norm; 0 leaves them. Auto: 1.",
        "Optimizer",
    )

    # Memory
    precision: Literal["float32", "bfloat16"] | Auto = _field(
        "Precision",
        (
            "bfloat16 computes faster and with less memory where the hardware has it, float32 exactly. Auto: "
            "bfloat16 on a GPU that has it, else float32."
        ),
        "Memory and speed",
    )
    gradient_checkpointing: bool | Auto = _field(
        "Gradient checkpointing",
        (
            "Computes activations twice instead of keeping them: about a third slower, much less memory. "
            "Auto: on for large models."
        ),
        "Memory and speed",
    )

    # Evaluation
    evaluate_every: Annotated[int, Field(ge=1, le=1_000_000)] | Auto = _field(
        "Evaluate every",
        "Steps between two measurements of the validation loss. Auto: each epoch, at most 30 in all.",
        "Evaluation",
    )
    samples_every: Annotated[int, Field(ge=0, le=1_000_000)] | Auto = _field(
        "Samples every",
        (
            "Steps between two rounds of sample answers; 0 writes none. Auto: with evaluations, "
            "at most 8 rounds in all."
        ),
        "Evaluation",
    )
    keep: Literal["best", "last"] | Auto = _field(
        "Which checkpoint becomes the model",
        (
            "Best: the one with the lowest validation loss. Last: the end of the training. Auto: "
            "best with early stopping, else last."
        ),
        "Evaluation",
    )


def rows_per_step(batch_size: int, gradient_accumulation: int, num_processes: int) -> int:
    """Rows, or packed sequences, that one step learns from: each process takes its own batches of it."""
    return batch_size * gradient_accumulation * num_processes


@dataclass(frozen=True)
class Settings:
    """Hyperparameters with every ``auto`` decided. None: no limit, or decided once the rows are read."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    learning_rate_multiplier: float
    tuning: str
    lora_rank: int | None
    lora_alpha: int | None
    max_length: int
    warmup_share: float = 0.05
    weight_decay: float = 0.0
    max_steps: int | None = None
    early_stopping: int = 0
    lora_dropout: float = 0.0
    lora_targets: str | None = None
    loss_on: str = "answers"
    beta: float | None = None
    packing: bool = False
    gradient_accumulation: int = 1
    schedule: str = "cosine"
    max_grad_norm: float = 1.0
    precision: str = "float32"
    gradient_checkpointing: bool = False
    evaluate_every: int | None = None
    samples_every: int | None = None
    keep: str = "last"

    def rows_per_step(self, num_processes: int = 1) -> int:
        """What one step learns from, over all processes."""
        return rows_per_step(self.batch_size, self.gradient_accumulation, num_processes)

    def steps_per_epoch(self, num_rows: int, *, num_processes: int = 1) -> int:
        """Steps in which every row is learned once; the last one may have fewer rows.

        ``num_rows``: rows to learn, without those kept for validation; of packed rows, the sequences.
        """
        return math.ceil(num_rows / self.rows_per_step(num_processes))

    def total_steps(self, num_rows: int, *, num_processes: int = 1) -> int:
        """Of the whole training, unless it ends early. ``num_rows`` as in ``steps_per_epoch``."""
        steps = self.n_epochs * self.steps_per_epoch(num_rows, num_processes=num_processes)
        return min(steps, self.max_steps) if self.max_steps else steps


def resolve(
    asked: Hyperparameters,
    *,
    num_examples: int,
    num_parameters: int,
    context_length: int,
    method: str = "supervised",
    gpu: bool = False,
) -> Settings:
    """Decide every ``auto`` for this much data and this model.

    ``gpu``: it will run on one that computes bfloat16.
    """

    def chosen(name: str, automatic: Any) -> Any:
        value = getattr(asked, name)
        return automatic if value == "auto" else value

    batch_size = chosen("batch_size", _auto_batch_size(num_examples))
    accumulation = chosen("gradient_accumulation", 1)
    tuning = chosen("tuning", _auto_tuning(num_parameters))
    adapter = tuning != "full"
    rank = chosen("lora_rank", 16) if adapter else None
    multiplier = chosen("learning_rate_multiplier", 1.0)
    patience = chosen("early_stopping", 0)
    return Settings(
        n_epochs=chosen("n_epochs", _auto_epochs(num_examples, batch_size * accumulation, tuning, method)),
        max_steps=chosen("max_steps", None),
        early_stopping=patience,
        tuning=tuning,
        lora_rank=rank,
        lora_alpha=chosen("lora_alpha", 2 * rank) if rank else None,
        lora_dropout=chosen("lora_dropout", 0.0) if adapter else 0.0,
        lora_targets=chosen("lora_targets", "all-linear") if adapter else None,
        loss_on="all"
        if method == "continued"
        else chosen("loss_on", "answers")
        if method == "supervised"
        else "answers",
        beta=chosen("beta", DEFAULT_BETA) if method == "dpo" else None,
        max_length=min(context_length, chosen("max_length", 2048)),
        packing=chosen("packing", False) if method != "dpo" else False,
        learning_rate=chosen("learning_rate", _auto_learning_rate(num_parameters, tuning, method))
        * multiplier,
        learning_rate_multiplier=multiplier,
        batch_size=batch_size,
        gradient_accumulation=accumulation,
        schedule=chosen("schedule", "cosine"),
        warmup_share=chosen("warmup_share", 0.05),
        weight_decay=chosen("weight_decay", 0.0),
        max_grad_norm=chosen("max_grad_norm", 1.0),
        precision=chosen("precision", "bfloat16" if gpu else "float32"),
        gradient_checkpointing=chosen(
            "gradient_checkpointing", num_parameters >= CHECKPOINTING_FROM_PARAMETERS
        ),
        evaluate_every=chosen("evaluate_every", None),
        samples_every=chosen("samples_every", None),
        keep=chosen("keep", "best" if patience else "last"),
    )


def _auto_batch_size(num_examples: int) -> int:
    return 4 if num_examples <= 100 else 8 if num_examples <= 2000 else 16


def _auto_epochs(num_examples: int, rows_per_step: int, tuning: str, method: str) -> int:
    """Enough steps to learn a small table by heart, few passes where there is much to read.

    Measured on the starter and 72 rows in batches of 4: all weights know every answer after 216 steps, LoRA
    all of them after 900. Preferences need few passes: more of them push both answers down (Rafailov et al.
    2023 train one epoch).
    """
    if method == "dpo":
        return 3 if num_examples <= 2000 else 1
    wanted_steps = 300 if tuning == "full" else 1000
    fewest = 3 if num_examples <= 20_000 else 1
    return max(fewest, min(MAX_EPOCHS, math.ceil(wanted_steps * rows_per_step / max(1, num_examples))))


def _auto_tuning(num_parameters: int) -> str:
    return "full" if num_parameters <= FULL_UP_TO_PARAMETERS else "lora"


def _auto_learning_rate(num_parameters: int, tuning: str, method: str) -> float:
    """2.5e-3 at a million parameters (measured), falling
    with the square root of the size; LoRA bears twice as much.

    Preferences are learned at a twentieth of that: the loss is about differences, and large steps make both
    answers unlikely.
    """
    full = min(3e-3, max(1e-5, 2.5e-3 * math.sqrt(1.3e6 / max(1, num_parameters))))
    rate = full if tuning == "full" else 2 * full
    return rate / 20 if method == "dpo" else rate
