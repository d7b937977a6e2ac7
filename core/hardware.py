"""What this machine has for a training: free memory, and the GPUs that torch could use. Cheap enough to be asked by a page.

A container's memory limit counts where it is lower than the machine's. GPUs are asked through NVIDIA's management library, so that
no torch is loaded; a torch built for CPUs only makes them count for nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

CGROUP = Path("/sys/fs/cgroup")
BFLOAT16_FROM = (8, 0)  # compute capability


@dataclass(frozen=True)
class Gpu:
    """Memory in bytes."""

    name: str
    total: int
    free: int
    computes_bfloat16: bool


@dataclass(frozen=True)
class Machine:
    """Memory in bytes. ``gpus``: those that torch can use."""

    total: int
    free: int
    gpus: tuple[Gpu, ...]

    @property
    def has_gpu(self) -> bool:
        return bool(self.gpus)

    @property
    def computes_bfloat16(self) -> bool:
        return self.has_gpu and all(gpu.computes_bfloat16 for gpu in self.gpus)


def set_up_torch(*, threads: int) -> None:
    """For this process, before it computes. Numbers too small for a normal float count as zero: CPUs are many times slower with
    them, and the gradients of attention are full of them. They are some 1e-38, where a training's own rounding is 1e-7."""
    import torch

    torch.set_flush_denormal(True)  # threads made from now on inherit it; a CPU that cannot says False and goes on
    torch.set_num_threads(threads)


def look() -> Machine:
    """As it is now."""
    memory = psutil.virtual_memory()
    limit, used = _number("memory.max"), _number("memory.current")
    total, free = memory.total, memory.available
    if limit is not None and used is not None and limit < total:
        total, free = limit, min(free, max(0, limit - used + _reclaimable()))
    return Machine(total, free, _gpus() if _torch_knows_gpus() else ())


@lru_cache(maxsize=1)
def handles() -> tuple[Any, ...]:
    """All GPUs of the machine as NVML knows them; none where there is no driver, which then costs nothing any more."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return tuple(pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()


@lru_cache(maxsize=1)
def gpus() -> tuple[Gpu, ...]:
    """Those that torch can use, with the memory that was free at the first call. Costs nothing after it: GPUs do not change."""
    return look().gpus


def computes_bfloat16() -> bool:
    """Whether a training here runs on GPUs that have it."""
    return bool(gpus()) and all(gpu.computes_bfloat16 for gpu in gpus())


def _gpus() -> tuple[Gpu, ...]:
    import pynvml

    found: list[Gpu] = []
    with suppress(pynvml.NVMLError):
        for device in handles():
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(device))
            name = str(pynvml.nvmlDeviceGetName(device))
            found.append(Gpu(name, int(memory.total), int(memory.free), capability >= BFLOAT16_FROM))
    return tuple(found)


@lru_cache(maxsize=1)
def _torch_knows_gpus() -> bool:
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _number(name: str) -> int | None:
    with suppress(OSError, ValueError):
        return int((CGROUP / name).read_text())
    return None


def _reclaimable() -> int:
    """Cached files count as used, but give way."""
    with suppress(OSError, ValueError):
        lines = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return int(lines.get("inactive_file", 0))
    return 0
