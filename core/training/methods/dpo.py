"""Direct preference optimization (Rafailov et al. 2023,
https://arxiv.org/abs/2305.18290): prefer one answer over another.

With log π(y|x) summed over the tokens of an answer, and ``ref`` the model as it started, the loss of a pair
is::

    -log sigmoid(beta · ((log π(better) - log ref(better)) - (log π(worse) - log ref(worse))))

What ``ref`` says is computed once, before the first step, and kept in a file: no second model is held in
memory.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from core.training import memory
from core.training.batches import split_to_fit
from core.training.examples import Pair
from core.training.method import Method, Series
from core.training.objective import Losses, Measuring, Unit, token_losses
from core.training.settings import CommonSettings, OwnSetting

DEFAULT_BETA = 0.1  # Rafailov et al. 2023

MOST_AT_ONCE = 16  # pairs per pass when the reference is computed, where the memory allows it


class Preference:
    """Mean loss over pairs.

    ``reward`` is beta times how much likelier an answer became than it was at the start, in nats.
    """

    sum_names: tuple[str, ...] = (
        "reward_margin",
        "reward_accuracy",
        "reward_preferred",
        "reward_non_preferred",
    )
    measured_names = sum_names

    def __init__(self, beta: float, settings: CommonSettings) -> None:
        self.beta, self._settings = beta, settings
        self._reference: dict[
            int, tuple[float, float]
        ] = {}  # by id of the pair: log ref of the better, of the worse answer

    def prepare(self, model: Any, units: Sequence[Unit], cache: Path, measuring: Measuring) -> None:
        pairs = [pair for unit in units for pair in unit]
        known = _read(cache, len(pairs))
        if known is None:
            known = np.empty((len(pairs), 2), np.float32)
            with measuring():
                for part in self._passes(model, pairs):
                    known[part] = log_probabilities(model, [pairs[place] for place in part]).cpu().numpy()
            _write(cache, known)
        self._reference = {
            id(pair): (float(better), float(worse))
            for pair, (better, worse) in zip(pairs, known, strict=True)
        }

    def _passes(self, model: Any, pairs: Sequence[Pair]) -> list[list[int]]:
        """Which pairs go into one pass: as many as the memory of a training step holds, of similar length."""
        longest = [max(len(pair.preferred), len(pair.non_preferred)) for pair in pairs]
        weights = list(model.parameters())
        config = model.config.get_text_config().to_dict()
        shape = memory.shape_of(config, num_parameters=sum(weight.numel() for weight in weights))
        gpu, rows = weights[0].device.type == "cuda", {"longest_row": max(longest, default=1), "sequences": 2}
        tokens = 2 * max(longest, default=1) * self._settings.batch_size  # where the base says too little
        if shape is not None:
            tokens = memory.tokens_without_gradients(shape, self._settings, gpu=gpu, **rows)
        order = sorted(range(len(pairs)), key=longest.__getitem__)
        lengths = [2 * length for length in longest]
        passes = split_to_fit(order, lengths, max_tokens=tokens, max_rows=MOST_AT_ONCE)
        return passes if pairs else []

    def weight(self, items: Sequence[Pair]) -> float:
        return float(len(items))

    def losses(self, model: Any, batch: Sequence[Unit], *, measuring: bool = False) -> Losses:
        import torch
        from torch.nn import functional

        pairs = [pair for unit in batch for pair in unit]
        now = log_probabilities(model, pairs)
        reference = torch.tensor([self._reference[id(pair)] for pair in pairs], device=now.device)
        rewards = self.beta * (now - reference)
        margins = rewards[:, 0] - rewards[:, 1]
        losses = -functional.logsigmoid(margins)
        series = (margins, (margins > 0).float(), rewards[:, 0], rewards[:, 1])
        sums = {name: values.detach().sum() for name, values in zip(self.sum_names, series, strict=True)}
        return Losses(losses.sum(), losses.detach(), sums)


def log_probabilities(model: Any, pairs: Sequence[Pair]) -> Any:
    """Tensor [pairs, 2]: log probability of the better and of the worse answer."""
    batch = [[p.preferred] for p in pairs] + [[p.non_preferred] for p in pairs]
    return -token_losses(model, batch).summed.view(2, len(pairs)).T


def _read(cache: Path, count: int) -> Any | None:
    if not cache.is_file():
        return None
    table = np.load(cache)
    return table if table.shape == (count, 2) else None


def _write(cache: Path, values: Any) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    draft = cache.with_suffix(f".{os.getpid()}.npy")  # several processes may write the same numbers
    np.save(draft, values)
    draft.replace(cache)


def _objective(settings: CommonSettings) -> Preference:
    return Preference(settings.own("beta") or DEFAULT_BETA, settings)


def _epochs(num_examples: int) -> int:
    """Few passes: more of them push both answers down (Rafailov et al. 2023 train one epoch)."""
    return 3 if num_examples <= 2000 else 1


BETA = OwnSetting(
    name="beta",
    kind=Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)],
    automatic=DEFAULT_BETA,
    title="Beta",
    help=f"How closely the model stays to its base; smaller lets it move further. Auto: {DEFAULT_BETA}.",
    section="What is learned",
    basic=True,
)
DPO = Method(
    name="dpo",
    title="Preference tuning (DPO)",
    help="The model learns which of two answers is the better one.",
    formats=("preference",),
    objective=_objective,
    settings=(BETA,),
    fixed={"loss_on": "answers", "packing": False},
    auto_epochs=_epochs,
    # the loss is about differences, and large steps make both answers unlikely
    learning_rate_divisor=20,
    sequences_per_row=2,
    compares_with_start=True,
    series=(
        Series("reward_margin", "Reward margin"),
        Series("reward_accuracy", "Preferred answer ahead"),
        Series("reward_preferred", "Reward of the preferred answer"),
        Series("reward_non_preferred", "Reward of the other answer"),
    ),
    measured=(("reward_accuracy", "preferred answer ahead in **{:.0%}**"),),
)
