"""Checkpoints as something to call: ``ftj_…:step-N``,
or ``NAME:step-N`` with the name of a job, by the job's owner alone.

A checkpoint is no model of the registry: it has no version, no alias, and it may be swept. While it is there,
it answers like a model, also while its job still runs. Its version id is the checkpoint's own id, which a
rewritten checkpoint does not share.
"""

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import storage
from core.errors import Conflict, NotFound
from core.models.evaluations import metrics_of
from core.models.values import Model, ModelVersion, descends_from_starter, no_such_model
from core.tables import CheckpointRow, JobRow, ModelRow, ModelVersionRow
from core.weights import Weights, read_facts, real_path, template_sha256

REFERENCE = re.compile(r"(?P<job>.{1,100}):step-(?P<step>\d{1,9})")
ID = re.compile(r"ftj_[a-z2-7]{8,60}:step-\d{1,9}")


def reference(job_id: str, step: int) -> str:
    """The name that stays the same whatever the job is called."""
    return f"{job_id}:step-{step}"


def is_meant(name: str) -> bool:
    """Whether a name may mean a checkpoint."""
    return REFERENCE.fullmatch(name) is not None


def is_reference(text: str) -> bool:
    """Whether this is what ``reference`` makes, which no model has as its id."""
    return ID.fullmatch(text) is not None


def find(session: Session, user_id: str, name: str) -> tuple[Model, ModelVersion]:
    """The checkpoint as a model with one version. Raises NotFound, Conflict when it was there once."""
    meant = REFERENCE.fullmatch(name)
    job = _job(session, user_id, meant["job"]) if meant else None
    if meant is None or job is None:
        raise no_such_model()
    step = int(meant["step"])
    row = session.scalar(select(CheckpointRow).filter_by(job_id=job.id, step=step))
    if row is None and step > max(job.step, job.total_steps):
        raise NotFound("There is no such checkpoint.")
    if row is None or not storage.checkpoint_model_dir(job.id, step).is_dir():
        raise _gone(step)
    return _present(session, job, row), _present_version(session, job, row)


def locate(session: Session, checkpoint_id: str) -> Weights:
    """Where a checkpoint's model lies.

    Raises NotFound, Conflict when its files or an adapter's base are gone.
    """
    row = session.get(CheckpointRow, checkpoint_id)
    job = session.get(JobRow, row.job_id) if row else None
    if row is None or job is None:
        raise NotFound("There is no such checkpoint.")
    folder = storage.checkpoint_model_dir(job.id, row.step)
    if not folder.is_dir():
        raise _gone(row.step)
    base = whole_base(session, job)
    template = template_sha256(folder) or (base.chat_template_sha256 if base else None)
    if not (folder / "adapter_config.json").is_file():
        return Weights(row.id, folder, folder, None, template)
    if base is None:
        raise Conflict("The base of this checkpoint was deleted, so it cannot answer any more.")
    return Weights(row.id, folder, real_path(base.folder), folder, template)


def whole_base(session: Session, job: JobRow) -> ModelVersionRow | None:
    """The whole model that an adapter of the job is applied to: what it started from, or what is below it.

    None: deleted.
    """
    started = session.get(ModelVersionRow, job.base_version_id) if job.base_version_id else None
    if started is None or started.kind == "full":
        return started
    return session.get(ModelVersionRow, started.base_version_id) if started.base_version_id else None


def _job(session: Session, user_id: str, text: str) -> JobRow | None:
    """By id, else the newest job of that name."""
    mine = select(JobRow).where(JobRow.user_id == user_id, (JobRow.id == text) | (JobRow.name == text))
    jobs = session.scalars(mine.order_by(JobRow.created_at.desc(), JobRow.id)).all()
    return min(jobs, key=lambda row: row.id != text, default=None)


def _gone(step: int) -> Conflict:
    return Conflict(
        f"The checkpoint of step {step} was removed. Choose another checkpoint or model; "
        f"keep those you still need."
    )


def _present(session: Session, job: JobRow, row: CheckpointRow) -> Model:
    base = session.get(ModelRow, job.base_model_id) if job.base_model_id else None
    facts = read_facts(storage.checkpoint_model_dir(job.id, row.step))
    return Model(
        id=reference(job.id, row.step),
        owner_id=job.user_id,
        name=f"{job.name}:step-{row.step}",
        type="checkpoint",
        base_model_id=job.base_model_id,
        openai_id=reference(job.id, row.step),
        description=f"The checkpoint of step {row.step} of the fine-tuning {job.name}.",
        system_prompt=None,
        parameters={},
        finetune_job_id=job.id,
        latest_version=row.step,
        latest_version_id=row.id,
        aliases={},
        capabilities={"chat": True, "embeddings": False, "finetune": False},
        context_length=base.context_length if base else facts.context_length,
        provider=base.provider if base else "local",
        kind=_kind(job, row),
        num_parameters=facts.num_parameters,
        size_bytes=facts.size_bytes,
        starter=base is not None and descends_from_starter(session, base),
        created_at=row.created_at,
        updated_at=row.created_at,
    )


def _present_version(session: Session, job: JobRow, row: CheckpointRow) -> ModelVersion:
    folder = storage.checkpoint_model_dir(job.id, row.step)
    return ModelVersion(
        id=row.id,
        model_id=reference(job.id, row.step),
        version=row.step,
        kind=_kind(job, row),
        base_version_id=job.base_version_id,
        finetune_job_id=job.id,
        dataset_version_id=job.dataset_version_id,
        metrics=metrics_of(session, row),
        settings={"checkpoint_step": row.step},
        size_bytes=storage.folder_bytes(folder),
        num_parameters=0,
        chat_template_sha256=template_sha256(folder),
        created_at=row.created_at,
    )


def _kind(job: JobRow, row: CheckpointRow) -> str:
    is_adapter = (storage.checkpoint_model_dir(job.id, row.step) / "adapter_config.json").is_file()
    return "adapter" if is_adapter else "full"
