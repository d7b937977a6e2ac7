"""Planning and starting a job. The same idempotency key of the same user never starts two."""

import math
import random
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from pydantic import Field, field_validator
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import datasets, hardware, jobs, storage
from core.chat_templates import sentences
from core.db import reading, writing
from core.errors import Conflict, NotFound, ValidationError
from core.fields import Input
from core.fine_tuning import choices, row_counts, sources
from core.fine_tuning.before import templates
from core.fine_tuning.expected import START_SECONDS
from core.fine_tuning.owned import find
from core.fine_tuning.queue import require_devices
from core.fine_tuning.sources import Base, Rows, Sources
from core.fine_tuning.values import Job, present
from core.jobs import notes, turns
from core.people.users import User
from core.runners import RUNNERS
from core.security import digest, new_id
from core.tables import DatasetVersionRow, JobRow
from core.training import DEFAULT_METHOD, METHODS, Hyperparameters, Settings, resolve
from core.training.examples import num_held_out

GONE = "The base model or the dataset was deleted just now."
FLOPS_PER_SECOND = 3.5e10  # one core on a small model, measured; only for an estimate before the first run


class NewJob(Input):
    """What to train, on what, and how.

    ``columns`` maps roles (prompt, completion, …) to the columns of a table.
    """

    base_model_id: str = Field(max_length=64, title="Base model", description="The model to start from.")
    dataset_id: str = Field(max_length=64, title="Dataset", description="The dataset to learn from.")
    dataset_version_id: str | None = Field(
        None, max_length=64, title="Version", description="Of the dataset. Empty: the newest."
    )
    validation_dataset_id: str | None = Field(
        None,
        max_length=64,
        title="Validation dataset",
        description="Another dataset to measure on, in place of a share of the rows.",
    )
    validation_fraction: float = Field(
        0.0,
        ge=0,
        le=0.5,
        allow_inf_nan=False,
        title="Kept for validation",
        description=(
            "Share of the rows that is not learned but used to measure. "
            "The same row is always on the same side."
        ),
    )
    columns: dict[str, str] | None = Field(
        None,
        title="Columns",
        description="Which column of a table plays which role, where the rows have no training format.",
    )
    name: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        title="Name of the model",
        description="What comes out. Empty: from base and dataset.",
    )
    suffix: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]{1,64}$", title="Suffix", description="The end of the automatic name."
    )
    method: str = Field(DEFAULT_METHOD, title="Method", description="How it learns.")
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)
    seed: int | None = Field(
        None, ge=0, le=2**31 - 1, title="Seed", description="The same seed gives the same training."
    )
    sample_prompts: list[str] = Field(
        default_factory=list,
        max_length=8,
        title="Sample prompts",
        description=(
            "Asked again and again while the model trains, so that you can see it learn. Empty: "
            "taken from the data."
        ),
    )
    priority: int = Field(
        0,
        ge=min(turns.PRIORITIES),
        le=max(turns.PRIORITIES),
        title="Priority",
        description=turns.PRIORITY_HELP,
    )
    runner: str = Field(
        "subprocess", title="Where it runs", description="The runner that starts the training."
    )
    num_processes: int = Field(
        1,
        ge=1,
        le=64,
        title="Devices",
        description="Processes that share each step, one per GPU (or CPU core).",
    )
    copied_from: str | None = Field(
        None, max_length=64, title="Copied from", description="The job of yours that this one varies."
    )
    notes: str = Field(
        "", max_length=10_000, title="Notes", description="For people; no training reads them."
    )
    tags: list[str] = Field(
        default_factory=list, max_length=20, title="Tags", description="Words to find the job by."
    )
    idempotency_key: str | None = Field(
        None, max_length=200, title="Idempotency key", description="The same key never starts two jobs."
    )

    @field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"must be one of {', '.join(METHODS)}")
        return method

    @field_validator("runner")
    @classmethod
    def _runner_is_known(cls, runner: str) -> str:
        if runner not in RUNNERS:
            raise ValueError(f"must be one of {', '.join(RUNNERS)}")
        return runner

    @field_validator("name")
    @classmethod
    def _name_is_not_blank(cls, name: str | None) -> str | None:
        if name is not None and not name.strip():
            raise ValueError("must not be blank")
        return name


@dataclass(frozen=True)
class Plan:
    """What a job would do. ``estimated_seconds`` is rough, and None when nothing is known.

    ``notes`` say what else of the rows is not learned, where that is nothing to be warned of.
    """

    num_examples: int
    num_validation: int
    total_steps: int
    resolved: dict[str, Any]
    estimated_seconds: float | None
    warnings: list[str]
    notes: list[str]


