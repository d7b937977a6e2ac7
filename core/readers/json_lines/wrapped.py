"""A JSON document that is one object, but means a table: rows below a key, or one of pandas' layouts."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20
KEYS = ("data", "rows", "records", "results", "items", "result", "values", "entries", "value")
Rows = list[dict[str, Any]]


def rows_of(path: Path) -> tuple[Rows, str] | None:
    """The rows of such a document with a note that says where they were; None for any other."""
    if path.stat().st_size > LARGEST:
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not document:
        return None
    return next((found for way in WAYS if (found := way(document))), None)


def _below_a_key(document: Mapping[str, Any]) -> tuple[Rows, str] | None:
    lists = [key for key, value in document.items() if _is_rows(value)]
    if len(lists) != 1 or lists[0].lower() not in KEYS:
        return None
    beside = [key for key in document if key != lists[0]]
    rest = f" What stands beside it was left out: {', '.join(beside[:10])}." if beside else ""
    return document[lists[0]], f"The rows were taken from the key {lists[0]!r}.{rest}"


def _split(document: Mapping[str, Any]) -> tuple[Rows, str] | None:
    """pandas' ``orient="split"``."""
    names, data = document.get("columns"), document.get("data")
    if (
        not isinstance(names, list)
        or not isinstance(data, list)
        or not set(document) <= {"columns", "index", "data"}
    ):
        return None
    if not data or not all(isinstance(row, list) and len(row) == len(names) for row in data):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in data], _told("split")


def _columns(document: Mapping[str, Any]) -> tuple[Rows, str] | None:
    """pandas' own layout, a column with its values by the number of the row."""
    labels = _shared_keys(document)
    if not labels or not all(label.isdecimal() for label in labels):
        return None
    return [{name: cells[label] for name, cells in document.items()} for label in labels], _told("columns")


def _index(document: Mapping[str, Any]) -> tuple[Rows, str] | None:
    """pandas' ``orient="index"``: a row by its number."""
    if not _shared_keys(document) or not all(label.isdecimal() for label in document):
        return None
    return list(document.values()), _told("index")


def _shared_keys(document: Mapping[str, Any]) -> list[str]:
    """The keys that every value of the document has; none where they differ."""
    first, *others = document.values()
    if not isinstance(first, dict) or not all(isinstance(other, dict) for other in others):
        return []
    return list(first) if all(other.keys() == first.keys() for other in others) else []


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _told(orient: str) -> str:
    return f"The document is a table in pandas' layout {orient!r}; each of its rows became one."


WAYS: tuple[Callable[[Mapping[str, Any]], tuple[Rows, str] | None], ...] = (
    _below_a_key,
    _split,
    _columns,
    _index,
)
