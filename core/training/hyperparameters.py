"""The settings of a training: what a person may choose, and what ``auto`` becomes.

The form, the API schema, the command line and the page in the docs are made from ``Hyperparameters``, which
has the common settings and those that methods add; every field carries its own help. ``resolve`` is a pure
function of what was asked, the size of the data and the size of the model, so the plan shown before the start
is what the worker runs.
"""

import math
from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model

from core.fields import Input
from core.training.method import Method
from core.training.methods import DEFAULT_METHOD, METHODS, OWN_SETTINGS
from core.training.settings import ADAM_BETA1, ADAM_BETA2, ADAM_EPSILON, Auto, CommonSettings
from core.training.settings import setting_field as _field

FULL_UP_TO_PARAMETERS = 100_000_000  # below it all weights fit a laptop's memory with their optimizer
CHECKPOINTING_FROM_PARAMETERS = 2_000_000_000  # from here on activations are computed twice rather than kept
MAX_EPOCHS = 50
MAX_LORA_TARGETS = 500  # characters
EARLY_STOPPING = 5  # evaluations without improvement, when it is asked for without a number


class CommonHyperparameters(Input):
    """What may be chosen for every method, unless the method fixes it."""

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
            "an adapter over a 4-bit base, needs least, a CUDA GPU and the package bitsandbytes. "
            "Auto: full for small models, else LoRA."
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
    )
    max_length: Annotated[int, Field(ge=16, le=131072)] | Auto = _field(
        "Longest row",
        "Rows longer than this many tokens are cut. Auto: what the model can read, at most 2,048.",
        "What is learned",
    )
    packing: bool | Auto = _field(
        "Packing",
        (
            "Puts short rows behind each other into one sequence, each blind to the others; saves padding "
            "on a GPU. Refused for bases that cannot keep rows apart, such as OPT or Mamba. Auto: off."
        ),
        "What is learned",
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
    adam_beta1: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | Auto = _field(
        "Adam beta 1",
        f"How long the optimizer remembers past gradients; 0 not at all. Auto: {ADAM_BETA1}.",
        "Optimizer",
    )
    adam_beta2: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | Auto = _field(
        "Adam beta 2",
        f"How long it remembers their squares, which scale each weight's step. Auto: {ADAM_BETA2}.",
        "Optimizer",
    )
    adam_epsilon: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | Auto = _field(
        "Adam epsilon",
        f"Added to what each weight's step is divided by, so that it is never zero. Auto: {ADAM_EPSILON:g}.",
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


def _all_fields() -> dict[str, Any]:
    """Every setting as (type, field): the common ones, and behind those of its section what a method adds.

    Each names the methods for which it means something; none where it does for all.
    """
    common = CommonHyperparameters.model_fields
    fields: dict[str, tuple[Any, Any]] = {name: (info.annotation, info) for name, info in common.items()}
    for own in OWN_SETTINGS.values():
        fields[own.name] = (own.kind | Auto, _field(own.title, own.help, own.section, basic=own.basic))
    by_section: dict[str, dict[str, Any]] = {}
    for name, (kind, info) in fields.items():
        having = [method.name for method in METHODS.values() if _means_something(name, method)]
        info.json_schema_extra["methods"] = having if len(having) < len(METHODS) else []
        by_section.setdefault(info.json_schema_extra["section"], {})[name] = (kind, info)
    return {name: field for section in by_section.values() for name, field in section.items()}


def _means_something(name: str, method: Method) -> bool:
    """Whether a person may choose this setting of this method."""
    is_anothers = name in OWN_SETTINGS and OWN_SETTINGS[name] not in method.settings
    return name not in method.fixed and not is_anothers


if TYPE_CHECKING:  # what methods add is known when this module is loaded, and only they name it
    Hyperparameters = CommonHyperparameters
    Settings = CommonSettings
else:
    Hyperparameters = create_model(
        "Hyperparameters",
        __base__=Input,
        __doc__="How to train. ``auto`` is a good choice everywhere.",
        __module__=__name__,
        **_all_fields(),
    )
    Settings = make_dataclass(
        "Settings",
        [(name, Any, None) for name in OWN_SETTINGS],
        bases=(CommonSettings,),
        namespace={"__doc__": CommonSettings.__doc__, "__module__": __name__},
        frozen=True,
    )


def resolve(
    asked: Hyperparameters,
    *,
    num_examples: int,
    num_parameters: int,
    context_length: int,
    method: str = DEFAULT_METHOD,
    gpu: bool = False,
) -> Settings:
    """Decide every ``auto`` for this much data and this model.

    ``method``: a name of ``METHODS``. ``gpu``: it will run on one that computes bfloat16.
    """
    learning = METHODS[method]

    def chosen(name: str, automatic: Any) -> Any:
        value = getattr(asked, name)
        return learning.fixed.get(name, automatic if value == "auto" else value)

    batch_size = chosen("batch_size", _auto_batch_size(num_examples))
    accumulation = chosen("gradient_accumulation", 1)
    tuning = chosen("tuning", _auto_tuning(num_parameters))
    adapter = tuning != "full"
    rank = chosen("lora_rank", 16) if adapter else None
    multiplier = chosen("learning_rate_multiplier", 1.0)
    patience = chosen("early_stopping", 0)
    return Settings(
        n_epochs=chosen("n_epochs", _auto_epochs(num_examples, batch_size * accumulation, tuning, learning)),
        max_steps=chosen("max_steps", None),
        early_stopping=patience,
        tuning=tuning,
        lora_rank=rank,
        lora_alpha=chosen("lora_alpha", 2 * rank) if rank else None,
        lora_dropout=chosen("lora_dropout", 0.0) if adapter else 0.0,
        lora_targets=chosen("lora_targets", "all-linear") if adapter else None,
        loss_on=chosen("loss_on", "answers"),
        max_length=min(context_length, chosen("max_length", 2048)),
        packing=chosen("packing", False),
        learning_rate=chosen("learning_rate", _auto_learning_rate(num_parameters, tuning, learning))
        * multiplier,
        learning_rate_multiplier=multiplier,
        batch_size=batch_size,
        gradient_accumulation=accumulation,
        schedule=chosen("schedule", "cosine"),
        warmup_share=chosen("warmup_share", 0.05),
        weight_decay=chosen("weight_decay", 0.0),
        max_grad_norm=chosen("max_grad_norm", 1.0),
        adam_beta1=chosen("adam_beta1", ADAM_BETA1),
        adam_beta2=chosen("adam_beta2", ADAM_BETA2),
        adam_epsilon=chosen("adam_epsilon", ADAM_EPSILON),
        precision=chosen("precision", "bfloat16" if gpu else "float32"),
        gradient_checkpointing=chosen(
            "gradient_checkpointing", num_parameters >= CHECKPOINTING_FROM_PARAMETERS
        ),
        evaluate_every=chosen("evaluate_every", None),
        samples_every=chosen("samples_every", None),
        keep=chosen("keep", "best" if patience else "last"),
        **{own.name: chosen(own.name, own.automatic) for own in learning.settings},
    )


def _auto_batch_size(num_examples: int) -> int:
    return 4 if num_examples <= 100 else 8 if num_examples <= 2000 else 16


def _auto_epochs(num_examples: int, rows_per_step: int, tuning: str, method: Method) -> int:
    """Enough steps to learn a small table by heart, few passes where there is much to read.

    Measured on the starter and 72 rows in batches of 4: all weights know every answer after 216 steps, LoRA
    all of them after 900. A method may know better.
    """
    if method.auto_epochs:
        return method.auto_epochs(num_examples)
    wanted_steps = 300 if tuning == "full" else 1000
    fewest = 3 if num_examples <= 20_000 else 1
    return max(fewest, min(MAX_EPOCHS, math.ceil(wanted_steps * rows_per_step / max(1, num_examples))))


def _auto_tuning(num_parameters: int) -> str:
    return "full" if num_parameters <= FULL_UP_TO_PARAMETERS else "lora"


def _auto_learning_rate(num_parameters: int, tuning: str, method: Method) -> float:
    """2.5e-3 at a million parameters (measured), falling
    with the square root of the size; LoRA bears twice as much, some methods less."""
    full = min(3e-3, max(1e-5, 2.5e-3 * math.sqrt(1.3e6 / max(1, num_parameters))))
    return (full if tuning == "full" else 2 * full) / method.learning_rate_divisor
