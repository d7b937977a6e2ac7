"""Checkpoints of one job, each a folder that is whole or not there at all.

::

    checkpoints/step-N/
    ├── state.pt      to resume: trained weights, optimizer, step, losses so far
    └── model/        to use: a folder like those of the registry, a whole model or an adapter

With the state, and with data order, learning rate and randomness being functions of the step, a resumed
training gives the same numbers to the bit. Kept are the last two, the best one, and those that a person
keeps.
"""

import logging
import shutil
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from core import storage

KEEP_LAST = 2
_log = logging.getLogger(__name__)


def folder(job: Path) -> Path:
    return job / "checkpoints"


def model_folder(job: Path, step: int) -> Path:
    """Where the model of one checkpoint lies."""
    return folder(job) / f"step-{step}" / "model"


def save(job: Path, state: dict[str, Any], write_model: Callable[[Path], None]) -> int:
    """Write the state of ``state["step"]`` and its model; returns their size in bytes.

    Raises DiskFull, leaving the older ones as they were.
    """
    import torch

    final = folder(job) / f"step-{state['step']}"
    storage.require_space(_bytes_of(state) + _bytes_of(state["weights"]))
    storage.remove(final)
    with storage.publishing(final) as draft:
        torch.save(state, draft / "state.pt")
        write_model(draft / "model")
    return storage.folder_bytes(final)


def load_latest(job: Path) -> dict[str, Any] | None:
    """The newest state that can be read; an unreadable one is removed. None when there is none."""
    for step in reversed(steps(job)):
        if (state := _read(folder(job) / f"step-{step}" / "state.pt")) is not None:
            return state
        _log.warning("the checkpoint of step %s cannot be read; using an older one", step)
        storage.remove(folder(job) / f"step-{step}")
    return None


def prune(job: Path, *, best: int | None, pinned: Collection[int] = ()) -> list[int]:
    """Remove what is no longer needed; returns the steps that are kept."""
    present = steps(job)
    kept = [step for step in present if step in present[-KEEP_LAST:] or step == best or step in pinned]
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
    return sorted(
        int(p.name.removeprefix("step-")) for p in folder(job).iterdir() if p.name.startswith("step-")
    )


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
