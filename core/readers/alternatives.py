"""The same few cells of a file read each way, for questions to whom looks at it.

A reader asks only in a look (``ReadTask.is_look``), of cells it has read already, so that a question costs
milliseconds.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from core.readers.base import ReadTask
from core.readers.options import IngestOptions
from core.readers.questions import Alternative, Question
from core.readers.sql import describe, literal, quoted
from core.readers.text_types import column_types
from core.sql_types import is_number

CELLS, COLUMNS = 4, 6  # shown of a reading
TRIED = 500  # different cells of a column that must fit a type before it is proposed
IN_WORDS = "%-d %B %Y"


@dataclass
class Cells:
    """The first different cells of each column as they are written in the file."""

    by_column: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def of(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> "Cells":
        found: dict[str, dict[str, None]] = {name: {} for name in names}
        for row in rows:
            for name, cell in zip(names, row, strict=False):
                if isinstance(cell, str) and cell.strip() and len(found[name]) < TRIED:
                    found[name][cell.strip()] = None
        return Cells({name: list(cells) for name, cells in found.items()})


def of_dates(
    task: ReadTask,
    cells: Cells,
    formats: Mapping[str, Sequence[str]],
    *,
    current: str | None,
    text_is_possible: bool,
    note: str = "",
) -> Question | None:
    """Day first or month first. ``formats`` that fit, by column; ``current`` None: kept as text."""
    both = next(iter(formats.values()), ())
    names = [name for name, fitting in formats.items() if list(fitting) == list(both)]
    cell_of = [(name, cell) for name in names for cell in cells.by_column.get(name, ())]
    shown = [(cell, read) for _, cell in cell_of if len(set(read := _read_as_dates(task, cell, both))) > 1]
    if not shown:
        return None
    title = names[0] if len(names) == 1 else ", ".join(names[:3])
    readings = [
        Alternative(
            _order(format_), [title, "is read as"], [[cell, read[n]] for cell, read in shown[:CELLS]],
            {"date_format": format_}, is_current=format_ == current,
        )
        for n, format_ in enumerate(both)
    ]  # fmt: skip
    if text_is_possible:
        rows: list[list[str | None]] = [[cell, cell] for cell, _ in shown[:CELLS]]
        text = Alternative("Text", [title, "stays"], rows, {"date_format": None}, is_current=current is None)
        readings.insert(0, text)
    ask = f"Are the dates in {title} written day first or month first?"
    return Question("dates", ask, readings, note)


def swapped(format_: str) -> str | None:
    """The same form with day and month changed places; None where a name tells the month."""
    if not re.search("%d", format_) or not re.search("%m", format_) or re.match("%[Yy]", format_):
        return None
    return format_.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")


def other_order_fits(task: ReadTask, names: Sequence[str]) -> list[str]:
    """Of columns that were read as dates, those in which every day could be a month."""
    written = f"read_parquet({literal(str(task.target))})"
    described = dict(zip(task.columns, describe(task.connection, f"FROM {written}"), strict=True))
    asked = [name for name in names if described.get(name, ("", ""))[1] in ("DATE", "TIMESTAMP")]
    if not asked:
        return []
    days = ", ".join(f"max(day({quoted(described[name][0])}))" for name in asked)
    (answers,) = task.connection.execute(f"SELECT {days} FROM {written}").fetchall()
    return [name for name, day in zip(asked, answers, strict=True) if day is not None and day <= 12]


def in_order(format_: str) -> list[str]:
    """Both orders of a form, the day first."""
    other = swapped(format_)
    return sorted([format_, other], key=lambda one: one.find("%d")) if other else []


def of_types(
    task: ReadTask, cells: Cells, names: Sequence[str], *, note: str = "", are_numbers: bool = False
) -> Question | None:
    """Number or text: columns of numbers that reading as numbers would write otherwise."""
    found = {name: read for name in names if (read := _as_number(task, name, cells.by_column.get(name, [])))}
    if not found:
        return None
    shown = list(found)[:COLUMNS]
    pairs = {name: _odd_first(found[name][1])[:CELLS] for name in shown}
    height = max(map(len, pairs.values()))

    def rows(side: int) -> list[list[str | None]]:
        return [
            [pairs[name][at][side] if at < len(pairs[name]) else "" for name in shown] for at in range(height)
        ]

    listed = ", ".join(shown) + (f" and {len(found) - len(shown)} more" if len(found) > len(shown) else "")
    verb, noun = ("Are", "numbers") if len(found) > 1 else ("Is", "a number")
    return Question(
        "types",
        f"{verb} {listed} text or {noun}?",
        [
            Alternative("Text", shown, rows(0), {"types": dict.fromkeys(found)}, is_current=not are_numbers),
            Alternative(
                "Number" if len(found) == 1 else "Numbers", shown, rows(1),
                {"types": {name: type_ for name, (type_, _) in found.items()}}, is_current=are_numbers,
            ),
        ],
        note,
    )  # fmt: skip


def of_header(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, has_header: bool, note: str = ""
) -> Question:
    """Whether the first of ``rows`` names the columns; ``names`` as they would be then."""
    width = min(len(names), COLUMNS)
    cells: list[list[str | None]] = [list(row[:width]) for row in rows[: CELLS + 1]]
    return Question(
        "header",
        "Does the first row hold the names of the columns?",
        [
            Alternative(
                "It holds the names", list(names[:width]), cells[1:], {"header": True}, is_current=has_header
            ),
            Alternative(
                "It is a row like the others", [f"column{n}" for n in range(width)], cells[:CELLS],
                {"header": False}, is_current=not has_header,
            ),
        ],
        note,
    )  # fmt: skip


def of_tables(tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str | None]]]], current: str,
              *, note: str = "") -> Question:  # fmt: skip
    """Which sheet of a workbook: its names and first rows, by sheet."""
    readings = [
        Alternative(
            f"Sheet {sheet}", list(names[:COLUMNS]), [list(row[:COLUMNS]) for row in rows[:CELLS]],
            {"sheet": sheet}, is_current=sheet == current,
        )
        for sheet, (names, rows) in tables.items()
    ]  # fmt: skip
    return Question("table", "Which sheet is meant?", readings, note)


def _order(format_: str) -> str:
    return "Day first" if format_.find("%d") < format_.find("%m") else "Month first"


def _read_as_dates(task: ReadTask, cell: str, formats: Sequence[str]) -> list[str | None]:
    read = ", ".join(f"strftime(try_strptime(?, {literal(f)}), {literal(IN_WORDS)})" for f in formats)
    return list(task.connection.execute(f"SELECT {read}", [cell] * len(formats)).fetchall()[0])


def _as_number(task: ReadTask, name: str, cells: list[str]) -> tuple[str, list[tuple[str, str]]] | None:
    """The narrowest type of numbers that all these cells fit when chosen, and (cell, number) of each."""
    free = task.options.model_dump() | {"types": None}
    for type_ in ("BIGINT", "DOUBLE") if cells else ():
        options = IngestOptions.model_validate({**free, "types": {name: type_}})
        best = column_types.propose(name, cells, options).candidates[-1]
        value, fits = best.value.replace("{x}", "x"), best.test("x")
        try:
            read = task.connection.execute(
                f"SELECT x, CAST({value} AS VARCHAR), {fits} FROM (SELECT unnest(?::VARCHAR[]) AS x)", [cells]
            ).fetchall()
        except duckdb.Error:
            return None
        if all(is_fit for _, _, is_fit in read) and is_number(type_):
            return type_, [(cell, number.removesuffix(".0")) for cell, number, _ in read]
    return None


def _odd_first(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: pair[0] == pair[1])
