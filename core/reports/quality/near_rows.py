"""Rows whose text in one column is nearly that of an earlier row, though the rows are no exact copies.

Columns of prose are compared, chats by what is said in them. A column whose texts come again and again (a
category, a system prompt) is meant to repeat and left out. What ``near`` estimates is verified before it is
told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.readers.base import WorkProgress, literal, quoted
from core.reports.quality import near
from core.reports.quality.base import MAX_EXAMPLES, Finding, QualityColumn, Tally, cut, found
from core.reports.quality.personal import masked
from core.reports.quality.texts import ROLE_FIELDS, batches, texts_of
from core.sql_types import leaves

LONG_TEXT = 24  # characters on average: a column of prose
LEAST_DISTINCT = 0.5  # of the rows
MOST_COLUMNS = 8
MOST_ROWS = 1_000_000  # are compared with each other: 240 MB of signatures
VERIFIED = 20_000  # pairs; what comes behind is told as estimated


def near_copies(
    connection: duckdb.DuckDBPyConnection,
    parquet: Path,
    columns: Sequence[QualityColumn],
    num_rows: int,
    progress: WorkProgress,
) -> Iterator[Finding]:
    """One finding per column of prose that has such rows."""
    compared = [column for column in columns if _is_prose(column, num_rows)][:MOST_COLUMNS]
    is_copy = _copies(connection, parquet, columns) if compared else np.empty(0, bool)
    for number, column in enumerate(compared):
        start, width = number / len(compared), 1 / len(compared)
        signed = _signatures(parquet, column, num_rows, partial(_advance, progress, start, width))
        i, j, shares = near.nearest(signed)
        kept = ~is_copy[j]
        yield from _told(connection, parquet, column, i[kept], j[kept], shares[kept], num_rows)


def _is_prose(column: QualityColumn, num_rows: int) -> bool:
    profile = column.profile
    if num_rows < 2 or (profile.get("distinct") or 0) < LEAST_DISTINCT * (
        num_rows - (profile.get("nulls") or 0)
    ):
        return False
    if column.is_plain:
        is_long = column.type == "VARCHAR" and ((profile.get("lengths") or {}).get("mean") or 0) >= LONG_TEXT
        return is_long and any(" " in text or not text.isascii() for text in profile.get("examples") or [])
    return "VARCHAR" in leaves(column.type)


def _copies(
    connection: duckdb.DuckDBPyConnection, parquet: Path, columns: Sequence[QualityColumn]
) -> NDArray[np.bool_]:
    """Which rows repeat an earlier one in all cells, by a hash of them."""
    cells = ", ".join(quoted(column.name) for column in columns)
    source = f"read_parquet({literal(str(parquet))}, file_row_number=true)"
    found_rows = connection.sql(
        f"SELECT hash({cells}) AS h FROM {source} WHERE file_row_number < {MOST_ROWS} "
        f"ORDER BY file_row_number"
    )
    hashes = found_rows.to_arrow_table().column(0).to_numpy()
    copies = np.ones(len(hashes), bool)
    copies[np.unique(hashes, return_index=True)[1]] = False
    return copies


def _signatures(
    parquet: Path, column: QualityColumn, num_rows: int, tell: Callable[[float], None]
) -> near.Signatures:
    parts, rows = [near.signatures([])], 0
    for _, batch in batches(parquet, [column.name]):
        parts.append(near.signatures(_row_texts(batch.column(0))[: MOST_ROWS - rows]))
        rows += batch.num_rows
        tell(rows / min(num_rows, MOST_ROWS))
        if rows >= MOST_ROWS:
            break
    return np.concatenate(parts)


def _advance(progress: WorkProgress, start: float, width: float, share: float) -> None:
    progress.advance(start + width * share)


def _row_texts(cells: pa.Array) -> list[str]:
    """The text of each row; the messages of a chat one after the other, without who says them."""
    batch = texts_of(cells, 0, without=ROLE_FIELDS)
    values = batch.values.to_pylist()
    parts_by_row: list[list[str]] = [[] for _ in range(len(cells))]
    for place in np.argsort(batch.lines, kind="stable"):
        parts_by_row[batch.lines[place]].append(values[batch.at[place]])
    return [" ".join(parts) for parts in parts_by_row]


def _texts(
    connection: duckdb.DuckDBPyConnection, parquet: Path, column: QualityColumn, pairs: Sequence[near.Pair]
) -> dict[int, str]:
    """The texts of the rows in these pairs."""
    wanted = pa.table({"line": pa.array(sorted({at for pair in pairs for at in pair[:2]}), pa.int64())})
    connection.register("wanted", wanted)
    rows = connection.sql(
        f"SELECT file_row_number AS line, {quoted(column.name)} AS cell "
        f"FROM read_parquet({literal(str(parquet))}, "
        "file_row_number=true) WHERE file_row_number IN (SELECT line FROM wanted)"
    ).to_arrow_table()
    connection.unregister("wanted")
    return (
        dict(zip(rows.column(0).to_pylist(), _row_texts(rows.column(1).combine_chunks()), strict=True))
        if rows.num_rows
        else {}
    )


def _told(
    connection: duckdb.DuckDBPyConnection,
    parquet: Path,
    column: QualityColumn,
    i: near.Places,
    j: near.Places,
    shares: NDArray[np.float64],
    num_rows: int,
) -> Iterator[Finding]:
    pairs: list[near.Pair] = list(
        zip(i[:VERIFIED].tolist(), j[:VERIFIED].tolist(), shares[:VERIFIED].tolist(), strict=True)
    )
    texts = _texts(connection, parquet, column, pairs)
    true = [(a, b, near.similarity(texts[a], texts[b])) for a, b, _ in pairs]
    near_ones = [pair for pair in true if pair[2] >= near.THRESHOLD]
    lines = np.concatenate([np.array([pair[1] for pair in near_ones], np.int64), j[VERIFIED:]])
    if not len(lines):
        return
    tally = Tally()
    tally.add(lines + 1, [_example(pair, texts) for pair in near_ones[:MAX_EXAMPLES]])
    limited = f" The first {MOST_ROWS:,} rows were compared." if num_rows > MOST_ROWS else ""
    yield found(
        "near_duplicates",
        column,
        tally,
        title="Near-duplicate texts",
        severity="warn",
        num_rows=min(num_rows, MOST_ROWS),
        help=(
            f"{near.THRESHOLD:.0%} or more of the text is that of an earlier row. Keep one of each, "
            f"and see that they do not fall on both sides of a split.{limited}"
        ),
    )


def _example(pair: near.Pair, texts: Mapping[int, str]) -> str:
    i, j, share = pair
    return f"row {j + 1:,} is {share:.0%} like row {i + 1:,}: {cut(masked(texts[j][:400]))}"
