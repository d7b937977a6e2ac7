"""How many devices fine-tuning jobs share on this server: what is configured, else its GPUs, else its CPU cores."""

import os

from core import hardware
from core.config import settings


def count() -> int:
    """At least one."""
    return settings().training_devices or len(hardware.gpus()) or cores()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
