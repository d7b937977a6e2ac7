"""How many devices fine-tuning jobs share on this server: what is configured, else its GPUs, else its CPU cores.

Asks the driver's own tool, because the web process imports no torch.
"""

import os
import shutil
import subprocess
from functools import lru_cache

from core.config import settings

ASKED_SECONDS = 10


def count() -> int:
    """At least one. Slow at the first call on a machine with GPUs; never call it inside ``writing()``."""
    return settings().training_devices or gpus() or cores()


@lru_cache
def gpus() -> int:
    """GPUs that the driver shows; 0 without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=ASKED_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
