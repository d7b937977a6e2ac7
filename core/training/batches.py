"""Which rows a step sees: a pure function of the seed and the step, so nothing has to be stored to resume.

A unit is what stands in one line of a batch: one row, or several that were packed behind each other. Units of
similar length share a batch (less padding), batches come in random order, and every epoch is shuffled anew.
"""

import random
from collections.abc import Sequence
from functools import lru_cache

BATCHES_PER_BUCKET = 16  # lengths are sorted within this many batches: little padding, still well mixed


class BatchOrder:
    """The batches of a training. ``lengths`` are the units' token counts."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = tuple(lengths), batch_size, seed
        self.steps_per_epoch = -(-len(lengths) // batch_size)
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, step: int) -> list[int]:
        """The units that step ``step`` (from 0) learns from, shortest first."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[index]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        chance = random.Random(f"{self.seed}:{epoch}")
        rows = list(range(len(self.lengths)))
        chance.shuffle(rows)
        batches = [
            batch
            for bucket in _cut(rows, self.batch_size * BATCHES_PER_BUCKET)
            for batch in _cut(sorted(bucket, key=self.lengths.__getitem__), self.batch_size)
        ]
        chance.shuffle(batches)
        return batches


def split_to_fit(
    rows: Sequence[int], lengths: Sequence[int], *, max_tokens: int, max_rows: int | None = None
) -> list[list[int]]:
    """Cut one batch into passes of at most ``max_rows``
    whose padded size stays below ``max_tokens`` (one row always passes)."""
    passes: list[list[int]] = [[]]
    longest = 0
    for row in rows:
        longest = max(longest, lengths[row])
        full = len(passes[-1]) == max_rows or longest * (len(passes[-1]) + 1) > max_tokens
        if passes[-1] and full:
            passes.append([])
            longest = lengths[row]
        passes[-1].append(row)
    return passes


def pack(lengths: Sequence[int], *, max_length: int) -> list[list[int]]:
    """Rows put together so that each group has at most ``max_length`` tokens:
    the longest first, each where it fits best.

    Best-fit decreasing; a pure function of the lengths. Rows keep their order within a group.
    """
    # by free tokens: the groups that have so many
    free: list[list[int]] = [[] for _ in range(max_length + 1)]
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        size = min(lengths[row], max_length)
        room = next((room for room in range(size, max_length + 1) if free[room]), None)
        if room is None:
            groups.append([row])
            free[max_length - size].append(len(groups) - 1)
            continue
        group = free[room].pop()
        groups[group].append(row)
        free[room - size].append(group)
    return [sorted(group) for group in groups]


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
