"""The real worker with trouble built in, and the runner that starts it.

What goes wrong stands as JSON in the job's notes: ``slow`` (seconds per step), ``hang_at`` (the step that
never ends, at the first attempt, or ``always``), ``nan_at`` (the step from which the loss is lost). A
checkpoint is written after every step.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from core import storage
from core.config import ROOT, settings
from core.db import reading
from core.runners import RUNNERS, Worker
from core.runners.subprocess import SubprocessRunner, _environment
from core.tables import JobRow
from core.training.loop import Loop
from core.workers import worker

# what a worker imports on its way to the first step; the parent of forked workers has it already
IMPORTED_BY_WORKERS = (
    "torch._dynamo", "torch.distributed.tensor", "torch.distributed.checkpoint", "torch.distributed.fsdp",
    "accelerate", "transformers.generation", "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama", "pandas", "tensorboardX", "core.training.pretrained",
)  # fmt: skip


class SlowRunner(SubprocessRunner):
    name = "slow"
    title = "On this machine, with trouble"

    def start(self, job_id: str) -> Worker | None:
        folder = storage.job_dir(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "output.txt").open("ab") as output:
            child = start(job_id, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        self._children.append(child)
        return Worker(child.pid, psutil.Process(child.pid).create_time())


class ForkedRunner(SlowRunner):
    """Forks its workers from a process that has torch in memory, which saves each some seconds."""

    name = "forked"

    def __init__(self) -> None:
        super().__init__()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *IMPORTED_BY_WORKERS])

    def start(self, job_id: str) -> Worker | None:
        output = storage.job_dir(job_id) / "output.txt"
        output.parent.mkdir(parents=True, exist_ok=True)
        child = self._context.Process(target=_run_forked, args=(job_id, output, _environment(1)), daemon=True)
        child.start()
        assert child.pid
        return Worker(child.pid, psutil.Process(child.pid).create_time())


def _run_forked(job_id: str, output: Path, environment: dict[str, str]) -> None:
    """The server that it is forked from is older than the test, whose settings these are."""
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
    with output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(job_id))


def start(job_id: str, **more: Any) -> subprocess.Popen[bytes]:
    """The worker as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.slow_worker", job_id], cwd=ROOT, env=_environment(1), **more
    )


def serve() -> None:
    """What a server does for its jobs, until it is killed."""
    from core.workers import supervisor

    RUNNERS["slow"] = SlowRunner()
    supervisor.start()
    while True:
        time.sleep(60)


def main(job_id: str) -> int:
    with reading() as session:
        job = session.get_one(JobRow, job_id)
    trouble = json.loads(job.notes or "{}")
    take_step, backward = Loop.take_step, Loop.backward

    def slow_step(loop: Loop) -> None:
        time.sleep(trouble.get("slow", 0))
        if loop.state.step + 1 == trouble.get("hang_at") and (job.attempts == 1 or trouble.get("always")):
            time.sleep(3600)
        take_step(loop)

    def lost_loss(loop: Loop, units: Any) -> Any:
        loss, extra = backward(loop, units)
        return (float("nan"), extra) if loop.state.step + 1 >= trouble.get("nan_at", 10**9) else (loss, extra)

    Loop.take_step, Loop.backward = slow_step, lost_loss  # type: ignore[method-assign]
    Loop._saving_is_cheap = lambda _self: True  # type: ignore[method-assign]
    return worker.main(job_id)


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1] == "serve" else main(sys.argv[1]))
