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
    unnamed = [new for old, new in zip(names, cleaned, strict=True) if not _CONTROL.sub(" ", old).strip()]
    cut = [new for old, new in zip(names, cleaned, strict=True) if len(old.strip()) > MAX_NAME]
    first = {name.strip().lower() for name in names}
    twins = [
        f"{old.strip()[:40]} (column {number}) is called {new[:40]}"
        for number, (old, new) in enumerate(zip(names, cleaned, strict=True), 1)
        if new not in unnamed and new not in cut and new.lower() not in first
    ]
    sentences = []
    if twins:
        sentences.append(f"Two columns cannot have one name, also not as A and a: {_listed(twins)}.")
    if unnamed:
        sentences.append(f"Columns without a name: {_listed(unnamed)}.")
    if cut:
        names_cut = _listed([f"{name[:20]}…" for name in cut])
        sentences.append(f"Names of more than {MAX_NAME} characters were cut: {names_cut}.")
    return sentences


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def clean_names(names: Sequence[str]) -> list[str]:
    """Names a person can type and SQL can tell apart:
    no control characters, none empty, none twice (also not as A and a)."""
    taken = {"file_row_number"}  # what a Parquet reader calls the number of a row
    cleaned = []
    for number, name in enumerate(names, 1):
        base = (
            _CONTROL.sub(" ", name.encode("utf-8", "replace").decode())[:MAX_NAME].strip()
            or f"column{number}"
        )
        unique, copy = base, 1
        while unique.lower() in taken:
            unique, copy = f"{base}_{copy}", copy + 1
        taken.add(unique.lower())
        cleaned.append(unique)
    return cleaned
