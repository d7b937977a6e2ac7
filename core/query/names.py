"""The names a user's SQL may use for tables, and what to say about a name that is none of them.

A dataset's newest ready version answers to the dataset's name and id, every ready version to ``name@2``,
``ds_…@2`` and its own id. Names compare as in DuckDB: ASCII letters without case. A name wins over an id.
Only the caller's own and shared datasets are ever in the list, so somebody else's name, id or version id
reads exactly like one that does not exist.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Protocol

from core.readers.sql import quoted
from core.sql_sandbox.gate import fold

MAX_LISTED = 8
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = re.compile(
    r"[/\\]|://|\.(csv|tsv|txt|json|jsonl|ndjson|parquet|arrow|feather|xlsx?|db|duckdb|gz|zst)$",
    re.IGNORECASE,
)
_RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
    default deferrable desc describe distinct do else end except false fetch for foreign from group having in
    initially intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer
    pivot_wider placing primary qualify references returning select show some summarize symmetric table then
    to trailing true union unique unpivot using variadic when where window with
    """.split()
)


class Table(Protocol):
    """One ready version of a dataset, as ``core.datasets.sql_tables`` lists them."""

    @property
    def dataset_id(self) -> str: ...
    @property
    def dataset_name(self) -> str: ...
    @property
    def version_id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def is_latest(self) -> bool: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def columns(self) -> list[dict[str, str]]: ...


Naming = Callable[[Table], tuple[str, Table] | None]


class Names:
    """Every name of a caller's tables. ``extra`` names (``data`` in a chat) win over all."""

    def __init__(self, tables: Iterable[Table], *, extra: Mapping[str, Table] | None = None) -> None:
        self.tables = list(tables)
        self._found: dict[str, tuple[str, list[Table]]] = {}
        for name, table in (extra or {}).items():
            self._found[fold(name)] = (name, [table])
        for naming in NAMINGS:
            taken = set(self._found)
            for name, table in filter(None, map(naming, self.tables)):
                if fold(name) not in taken:
                    self._found.setdefault(fold(name), (name, []))[1].append(table)

    def mentioned(self, sql: str) -> dict[str, Table]:
        """The tables whose name stands in the text;
        names that fit several datasets are left out, so that they get explained."""
        text = fold(sql)
        return {
            name: tables[0]
            for key, (name, tables) in self._found.items()
            if len(tables) == 1 and _stands_in(key, text)
        }

    def name_of(self, version_id: str) -> str:
        """The first of a version's names that means it and nothing else, as it has to be written in SQL.

        Of what is not among the tables its id.
        """
        table = next((t for t in self.tables if t.version_id == version_id), None)
        names = [named[0] for naming in NAMINGS if table and (named := naming(table))]
        fitting = (name for name in names if self._found[fold(name)][1] == [table])
        return quoted_where_needed(next(fitting, version_id))

    def explain(self, parts: tuple[str, ...]) -> str:
        """What to say about a table name that could not be used."""
        name = ".".join(parts)
        shown = f"{name[:100]}…" if len(name) > 100 else name
        several = self._found.get(fold(name), ("", []))[1]
        if len(several) > 1:
            choices = ", ".join(f"{t.dataset_id} ({t.num_rows:,} rows)" for t in several[:MAX_LISTED])
            return (
                f'You have {len(several)} datasets called "{shown}". Write the id of the one you mean: '
                f"{choices}."
            )
        if several and len(parts) > 1:
            return f"Put the name in double quotes: {quoted_where_needed(name)}."
        return f'Unknown table "{shown}". {self._advice(name)}'

    def quoting_advice(self, sql: str) -> str:
        """Said after a syntax error: a name that stands in the text and needs double quotes there."""
        text = fold(sql)
        for table in self.tables:
            for name in (table.dataset_name, f"{table.dataset_name}@{table.number}"):
                if needs_quotes(name) and _stands_in(fold(name), text) and f'"{fold(name)}"' not in text:
                    return f" If you mean the dataset, put its name in double quotes: {quoted(name)}."
        return ""

    def _advice(self, name: str) -> str:
        base, at, number = name.rpartition("@")
        if at and number.isdigit() and fold(base) in self._found:
            newest = max(t.number for t in self.tables if fold(base) in (fold(t.dataset_name), t.dataset_id))
            return f'"{base}" has no version {number}; its newest is {newest}.'
        if _FILE.search(name):
            return "Files cannot be read here: upload it as a dataset, then use the dataset's name."
        known = sorted({t.dataset_name for t in self.tables})
        close = get_close_matches(fold(name), [fold(k) for k in known], n=1, cutoff=0.6)
        if close:
            return f"Did you mean {quoted_where_needed(next(k for k in known if fold(k) == close[0]))}?"
        if not known:
            return "You have no datasets yet: upload one first."
        more = ", …" if len(known) > MAX_LISTED else ""
        return f"Your datasets: {', '.join(map(quoted_where_needed, known[:MAX_LISTED]))}{more}."


def needs_quotes(name: str) -> bool:
    return not _PLAIN.fullmatch(name) or name.lower() in _RESERVED


def quoted_where_needed(name: str) -> str:
    """A name as people write it in SQL: in double quotes only where it cannot do without."""
    return quoted(name) if needs_quotes(name) else name


def _latest_by_name(table: Table) -> tuple[str, Table] | None:
    return (table.dataset_name, table) if table.is_latest else None


def _by_name_and_number(table: Table) -> tuple[str, Table]:
    return f"{table.dataset_name}@{table.number}", table


def _latest_by_id(table: Table) -> tuple[str, Table] | None:
    return (table.dataset_id, table) if table.is_latest else None


def _by_id_and_number(table: Table) -> tuple[str, Table]:
    return f"{table.dataset_id}@{table.number}", table


def _by_version_id(table: Table) -> tuple[str, Table]:
    return table.version_id, table


# Earlier ones win over later ones
NAMINGS: tuple[Naming, ...] = (
    _latest_by_name,
    _by_name_and_number,
    _latest_by_id,
    _by_id_and_number,
    _by_version_id,
)


def _stands_in(key: str, text: str) -> bool:
    """Whether a folded name stands in a folded text as a whole word, doubled quotes counted."""
    written = key.replace('"', '""')
    return written in text and re.search(rf"(?<!\w){re.escape(written)}(?!\w)", text) is not None
