"""What a training runs on, and how busy it is: processor, memory, GPUs.

GPUs are asked through NVML, which knows them without torch. Where there is none, or no driver, everything about them is absent and
costs nothing after the first try.
"""

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core import hardware

MOST_GPUS = 64


@dataclass(frozen=True)
class Load:
    """One look. Shares are of 1; ``cpu`` is this process's share of all cores. GPU facts are None where there is no GPU."""

    memory_bytes: int
    cpu: float
    gpu_memory_bytes: int | None = None
    gpu: float | None = None


class Meter:
    """Measures this process again and again; the share of the processor is since the look before."""

    def __init__(self) -> None:
        self._process, self._cores = psutil.Process(), os.cpu_count() or 1
        self._process.cpu_percent()  # the first call only starts the clock

    def look(self) -> Load:
        memory, cpu = self._process.memory_info().rss, self._process.cpu_percent() / 100 / self._cores
        return Load(memory, min(1.0, cpu), *_gpu_load())


def describe() -> dict[str, Any]:
    """``{"cpu": name, "machine": x86_64, "cores": n, "memory_bytes": n, "gpus": [name], "gpu_memory_bytes": [n]}``"""
    gpus = [_gpu_facts(handle) for handle in hardware.handles()]
    return {
        "cpu": _cpu_name(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [name for name, _ in gpus],
        "gpu_memory_bytes": [taken for _, taken in gpus],
    }


def _cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_facts(handle: Any) -> tuple[str, int]:
    import pynvml

    return _text(pynvml.nvmlDeviceGetName(handle)), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)


def _gpu_load() -> tuple[int | None, float | None]:
    """(bytes taken, mean share of time in which they computed) of the GPUs that this process uses."""
    used = _used_handles()
    if not used:
        return None, None
    import pynvml

    with suppress(pynvml.NVMLError):
        taken = sum(pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in used)
        return taken, sum(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu for handle in used) / 100 / len(used)
    return None, None


def _used_handles() -> list[Any]:
    """Only once torch has opened a GPU: before that, how busy the machine's GPUs are is other people's business."""
    torch = sys.modules.get("torch")
    if not hardware.handles() or torch is None or not torch.cuda.is_initialized():
        return []
    import pynvml

    found = []
    for index in range(min(torch.cuda.device_count(), MOST_GPUS)):
        with suppress(pynvml.NVMLError, AttributeError):
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
            found.append(pynvml.nvmlDeviceGetHandleByUUID(uuid.encode()))
    return found


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
