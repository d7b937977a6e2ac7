"""Where the worker of a job runs: one line per runner in ``RUNNERS``. The job's row names its runner.

To add one: a file with a class like :class:`~core.runners.base.Runner`, and a line here; the contract test
follows.
"""

from core.runners.base import Runner, Worker
from core.runners.ray import RayRunner
from core.runners.subprocess import SubprocessRunner

__all__ = ["RUNNERS", "Runner", "Worker"]

RUNNERS: dict[str, Runner] = {runner.name: runner for runner in (SubprocessRunner(), RayRunner())}
