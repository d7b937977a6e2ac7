"""Small words of SQL that all readers share: names,
literals, and the types of a query."""

import re
from collections.abc import Sequence
from typing import Any

import duckdb

MAX_NAME = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def describe(
    connection: duckdb.DuckDBPyConnection, select: str, parameters: Sequence[Any] = ()
) -> list[tuple[str, str]]:
    """The columns of a query as (name, DuckDB type)."""
    return [(row[0], row[1]) for row in connection.execute(f"DESCRIBE {select}", list(parameters)).fetchall()]


def quoted(name: str) -> str:
    """Any name as SQL reads it, in double quotes whether it needs them or not."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def renamings(names: Sequence[str]) -> list[str]:
    """What ``clean_names`` makes of these, in sentences, where a person would look for another name."""
    cleaned = clean_names(names)
    plain = [_without_control(name) for name in names]
    unnamed = [new for name, new in zip(plain, cleaned, strict=True) if not name]
    cut = [f"{name[:20]}…" for name in plain if len(name) > MAX_NAME]
    taken = [
        f"{name[:40]} (column {number}) is called {new[:40]}"
        for number, (name, new) in enumerate(zip(plain, cleaned, strict=True), 1)
        if name and new != name[:MAX_NAME].strip()
    ]
    sentences = []
    if taken:
        sentences.append(f"Their names were taken, where A and a count as one: {listed(taken)}.")
    if unnamed:
        sentences.append(f"Columns without a name: {listed(unnamed)}.")
    if cut:
        sentences.append(f"Names of more than {MAX_NAME} characters were cut: {listed(cut)}.")
    return sentences


def _without_control(name: str) -> str:
    return _CONTROL.sub(" ", name.encode("utf-8", "replace").decode()).strip()


def listed(names: Sequence[str]) -> str:
    """The first ten, and how many more there are."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def clean_names(names: Sequence[str]) -> list[str]:
    """Names a person can type and SQL can tell apart:
    no control characters, none empty, none twice (also not as A and a)."""
    taken = {"file_row_number"}  # what a Parquet reader calls the number of a row
    cleaned = []
    for number, name in enumerate(names, 1):
        base = _without_control(name)[:MAX_NAME].strip() or f"column{number}"
        unique, copy = base, 1
        while unique.lower() in taken:
            unique, copy = f"{base}_{copy}", copy + 1
        taken.add(unique.lower())
        cleaned.append(unique)
    return cleaned
