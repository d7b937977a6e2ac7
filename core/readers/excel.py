"""Excel workbooks through calamine: one sheet, its first row (or two, where cells are merged) the header.

Text stays text ("00001"), dates stay dates.

A column of whole numbers becomes integers (Excel knows only floating point), a column of mixed kinds becomes
text.
"""

import datetime as dt
from typing import Any

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from core.errors import UnreadableFile, ValidationError
from core.readers import alternatives, excel_cells
from core.readers.alternatives import CELLS
from core.readers.base import IngestOptions, Reading, ReadTask, write_parquet
from core.readers.questions import NoteOffer
from core.readers.sql import clean_names, listed, renamings
from core.readers.unpack import count_zip

_EXACT = 2**53
MOST_ASKED, MOST_ASKED_BYTES = 10, 5 * 2**20  # sheets tried, and of how big a file


def read(task: ReadTask) -> Reading:
    if task.suffix == ".xlsx":
        count_zip(task.source, progress=task.progress)
    reading = Reading()
    name, rows = _rows_of_sheet(task, reading)
    task.progress.advance(0.5)
    has_header = task.options.header is not False
    names, below = _names(rows, reading) if has_header else ([f"column{i}" for i in range(len(rows[0]))], 0)
    body = [row for row in rows[below:] if any(cell != "" for cell in row)]
    if not body:
        raise UnreadableFile(f"The sheet {name!r} has a header but no rows.{_other_sheets(reading)}")
    columns = [_column([row[i] for row in body]) for i in range(len(names))]
    task.connection.register("incoming", pa.table(columns, names=clean_names(names)))
    write_parquet(task, "SELECT * FROM incoming")
    mixed = [
        name
        for i, (name, column) in enumerate(zip(clean_names(names), columns, strict=True))
        if pa.types.is_string(column.type) and len({type(row[i]) for row in body if row[i] != ""}) > 1
    ]
    reading.detected["header"] = has_header
    for sentence in renamings(names):
        reading.note(sentence)
    if mixed:
        reading.note(f"Kept as text, because it holds values of several kinds: {listed(mixed)}.")
    _tell(task, reading, name, body, clean_names(names))
    if task.is_look:
        _ask_for_sheet(task, reading, name, (clean_names(names), body))
    return reading


def _tell(task: ReadTask, reading: Reading, sheet: str, body: list[list[Any]], names: list[str]) -> None:
    if task.suffix == ".xlsx":
        for sentence in excel_cells.sentences(task.source, sheet):
            reading.note(sentence)
    durations = [
        name for i, name in enumerate(names) if any(isinstance(row[i], dt.timedelta) for row in body)
    ]
    if durations:
        reading.note(f"Durations are kept as text, hours:minutes:seconds: {', '.join(durations[:10])}.")


def _ask_for_sheet(
    task: ReadTask, reading: Reading, name: str, table: tuple[list[str], list[list[Any]]]
) -> None:
    """Whether the sheet beside the one that was read is meant; not of a file that takes long to read."""
    others = [other for other in reading.detected["sheets"] if other != name]
    if not others or task.source.stat().st_size > MOST_ASKED_BYTES:
        return
    tables = {name: table}
    with CalamineWorkbook.from_path(str(task.source)) as book:
        for other in others[:MOST_ASKED]:
            rows = _below_titles(_cells_of(book, other)[0], Reading())
            if len(rows) > 1:
                tables[other] = clean_names([_as_text(cell) or "" for cell in rows[0]]), rows[1:]
                break
    if len(tables) > 1:
        in_order = {sheet: tables[sheet] for sheet in reading.detected["sheets"] if sheet in tables}
        shown = {
            sheet: (
                names,
                [[None if cell == "" else _as_text(cell) for cell in row] for row in below[:CELLS]],
            )
            for sheet, (names, below) in in_order.items()
        }
        note = next((note for note in reading.detected.get("notes", []) if note.startswith("The sheet ")), "")
        reading.ask(alternatives.of_tables(shown, name, note=note))


def _names(rows: list[list[Any]], reading: Reading) -> tuple[list[str], int]:
    """The names of the columns, and the rows they stand in: two where cells of the first were merged."""
    first = [_as_text(cell) or "" for cell in rows[0]]
    merged = reading.detected.pop("merged", [])
    second = rows[1] if len(rows) > 2 else []
    if not merged or not all(isinstance(cell, str) for cell in second):
        return first, 1
    for start, end in merged:
        first[start : end + 1] = [first[start]] * (end + 1 - start)
    names = [f"{top} {cell}".strip() for top, cell in zip(first, second, strict=True)]
    reading.note(
        f"The header stands in two rows; the names were joined: {', '.join(names[:6])}. If the second row is "
        "data, state how many lines to leave out above the table."
    )
    return names, 2


