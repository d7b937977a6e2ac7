"""Plain text: ``{"text"}``. All of it is learned, as in continued pre-training."""

from core.errors import Detail
from core.formats.base import ColumnMapping, Format, Record, Role, Text, as_text, column_of
from core.formats.conversation import PYTHON_TOLD, is_python, messages_in
from core.formats.layouts import TableLayout, is_text


class TextFormat(Format):
    name = "text"
    title = "Plain text"
    help = "Each row is a piece of text. The model learns to write like it."
    shape = '{"text": "…"}'
    roles = (
        Role(
            "text",
            "Text",
            "Column with the text to learn.",
            likely=("text", "content", "body", "document", "passage"),
        ),
    )
    layouts = (TableLayout("text", {"text": "text"}, lambda _role, type_: is_text(type_), certain=True),)

    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        column = column_of("text", mapping)
        if messages_in(row.get(column)) is not None:
            return [Detail(column, "holds messages: map it as messages, so that their JSON is not learned")]
        if is_python(row.get(column)):
            return [Detail(column, PYTHON_TOLD)]
        return [] if as_text(row.get(column)).strip() else [Detail(column, "is empty")]

    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> Text:
        return Text(as_text(row[column_of("text", mapping)]))
