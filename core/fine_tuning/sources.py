"""What a new job learns from: its base and its rows, found for the user and checked against the method.

Rows that suit no method are a Conflict that names the line; a mapping that gives bad rows is a
ValidationError, because another mapping may give good ones. Up to ``CHECKED_AT_ONCE`` rows are checked before
the answer, the others before the job is queued.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from core import datasets, formats, models, storage
from core.chat_templates import TemplateFinding, sentences
from core.db import reading
from core.errors import Conflict, Detail, NotFound, ValidationError
from core.formats import ChatExample, Example, Format, Message, Text
from core.formats.sentences import count
from core.inference import base_checks
from core.people.users import User
from core.tables import DatasetVersionRow, JobRow, ModelRow, ModelVersionRow
from core.training import METHODS, Method
from core.training.examples import FEWEST_ROWS
from core.training.method import CANNOT_PACK
from core.weights import read_facts

CHECKED_AT_ONCE = 20_000
SAMPLE = 200  # rows whose length is measured for the estimate
CHARACTERS_PER_TOKEN = 3.5
TOKENS_PER_MESSAGE = 2
Mapping = dict[str, str] | None


@dataclass(frozen=True)
class Base:
    """The weights that a job starts from."""

    model_id: str
    version_id: str
    name: str
    num_parameters: int
    context_length: int
    template: tuple[TemplateFinding, ...] = ()  # what is known of its chat template


@dataclass(frozen=True)
class Rows:
    """A dataset version as training rows."""

    dataset_id: str
    version_id: str
    name: str
    num_rows: int
    columns: list[Any]
    mapping: Mapping
    format: str
    checked: bool  # a report about all rows is stored with the version
    refusal: str | None = None  # why no training can start from them, in a sentence
    remarks: list[Any] | None = None  # of a report about all rows: what is not learned from

    def read(self) -> Iterator[tuple[int, Example | list[Detail]]]:
        format_ = formats.mapped(self.columns, self.mapping, self.format)
        return formats.read_examples(storage.parquet_path(self.version_id), format_, self.mapping)


Sources = tuple[Base, Rows, Rows | None]  # base, rows to learn, rows to validate on


def find_base(user: User, model_id: str) -> Base:
    """Raises NotFound, Conflict when its weights cannot be trained."""
    model = models.get(user, model_id)
    if model.latest_version_id is None:
        raise Conflict(f"{model.name} has no weights to start from. Choose a base model.")
    if model.type == "custom":
        raise Conflict(f"{model.name} has no weights of its own. Choose the model below it as the base.")
    if not model.capabilities.get("finetune", True):
        raise Conflict(f"{model.name} cannot be fine-tuned here. Choose another base model.")
    folder = models.location(model.latest_version_id).base
    if problem := base_checks.refusal(folder):
        raise Conflict(f"{model.name} {problem}. Choose another base model.")
    size = size_of(model.latest_version_id, kind=model.kind or "full", num_parameters=model.num_parameters)
    template = tuple(models.template_findings(model.latest_version_id) or ())
    return Base(model.id, model.latest_version_id, model.name, size, model.context_length, template)


def require_teachable(base: Base) -> None:
    """Raises Conflict when a model trained in the base's chat template would be spoilt."""
    if wrong := sentences(base.template, "error"):
        raise Conflict(f"{base.name} cannot be trained: {wrong[0][0].lower()}{wrong[0][1:]}")


def size_of(version_id: str, *, kind: str, num_parameters: int) -> int:
    """The weights that settings are chosen for: of an adapter those
    of the whole model below it, as the worker counts them."""
    if kind != "adapter":
        return num_parameters
    try:
        return read_facts(models.location(version_id).base).num_parameters
    except (OSError, ValueError) as error:
        raise Conflict(
            "The files of the model below this adapter cannot be read. Choose another base model."
        ) from error


def packs_rows(version_id: str) -> bool | None:
    """Whether packed rows stay blind to each other: as was measured when the base (or the one below it) was
    added, or as a training found, else what the configuration tells. None: the training will see."""
    with reading() as session:
        row = session.get(ModelVersionRow, version_id)
        while row is not None:
            if (measured := row.settings.get("packs_rows")) is not None:
                return bool(measured)
            row = session.get(ModelVersionRow, row.base_version_id) if row.base_version_id else None
        has_ended = JobRow.error["code"].as_string() == CANNOT_PACK
        if session.scalar(select(exists().where(JobRow.base_version_id == version_id, has_ended))):
            return False
    return base_checks.packs(models.location(version_id).base)


def find_rows(
    user: User,
    dataset_id: str,
    *,
    version_id: str | None,
    mapping: Mapping,
    method: Method,
    must_be_sound: bool = True,
) -> Rows:
    """Raises NotFound, Conflict (not ready, or of no use for the method), ValidationError (the mapping).

    ``must_be_sound``: also a Conflict when rows are known to be wrong, or are too few to train on.
    """
    dataset = datasets.get(user, dataset_id)
    version = datasets.get_version(user, version_id) if version_id else datasets.version_of(user, dataset_id)
    if version.dataset_id != dataset.id:
        raise NotFound
    if version.status != "ready":
        raise Conflict(f"{dataset.name} is not ready for training: its status is {version.status}.")
    datasets.require_readable(version)
    format_ = formats.mapped(version.columns, mapping, version.format)
    report = _report_as(format_, mapping, version.training)
    if format_.name not in method.formats:
        raise Conflict(
            f"{method.title} cannot learn from {format_.title.lower()} rows. "
            f"It learns from {', '.join(method.formats)}. {_other_methods(format_)}"
        )
    rows = Rows(
        dataset.id,
        version.id,
        dataset.name,
        version.num_rows,
        version.columns,
        mapping,
        format_.name,
        report is not None,
        _refusal(dataset.name, version.num_rows, report),
        report.get("remarks") if report else None,
    )
    if must_be_sound:
        require_trainable(rows)
    return rows


def _other_methods(format_: Format) -> str:
    titles = [method.title for method in METHODS.values() if format_.name in method.formats]
    return f"Choose {' or '.join(titles)} for these rows."


def require_trainable(rows: Rows) -> None:
    """Raises Conflict when rows are known to be wrong, or are too few to train on. None is read."""
    if rows.refusal:
        raise Conflict(rows.refusal)


def of_job(session: Session, job: JobRow) -> Sources | None:
    """The sources of a stored job. Nobody asks here who may: that was decided when it was created."""
    version, model = (
        session.get(ModelVersionRow, job.base_version_id),
        session.get(ModelRow, job.base_model_id),
    )
    rows = _stored_rows(session, job.dataset_version_id, job)
    if version is None or model is None or rows is None:
        return None
    size = size_of(version.id, kind=version.kind, num_parameters=version.num_parameters)
    base = Base(model.id, version.id, model.name, size, model.context_length)
    return base, rows, _stored_rows(session, job.validation_version_id, job)


def require_sound(rows: Rows) -> None:
    """Look at the first rows themselves.

    Raises ValidationError or Conflict about the first that cannot be learned.
    """
    wrong = find_wrong_row(rows, limit=CHECKED_AT_ONCE)
    if wrong is None:
        return
    message = f"line {wrong[0]}: {wrong[1].field} {wrong[1].message}"
    raise (
        ValidationError(details=[Detail("columns", message)])
        if rows.mapping
        else Conflict(f"{rows.name}, {message}")
    )


def find_wrong_row(rows: Rows, *, limit: int | None = None) -> tuple[int, Detail] | None:
    """(line, what is wrong) of the first row that cannot be learned, None when all can."""
    wrong = ((line, example[0]) for line, example in islice(rows.read(), limit) if isinstance(example, list))
    return next(wrong, None)


def tokens_per_row(rows: Rows) -> float:
    """A rough mean, from the characters of the first rows."""
    counts = [
        _rough_tokens(example) for _, example in islice(rows.read(), SAMPLE) if not isinstance(example, list)
    ]
    return sum(counts) / len(counts) if counts else 0.0


def _stored_rows(session: Session, version_id: str | None, job: JobRow) -> Rows | None:
    row = session.get(DatasetVersionRow, version_id) if version_id else None
    if row is None:
        return None
    report = _report_as(formats.own_format(row.columns, row.format), job.columns, row.training)
    return Rows(
        row.dataset_id,
        row.id,
        "The dataset",
        row.num_rows,
        row.columns,
        job.columns,
        row.format,
        report is not None,
        remarks=report.get("remarks") if report else None,
    )


def _report_as(format_: Format, mapping: Mapping, stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """What is stored about all rows, if it is about rows read in this way."""
    return stored if stored and not mapping and stored.get("format") == format_.name else None


def _refusal(name: str, num_rows: int, report: dict[str, Any] | None) -> str | None:
    """``report``: what is stored about the rows; None where nothing is."""
    if num_rows < FEWEST_ROWS:
        return f"{name} has {count(num_rows, 'row')}; at least {FEWEST_ROWS} are needed to train."
    if report and not report.get("ok", True) and report.get("errors"):
        first = report["errors"][0]
        message = f"{name}, line {first.get('line')}: {first.get('field', '')} {first['message']}"
        return message.replace("  ", " ")
    return None


def _rough_tokens(example: Example) -> float:
    if isinstance(example, Text):
        return len(example.text) / CHARACTERS_PER_TOKEN + 1
    if isinstance(example, ChatExample):
        return _rough_chat_tokens(example.messages)
    return sum(
        _rough_chat_tokens([*example.messages, *answer])
        for answer in (example.preferred, example.non_preferred)
    )


def _rough_chat_tokens(messages: Sequence[Message]) -> float:
    return sum(len(m["content"]) / CHARACTERS_PER_TOKEN + TOKENS_PER_MESSAGE for m in messages)
