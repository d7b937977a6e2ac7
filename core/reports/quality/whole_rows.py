"""What shows only in whole rows and whole columns: exact copies, and columns that say nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from core.readers.base import literal, quoted
from core.reports.quality.base import MAX_EXAMPLES, MAX_LINES, Finding, QualityColumn, Tally, cut, found
from core.reports.quality.personal import masked


def exact_copies(
    connection: duckdb.DuckDBPyConnection, parquet: Path, names: Sequence[str], num_rows: int
) -> Iterator[Finding]:
    """Rows that repeat an earlier one in every column.

    Rows of equal hash are compared themselves before they count.
    """
    source = f"read_parquet({literal(str(parquet))}, file_row_number=true)"
    cells = ", ".join(map(quoted, names))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE alike AS SELECT file_row_number AS line, h FROM "
        f"(SELECT file_row_number, hash({cells}) AS h FROM {source}) "
        f"WHERE h IN (SELECT hash({cells}) AS h FROM {source} GROUP BY 1 HAVING count(*) > 1)"
    )
    copies = (
        f"SELECT file_row_number AS line, min(file_row_number) OVER (PARTITION BY {cells}) AS first "
        f"FROM {source} WHERE file_row_number IN (SELECT line FROM alike)"
    )
    (count,) = connection.execute(f"SELECT count(*) FROM ({copies}) WHERE line > first").fetchall()[0]
    if count:
        pairs = connection.execute(
            f"SELECT line + 1, first + 1 FROM ({copies}) WHERE line > first ORDER BY 1 LIMIT {MAX_LINES}"
        ).fetchall()
        examples = [f"row {line:,} repeats row {first:,}" for line, first in pairs[:MAX_EXAMPLES]]
        yield found(
            "duplicates",
            None,
            Tally(count, [line for line, _ in pairs], examples),
            title="Exact duplicates",
            severity="warn",
            num_rows=num_rows,
            help=(
                "These rows repeat an earlier row in every column. "
                "They weigh twice in training and in every "
                "count. SELECT DISTINCT removes them."
            ),
        )
    connection.execute("DROP TABLE alike")


def says_nothing(column: QualityColumn, num_rows: int) -> Iterator[Finding]:
    """Empty columns, and such that hold one value only; from the profile."""
    profile = column.profile
    if num_rows < 2 or profile.get("nulls") is None:
        return
    tally = Tally(num_rows, list(range(1, min(num_rows, MAX_LINES) + 1)))
    if profile["nulls"] + (profile.get("empty") or 0) == num_rows:
        yield found(
            "empty",
            column,
            tally,
            title="Empty column",
            severity="warn",
            num_rows=num_rows,
            help="No row has a value here. Leave the column out, or look whether it was lost on the way.",
        )
    elif profile["nulls"] == 0 and profile.get("distinct") == 1:
        value = next(iter(profile.get("examples") or []), profile.get("min"))
        tally.examples = [masked(cut(str(value)))]
        yield found(
            "constant",
            column,
            tally,
            title="The same value in every row",
            severity="info",
            num_rows=num_rows,
            help="A column that never changes tells rows apart no better than none.",
        )
