"""What may be wrong with the rows of a version, each finding with the rows it was found in.

A check is a member of the literal list below. Most watch the texts of one column, however deep they lie; some
look at whole rows.

- ``base``: what a check gets and answers; ``texts``: the texts of a Parquet in batches
- ``personal``, ``phones``: possible personal data, validated and masked
- ``spelling``: garbled characters, nulls spelled in words, blanks around values
- ``notations``: dates and numbers written in several ways
- ``whole_rows``: exact copies, columns that say nothing; ``near_rows``: near-duplicate texts (``near``:
  MinHash)

Every row is looked at up to ``SCANNED_CELLS`` texts; of a larger table row groups spread over the whole are,
and it is said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
from pyarrow.parquet import ParquetFile

from core.readers.base import WorkProgress
from core.reports.quality import near_rows, notations, personal, spelling, texts, whole_rows
from core.reports.quality.base import Check, Finding, QualityColumn, Watcher
from core.sql_types import holds_text, is_nested

TEXT_CHECKS: tuple[Check, ...] = (*personal.CHECKS, *spelling.CHECKS, *notations.CHECKS)
SCANNED_CELLS = 30_000_000  # texts looked at in one version: some minutes
WATCHED_COLUMNS = 300
SEVERITIES = ("bad", "warn", "info")


def examine(
    connection: duckdb.DuckDBPyConnection,
    parquet: Path,
    columns: Sequence[dict[str, str]],
    *,
    profiled: Sequence[dict[str, Any]] = (),
    progress: WorkProgress | None = None,
) -> dict[str, Any]:
    """{"num_rows", "num_rows_scanned", "num_columns_scanned",
    "findings": [as ``Finding``]}, the worst findings first."""
    progress = progress or WorkProgress()
    described = _describe(columns, profiled)
    with ParquetFile(parquet) as file:
        num_rows = file.metadata.num_rows
    # texts, and whole numbers so large (or so called) that they may be somebody's
    watched = [column for column in described if holds_text(column.type) or personal.may_hold(column)]
    watched = watched[:WATCHED_COLUMNS]
    findings = [finding for column in described for finding in whole_rows.says_nothing(column, num_rows)]
    progress.stage(0.0, 0.2)
    findings += whole_rows.exact_copies(connection, parquet, [column.name for column in described], num_rows)
    progress.stage(0.2, 0.7)
    text_findings, scanned = _watch(parquet, watched, progress)
    findings += text_findings
    progress.stage(0.7, 1.0)
    findings += near_rows.near_copies(connection, parquet, described, num_rows, progress)
    findings.sort(key=lambda finding: (SEVERITIES.index(finding.severity), -finding.num_rows, finding.key))
    return {
        "num_rows": num_rows,
        "num_rows_scanned": scanned,
        "num_columns_scanned": len(watched),
        "findings": [finding.as_json() for finding in findings],
    }


def _describe(columns: Sequence[dict[str, str]], profiled: Sequence[dict[str, Any]]) -> list[QualityColumn]:
    known = {profile["name"]: profile for profile in profiled}
    return [
        QualityColumn(
            number,
            column["name"],
            column["type"],
            not is_nested(column["type"]),
            known.get(column["name"], {}),
        )
        for number, column in enumerate(columns)
    ]


def _watch(
    parquet: Path, columns: Sequence[QualityColumn], progress: WorkProgress
) -> tuple[list[Finding], int]:
    """All text checks in one pass over the file."""
    watchers = {column.name: _watchers(column) for column in columns}
    groups, expected = _chosen_groups(parquet, len(columns))
    scanned = 0
    for first_line, batch in texts.batches(parquet, list(watchers), groups):
        scanned += batch.num_rows
        for name, watching in watchers.items():
            column_texts = texts.texts_of(batch.column(batch.schema.get_field_index(name)), first_line)
            if len(column_texts.values):
                for watcher in watching:
                    watcher.look(column_texts)
        progress.advance(scanned / max(expected, 1))
    return [
        finding
        for watching in watchers.values()
        for watcher in watching
        for finding in watcher.findings(scanned)
    ], scanned


def _watchers(column: QualityColumn) -> list[Watcher]:
    checks = TEXT_CHECKS if holds_text(column.type) else personal.NUMBER_CHECKS
    return [watcher for check in checks if (watcher := check(column))]


def _chosen_groups(parquet: Path, num_columns: int) -> tuple[list[int], int]:
    """The row groups to look at, and how many rows they have: all, or as many as fit, evenly spread."""
    with ParquetFile(parquet) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    allowed = max(1, SCANNED_CELLS // max(num_columns, 1))
    step = max(1, -(-sum(sizes) // allowed))
    chosen = list(range(0, len(sizes), step))
    return chosen, sum(sizes[group] for group in chosen)


__all__ = ["Finding", "examine"]
