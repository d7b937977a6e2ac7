"""Several processes that share each step, one per device:
who I am, what the first process decides, sums over all.

Started by ``torchrun``, which sets the environment. Every process reads the same rows and takes its share of
each batch; gradients are summed, so the step is the one a single process would take. One process alone does
nothing of this.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.config import process_place

BUCKET = 2**24  # numbers per all-reduce
TORN = ("gloo", "Gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")


@dataclass(frozen=True)
class World:
    """``rank`` from 0 to ``size`` - 1; ``local`` is the rank
    on this machine, which is also the number of its GPU."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def decide(self, number: int) -> int:
        """The first process's number, in all of them."""
        if self.size == 1:
            return number
        import torch
        import torch.distributed as dist

        device = f"cuda:{self.local}" if torch.cuda.is_available() else "cpu"
        decision = torch.tensor([number], device=device)
        dist.broadcast(decision, 0)
        return int(decision)

    def add(self, numbers: Any) -> Any:
        """A tensor summed over all processes, in place."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(numbers)
        return numbers

    def add_gradients(self, weights: Iterable[Any]) -> None:
        """Sum every gradient; a process without rows in this step brings zeros."""
        if self.size == 1:
            return
        import torch

        for bucket in _buckets(weights):
            for weight in bucket:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
            flat = torch.cat([weight.grad.flatten() for weight in bucket])
            self.add(flat)
            for weight, part in zip(bucket, flat.split([weight.numel() for weight in bucket]), strict=True):
                weight.grad.copy_(part.view_as(weight))


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """This process's place among those that torchrun started.

    Raises RuntimeError when the others do not come.
    """
    rank, size, local = process_place()
    if size == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    assert dist.get_world_size() == size
    try:
        yield World(rank, size, local)
    finally:
        dist.destroy_process_group()


def is_torn(error: BaseException) -> bool:
    """Whether this process failed because another one of its group is gone:
    gloo and NCCL then raise in whoever waits for it."""
    if process_place()[1] == 1:
        return False
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in TORN)
    )


def _buckets(weights: Iterable[Any]) -> Iterator[list[Any]]:
    bucket: list[Any] = []
    for weight in weights:
        if bucket and (sum(w.numel() for w in bucket) > BUCKET or bucket[0].dtype != weight.dtype):
            yield bucket
            bucket = []
        bucket.append(weight)
    if bucket:
        yield bucket
