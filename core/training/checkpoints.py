"""Checkpoints of one job: ``checkpoints/step-N/state.pt``, whole or not there at all.

A state holds the trained weights, the optimizer, the random generators and the step: with it, and with data order and learning rate
being functions of the step, a resumed training gives the same numbers to the bit. The last two are kept, and the best one.
"""

import logging
import shutil
import zipfile
from pathlib import Path
from typing import Any

from core import storage

KEEP_LAST = 2
_log = logging.getLogger(__name__)


def folder(job: Path) -> Path:
    return job / "checkpoints"


def save(job: Path, state: dict[str, Any]) -> int:
    """Write the state of ``state["step"]``; returns its size in bytes. Raises DiskFull, leaving the older ones as they were."""
    import torch

    final = folder(job) / f"step-{state['step']}"
    storage.require_space(_bytes_of(state))
    storage.remove(final)
    with storage.publishing(final) as draft:
        torch.save(state, draft / "state.pt")
    return storage.folder_bytes(final)


def load_latest(job: Path) -> dict[str, Any] | None:
    """The newest state that can be read; an unreadable one is removed. None when there is none."""
    for step in reversed(steps(job)):
        if (state := _read(folder(job) / f"step-{step}" / "state.pt")) is not None:
            return state
        _log.warning("the checkpoint of step %s cannot be read; using an older one", step)
        storage.remove(folder(job) / f"step-{step}")
    return None


def prune(job: Path, *, best: int | None) -> list[int]:
    """Remove what is no longer needed; returns the steps that are kept."""
    present = steps(job)
    kept = [step for step in present if step in present[-KEEP_LAST:] or step == best]
    for step in set(present) - set(kept):
        storage.remove(folder(job) / f"step-{step}")
    return kept


def clear_leftovers(job: Path) -> None:
    """Remove what a process that was killed while writing left under temporary names."""
    for place in (job, folder(job)):
        for leftover in place.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(job / "draft", ignore_errors=True)


def steps(job: Path) -> list[int]:
    """The steps of all checkpoints, ascending."""
    if not folder(job).is_dir():
        return []
    return sorted(int(p.name.removeprefix("step-")) for p in folder(job).iterdir() if p.name.startswith("step-"))


def _bytes_of(value: Any) -> int:
    """The size of all tensors in a state, which is nearly all of its file."""
    if isinstance(value, dict):
        return sum(map(_bytes_of, value.values()))
    return value.numel() * value.element_size() if hasattr(value, "element_size") else 0


def _read(path: Path) -> dict[str, Any] | None:
    import torch

    if not zipfile.is_zipfile(path):  # torch writes zip archives; a cut one has lost its table of contents
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError):
        return None
    return state
