"""Everything that is known about one run, gathered once,
for whatever form it leaves in: notebook, archive, MLflow.

What was deleted since (base, dataset, log) is left out; a report of an old run says less, but it opens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import formats, storage
from core.db import reading
from core.errors import LuthierError, NotFound
from core.fine_tuning import provenance, recipes
from core.fine_tuning.values import Checkpoint, Event, Job, present, present_checkpoint, present_event
from core.formats import Example, PreferenceExample, Text
from core.jobs import row_files
from core.people.users import User
from core.tables import (
    CheckpointRow,
    DatasetVersionRow,
    JobEventRow,
    JobRow,
    MetricPointRow,
    ModelRow,
    ModelVersionRow,
    SampleRow,
)

HARDEST = 20
EXCERPT = 400  # characters of a row
Series = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True)
class Run:
    """``made``: as the registry keeps it (data, settings, environment …). ``hardest``: rows with the highest
    loss, with their text. ``recipe``: the request as YAML, None when base or data are gone."""

    job: Job
    base: str
    made: dict[str, Any]
    series: Series
    events: list[Event]
    samples: list[dict[str, Any]]
    hardest: list[dict[str, Any]]
    checkpoints: list[Checkpoint]
    recipe: str | None

    @property
    def folder(self) -> Path:
        return storage.job_dir(self.job.id)


def gather(user: User, job_id: str) -> Run:
    """Raises NotFound for what is missing or somebody else's."""
    with reading() as session:
        row = session.scalar(select(JobRow).where(JobRow.id == job_id, JobRow.user_id == user.id))
        if row is None:
            raise NotFound
        job = present(session, row)
        return Run(
            job=job,
            base=_base_name(session, row),
            made=provenance.describe(session, row, model=None, step=row.best_step, seconds=row.spent_seconds),
            series=_series(session, job_id),
            events=[
                present_event(e) for e in session.scalars(_of(JobEventRow, job_id).order_by(JobEventRow.id))
            ],
            samples=[
                _sample(s)
                for s in session.scalars(_of(SampleRow, job_id).order_by(SampleRow.step, SampleRow.position))
            ],
            hardest=_hardest(session, row),
            checkpoints=[
                present_checkpoint(session, c)
                for c in session.scalars(_of(CheckpointRow, job_id).order_by(CheckpointRow.step))
            ],
            recipe=_recipe(job),
        )


def summary(run: Run) -> dict[str, Any]:
    """The run in plain values: what ``run.yaml`` holds, apart from the curves."""
    job = run.job
    facts = {
        name: getattr(job, name)
        for name in (
            *(
                "id",
                "name",
                "status",
                "method",
                "seed",
                "runner",
                "num_processes",
                "group_id",
                "copied_from",
                "notes",
                "tags",
            ),
            *(
                "step",
                "total_steps",
                "epoch",
                "train_loss",
                "valid_loss",
                "best_loss",
                "best_step",
                "tokens_per_second",
            ),
            *("attempts", "created_at", "started_at", "finished_at", "model_id", "model_version_id", "error"),
        )
    }
    facts |= {"base": run.base, "trained_tokens": last(run, "tokens") or job.trained_tokens}
    checkpoints = [
        {"step": c.step, "size_bytes": c.size_bytes, "kept": c.pinned, **c.metrics} for c in run.checkpoints
    ]
    return plain({**facts, "asked": job.asked, **run.made, "checkpoints": checkpoints})


def last(run: Run, name: str) -> float | None:
    points = run.series.get(name)
    return points[-1][1] if points else None


def plain(value: Any) -> Any:
    """Only what YAML and JSON know; times as ISO 8601."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _of(kind: Any, job_id: str) -> Any:
    return select(kind).where(kind.job_id == job_id)


def _base_name(session: Session, row: JobRow) -> str:
    version = session.get(ModelVersionRow, row.base_version_id) if row.base_version_id else None
    model = session.get(ModelRow, version.model_id) if version else None
    return f"{model.name} v{version.version}" if model and version else "a deleted model"


def _series(session: Session, job_id: str) -> Series:
    columns = select(MetricPointRow.name, MetricPointRow.step, MetricPointRow.value).where(
        MetricPointRow.job_id == job_id
    )
    series: dict[str, list[tuple[int, float]]] = {}
    for name, step, value in session.execute(columns.order_by(MetricPointRow.name, MetricPointRow.step)):
        series.setdefault(name, []).append((step, value))
    return series


def _sample(row: SampleRow) -> dict[str, Any]:
    names = ("step", "kind", "line", "prompt", "expected", "answer", "loss")
    return {name: getattr(row, name) for name in names}


def _recipe(job: Job) -> str | None:
    try:
        return recipes.to_yaml(recipes.of_job(job))
    except LuthierError:
        return None


def _hardest(session: Session, job: JobRow) -> list[dict[str, Any]]:
    """Of the validation rows, else of those that were learned."""
    for split in ("validation", "train"):
        path = row_files.path_of(job.id, split)
        if path.is_file() and (worst := _highest(path)):
            of = (
                job.validation_version_id
                if split == "validation" and job.validation_version_id
                else job.dataset_version_id
            )
            version = session.get(DatasetVersionRow, of) if of else None
            return [{**row, "split": split, "text": _excerpt(version, job, row["line"])} for row in worst]
    return []


def _highest(path: Path) -> list[dict[str, Any]]:
    import numpy as np
    from pyarrow import parquet

    table = parquet.read_table(path, columns=["line", "loss", "first", "tokens"]).to_pandas()
    highest = table[np.isfinite(table["loss"])].nlargest(HARDEST, "loss")
    return [
        {"line": int(line), "loss": float(loss), "first_loss": float(first), "tokens": int(tokens)}
        for line, loss, first, tokens in highest.itertuples(index=False)
    ]


def _excerpt(version: DatasetVersionRow | None, job: JobRow, line: int) -> str | None:
    """The row as text; None when it cannot be read any more."""
    if version is None or version.removed_at or not storage.parquet_path(version.id).is_file():
        return None
    format_ = formats.mapped(version.columns, job.columns, version.format)
    rows = formats.read_examples(storage.parquet_path(version.id), format_, job.columns, first=line)
    _, example = next(rows, (line, []))
    return None if isinstance(example, list) else _as_text(example)[:EXCERPT]


def _as_text(example: Example) -> str:
    if isinstance(example, Text):
        return example.text
    messages = [*example.messages, *(example.preferred if isinstance(example, PreferenceExample) else [])]
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)
