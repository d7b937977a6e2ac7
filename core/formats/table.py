"""Any other table.

It trains through a mapping from roles to columns, which makes it one of the other formats.
"""

from collections.abc import Sequence

from core.errors import Detail
from core.formats.base import Column, ColumnMapping, Example, Format, Record


class TableFormat(Format):
    name = "table"
    title = "Table"
    help = (
        "Any table. To train from it, say which column is the prompt and which the completion, "
        "or which holds the text."
    )
    shape = '{"question": "…", "answer": "…"}'

    def detect(self, columns: Sequence[Column]) -> bool:
        return True

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        return [Detail("columns", "say which columns are the prompt and the completion")]

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> Example:
        raise TypeError("a table has no examples before its columns are mapped")
