"""A key-value cache with room to spare, so that a token, a new row or one that leaves moves nothing else.

Copying all of it, as the cache of transformers does at each token, took three quarters of a step of 17 rows
with 900 tokens each; copying it only when a row joined or left still stopped all answers for 80 ms. On a CPU
room costs nothing before it is written to. On a GPU it would, and copies are fast there, so there is little.

Import this only where models run: it imports torch.
"""

import math
import mmap
from typing import Any

import numpy as np
import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

ROOM = 128  # tokens, at least, behind those of a prompt that is read
BATCH_ROOM = 512  # tokens behind those of a batch on a CPU, and at least so many before them
BATCH_ROWS = 20  # that a batch begins with room for


class GrowingLayer(DynamicLayer):
    """``keys`` and ``values`` are [rows, heads, length, width], as everywhere: views of what has room.

    Rows are aligned at their ends; what stands before a shorter one is zero. ``number`` tells layers apart.
    """

    def __init__(self, number: int = 0, **more: Any) -> None:
        super().__init__(**more)
        self._stored = {"keys": _Stored(2 * number), "values": _Stored(2 * number + 1)}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._stored["keys"].append(key_states)
        self.values = self._stored["values"].append(value_states)
        return self.keys, self.values

    def join(self, other: "GrowingLayer") -> None:
        """The one row of another cache becomes the last of this one."""
        keys, values = other.keys, other.values
        assert keys is not None  # it was read
        assert values is not None
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.keys = self._stored["keys"].join(keys)
        self.values = self._stored["values"].join(values)

    def leave(self, place: int) -> None:
        """The row at ``place`` goes; the last one takes its place."""
        for name, stored in self._stored.items():
            setattr(self, name, stored.leave(place))

    def trim(self, columns: int) -> None:
        """So many columns at the beginning hold nothing of any row."""
        for name, stored in self._stored.items():
            setattr(self, name, stored.trim(columns))


class _Stored:
    """Keys or values of one layer in a larger block, which is zero wherever no row has a token.

    ``number`` makes each of a cache run out of room at another step, so that not all are moved in one.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._block: torch.Tensor | None = None
        self._rows = self._begin = self._end = 0

    def append(self, new: torch.Tensor) -> torch.Tensor:
        """``new``: [rows, heads, tokens, width], the next tokens of all rows."""
        rows, _, tokens, _ = new.shape
        if self._block is None:
            self._block = _zeros(new, rows, tokens + ROOM)
            self._rows = rows
        elif self._end + tokens > self._block.shape[2]:
            self._move(self._end - self._begin, tokens)
        self._block[: self._rows, :, self._end : self._end + tokens] = new
        self._end += tokens
        return self._view()

    def join(self, new: torch.Tensor) -> torch.Tensor:
        """``new``: [1, heads, tokens, width], all of one more row."""
        tokens = new.shape[2]
        if self._block is None:
            end = _end_of_batch(new, tokens)
            self._block = _zeros(new, _rows_of_batch(new, 1), end + _room_of_batch(new) + self._number)
            self._begin = self._end = end
        elif self._rows == self._block.shape[0] or tokens > self._end:
            self._move(max(tokens, self._end - self._begin), 0)
        self._block[self._rows, :, self._end - tokens : self._end] = new[0]
        self._begin = min(self._begin, self._end - tokens)
        self._rows += 1
        return self._view()

    def leave(self, place: int) -> torch.Tensor:
        view = self._view()
        view[place] = view[-1]
        view[-1] = 0
        self._rows -= 1
        return self._view()

    def trim(self, columns: int) -> torch.Tensor:
        self._begin += columns
        return self._view()

    def _move(self, longest: int, tokens: int) -> None:
        """Into a new block with room for rows of ``longest`` tokens and so many more behind them."""
        view = self._view()
        is_batch = self._begin > 0 or self._rows > 1 or not tokens
        rows = _rows_of_batch(view, self._rows + (not tokens)) if is_batch else self._rows
        end, room = longest, max(ROOM, longest // 8)
        if is_batch:
            end, room = _end_of_batch(view, longest), _room_of_batch(view) + self._number
        self._block = _zeros(view, rows, end + tokens + room)
        self._block[: self._rows, :, end - view.shape[2] : end] = view
        self._begin, self._end = end - view.shape[2], end

    def _view(self) -> torch.Tensor:
        assert self._block is not None
        return self._block[: self._rows, :, self._begin : self._end]


def make_cache() -> Cache:
    return Cache(layer_class_to_replicate=GrowingLayer)


def join_caches(cache: Cache | None, new: Cache) -> Cache:
    """``cache`` with the row of ``new`` below its own; a new one where there is none."""
    cache = make_cache() if cache is None else cache
    while len(cache.layers) < len(new.layers):
        cache.layers.append(GrowingLayer(len(cache.layers)))
    layers: list[Any] = cache.layers
    for layer, other in zip(layers, new.layers, strict=True):
        layer.join(other)
    return cache


def _room_is_free(like: torch.Tensor) -> bool:
    """Whether memory costs nothing before it is written to."""
    return like.device.type == "cpu"


def _rows_of_batch(like: torch.Tensor, needed: int) -> int:
    return max(BATCH_ROWS, needed) if _room_is_free(like) else needed


def _end_of_batch(like: torch.Tensor, longest: int) -> int:
    """Where rows end, so that there is room before them for a longer one."""
    return max(BATCH_ROOM, 2 * longest) if _room_is_free(like) else longest


def _room_of_batch(like: torch.Tensor) -> int:
    """Tokens behind those of a batch."""
    return BATCH_ROOM if _room_is_free(like) else ROOM


def _zeros(like: torch.Tensor, rows: int, tokens: int) -> torch.Tensor:
    shape = (rows, like.shape[1], tokens, like.shape[3])
    if not _room_is_free(like):
        return like.new_zeros(shape)
    return torch.frombuffer(_untouched(math.prod(shape) * like.element_size()), dtype=like.dtype).view(shape)


def _untouched(size: int) -> Any:
    """Zeroed pages of the system, which are not there before somebody writes to them; small ones, because a
    row writes a little here and there."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):  # Windows
        return np.zeros(size, dtype=np.uint8)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory
