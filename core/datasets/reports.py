"""Reports about a version as its owner sees them: profile, quality, token lengths; and the rows of a finding.

Whose a version is comes first, every time. What is not computed yet has a status and a progress; until a
profile is ready the footer of the Parquet is used instead. Computing is the business of ``core.reports``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import storage
from core.datasets import rows
from core.datasets.values import Profile
from core.db import reading, writing
from core.errors import NotFound
from core.people.users import User
from core.reports import computing
from core.reports.footer import from_footer
from core.reports.queue import QUEUE
from core.tables import DatasetVersionRow, ModelRow, ModelVersionRow, VersionReportRow

Status = Literal["none", "waiting", "running", "ready", "failed"]  # none: nobody has asked for it


class ReportState(NamedTuple):
    """How far a report is."""

    status: Status
    progress: float
    error: str | None
    ahead: int | None


@dataclass(frozen=True)
class Quality:
    """What may be wrong with a version.

    ``ahead``: while it waits, how many reports are computed before it.

    ``findings`` are dicts of ``FindingRows``, the worst first, examples masked.

    ``num_rows_scanned`` is smaller than ``num_rows`` where a sample stands for the whole.
    """

    status: Status
    progress: float
    error: str | None
    ahead: int | None
    findings: list[dict[str, Any]]
    num_rows: int
    num_rows_scanned: int


@dataclass(frozen=True)
class FindingRows:
    """The rows of one finding: ``lines`` are the first thousand of ``num_rows``."""

    title: str
    lines: list[int]
    num_rows: int
    column: str | None
    severity: str


@dataclass(frozen=True)
class TokenLengths:
    """Lengths of texts in tokens.

    ``columns`` is {name: {"rows", "total", "mean", "quantiles", "histogram", "longest"}}.
    """

    status: Status
    progress: float
    error: str | None
    ahead: int | None
    columns: dict[str, dict[str, Any]]
    num_rows: int
    num_rows_measured: int


def profile(user: User, dataset_id: str, *, version: int | None = None) -> Profile:
    """What is in each column.

    While it is computed (``status``), what the footer says: nulls, min and max of plain columns.
    """
    with reading() as session:
        row = rows.numbered(session, user.id, dataset_id, version)
        rows.require_readable(row)
        report = None if row.profile else session.get(VersionReportRow, (row.id, computing.PROFILE))
        status, progress, _, ahead = _state(session, report)
    if row.profile:
        return Profile(columns=row.profile.get("columns", []), num_rows=row.num_rows)
    columns = _footer(row.id, tuple((column["name"], column["type"]) for column in row.columns))
    return Profile(columns, row.num_rows, status, progress, ahead)


def quality(user: User, version_id: str) -> Quality:
    """Raises NotFound."""
    row, result, state = _read(user, version_id, computing.QUALITY)
    return Quality(
        *state,
        findings=result.get("findings", []),
        num_rows=result.get("num_rows", row.num_rows),
        num_rows_scanned=result.get("num_rows_scanned", 0),
    )


def finding(user: User, version_id: str, key: str) -> FindingRows:
    """The rows behind a finding of the quality report. Raises NotFound, also when the report is not ready."""
    entry = next((one for one in quality(user, version_id).findings if one["key"] == key), None)
    if entry is None:
        raise NotFound("There is no such finding in this version. Open it again from the Columns tab.")
    return FindingRows(entry["title"], entry["lines"], entry["num_rows"], entry["column"], entry["severity"])


def token_lengths(user: User, version_id: str, model_version_id: str) -> TokenLengths:
    """Raises NotFound for the version, or a model that the user may not see."""
    with reading() as session:
        _require_model(session, user, model_version_id)
    row, result, state = _read(user, version_id, f"{computing.TOKENS}:{model_version_id}")
    return TokenLengths(
        *state,
        columns=result.get("columns", {}),
        num_rows=result.get("num_rows", row.num_rows),
        num_rows_measured=result.get("num_rows_measured", 0),
    )


def start_report(user: User, version_id: str, kind: Literal["profile", "quality"]) -> None:
    """Ask for a report that nobody asked for, or once more for one that failed. Raises NotFound, Conflict."""
    _start(user, version_id, kind)


def start_token_lengths(user: User, version_id: str, model_version_id: str) -> None:
    """Have the texts counted under the tokenizer of a model version. Raises NotFound, Conflict."""
    with reading() as session:
        _require_model(session, user, model_version_id)
    _start(user, version_id, f"{computing.TOKENS}:{model_version_id}")


def _start(user: User, version_id: str, kind: str) -> None:
    with writing() as session:
        rows.require_readable(rows.own_version(session, user.id, version_id))
        computing.request(session, version_id, kind)
    QUEUE.wake()


def _read(user: User, version_id: str, kind: str) -> tuple[DatasetVersionRow, dict[str, Any], ReportState]:
    """The version, what is known, and how far it is."""
    with reading() as session:
        row = rows.own_version(session, user.id, version_id)
        report = session.get(VersionReportRow, (version_id, kind))
        return row, (report.result if report else None) or {}, _state(session, report)


def _state(session: Session, report: VersionReportRow | None) -> ReportState:
    if report is None:
        return ReportState("none", 0.0, None, None)
    ahead = computing.WORK.count_ahead(session, report)
    return ReportState(report.status, report.progress, report.error, ahead)  # type: ignore[arg-type]


def _require_model(session: Session, user: User, model_version_id: str) -> None:
    """The registry lies above this module."""
    version = select(ModelVersionRow.id).join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
    visible = version.where(ModelVersionRow.id == model_version_id, ModelRow.is_visible_to(user.id))
    if session.scalar(visible) is None:
        raise NotFound("There is no such model version.")


@lru_cache(maxsize=64)
def _footer(version_id: str, columns: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """Versions never change: a page that waits for a profile reads the footer once."""
    return from_footer(
        storage.parquet_path(version_id), [{"name": name, "type": type_} for name, type_ in columns]
    )
