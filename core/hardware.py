"""What this machine has for a training: free memory, and the GPUs that torch could use. Cheap enough to be asked by a page.

A container's memory limit counts where it is lower than the machine's. GPUs are asked through NVIDIA's management library, so that
no torch is loaded; a torch built for CPUs only makes them count for nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


def look() -> Machine:
    """As it is now."""
    memory = psutil.virtual_memory()
    limit, used = _number("memory.max"), _number("memory.current")
    total, free = memory.total, memory.available
    if limit is not None and used is not None and limit < total:
        total, free = limit, min(free, max(0, limit - used + _reclaimable()))
    return Machine(total, free, _gpus() if _torch_knows_gpus() else ())


def _gpus() -> tuple[Gpu, ...]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    found: list[Gpu] = []
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(device))
            found.append(
                Gpu(str(pynvml.nvmlDeviceGetName(device)), int(memory.total), int(memory.free), capability >= BFLOAT16_FROM)
            )
    except pynvml.NVMLError:
        return tuple(found)
    finally:
        pynvml.nvmlShutdown()
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
