"""A key-value cache with room to spare, so that a new token is written beside what is there.

Copying all of it at each token, as the cache of transformers does, took three quarters of a step of 17 rows
with 900 tokens each. Import this only where models run: it imports torch.
"""

from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

ROOM = 128  # tokens


class GrowingLayer(DynamicLayer):
    """``keys`` and ``values`` are [rows, heads, length, width], as everywhere; they may be replaced."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._blocks: dict[str, torch.Tensor] = {}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._append("keys", self.keys, key_states)
        self.values = self._append("values", self.values, value_states)
        return self.keys, self.values

    def _append(self, name: str, held: torch.Tensor | None, new: torch.Tensor) -> torch.Tensor:
        length = held.shape[-2] if held is not None and held.numel() else 0
        end = length + new.shape[-2]
        block = self._blocks.get(name)
        if block is None or block.shape[2] < end or not _begins(held, block):
            block = new.new_empty((*new.shape[:2], end + ROOM, new.shape[3]))
            if held is not None and length:
                block[:, :, :length] = held
            self._blocks[name] = block
        block[:, :, length:end] = new
        return block[:, :, :end]


def make_cache() -> Cache:
    return Cache(layer_class_to_replicate=GrowingLayer)


def _begins(held: torch.Tensor | None, block: torch.Tensor) -> bool:
    """Whether ``held`` is the beginning of the block, and not something that took its place."""
    return held is not None and held.data_ptr() == block.data_ptr() and held.shape[:2] == block.shape[:2]
