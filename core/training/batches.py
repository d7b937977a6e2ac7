"""Which rows a step sees: a pure function of the seed and the step, so nothing has to be stored to resume.

Rows of similar length share a batch (less padding), batches come in random order, and every epoch is shuffled anew.
"""

import random
from collections.abc import Sequence
from functools import lru_cache

BATCHES_PER_BUCKET = 16  # lengths are sorted within this many batches: little padding, still well mixed


class Order:
    """The batches of a training. ``lengths`` are the rows' token counts."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = tuple(lengths), batch_size, seed
        self.steps_per_epoch = -(-len(lengths) // batch_size)
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, step: int) -> list[int]:
        """The rows that step ``step`` (from 0) learns from."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[index]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        chance = random.Random(f"{self.seed}:{epoch}")
        rows = list(range(len(self.lengths)))
        chance.shuffle(rows)
        batches = [batch for bucket in _cut(rows, self.batch_size * BATCHES_PER_BUCKET) for batch in self._by_length(bucket)]
        chance.shuffle(batches)
        return batches

    def _by_length(self, bucket: list[int]) -> list[list[int]]:
        return _cut(sorted(bucket, key=self.lengths.__getitem__), self.batch_size)


def split_to_fit(rows: Sequence[int], lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Cut one batch into passes whose padded size stays below ``max_tokens`` (one row always passes)."""
    passes: list[list[int]] = [[]]
    longest = 0
    for row in rows:
        longest = max(longest, lengths[row])
        if passes[-1] and longest * (len(passes[-1]) + 1) > max_tokens:
            passes.append([])
            longest = lengths[row]
        passes[-1].append(row)
    return passes


def _cut(items: list[int], size: int) -> list[list[int]]:
    return [items[i : i + size] for i in range(0, len(items), size)]
