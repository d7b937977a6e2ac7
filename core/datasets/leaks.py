"""Rows that two versions have in common, exactly or nearly:
what a model would be tested on although it has learned it.

Rows are compared in the columns that all versions share, or in the chosen ones. Exact: every row of both,
counted in the later one. Near: texts of which four fifths of the runs of three words agree
(``core.reports.quality.near``), over as many rows as ``NEAR_ROWS``; above that over a part of the rows, which
the report says. A row that has an exact twin is not counted as near.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from core.cells import json_safe
from core.datasets import looking, rows
from core.datasets.diffs.columns import is_nested, number_text
from core.datasets.scratch import Scratch, parquet, scratch
from core.datasets.values import Version
from core.errors import ValidationError
from core.people.users import User
from core.readers.base import quoted
from core.reports.quality import near
from core.sql_types import is_number

SECONDS = 300.0
MOST_VERSIONS = 6
NEAR_ROWS = 50_000
EXAMPLES = 5
LONGEST_EXAMPLE = 300


@dataclass(frozen=True)
class Leak:
    """What ``b`` shares with ``a`` (ids of versions). Counts are rows of ``b``; ``examples``: {"a_line",
    "b_line", "a", "b", "similarity"}, exact ones first; lines count from 1."""

    a: str
    b: str
    exact: int
    near: int
    examples: list[dict[str, Any]]


@dataclass(frozen=True)
class LeakReport:
    """``columns`` were compared; ``text_columns`` for near duplicates (none: there is no text).

    ``is_sampled``: not all texts.
    """

    columns: list[str]
    text_columns: list[str]
    is_sampled: bool
    leaks: list[Leak]

    @property
    def is_clean(self) -> bool:
        return not any(leak.exact or leak.near for leak in self.leaks)


def leaks(user: User, version_ids: Sequence[str], *, columns: Sequence[str] = ()) -> LeakReport:
    """Compare each version with each later one in the list.

    Raises NotFound, Conflict, ValidationError, QueryTimeout, RateLimited.
    """
    if not 2 <= len(set(version_ids)) == len(version_ids) <= MOST_VERSIONS:
        raise ValidationError.of("version_ids", f"choose 2 to {MOST_VERSIONS} different versions")
    versions = [looking.get_version(user, version_id) for version_id in version_ids]
    for version in versions:
        rows.require_readable(version)
    shared = _shared(versions, columns)
    texts = [
        name
        for name in shared
        if all(_type(version, name) == "VARCHAR" or is_nested(_type(version, name)) for version in versions)
    ]
    with scratch(SECONDS, of=[version.id for version in versions]) as work:
        for n, version in enumerate(versions):
            _prepare(work, n, version, shared, texts)
        signed = [_signatures(work, n) for n in range(len(versions))] if texts else []
        pairs = [_leak(work, versions, i, j, signed) for i, j in combinations(range(len(versions)), 2)]
    is_sampled = bool(texts) and any(version.num_rows > NEAR_ROWS for version in versions)
    return LeakReport(shared, texts, is_sampled, pairs)


def _shared(versions: Sequence[Version], wanted: Sequence[str]) -> list[str]:
    shared = [
        c["name"] for c in versions[0].columns if all(_type(version, c["name"]) for version in versions)
    ]
    if unknown := [name for name in wanted if name not in shared]:
        raise ValidationError.of("columns", f"not every version has a column {unknown[0][:100]!r}")
    if not shared:
        raise ValidationError.of("columns", "the versions have no column in common")
    return list(wanted) or shared


def _type(version: Version, name: str) -> str:
    return next((column["type"] for column in version.columns if column["name"] == name), "")


def _prepare(work: Scratch, n: int, version: Version, shared: Sequence[str], texts: Sequence[str]) -> None:
    """The table ``r{n}``: line, two hashes of the content.

    Views: ``s{n}`` with line and text, ``t{n}`` those compared.
    """
    cells = [_comparable(quoted(name), _type(version, name)) for name in shared]
    salted = [f"({cell} || chr(1))" for cell in cells]
    work.run(
        f"CREATE TEMP TABLE r{n} AS SELECT file_row_number AS line, hash(0, {', '.join(cells)}) AS h0, "
        f"hash(1, {', '.join(salted)}) AS h1 FROM {parquet(version.id)}"
    )
    shown = ", ".join(f"{quoted(name)}::VARCHAR" for name in texts or shared)
    work.run(
        f"CREATE TEMP VIEW s{n} AS SELECT file_row_number AS line, concat_ws(' · ', {shown}) AS text "
        f"FROM {parquet(version.id)}"
    )
    step = max(1, -(-version.num_rows // NEAR_ROWS))
    work.run(f"CREATE TEMP VIEW t{n} AS SELECT line, text FROM s{n} WHERE line % {step} = 0")


def _comparable(cell: str, type_: str) -> str:
    if is_nested(type_):
        return f"to_json({cell})::VARCHAR"
    return number_text(cell, type_) if is_number(type_) else f"{cell}::VARCHAR"


def _signatures(work: Scratch, n: int) -> tuple[list[int], near.Signatures]:
    table: Any = work.connection.sql(f"SELECT line, text FROM t{n} ORDER BY line").to_arrow_table()
    return table["line"].to_pylist(), near.signatures(table["text"].to_pylist())


def _leak(
    work: Scratch,
    versions: Sequence[Version],
    i: int,
    j: int,
    signed: Sequence[tuple[list[int], near.Signatures]],
) -> Leak:
    work.run(
        f"CREATE OR REPLACE TEMP TABLE twins AS SELECT min(a.line) AS la, b.line AS lb FROM r{i} a "
        f"JOIN r{j} b ON a.h0 = b.h0 AND a.h1 = b.h1 GROUP BY b.line"
    )
    (exact,) = work.one("SELECT count(*) FROM twins")
    lines = [(la, lb, 1.0) for la, lb in work.run(f"SELECT la, lb FROM twins ORDER BY lb LIMIT {EXAMPLES}")]
    alike = _near(work, i, j, signed) if signed else {}
    lines += [(la, lb, share) for lb, (la, share) in sorted(alike.items())[:EXAMPLES]]
    return Leak(versions[i].id, versions[j].id, exact, len(alike), _examples(work, i, j, lines))


def _near(
    work: Scratch, i: int, j: int, signed: Sequence[tuple[list[int], near.Signatures]]
) -> dict[int, tuple[int, float]]:
    """Line of ``j`` → its likest line of ``i``; rows with an exact twin are left out."""
    (a_lines, a), (b_lines, b) = signed[i], signed[j]
    twins = {lb for (lb,) in work.run("SELECT lb FROM twins")}
    nearest: dict[int, tuple[int, float]] = {}
    for one, other, share in near.pairs(a, b):
        line = b_lines[other]
        if line not in twins and share > nearest.get(line, (0, 0.0))[1]:
            nearest[line] = (a_lines[one], share)
    return nearest


def _examples(work: Scratch, i: int, j: int, lines: Sequence[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """Exact pairs show their content, near ones their texts and how much of them really agrees."""
    texts = [_texts(work, i, [la for la, _, _ in lines]), _texts(work, j, [lb for _, lb, _ in lines])]
    return [
        {
            "a_line": la + 1,
            "b_line": lb + 1,
            "a": texts[0].get(la, "")[:LONGEST_EXAMPLE],
            "b": texts[1].get(lb, "")[:LONGEST_EXAMPLE],
            "similarity": share
            if share == 1.0
            else round(near.similarity(texts[0].get(la, ""), texts[1].get(lb, "")), 2),
        }
        for la, lb, share in lines
    ]


def _texts(work: Scratch, n: int, lines: Sequence[int]) -> dict[int, str]:
    if not lines:
        return {}
    wanted = ", ".join(str(int(line)) for line in lines)
    return {
        line: str(json_safe(text))
        for line, text in work.run(f"SELECT line, text FROM s{n} WHERE line IN ({wanted})")
    }
