"""What a training minimises: the interface,
and the cross entropy that supervised and continued training share.

A batch is a list of units, a unit a list of items: one row, or several packed behind each other. Losses are
summed, so that a batch may be computed in several passes and on several devices; dividing by ``weight`` of
the whole step makes the mean.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.training.examples import Tokens

Unit = Sequence[Any]  # of Tokens or Pair
# the model in evaluation mode, without gradients, in the right precision
Measuring = Callable[[], AbstractContextManager[None]]
IGNORED = -100
MEASURED_OF_TOKENS = (("accuracy", "**{:.0%}** of tokens right"),)  # Method.measured of a CrossEntropy


@dataclass(frozen=True)
class Losses:
    """Of one pass. ``rows`` has one mean loss per item, in the order of the units, without gradient."""

    total: Any  # tensor: summed, with gradient
    rows: Any  # tensor (items,)
    sums: dict[str, Any] = field(default_factory=dict)  # further series, summed over what ``weight`` counts


class Objective(Protocol):
    sum_names: tuple[str, ...]  # the further series of a training step
    measured_names: tuple[str, ...]  # and of a validation

    def prepare(self, model: Any, units: Sequence[Unit], cache: Path, measuring: Measuring) -> None:
        """Before the first step, with the model as it starts.

        What takes long is computed within ``measuring()`` and cached.
        """

    def weight(self, items: Sequence[Any]) -> float:
        """What the summed loss of these items is divided by."""

    def losses(self, model: Any, batch: Sequence[Unit], *, measuring: bool = False) -> Losses:
        """``measuring``: for validation, where more may be computed."""


class CrossEntropy:
    """Mean cross entropy over the learned tokens, in nats."""

    sum_names: tuple[str, ...] = ()
    measured_names: tuple[str, ...] = ("accuracy",)

    def prepare(self, model: Any, units: Sequence[Unit], cache: Path, measuring: Measuring) -> None:
        """Nothing to prepare."""

    def weight(self, items: Sequence[Tokens]) -> float:
        return float(sum(item.num_learned for item in items))

    def losses(self, model: Any, batch: Sequence[Unit], *, measuring: bool = False) -> Losses:
        tokens = token_losses(model, batch, accuracy=measuring)
        sums = {"accuracy": tokens.right.sum()} if measuring else {}
        return Losses(tokens.summed.sum(), tokens.summed.detach() / tokens.counts, sums)


@dataclass(frozen=True)
class TokenLosses:
    """By item: the summed cross entropy of its learned tokens,
    how many those are, and how many were the likeliest."""

    summed: Any  # tensor (items,)
    counts: Any  # tensor (items,)
    right: Any  # tensor (items,)


def token_losses(model: Any, batch: Sequence[Unit], *, accuracy: bool = False) -> TokenLosses:
    """One pass. Logits are computed for the learned tokens alone."""
    import torch
    from torch.nn import functional

    device = next(model.parameters()).device
    laid = lay_out(batch)
    unit, place = np.nonzero(laid.labels != IGNORED)
    targets, owners, lines, before = (
        torch.from_numpy(part).to(device)
        for part in (laid.labels[unit, place], laid.owner[unit, place], unit, place - 1)
    )
    logits = _logits_at(model, laid, lines, before).float()
    nothing = torch.zeros(laid.num_items, device=device)
    counts = nothing.index_add(0, owners, torch.ones_like(owners, dtype=nothing.dtype))
    right = nothing.index_add(0, owners, (logits.argmax(-1) == targets).float()) if accuracy else nothing
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return TokenLosses(nothing.index_add(0, owners, losses), counts, right)


def _logits_at(model: Any, laid: "Layout", lines: Any, places: Any) -> Any:
    """Logits [tokens, vocabulary] at these places of the batch.

    A head that is a module of its own is given no other place.
    """
    import torch

    ids = torch.from_numpy(laid.ids).to(lines.device)
    position = (
        {} if laid.positions is None else {"position_ids": torch.from_numpy(laid.positions).to(lines.device)}
    )
    head, was_given = model.get_output_embeddings(), []

    def give(_head: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        was_given.append(True)
        return (given[0][lines, places][None], *given[1:])

    hook = head.register_forward_pre_hook(give) if head is not None else None
    try:
        logits = model(input_ids=ids, use_cache=False, **position).logits
    finally:
        if hook is not None:
            hook.remove()
    return logits[0] if was_given else logits[lines, places]


@dataclass(frozen=True)
class Layout:
    """A batch as arrays [units, longest].

    Padding is 0 and stands right of everything: under a causal mask nothing sees it.
    """

    ids: Any
    labels: Any  # IGNORED where nothing is learned
    owner: Any  # which item a token belongs to
    positions: Any | None  # counted anew for each packed item; None when every unit is one item
    num_items: int


def lay_out(batch: Sequence[Unit]) -> Layout:
    shape = (len(batch), max(sum(map(len, unit)) for unit in batch))
    ids, owner = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    labels, positions = np.full(shape, IGNORED), np.zeros(shape, np.int64)
    number = 0
    for line, unit in enumerate(batch):
        start = 0
        for item in unit:
            here = slice(start, start + len(item))
            ids[line, here], owner[line, here], positions[line, here] = item.ids, number, np.arange(len(item))
            labels[line, here] = np.where(item.learned, item.ids, IGNORED)
            start, number = start + len(item), number + 1
        positions[line, start:] = np.arange(shape[1] - start)
    packed = any(len(unit) > 1 for unit in batch)
    return Layout(ids, labels, owner, positions if packed else None, number)
