"""The latest loss of each row, so that the hardest rows of a training can be looked at."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.training.distributed import World


class RowLog:
    """Arrays over the rows of one split: latest loss,
    first loss, and the step of the latest (-1: not seen yet)."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.lines = np.array([row.line for row in rows], np.int64)
        self.tokens = np.array([row.num_learned for row in rows], np.int32)
        self.losses = np.full(len(rows), np.nan, np.float32)
        self.first = np.full(len(rows), np.nan, np.float32)
        self.steps = np.full(len(rows), -1, np.int64)

    def __len__(self) -> int:
        return len(self.lines)

    def note(self, rows: Sequence[int], losses: Any, step: int) -> None:
        """``losses``: a tensor, one per row."""
        values = losses.float().cpu().numpy()
        fresh = self.steps[rows] < 0
        self.first[rows] = np.where(fresh, values, self.first[rows])
        self.losses[rows], self.steps[rows] = values, step

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        """(lines, losses, first, tokens)"""
        return self.lines, self.losses, self.first, self.tokens

    def gather(self, world: World) -> None:
        """What the other processes saw later counts. Every process calls it."""
        if world.size == 1:
            return
        import torch
        import torch.distributed as dist

        mine = torch.tensor(np.stack([self.losses, self.first, self.steps]).astype(np.float64))
        mine = mine.cuda() if torch.cuda.is_available() else mine
        every = [torch.empty_like(mine) for _ in range(world.size)]
        dist.all_gather(every, mine)
        table = torch.stack(every).cpu().numpy()  # [processes, 3, rows]
        latest, rows = table[:, 2].argmax(0), np.arange(len(self))
        self.losses = table[latest, 0, rows].astype(np.float32)
        self.first = np.nanmax(
            np.where(table[:, 2] >= 0, table[:, 1], np.nan), axis=0, initial=-np.inf
        ).astype(np.float32)
        self.first[~np.isfinite(self.first)] = np.nan
        self.steps = table[latest, 2, rows].astype(np.int64)

    def state(self) -> dict[str, Any]:
        import torch

        return {name: torch.from_numpy(getattr(self, name).copy()) for name in ("losses", "first", "steps")}

    def restore(self, state: dict[str, Any]) -> None:
        for name, values in state.items():
            setattr(self, name, values.numpy().copy())
