"""What a version of the registry remembers about how it was made:
data, exact settings, environment, hardware, time and cost.

Asked by the worker when a job has ended and by whoever promotes a checkpoint, so that both tell the same. The
versions of libraries are read from their metadata: nothing is imported here.
"""

import platform
import subprocess
import tomllib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.orm import Session

from core.config import ROOT, settings
from core.hardware import cores
from core.tables import DatasetRow, DatasetVersionRow, JobRow, ModelVersionRow
from core.weights import template_sha256

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers")
GIT_SECONDS = 2.0


def describe(
    session: Session, job: JobRow, *, model: Path | None, step: int | None, seconds: float
) -> dict[str, Any]:
    """The ``settings`` of a version: everything needed to run the training again and to know what it took.

    ``model``: the folder that becomes the version, None for a run without one. ``seconds``: how long the
    training took to get there, over all attempts.
    """
    base = session.get(ModelVersionRow, job.base_version_id) if job.base_version_id else None
    return {
        "method": job.method,
        "seed": job.seed,
        "columns": job.columns,
        "hyperparameters": job.hyperparameters,
        "resolved": job.resolved,
        "checkpoint_step": step,
        "dataset": _data(session, job.dataset_version_id),
        "validation": _validation(session, job),
        "chat_template_sha256": (template_sha256(model) if model else None)
        or (base.chat_template_sha256 if base else None),
        "environment": environment(),
        "hardware": job.hardware or hardware(),
        "cost": cost(seconds, devices=job.num_processes),
    }


def environment() -> dict[str, str]:
    """The software of this installation, by name."""
    versions = {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}
    return {**versions, "luthier": luthier_version(), "platform": platform.platform()}


def hardware() -> dict[str, Any]:
    """This machine as far as it is known without a GPU library; a training that has one tells more."""
    return {"machine": platform.machine(), "cores": cores(), "memory_bytes": psutil.virtual_memory().total}


def cost(seconds: float, *, devices: int) -> dict[str, float]:
    """``device_hours``, and what they cost at ``LUTHIER_COST_PER_HOUR`` each (0: nobody said)."""
    hours, price = seconds * devices / 3600, settings().cost_per_hour
    return {"device_hours": round(hours, 4), "per_hour": price, "total": round(hours * price, 4)}


@lru_cache
def luthier_version() -> str:
    """``0.1.0`` or, in a checkout, ``0.1.0+abc1234``."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        number = str(tomllib.load(file)["project"]["version"])
    if not (ROOT / ".git").exists():
        return number
    ask = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(
            ask, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return number
    return f"{number}+{commit}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _data(session: Session, version_id: str | None) -> dict[str, Any]:
    row = session.get(DatasetVersionRow, version_id) if version_id else None
    dataset = session.get(DatasetRow, row.dataset_id) if row else None
    if row is None or dataset is None:
        return {}
    return {
        "version_id": row.id,
        "name": dataset.name,
        "number": row.number,
        "content_hash": row.content_hash,
        "rows": row.num_rows,
    }


def _validation(session: Session, job: JobRow) -> dict[str, Any]:
    if job.validation_version_id:
        return _data(session, job.validation_version_id)
    return {"share_of_the_dataset": job.validation_fraction} if job.validation_fraction else {}