def _rows_of_sheet(task: ReadTask, reading: Reading) -> tuple[str, list[list[Any]]]:
    try:
        with CalamineWorkbook.from_path(str(task.source)) as book:
            reading.detected["sheets"] = list(book.sheet_names)
            name, rows, merged = _choose_sheet(book, task.options, reading)
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableFile(
            "The workbook cannot be opened: it is damaged, locked by a password, or no Excel file."
        ) from error
    skip = task.options.skip_lines
    rows = rows[skip or 0 :]
    reading.detected |= {"sheet": name, "skip_lines": skip or 0}
    if not rows or not rows[0]:
        below = " below the lines left out" if skip else ""
        raise UnreadableFile(f"The sheet {name!r} is empty{below}.{_other_sheets(reading)}")
    if skip is None:
        rows = _below_titles(rows, reading)
    at = reading.detected["skip_lines"]
    reading.detected["merged"] = [(left, right) for row, left, right in merged if row == at and left < right]
    return name, rows


def _below_titles(rows: list[list[Any]], reading: Reading) -> list[list[Any]]:
    """Without the rows above the header that hold a single cell, as titles do."""
    filled = [sum(cell != "" for cell in row) for row in rows[:50]]
    skip = next((i for i, count in enumerate(filled) if count > 1), 0)
    if skip:
        keep = NoteOffer("Keep them", {"skip_lines": 0})
        reading.note(f"{skip} row{'s' * (skip > 1)} above the header left out.", keep)
    reading.detected["skip_lines"] = skip
    return rows[skip:]


def _choose_sheet(
    book: CalamineWorkbook, options: IngestOptions, reading: Reading
) -> tuple[str, list[list[Any]], list[tuple[int, int, int]]]:
    """The sheet that was asked for, else the first visible one that holds a table.

    Its name, its rows, and of its merged cells in one row (row, first column, last column).
    """
    names, wanted = book.sheet_names, options.sheet
    if not names:
        raise UnreadableFile("The workbook has no sheets.")
    if wanted and wanted not in names:
        raise ValidationError.of(
            "options.sheet", f"there is no sheet {wanted!r}; the sheets are {', '.join(names[:20])}"
        )
    if wanted:
        return wanted, *_cells_of(book, wanted)
    visible = [one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible] or names
    read = {}
    for name in visible:
        read[name] = _cells_of(book, name)
        if sum(any(cell != "" for cell in row) for row in read[name][0]) > 1:
            break
    else:
        name = visible[0]
    passed = names[: names.index(name)]
    others = [other for other in names if other != name]
    if others:
        where = "before it stand" if passed else "behind it stand"
        reading.note(
            f"The sheet {name!r} was read; {where} {', '.join(map(repr, (passed or others)[:10]))}.",
            *(NoteOffer(f"Read {other!r} instead", {"sheet": other}) for other in others[:3]),
        )
    return name, *read[name]


def _cells_of(book: CalamineWorkbook, name: str) -> tuple[list[list[Any]], list[tuple[int, int, int]]]:
    sheet = book.get_sheet_by_name(name)
    top, left = sheet.start or (0, 0)
    merged = [
        (first[0] - top, first[1] - left, last[1] - left)
        for first, last in sheet.merged_cell_ranges or ()
        if first[0] == last[0]
    ]
    return sheet.to_python(skip_empty_area=True), merged


def _other_sheets(reading: Reading) -> str:
    others = [name for name in reading.detected.get("sheets", []) if name != reading.detected.get("sheet")]
    return f" Choose another one: {', '.join(others[:20])}." if others else ""


def _column(cells: list[Any]) -> pa.Array:
    """One column with the narrowest type that loses nothing."""
    values = [None if cell == "" else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        are_whole = all(
            value is None or (float(value).is_integer() and abs(value) <= _EXACT) for value in values
        )
        return pa.array(
            [None if v is None else int(v) for v in values] if are_whole else values,
            pa.int64() if are_whole else pa.float64(),
        )
    if kinds and kinds <= {dt.date, dt.datetime}:
        return pa.array(values) if kinds == {dt.date} else _timestamps(values)
    if len(kinds) == 1 and kinds <= {bool, dt.time}:
        return pa.array(values)
    return pa.array([_as_text(value) for value in values], pa.string())


def _timestamps(values: list[Any]) -> pa.Array:
    moments = [
        dt.datetime.combine(v, dt.time()) if isinstance(v, dt.date) and not isinstance(v, dt.datetime) else v
        for v in values
    ]
    if all(moment is None or moment.time() == dt.time() for moment in moments):
        return pa.array([None if moment is None else moment.date() for moment in moments])
    return pa.array(moments, pa.timestamp("us"))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.timedelta):
        return _as_hours(value)
    return str(value)


def _as_hours(duration: dt.timedelta) -> str:
    """``25:30:00``, as spreadsheets show it."""
    seconds, fraction = divmod(abs(duration), dt.timedelta(seconds=1))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if duration < dt.timedelta() else ""
    part = f".{fraction.microseconds:06}".rstrip("0") if fraction else ""
    return f"{sign}{hours}:{minutes:02}:{seconds:02}{part}"
