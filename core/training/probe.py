"""A few real steps before the start: how long one takes and how much memory.

Runs in a process of its own and writes nothing.

The base is loaded as the training loads it, and the loop's own step runs on the longest rows of the data, so
the memory is that of the worst step. Time is told per token, since most rows are shorter. The weights that
come out are thrown away.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import hardware
from core.training import examples, pretrained
from core.training.examples import TokenizedRows
from core.training.hyperparameters import Settings
from core.training.loop import Loop
from core.training.method import Method, Rows, Silent, TrainingFailed
from core.weights import Weights

STEPS = 3  # measured, after one that is not: the first allocates
ENOUGH_SECONDS = 20.0
ROWS_LOOKED_AT = 2_000  # for the longest ones, when nobody has counted them


def measure(
    method: Method,
    weights: Weights,
    rows: Rows,
    settings: Settings,
    *,
    threads: int,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """{"seconds_per_step", "tokens_per_second", "memory_bytes", "gpu_memory_bytes", …}.

    Raises TrainingFailed.
    """
    import torch

    hardware.set_up_torch(threads=threads)
    told("Loading the base model.")
    tokenizer = pretrained.load_tokenizer(weights)
    began = time.monotonic()
    model = pretrained.load_model(weights, settings, seed=0)
    loading = time.monotonic() - began
    items = _longest(rows, tokenizer, settings)
    told("Running a few steps on the longest rows.")
    with tempfile.TemporaryDirectory(prefix="luthier-probe-") as folder:
        loop = _loop(method, model, items, settings, Path(folder))
        seconds, tokens = _time_steps(loop)
    return {
        "seconds_per_step": seconds,
        "tokens_per_second": tokens / seconds,
        "tokens_per_step": tokens,
        "longest_row": max(map(len, items)),
        "seconds_to_load": loading,
        "memory_bytes": peak_memory(),
        "gpu_memory_bytes": torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
    }


def peak_memory() -> int:
    """The most bytes of RAM this process ever held."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _longest(rows: Rows, tokenizer: Any, settings: Settings) -> Sequence[Any]:
    """As many of the longest items as one step learns from."""
    reading = TokenizedRows()
    for count, (line, example) in enumerate(rows):
        if count >= ROWS_LOOKED_AT:
            break
        if not isinstance(example, list):
            examples.add_or_fail(reading, line, example, tokenizer, settings)
    if not reading.items:
        raise TrainingFailed("None of the rows has anything to learn.", code="invalid_training_file")
    items = sorted(reading.items, key=len, reverse=True)
    wanted = settings.rows_per_step()
    if not settings.packing:
        return items[:wanted]
    taken, tokens = 0, 0
    while taken < len(items) and tokens < wanted * settings.max_length:
        tokens += len(items[taken])
        taken += 1
    return items[:taken]


def _loop(method: Method, model: Any, items: Sequence[Any], settings: Settings, folder: Path) -> Loop:
    loop = Loop(
        model=model,
        objective=method.objective(settings),
        train=items,
        validation=[],
        settings=replace(settings, n_epochs=STEPS + 1, max_steps=None, samples_every=0),
        seed=0,
        folder=folder,
        report=Silent(),
        write_model=lambda _folder: None,
    )
    loop.objective.prepare(model, [[row] for row in items], folder / "reference.npy", loop.measuring)
    return loop


def _time_steps(loop: Loop) -> tuple[float, int]:
    """(seconds, tokens) of one step: the mean after the first."""
    loop.take_step()
    first_tokens = loop.state.tokens
    _wait_for_gpu()
    began = time.monotonic()
    steps = 0
    while steps < STEPS and (steps == 0 or time.monotonic() - began < ENOUGH_SECONDS):
        loop.take_step()
        _wait_for_gpu()
        steps += 1
    return (time.monotonic() - began) / steps, max(1, round((loop.state.tokens - first_tokens) / steps))


def _wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
