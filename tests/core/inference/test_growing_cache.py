"""The cache of a batch against rows kept one by one: whatever joins, is written and leaves, each row's keys
and values are its own, and what stands before a shorter row is zero."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HEADS, WIDTH, LAYERS = 2, 3, 2
JOIN = st.tuples(st.just("join"), st.integers(1, 40))
STEP = st.tuples(st.just("step"), st.integers(1, 30))
LEAVE = st.tuples(st.just("leave"), st.integers(0, 30))
OPERATIONS = st.lists(st.one_of(JOIN, STEP, LEAVE), min_size=1, max_size=30)


class Model:
    """What ``Batch`` does with a cache, beside rows as tensors [layers, 2, heads, length, width]."""

    def __init__(self) -> None:
        from core.inference import growing_cache

        self.made = growing_cache
        self.cache: Any = None
        self.rows: list[Any] = []

    def join(self, tokens: int) -> None:
        import torch

        row, new = torch.rand(LAYERS, 2, HEADS, tokens, WIDTH), self.made.make_cache()
        half = tokens // 2
        for part in (row[..., :half, :], row[..., half:, :]):  # as a prompt is read, in pieces
            for number in range(LAYERS):
                if part.shape[-2]:
                    new.update(part[number, 0][None], part[number, 1][None], number)
        self.cache = self.made.join_caches(self.cache, new)
        self.rows.append(row)

    def step(self, tokens: int) -> None:
        import torch

        for _ in range(tokens if self.rows else 0):
            new = torch.rand(len(self.rows), LAYERS, 2, HEADS, 1, WIDTH)
            for number in range(LAYERS):
                self.cache.update(new[:, number, 0], new[:, number, 1], number)
            self.rows = [torch.cat([row, new[at]], dim=-2) for at, row in enumerate(self.rows)]

    def leave(self, place: int) -> None:
        if len(self.rows) < 2:
            return
        place %= len(self.rows)
        before = max(row.shape[-2] for row in self.rows)
        self.rows[place] = self.rows[-1]
        self.rows.pop()
        for layer in self.cache.layers:
            layer.leave(place)
            layer.trim(before - max(row.shape[-2] for row in self.rows))

    def check(self) -> None:
        import torch

        for number, layer in enumerate(self.cache.layers if self.rows else ()):
            for which, held in enumerate((layer.keys, layer.values)):
                longest = max(row.shape[-2] for row in self.rows)
                assert held.shape == (len(self.rows), HEADS, longest, WIDTH)
                for at, row in enumerate(self.rows):
                    own = row.shape[-2]
                    assert torch.equal(held[at, :, longest - own :], row[number, which])
                    assert not held[at, :, : longest - own].any()


def follow(operations: list[tuple[str, int]]) -> None:
    model = Model()
    for name, number in operations:
        getattr(model, name)(number)
        model.check()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(OPERATIONS)
def test_rows_are_their_own(operations: list[tuple[str, int]]) -> None:
    follow(operations)


@pytest.mark.parametrize("free", [True, False], ids=["as on a CPU", "as on a GPU"])
@pytest.mark.parametrize("room", [1, 4])
def test_they_are_so_where_there_is_little_room(
    free: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block is moved again and again."""
    from core.inference import growing_cache

    monkeypatch.setattr(growing_cache, "ROOM", room)
    monkeypatch.setattr(growing_cache, "BATCH_ROOM", room)
    monkeypatch.setattr(growing_cache, "BATCH_ROWS", 2)
    monkeypatch.setattr(growing_cache, "_room_is_free", lambda _like: free)
    settings(max_examples=100, deadline=None, derandomize=True)(given(OPERATIONS)(follow))()


def test_a_row_that_joins_or_leaves_moves_no_other() -> None:
    model = Model()
    model.join(30)
    model.step(3)
    block = model.cache.layers[0].keys.untyped_storage().data_ptr()
    for tokens in (200, 5, 90):
        model.join(tokens)
        model.step(20)
    model.leave(1)
    model.check()
    assert model.cache.layers[0].keys.untyped_storage().data_ptr() == block


def test_layers_run_out_of_room_at_different_steps() -> None:
    model, moved = Model(), []
    model.join(10)
    model.join(10)

    def places() -> list[int]:
        return [
            part.untyped_storage().data_ptr() for la in model.cache.layers for part in (la.keys, la.values)
        ]

    for _ in range(1200):
        before = places()
        model.step(1)
        moved.append(sum(a != b for a, b in zip(before, places(), strict=True)))
    assert sum(moved) >= 2 * LAYERS
    assert max(moved) == 1
