"""How good a checkpoint or a model version is on a version
of a dataset: asked for here, computed by ``evaluator``.

Without a dataset version the rows count that the job kept for validation, the very same. The result stands
beside the other metrics as ``evaluation``; a later one takes its place. At most ``SLOTS`` run at a time, each
in a process that outlives the server.
"""

import logging
import threading
from typing import Any

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import datasets, models, storage
from core.clock import now
from core.config import settings, sibling_environment
from core.db import reading, writing
from core.errors import Conflict, NotFound
from core.fields import Input
from core.fine_tuning import sources
from core.fine_tuning.values import Checkpoint, present_checkpoint
from core.models import ModelVersion
from core.models.values import present_version, settled
from core.people.users import User
from core.processes import children
from core.processes.children import Child, Program
from core.security import new_token
from core.tables import CheckpointRow, JobRow, ModelRow, ModelVersionRow
from core.training import METHODS

SLOTS = 2
EVALUATOR = "core.fine_tuning.checkpoints.evaluator"
PROGRAM = Program(EVALUATOR, f"{EVALUATOR}:main")
CRASHED = "The evaluation ended unexpectedly. Start it again."
Target = CheckpointRow | ModelVersionRow
log = logging.getLogger(__name__)


class NewEvaluation(Input):
    """``dataset_version_id``: what to measure on. Left out: the rows that the job kept for validation."""

    dataset_version_id: str | None = Field(None, max_length=64, title="Dataset version")


def evaluate_checkpoint(user: User, job_id: str, step: int, new: NewEvaluation | None = None) -> Checkpoint:
    """Begin to measure; returns at once.

    Raises NotFound, Conflict (no rows to measure on, files gone, too many at once).
    """
    with reading() as session:
        mine = select(JobRow, CheckpointRow).join(CheckpointRow, CheckpointRow.job_id == JobRow.id)
        found = session.execute(
            mine.where(JobRow.id == job_id, JobRow.user_id == user.id, CheckpointRow.step == step)
        ).first()
    if found is None:
        raise NotFound
    job, row = found
    models.location(row.id)
    return present_checkpoint(_begin(user, row.id, job, method=job.method, new=new or NewEvaluation()))  # type: ignore[arg-type]


def evaluate_version(user: User, model_id: str, number: int, new: NewEvaluation) -> ModelVersion:
    """The same for a version of a model. Results of shared bases are not stored, so those are refused."""
    with reading() as session:
        mine = select(ModelVersionRow).join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
        row = session.scalar(
            mine.where(
                ModelRow.id == model_id, ModelRow.owner_id == user.id, ModelVersionRow.version == number
            )
        )
        job = session.get(JobRow, row.finetune_job_id) if row and row.finetune_job_id else None
    if row is None:
        raise NotFound
    method = str(row.settings.get("method") or "supervised")
    return present_version(_begin(user, row.id, job, method=method, new=new))  # type: ignore[arg-type]


def target(session: Session, target_id: str) -> Target:
    """The row of a checkpoint or a model version. Raises NotFound."""
    kind = CheckpointRow if target_id.startswith("ckpt_") else ModelVersionRow
    row = session.get(kind, target_id)
    if row is None:
        raise NotFound
    return row  # type: ignore[return-value]


def change(target_id: str, run: str, **values: Any) -> bool:
    """Write into an evaluation that has not ended, if it is still the one of this run.

    False: it is not, or its row is gone.
    """
    with writing() as session:
        try:
            row = target(session, target_id)
        except NotFound:
            return False
        known = row.metrics.get("evaluation") or {}
        if known.get("run") != run or known.get("status") not in ("waiting", "running"):
            return False
        row.metrics = {**row.metrics, "evaluation": {**known, **values}}
        return True


def _begin(user: User, target_id: str, job: JobRow | None, *, method: str, new: NewEvaluation) -> Target:
    asked = _ask(user, job, method=method, version_id=new.dataset_version_id)
    storage.require_space()
    with writing() as session:
        row = target(session, target_id)
        if settled(row.metrics).get("evaluation", {}).get("status") in ("waiting", "running"):
            return row
        if _count_running(session) >= SLOTS:
            raise Conflict(
                f"{SLOTS} evaluations are running on this server. Start this one when one of them has ended."
            )
        row.metrics = {**row.metrics, "evaluation": asked}
    _start(target_id, asked["run"])
    return row


def _ask(user: User, job: JobRow | None, *, method: str, version_id: str | None) -> dict[str, Any]:
    """What the process will read.

    Raises NotFound, Conflict, ValidationError as a new job on these rows would.
    """
    kept = job is not None and version_id in (None, job.dataset_version_id) and job.validation_fraction > 0
    chosen = version_id or (job and (job.dataset_version_id if kept else job.validation_version_id))
    if not chosen:
        raise Conflict("This job kept no rows for validation. Choose a version of a dataset to measure on.")
    version = datasets.get_version(user, chosen)
    columns = job.columns if job and version.format == "table" else None
    rows = sources.find_rows(
        user, version.dataset_id, version_id=chosen, mapping=columns, method=METHODS[method]
    )
    sources.require_sound(rows)
    at = now().isoformat()
    return {
        "run": new_token()[:12],
        "status": "waiting",
        "progress": 0.0,
        "method": method,
        "dataset_version_id": chosen,
        "dataset": f"{rows.name} v{version.version}",
        "columns": columns,
        "rows": "held out" if kept else "all",
        "asked_at": at,
        "heard_at": at,
    }


def _count_running(session: Session) -> int:
    open_ = ("waiting", "running")
    counted = 0
    for kind in (CheckpointRow, ModelVersionRow):
        rows = session.scalars(
            select(kind.metrics).where(kind.metrics["evaluation"]["status"].as_string().in_(open_))
        )
        counted += sum(settled(metrics)["evaluation"]["status"] in open_ for metrics in rows)
    return counted


def _start(target_id: str, run: str) -> None:
    path = settings().data_dir / "logs" / f"evaluation-{target_id}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.unlink(missing_ok=True)
        environment = sibling_environment(HF_HUB_OFFLINE="1")
        child = children.start(PROGRAM, target_id, run, output=path, environment=environment)
    except OSError as error:
        log.error("no process for the evaluation of %s could be started: %s", target_id, error)
        change(target_id, run, status="failed", error=CRASHED)
        return
    threading.Thread(target=_wait, args=(child, target_id, run), daemon=True, name="evaluation").start()


def _wait(child: Child, target_id: str, run: str) -> None:
    """A process that died without a word leaves no evaluation that runs for ever."""
    if (code := child.wait()) != 0:
        log.error("the evaluation of %s ended with code %s; its log is kept", target_id, code)
    change(target_id, run, status="failed", error=CRASHED)
