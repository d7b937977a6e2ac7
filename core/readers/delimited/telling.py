"""What the reader of delimited text says of its decisions: notes, what undoes them, and alternatives."""

from core.readers import alternatives
from core.readers.alternatives import Cells
from core.readers.base import Reading, ReadTask
from core.readers.delimited import headers
from core.readers.delimited.dialects import RowSample
from core.readers.moments import tell_offsets
from core.readers.questions import NoteOffer, as_text
from core.readers.sql import clean_names, listed, renamings
from core.readers.text_types import column_types
from core.readers.text_types.candidates import two_digit_years
from core.readers.text_types.column_types import TextColumn
from core.sql_types import is_decimal, is_number, size_of_decimal


def tell(
    reading: Reading, has_header: bool, columns: list[TextColumn], sample: RowSample, task: ReadTask
) -> None:
    reading.detected["header"] = has_header
    for sentence in renamings(sample.rows[0][: len(columns)]) if has_header else ():
        reading.note(sentence)
    rows = sample.rows[has_header:]
    cells = Cells.of([column.name for column in columns], rows) if task.is_look else Cells()
    _tell_header(reading, columns, sample, task)
    _tell_dates(reading, columns, rows, cells, task)
    zoned = {column.name: i for i, column in enumerate(columns) if column.type.endswith("TIME ZONE")}
    tell_offsets(reading, {name: [row[i] for row in rows] for name, i in zoned.items()})
    _tell_numbers(reading, columns, rows, cells, task)
    if task.kept_as_taught:
        types = {name: task.as_detected[name] for name in task.kept_as_taught}
        label = "Read as numbers instead" if all(map(is_number, types.values())) else "Read as found instead"
        reading.note(
            f"Kept as text as it was written, because models learn it: {listed(task.kept_as_taught)}.",
            NoteOffer(label, {"types": types}),
        )
    for column in columns:
        if column.left_out:
            reading.note(
                f"Left out of the numbers in {column.name}: {' '.join(column.left_out)}.",
                NoteOffer("Read as text instead", as_text([column.name])),
            )


def is_unclear(column: TextColumn) -> bool:
    """Day first or month first: a later row may tell."""
    return len({c.format for c in column.candidates if c.format}) > 1


def _tell_header(reading: Reading, columns: list[TextColumn], sample: RowSample, task: ReadTask) -> None:
    has_header, is_stated = bool(reading.detected["header"]), task.options.header is not None
    note = "" if is_stated else headers.question(has_header, columns, sample.rows)
    if note:
        reading.note(note)
    is_asked = note or (is_stated and headers.question(True, columns, sample.rows))
    if task.is_look and is_asked and len(sample.rows) > 1:
        names = clean_names(sample.rows[0][: len(columns)])
        reading.ask(alternatives.of_header(names, sample.rows, has_header=has_header, note=note))


def _tell_numbers(
    reading: Reading, columns: list[TextColumn], rows: list[list[str]], cells: Cells, task: ReadTask
) -> None:
    nearly = [
        column
        for i, column in enumerate(columns)
        if column_types.is_nearly_number(row[i] for row in rows) and column.name not in task.kept_as_taught
    ]
    kept = [column.name for column in nearly if not column.candidates and not column.chosen]
    rounded = [c.name for c in columns if c.candidates and c.candidates[0].is_rounded]
    decimals = [c for c in columns if not c.chosen and is_decimal(c.type)]
    scaled = [c.name for c in decimals if size_of_decimal(c.type)[1]]
    for names, sentence, offered in (
        (kept, "Kept as text, because reading it as numbers would change it: {}.", False),
        (scaled, "Read as decimals, so that zeros behind the point stay: {}.", True),
        (
            rounded,
            "Rounded, because a number holds no more than 17 digits: {}. Choose Text to keep them all.",
            True,
        ),
    ):
        if names:
            offers = [NoteOffer("Read as text instead", as_text(names))] if offered else []
            reading.note(sentence.format(listed(names)), *offers)
            if task.is_look and names is kept:
                reading.ask(alternatives.of_types(task, cells, kept, note=sentence.format(listed(kept))))
    taken = [c.name for c in nearly if c.chosen and task.detected.get(c.name) == "VARCHAR"]
    taken = [name for name in taken if is_number((task.options.types or {})[name])]
    if task.is_look and taken:
        reading.ask(alternatives.of_types(task, cells, taken, are_numbers=True))


def _tell_dates(
    reading: Reading, columns: list[TextColumn], rows: list[list[str]], cells: Cells, task: ReadTask
) -> None:
    unclear = {
        column.name: i
        for i, column in enumerate(columns)
        if not column.candidates
        and not column.chosen
        and column_types.has_unclear_century(row[i] for row in rows)
    }
    if unclear and not task.options.date_format:
        fitting = [two_digit_years(row[i] for row in rows) for i in unclear.values()]
        reading.note(
            f"Kept as text, because the years of two digits may be of either century: "
            f"{listed(list(unclear))}. Give a date format such as %d/%m/%y to read them as dates.",
            *(NoteOffer(f"Read as {format_}", {"date_format": format_}) for format_ in fitting[0]),
        )
    dated = [column for column in columns if column.candidates and column.candidates[0].format]
    if not dated:
        if task.options.date_format:
            reading.note(
                f"No column fits the date format {task.options.date_format}.",
                NoteOffer("Detect the form of dates", {"date_format": None}),
            )
        return
    format_ = reading.detected["date_format"] = str(dated[0].candidates[0].format)
    note = _note_dates(reading, dated, format_, task)
    if task.is_look:
        forms = _forms(dated, task)
        current = (
            format_ if format_ in next(iter(forms.values()), ()) else next(iter(forms.values()), [""])[0]
        )
        reading.ask(
            alternatives.of_dates(task, cells, forms, current=current, text_is_possible=False, note=note)
        )


def _note_dates(reading: Reading, dated: list[TextColumn], format_: str, task: ReadTask) -> str:
    """Which order was taken, where that is not what somebody asked for."""
    order = {"%d": "day first", "%m": "month first"}.get(format_[:2])
    if not order or task.options.date_format:
        return ""
    names = [column.name for column in dated]
    either = " Both orders fit." if is_unclear(dated[0]) else ""
    note = f"Dates in {listed(names)} were read {order} ({format_}).{either} Give a date format to change it."
    reading.note(note, NoteOffer("Read as text instead", as_text(names)))
    return note if either else ""


def _forms(dated: list[TextColumn], task: ReadTask) -> dict[str, list[str]]:
    """Both orders of the columns that fit either."""
    stated = task.options.date_format
    if stated:
        forms = alternatives.in_order(stated)
        names = [column.name for column in dated] if forms else []
        return dict.fromkeys(alternatives.other_order_fits(task, names), forms)
    return {
        column.name: forms
        for column in dated
        if is_unclear(column) and (forms := alternatives.in_order(str(column.candidates[0].format)))
    }