def look_up(user: User, new: NewJob, *, base: Base | None = None) -> Sources:
    """Base and rows of a request, for all that looks at them at this moment.

    Whether a training can start from them is not checked. ``base``: it was looked up just now.

    Raises NotFound, Conflict, ValidationError.
    """
    method = METHODS[new.method]
    base = base or sources.find_base(user, new.base_model_id)
    find_rows = partial(sources.find_rows, user, mapping=new.columns, method=method, must_be_sound=False)
    rows = find_rows(new.dataset_id, version_id=new.dataset_version_id)
    if new.validation_dataset_id is None:
        return base, rows, None
    if new.validation_fraction:
        raise ValidationError.of(
            "validation_fraction", "give either a validation dataset or a fraction, not both"
        )
    return base, rows, find_rows(new.validation_dataset_id, version_id=None)


def plan(user: User, new: NewJob, found: Sources | None = None) -> Plan:
    """Look before the start. ``found``: what ``look_up`` has just found for this user and request.

    Raises what ``create`` would raise about base, dataset and mapping, and about rows that are known to teach
    nothing.
    """
    base, rows, validation = _find(user, new, found)
    settings, num_examples, num_validation = _settle(new, base, rows, validation)
    row_counts.require_something(rows, base, settings, fraction=new.validation_fraction)
    tokens = sources.tokens_per_row(rows) * num_examples * settings.n_epochs
    return Plan(
        num_examples=num_examples,
        num_validation=num_validation,
        total_steps=settings.total_steps(num_examples, num_processes=new.num_processes),
        resolved=asdict(settings),
        estimated_seconds=_estimate(base, tokens),
        warnings=[
            *row_counts.warnings(
                *(rows, base, settings),
                num_examples=num_examples,
                num_validation=num_validation,
                fraction=new.validation_fraction,
            ),
            *(row_counts.validation_warnings(rows, validation, settings) if validation else []),
            *(sentences(base.template, "warn", "info") if METHODS[new.method].asks_in_chat else []),
        ],
        notes=row_counts.notes(rows, settings),
    )


def create(user: User, new: NewJob) -> Job:
    """Start a job; it waits for its turn.

    Raises NotFound, Conflict (the dataset cannot train this), ValidationError, DiskFull.
    """
    key = key_of(user, new.idempotency_key)
    if key and (existing := find_by_key(key)):
        return existing
    job_sources = find_sources(user, new)
    try:
        with writing() as session:
            row = insert(session, user, new, job_sources, key=key)
            session.refresh(row)
            return present(session, row)
    except IntegrityError as error:
        if key and (existing := find_by_key(key)):
            return existing
        raise NotFound(GONE) from error


def automatic(base: Base, hyperparameters: Hyperparameters, *, method: str, num_rows: int) -> Settings:
    """What the settings that are left alone become beside those that are not."""
    return resolve(
        hyperparameters,
        num_examples=num_rows,
        num_parameters=base.num_parameters,
        context_length=base.context_length,
        method=method,
        gpu=hardware.computes_bfloat16(),
    )


def key_of(user: User, idempotency_key: str | None) -> str | None:
    """What the database keeps of a key: nobody else's key is ever the same."""
    return digest(f"{user.id}:{idempotency_key}") if idempotency_key else None


def find_by_key(key: str) -> Job | None:
    with reading() as session:
        row = session.scalar(select(JobRow).where(JobRow.idempotency_key == key))
        return present(session, row) if row else None


def find_sources(user: User, new: NewJob) -> Sources:
    """What jobs like ``new`` learn from, its first rows looked at. Raises what ``create`` raises."""
    storage.require_space()
    job_sources = _find(user, new)
    settings, *_ = _settle(new, *job_sources)
    base, rows, _ = job_sources
    row_counts.require_something(rows, base, settings, fraction=new.validation_fraction)
    for part in filter(None, job_sources[1:]):
        sources.require_sound(part)
    return job_sources


def insert(
    session: Session,
    user: User,
    new: NewJob,
    found: Sources,
    *,
    key: str | None = None,
    group_id: str | None = None,
) -> JobRow:
    """Write a job, in the queue when all its rows are known to be sound. Raises Conflict, IntegrityError."""
    base, rows, validation = found
    row = _row(user, new, base=base, rows=rows, validation=validation, key=key)
    row.group_id = group_id
    for version_id in filter(None, (row.dataset_version_id, row.validation_version_id)):
        if version := session.get(DatasetVersionRow, version_id):
            datasets.require_readable(version)  # from now on ``removing`` sees that it is needed
    session.add(row)
    session.flush()
    notes.add_event(session, row.id, "Created.")
    if all(part.checked or part.num_rows <= sources.CHECKED_AT_ONCE for part in (rows, validation) if part):
        _admit(session, row, rows, _settle(new, base, rows, validation))
    return row


def default_name(found: Sources, suffix: str | None) -> str:
    base, rows, _ = found
    return f"{base.name}-{suffix or '-'.join(rows.name.split())}"[:100]


