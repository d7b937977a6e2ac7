"""Edits that are not saved yet: what the table editor reports,
gathered over all pages, until they are saved or dropped.

The editor reports what changed since it was put on the page; when another page of rows is put there, all
changes so far become the ``ground`` that the next ones are added to. Nothing is lost by turning pages, by
searching, or by an error when saving.
"""

from dataclasses import dataclass, field
from typing import Any

from core.datasets import Edits
from core.fields import parse

ROW = "_row"  # the column with the row's number; a line, or None for a new row


@dataclass
class Pending:
    """``cells``: (line, column) → value; ``deleted``: lines; ``added``: new rows."""

    cells: dict[tuple[int, str], Any] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    added: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.cells or self.deleted or self.added)

    def edits(self, *, note: str, force: bool) -> Edits:
        cells = [{"line": line, "column": name, "value": value} for (line, name), value in self.cells.items()]
        kept = [cell for cell in cells if cell["line"] not in self.deleted]
        return parse(
            Edits, cells=kept, added=self.added, deleted=sorted(self.deleted), note=note, force=force
        )


def shown_rows(items: list[dict[str, Any]], ground: Pending) -> list[dict[str, Any]]:
    """A page of rows as the reader has left them, and the new rows behind them."""
    kept = [item for item in items if item["line"] not in ground.deleted]
    rows = [
        {ROW: item["line"]}
        | {name: ground.cells.get((item["line"], name), value) for name, value in item["data"].items()}
        for item in kept
    ]
    return rows + [{ROW: None} | row for row in ground.added]


def fold(ground: Pending, rows: list[dict[str, Any]], reported: dict[str, Any]) -> Pending:
    """The edits of ``ground`` and those that the editor reports about these rows:
    ``edited_rows``, ``added_rows``, ``deleted_rows``."""
    first_new = sum(row[ROW] is not None for row in rows)
    cells, deleted, added = dict(ground.cells), set(ground.deleted), [dict(row) for row in ground.added]
    for place, changes in (reported.get("edited_rows") or {}).items():
        values = {name: value for name, value in changes.items() if name != ROW}
        line = rows[int(place)][ROW]
        if line is None:
            added[int(place) - first_new] |= values
        else:
            cells |= {(line, name): value for name, value in values.items()}
    gone = {int(place) for place in reported.get("deleted_rows") or []}
    deleted |= {rows[place][ROW] for place in gone if rows[place][ROW] is not None}
    added = [row for n, row in enumerate(added) if n + first_new not in gone]
    fresh = [
        {name: value for name, value in row.items() if name != ROW}
        for row in reported.get("added_rows") or []
    ]
    return Pending(
        cells, deleted, added + [row for row in fresh if any(value is not None for value in row.values())]
    )
