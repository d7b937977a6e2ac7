"""What this machine has for a training, how busy it is, and how many devices jobs share.

Cheap enough to be asked by a page.

A container's memory limit counts where it is lower than the machine's. GPUs are asked through NVIDIA's
management library (NVML), so that no torch is loaded; a torch built for CPUs only makes them count for
nothing. Without GPU or driver everything about them is absent and costs nothing after the first try.
"""

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from core.config import settings

CGROUP = Path("/sys/fs/cgroup")
MOST_GPUS = 64
MOST_THREADS = 8  # of one training; more wait for each other
FOUR_BITS_PACKAGE = "bitsandbytes"
FOUR_BITS_COMMAND = "pip install -r requirements-qlora.txt"
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


@dataclass(frozen=True)
class Load:
    """One look.

    Shares are of 1; ``cpu`` is this process's share of all cores that it may use. GPU facts are None where
    there is no GPU.
    """

    memory_bytes: int
    cpu: float
    gpu_memory_bytes: int | None = None
    gpu: float | None = None


class Meter:
    """Measures this process again and again; the share of the processor is since the look before."""

    def __init__(self) -> None:
        self._process, self._cores = psutil.Process(), cores()
        self._process.cpu_percent()  # the first call only starts the clock

    def look(self) -> Load:
        memory, cpu = self._process.memory_info().rss, self._process.cpu_percent() / 100 / self._cores
        return Load(memory, min(1.0, cpu), *_gpu_load())


def set_up_torch(*, threads: int) -> None:
    """For this process, before it computes. Numbers too small for a normal float count as zero: CPUs are many
    times slower with them, and the gradients of attention are full of them. They are some 1e-38, where a
    training's own rounding is 1e-7."""
    import torch

    # threads made from now on inherit it; a CPU that cannot says False and goes on
    torch.set_flush_denormal(True)
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
    """All GPUs of the machine as NVML knows them;
    none where there is no driver, which then costs nothing any more."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return tuple(pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()


@lru_cache(maxsize=1)
def gpus() -> tuple[Gpu, ...]:
    """Those that torch can use, with the memory that was free at the first call.

    Costs nothing after it: GPUs do not change.
    """
    return look().gpus


def computes_bfloat16() -> bool:
    """Whether a training here runs on GPUs that have it."""
    return bool(gpus()) and all(gpu.computes_bfloat16 for gpu in gpus())


def four_bits_problem() -> str | None:
    """Why no model can be loaded in 4 bits here and what to do about it, as the end of a sentence; None when
    one can. Whether the package works is seen where it is used: importing it loads torch."""
    if not gpus():
        return "needs a CUDA GPU, and this machine has none; choose LoRA"
    if not _is_installed(FOUR_BITS_PACKAGE):
        return (
            f"needs the package {FOUR_BITS_PACKAGE}, which is not installed here; choose LoRA, or let an "
            f"admin run: {FOUR_BITS_COMMAND}"
        )
    return None


def describe() -> dict[str, Any]:
    """``{"cpu": name, "machine": x86_64, "cores": n, "memory_bytes": n, "gpus": [name], "gpu_memory_bytes":
    [n]}``"""
    gpus = [_gpu_facts(handle) for handle in handles()]
    return {
        "cpu": _cpu_name(),
        "machine": platform.machine(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [name for name, _ in gpus],
        "gpu_memory_bytes": [taken for _, taken in gpus],
    }


def device_count() -> int:
    """How many devices fine-tuning jobs share: what is configured,
    else this server's GPUs, else its CPU cores. At least one."""
    return settings().training_devices or len(gpus()) or cores()


def cores(*, at_most: int | None = None) -> int:
    """CPU cores that this process may use, which may be fewer than the machine has; or ``at_most``."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable if at_most is None else min(at_most, usable)


def training_threads() -> int:
    """How many threads a training that starts now computes with: as configured, else one per core that is
    idle right now, up to ``MOST_THREADS``. Threads that wait for each other are far slower than one.

    Looks for 0.2 seconds where it is not configured.
    """
    if chosen := settings().training_threads:
        return chosen
    idle = cores() * (1 - psutil.cpu_percent(interval=0.2) / 100)
    return max(1, min(cores(at_most=MOST_THREADS), int(idle + 0.3)))


def slowdown(*, besides: int = 0) -> float:
    """How many times longer a training on the processor takes now than on a free machine: from how many
    threads wanted a core during the last minute, and how many it adds. 1.0 where GPUs do the work.

    ``besides``: so many trainings run now and will have ended by then, so their threads do not count.
    """
    if gpus():
        return 1.0
    wanted = settings().training_threads or cores(at_most=MOST_THREADS)
    busy = psutil.getloadavg()[0] * cores() / (os.cpu_count() or 1)
    others = max(0.0, busy - besides * wanted)
    return max(1.0, (others + wanted) / max(cores(), wanted))


def _gpus() -> tuple[Gpu, ...]:
    import pynvml

    gpu_list: list[Gpu] = []
    with suppress(pynvml.NVMLError):
        for device in handles():
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            capability = tuple(pynvml.nvmlDeviceGetCudaComputeCapability(device))
            name = str(pynvml.nvmlDeviceGetName(device))
            gpu_list.append(Gpu(name, int(memory.total), int(memory.free), capability >= BFLOAT16_FROM))
    return tuple(gpu_list)


@lru_cache
def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


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


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_facts(handle: Any) -> tuple[str, int]:
    import pynvml

    name = pynvml.nvmlDeviceGetName(handle)
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return name, int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)


def _gpu_load() -> tuple[int | None, float | None]:
    """(bytes taken, mean share of time in which they computed) of the GPUs that this process uses."""
    used = _used_handles()
    if not used:
        return None, None
    import pynvml

    with suppress(pynvml.NVMLError):
        taken = sum(pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in used)
        return taken, sum(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in used) / 100 / len(
            used
        )
    return None, None


def _used_handles() -> list[Any]:
    """Only once torch has opened a GPU: before that,
    how busy the machine's GPUs are is other people's business."""
    torch = sys.modules.get("torch")
    if not handles() or torch is None or not torch.cuda.is_initialized():
        return []
    import pynvml

    used_handles = []
    for index in range(min(torch.cuda.device_count(), MOST_GPUS)):
        with suppress(pynvml.NVMLError, AttributeError):
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
            used_handles.append(pynvml.nvmlDeviceGetHandleByUUID(uuid.encode()))
    return used_handles
