"""How much memory a training will need, before anything is loaded:
arithmetic on the shape of the model and the settings.

With P weights, T of them trained, L layers of width h (k of them for keys and values), inner width f, V
words, and n tokens in one pass (rows per pass times the longest row; a preference counts twice), in bytes::

    weights      full: 4 P     LoRA: 4 P, or 2 P in bfloat16 on a GPU
                 QLoRA: 0.55 of each linear weight, 4 of each other
    adapter      4 T           LoRA and QLoRA: T = rank · Σ (in + out) over the layers that get one
    gradients    4 T
    optimizer    8 T           AdamW keeps two numbers per weight
    activations  a · n · L · (12 h + 4 k + 4 f)
                 a = 4, or 3 in bfloat16, where norms and sums stay in float32
                 with gradient checkpointing: 4 · n · L · h + one layer of the above
    logits       12 · n · V    the logits, their softmax and their gradient in float32;
                               n at most what the loop puts into one pass
    program      what Python and torch take before a model is there

The terms were compared with what was measured (tests/core/training/test_memory.py): the truth lies within a
third of it for dense Llama-like models. Models with other parts (experts, vision towers) need more; a
measured run tells.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.training.settings import CommonSettings

PROGRAM = {"cpu": 480 * 2**20, "cuda": 600 * 2**20}
LOGITS_OF_A_PASS = {
    "cpu": 64 * 2**20,
    "cuda": 512 * 2**20,
}  # numbers; loop.MAX_LOGITS, which tests/core/training/test_memory.py compares
FOUR_BITS = 0.55  # bytes per weight, its scales included
ALL_LINEAR = ("attention", "mlp")
SHORTEST_ROW, MOST_ACCUMULATION = 128, 1024
SPARE = 0.9  # of what is free may be used: the rest of the machine goes on living
MOST_OFFERED = 4
Candidate = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Shape:
    """Of a dense causal language model. ``key_value_size``: width of keys (and of values) of one layer."""

    num_parameters: int
    layers: int
    hidden: int
    key_value_size: int
    inner: int
    vocabulary: int

    @property
    def linear_parameters(self) -> int:
        """In the layers, without embeddings."""
        h, k, f = self.hidden, self.key_value_size, self.inner
        return self.layers * (2 * h * h + 2 * h * k + 3 * h * f)


@dataclass(frozen=True)
class Need:
    """Bytes, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    program: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Way:
    """Other settings with which it would fit. ``changes``: names of hyperparameters and their values."""

    title: str
    changes: dict[str, Any]
    total: int