def admit(job_id: str) -> None:
    """Check all rows of a ``validating`` job, then queue it or fail it with the reason.

    Slow for large tables.
    """
    with reading() as session:
        row = session.get(JobRow, job_id)
        job_sources = sources.of_job(session, row) if row else None
    if row is None:
        return None
    if job_sources is None:
        return _reject(job_id, jobs.Error("not_found", "The base model or the dataset was deleted."))
    base, rows, validation = job_sources
    for part in filter(None, (rows, validation)):
        if wrong := sources.find_wrong_row(part):
            line, detail = wrong
            return _reject(
                job_id,
                jobs.Error("invalid_training_file", f"Line {line}: {detail.field} {detail.message}", line),
            )
    hyperparameters = Hyperparameters.model_validate(row.hyperparameters)
    counts = _counts(rows, validation, row.validation_fraction)
    settled = automatic(base, hyperparameters, method=row.method, num_rows=counts[0]), *counts
    with writing() as session:
        return _admit(session, row, rows, settled)


def _reject(job_id: str, error: jobs.Error) -> None:
    with writing() as session:
        if jobs.reject(session, job_id, error=error):
            notes.add_event(
                session, job_id, error.message, level="error", data={"code": error.code, "line": error.line}
            )


def _admit(session: Any, row: JobRow, rows: Rows, settled: tuple[Settings, int, int]) -> None:
    settings, num_examples, _ = settled
    resolved = row.resolved | asdict(settings)  # a rerun knows already with how many threads
    steps = settings.total_steps(num_examples, num_processes=row.num_processes)
    if jobs.admit(session, row.id, resolved=resolved, total_steps=steps):
        notes.add_event(session, row.id, "The rows are checked. Waiting for a free place.")
        for one in row_counts.to_tell(rows, settings):
            notes.add_event(session, row.id, one.message, level=one.level, data={"num_rows": one.rows})


def _find(user: User, new: NewJob, found: Sources | None = None) -> Sources:
    require_devices(new.num_processes, runner=new.runner)
    if new.copied_from:
        with reading() as session:
            find(session, user, new.copied_from)
    if problem := RUNNERS[new.runner].problem():
        raise Conflict(problem)
    base, rows, validation = found or look_up(user, new)
    if METHODS[new.method].asks_in_chat:
        base = replace(base, template=templates.findings_of(base.version_id))
        sources.require_teachable(base)
    for part in filter(None, (rows, validation)):
        sources.require_trainable(part)
    return base, rows, validation


def resolve_for(new: NewJob, base: Base, num_examples: int) -> Settings:
    """Raises ValidationError for settings that cannot run there, or not on this base."""
    settings = automatic(base, new.hyperparameters, method=new.method, num_rows=num_examples)
    choices.require_possible(settings, base, runner=new.runner)
    return settings


def _settle(new: NewJob, base: Base, rows: Rows, validation: Rows | None) -> tuple[Settings, int, int]:
    num_examples, num_validation = _counts(rows, validation, new.validation_fraction)
    return resolve_for(new, base, num_examples), num_examples, num_validation


def _counts(rows: Rows, validation: Rows | None, fraction: float) -> tuple[int, int]:
    """(rows to learn, rows to validate on)"""
    if validation:
        return rows.num_rows, validation.num_rows
    held_out = num_held_out(rows.num_rows, fraction)
    if held_out and row_counts.count(rows).are_all_equal:
        return rows.num_rows, 0  # equal rows are never on both sides
    return rows.num_rows - held_out, held_out


def _row(
    user: User, new: NewJob, *, base: Base, rows: Rows, validation: Rows | None, key: str | None
) -> JobRow:
    return JobRow(
        id=new_id("ftj"),
        user_id=user.id,
        name=new.name or default_name((base, rows, validation), new.suffix),
        suffix=new.suffix,
        idempotency_key=key,
        base_model_id=base.model_id,
        base_version_id=base.version_id,
        dataset_id=rows.dataset_id,
        dataset_version_id=rows.version_id,
        validation_version_id=validation.version_id if validation else None,
        validation_fraction=new.validation_fraction,
        columns=new.columns or None,
        method=new.method,
        runner=new.runner,
        num_processes=new.num_processes,
        sample_prompts=new.sample_prompts,
        priority=new.priority,
        copied_from=new.copied_from,
        notes=new.notes,
        tags=new.tags,
        hyperparameters=new.hyperparameters.model_dump(),
        seed=new.seed if new.seed is not None else random.SystemRandom().randrange(2**31),
    )


def _estimate(base: Base, tokens: float) -> float | None:
    """From the last finished job on the same base, else from the size of the model."""
    with reading() as session:
        last = select(JobRow.tokens_per_second).where(
            JobRow.base_version_id == base.version_id, JobRow.status == "succeeded"
        )
        pace = session.scalar(
            last.where(JobRow.tokens_per_second.is_not(None)).order_by(JobRow.finished_at.desc()).limit(1)
        )
    pace = pace or FLOPS_PER_SECOND / (6 * base.num_parameters) if base.num_parameters else pace
    return START_SECONDS + math.ceil(tokens / pace) if pace else None
