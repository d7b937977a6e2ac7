"""What the reader of JSON says of dates: notes, what undoes them, and what to ask where several forms fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.readers import alternatives
from core.readers.alternatives import Cells
from core.readers.base import Reading, ReadTask
from core.readers.json_lines.types import JsonColumns
from core.readers.moments import tell_offsets
from core.readers.questions import NoteOffer, as_text
from core.readers.sql import listed, quoted
from core.readers.text_types import column_types

_SAMPLE, _MOST_COLUMNS = 200, 200  # looked through for texts that may be dates


@dataclass(frozen=True)
class JsonSource:
    """SELECT of the file as it is written, and its parameters."""

    select: str
    parameters: Sequence[str]


def tell(reading: Reading, task: ReadTask, columns: JsonColumns, source: JsonSource) -> None:
    notes = {}
    for name, column in columns.dated.items():
        if not column.candidates:
            notes[name] = (
                f"Kept as text, because its dates have no form that all of them fit and no other: {name}. "
                "Give a date format to read it."
            )
            reading.note(notes[name])
        elif column.candidates[0].format:
            reading.detected["date_format"] = column.candidates[0].format
            reading.note(
                f"Dates in {name} were read as {column.candidates[0].format}.",
                NoteOffer("Read as text instead", as_text([name])),
            )
    zoned = [name for name, c in columns.dated.items() if c.candidates and c.type.endswith("TIME ZONE")]
    if zoned:
        rows = task.connection.execute(
            f"SELECT {', '.join(map(quoted, zoned))} FROM ({source.select}) LIMIT {_SAMPLE}",
            list(source.parameters),
        ).fetchall()
        tell_offsets(reading, Cells.of(zoned, rows).by_column)
    if task.is_look:
        _ask(reading, task, columns, source, notes)
    if task.kept_as_taught:
        types = {name: task.as_detected[name] for name in task.kept_as_taught}
        reading.note(
            f"Kept as text as it was written, because models learn it: {', '.join(list(types)[:10])}.",
            NoteOffer("Read as dates instead", {"types": types}),
        )


def tell_rounded(reading: Reading, task: ReadTask, columns: JsonColumns) -> None:
    rounded = [name for name in columns.types if name in task.rounded]
    plain = [name for name in rounded if columns.types[name] == "DOUBLE"]
    nested = [name for name in rounded if name not in plain]
    if plain:
        reading.note(
            f"Rounded, because a number holds no more than 17 digits: {listed(plain)}. "
            "Choose Text to keep them all.",
            NoteOffer("Read as text instead", as_text(plain)),
        )
    if nested:
        reading.note(f"Rounded inside, because a number holds no more than 17 digits: {listed(nested)}.")


def _ask(
    reading: Reading, task: ReadTask, columns: JsonColumns, source: JsonSource, notes: dict[str, str]
) -> None:
    """Day first, month first or text, where both orders fit."""
    stated = task.options.date_format
    texts = [name for name, type_ in columns.types.items() if type_ == "VARCHAR"][:_MOST_COLUMNS]
    if not texts:
        return
    rows = task.connection.execute(
        f"SELECT {', '.join(map(quoted, texts))} FROM ({source.select}) LIMIT {_SAMPLE}",
        list(source.parameters),
    ).fetchall()
    cells = Cells.of(texts, rows)
    if stated:
        forms = alternatives.in_order(stated)
        dated = [name for name, column in columns.dated.items() if column.candidates] if forms else []
        asked = dict.fromkeys(alternatives.other_order_fits(task, dated), forms)
    else:
        asked = _both_orders(columns, _forms_of_texts(reading, task, columns, cells))
    note = notes.get(next(iter(asked), ""), "")
    reading.ask(alternatives.of_dates(task, cells, asked, current=stated, text_is_possible=True, note=note))


def _both_orders(columns: JsonColumns, of_texts: dict[str, list[str]]) -> dict[str, list[str]]:
    orders = {name: alternatives.in_order(forms[0]) for name, forms in (columns.unclear | of_texts).items()}
    return {name: forms for name, forms in orders.items() if forms}


def _forms_of_texts(
    reading: Reading, task: ReadTask, columns: JsonColumns, cells: Cells
) -> dict[str, list[str]]:
    """The forms that strings have which are dates to a person, by column. A single form is offered."""
    chosen, unclear = task.options.types or {}, {}
    free = task.options.model_copy(update={"types": None, "null_values": None})
    for name, found in cells.by_column.items():
        if name in columns.dated or name in chosen or name in task.kept_as_taught or not found:
            continue
        forms = [str(c.format) for c in column_types.propose(name, found, free).candidates if c.format]
        if len(forms) > 1:
            unclear[name] = forms
        elif forms:
            reading.note(
                f"Kept as text, as it is written: the dates in {name}.",
                NoteOffer("Read as dates instead", {"date_format": forms[0]}),
            )
    return unclear