def read_shape(folder: Path, *, num_parameters: int) -> Shape | None:
    """From ``config.json``; None where it is missing or says too little."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return shape_of(config, num_parameters=num_parameters)


def shape_of(config: Any, *, num_parameters: int) -> Shape | None:
    """From what stands in a ``config.json``; None where that says too little."""
    try:
        config = config.get("text_config") or config
        hidden = int(config.get("hidden_size") or config["n_embd"])
        heads = int(config.get("num_attention_heads") or config["n_head"])
        layers = int(config.get("num_hidden_layers") or config["n_layer"])
        vocabulary = int(config["vocab_size"])
        head_size = int(config.get("head_dim") or hidden // heads)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden)
    key_value = int(config.get("num_key_value_heads") or heads) * head_size
    return Shape(num_parameters, layers, hidden, key_value, inner, vocabulary)


def estimate(
    shape: Shape, settings: CommonSettings, *, longest_row: int, gpu: bool, sequences: int = 1
) -> Need:
    """Bytes on the device that trains.

    ``longest_row``: tokens of the longest row of the data, before it is cut. ``sequences``: that a row is in
    memory (``Method.sequences_per_row``).
    """
    device = "cuda" if gpu else "cpu"
    trained = _trained(shape, settings)
    tokens = _tokens_of_a_pass(shape, settings, longest_row=longest_row, device=device, sequences=sequences)
    adapter = 0 if settings.tuning == "full" else 4 * trained
    return Need(
        weights=_weights(shape, settings, gpu=gpu) + adapter,
        gradients=4 * trained,
        optimizer=8 * trained,
        activations=_activations(shape, settings, tokens),
        logits=12 * tokens * shape.vocabulary,
        program=PROGRAM[device],
    )


def tokens_without_gradients(
    shape: Shape, settings: CommonSettings, *, longest_row: int, gpu: bool, sequences: int = 1
) -> int:
    """How many tokens, padding included, one pass may have that only measures, before the first step.

    It may take what a step of the training takes beside the weights, and keeps one layer's activations and
    the logits with their softmax; no more logits than the loop allows. A function of base, settings and
    length, not of what is free at the moment: the same training again computes the same.
    """
    device = "cuda" if gpu else "cpu"
    need = estimate(shape, settings, longest_row=longest_row, gpu=gpu, sequences=sequences)
    spare = need.activations + need.logits + need.gradients + need.optimizer
    of_a_token = _layer(shape, settings, 1) + 8 * shape.vocabulary
    fitting = spare // max(1, of_a_token)
    return max(1, min(fitting, LOGITS_OF_A_PASS[device] // max(1, shape.vocabulary)))


def ways_to_fit(
    shape: Shape,
    settings: CommonSettings,
    *,
    longest_row: int,
    free: int,
    gpu: bool,
    four_bits: bool,
    sequences: int = 1,
) -> list[Way]:
    """Settings that fit into ``free`` bytes, those that change the result least first. [] when none does.

    ``four_bits``: a base can be loaded in them there.
    """
    ways: list[Way] = []
    for title, changes in _candidates(settings, longest_row=longest_row, four_bits=four_bits):
        changed = replace(settings, **_known(changes, settings))
        total = estimate(shape, changed, longest_row=longest_row, gpu=gpu, sequences=sequences).total
        if total <= SPARE * free and all(way.changes != changes for way in ways):
            ways.append(Way(title, changes, total))
    return ways[:MOST_OFFERED]


def _candidates(settings: CommonSettings, *, longest_row: int, four_bits: bool) -> list[Candidate]:
    """Each alone, then together; only what changes something."""
    small = {"batch_size": 1, "gradient_accumulation": min(MOST_ACCUMULATION, settings.rows_per_step())}
    checkpointing = {"gradient_checkpointing": True}
    parts: list[Candidate] = [("Batch size 1", small)] if settings.batch_size > 1 else []
    parts += [] if settings.gradient_checkpointing else [("Gradient checkpointing", checkpointing)]
    rows: list[Candidate] = []
    length = min(settings.max_length, longest_row) // 2
    while length >= SHORTEST_ROW:
        rows.append((f"Rows up to {length:,} tokens", {"max_length": length}))
        length //= 2
    adapters: list[Candidate] = [("LoRA", {"tuning": "lora"})] if settings.tuning == "full" else []
    adapters += [("QLoRA", {"tuning": "qlora"})] if four_bits and settings.tuning != "qlora" else []
    together: Candidate = ("", {})
    for part in parts:
        together = _both(together, part)
    bases = [*parts, together] if parts else [together]
    mixed = [_both(base, adapter) for base in bases for adapter in adapters]
    shorter = [_both(together, row) for row in rows]
    last = [_both(_both(together, adapter), row) for adapter in adapters for row in rows]
    return [way for way in [*bases, *adapters, *mixed, *shorter, *last] if way[1]]


def _both(one: Candidate, other: Candidate) -> Candidate:
    return " + ".join(filter(None, (one[0], other[0]))), {**one[1], **other[1]}


def _known(changes: Mapping[str, Any], settings: CommonSettings) -> dict[str, Any]:
    """An adapter needs its size, too."""
    rank = settings.lora_rank or 16
    adapter = {"lora_rank": rank, "lora_alpha": settings.lora_alpha or 2 * rank, "lora_targets": "all-linear"}
    return {
        **(adapter if changes.get("tuning") in ("lora", "qlora") and settings.tuning == "full" else {}),
        **changes,
    }


def _trained(shape: Shape, settings: CommonSettings) -> int:
    if settings.tuning == "full":
        return shape.num_parameters
    h, k, f = shape.hidden, shape.key_value_size, shape.inner
    sizes = {"attention": 4 * h + 2 * (h + k), "mlp": 3 * (h + f)}  # in + out of each linear layer
    targets = settings.lora_targets or "all-linear"
    parts = ALL_LINEAR if targets == "all-linear" else (targets,) if targets in sizes else ALL_LINEAR
    return (settings.lora_rank or 16) * shape.layers * sum(sizes[part] for part in parts)


def _weights(shape: Shape, settings: CommonSettings, *, gpu: bool) -> int:
    if settings.tuning == "qlora":
        linear = min(shape.linear_parameters, shape.num_parameters)
        return round(FOUR_BITS * linear + 4 * (shape.num_parameters - linear))
    halves = settings.tuning == "lora" and gpu and settings.precision == "bfloat16"
    return (2 if halves else 4) * shape.num_parameters


def _tokens_of_a_pass(
    shape: Shape, settings: CommonSettings, *, longest_row: int, device: str, sequences: int
) -> int:
    """Padded to the longest; a batch too large
    for one pass is split by the loop, but one row always passes."""
    row = settings.max_length if settings.packing else min(settings.max_length, max(longest_row, 1))
    row *= sequences
    most = max(row, LOGITS_OF_A_PASS[device] // max(1, shape.vocabulary))
    return min(settings.batch_size * row, most)


def _activations(shape: Shape, settings: CommonSettings, tokens: int) -> int:
    layer = _layer(shape, settings, tokens)
    if settings.gradient_checkpointing:
        return 4 * tokens * shape.layers * shape.hidden + layer
    return shape.layers * layer


def _layer(shape: Shape, settings: CommonSettings, tokens: int) -> int:
    """What one layer keeps of so many tokens."""
    size = 3 if settings.precision == "bfloat16" else 4
    return size * tokens * (12 * shape.hidden + 4 * shape.key_value_size + 4 * shape.inner)
