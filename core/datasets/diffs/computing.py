"""What is different between two versions: the schema, and the rows, by a key or as whole rows.

Counts are exact.

Columns are matched by name, rows are compared in the columns that both versions have. With a key, a row of
one version meets the row of the other that has the same key; a key must name every row once. By row number
the first row meets the first. Without either, rows are counted as in a bag: two equal rows on one side and
one on the other make one removed row. A column of another type is compared by what its values mean where
that is clear (1 and 1.0, a day and its midnight), else by its text. Rows are told apart by 128 bits of hash,
for which no memory is too small; DuckDB's hash is used within one comparison and never stored. Versions never
change, so neither does an answer: the last are kept.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.cells import json_safe
from core.datasets import looking, rows
from core.datasets.diffs.columns import Compared, compared
from core.datasets.scratch import Scratch, parquet, rows_at, scratch
from core.datasets.values import Version
from core.errors import Detail, ValidationError
from core.people.users import User
from core.readers.base import quoted

SECONDS = 300.0
SAMPLES = 20
MAX_SAMPLES = 100
MAX_KEY = 16
KEPT = 16
MOST_COUNTED_COLUMNS = 1000
_answers: OrderedDict[tuple[Any, ...], "Diff"] = OrderedDict()
_turns = [threading.Lock() for _ in range(16)]
_guard = threading.Lock()


@dataclass(frozen=True)
class VersionSide:
    """One of the two versions."""

    dataset_id: str
    version_id: str
    version: int
    num_rows: int


@dataclass(frozen=True)
class Diff:
    """``from_`` → ``to``.

    ``columns``: {"added": [{"name", "type"}], "removed": [{"name", "type"}], "changed": [{"name", "from",
    "to"}]} (types). ``samples``: {"added": […], "removed": […]} of {"line", "data", "times"}, and "changed":
    [{"key", "from", "to", "columns", "from_line", "to_line"}], the first of each; lines count from 1.
    ``changed_columns``: in how many changed rows a column differs. ``by_row``: rows met by their numbers. As
    whole rows (without a key, and not by number) nothing is "changed".
    """

    from_: VersionSide
    to: VersionSide
    key: list[str]
    columns: dict[str, list[dict[str, str]]]
    added: int
    removed: int
    changed: int
    unchanged: int
    changed_columns: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    by_row: bool = False

    @property
    def is_same(self) -> bool:
        """Whether rows and schema agree; the order of rows does not count."""
        return not (self.added or self.removed or self.changed or any(self.columns.values()))


def diff(
    user: User,
    dataset_id: str,
    from_: int,
    to: int,
    *,
    key: Sequence[str] = (),
    by_row: bool = False,
    limit: int = SAMPLES,
) -> Diff:
    """Compare two versions of a dataset by their numbers. Raises as :func:`diff_versions`."""
    old, new = looking.version_of(user, dataset_id, from_), looking.version_of(user, dataset_id, to)
    return diff_versions(user, old.id, new.id, key=key, by_row=by_row, limit=limit)


def diff_versions(
    user: User,
    from_id: str,
    to_id: str,
    *,
    key: Sequence[str] = (),
    by_row: bool = False,
    limit: int = SAMPLES,
) -> Diff:
    """Compare any two versions of the user. With ``by_row`` the key is empty.

    Raises NotFound, Conflict (a version without rows), ValidationError (a key that is no key, by saying which
    value is not alone), QueryTimeout, RateLimited, DiskFull, Unavailable.
    """
    old, new = readable_pair(user, from_id, to_id)
    if not 0 <= limit <= MAX_SAMPLES:
        raise ValidationError.of("limit", f"must be from 0 to {MAX_SAMPLES}")
    require_key(old, new, key, by_row=by_row)
    question = (from_id, to_id, tuple(key), by_row, limit)
    with _turns[hash(question) % len(_turns)]:  # the same question twice is worked out once
        if (known := _remembered(question)) is None:
            known = _compute(old, new, list(key), limit, by_row=by_row)
            _remember(question, known)
    return known


def suggest_keys(user: User, from_id: str, to_id: str) -> list[str]:
    """Columns of both that may well be a key, the likeliest first:
    in the first rows no value is missing or there twice.

    A guess from a sample; :func:`diff` checks all rows.
    """
    old, new = readable_pair(user, from_id, to_id)
    shared = [c for c in compared(old.columns, new.columns) if c.may_be_key][:100]
    if not shared:
        return []
    with scratch(SECONDS, of=[old.id, new.id]) as work:
        unique_names = [set(_unique_at_first(work, version.id, shared)) for version in (old, new)]
    return sorted((c.name for c in shared if c.name in unique_names[0] & unique_names[1]), key=_likeliness)


def readable_pair(user: User, from_id: str, to_id: str) -> tuple[Version, Version]:
    """Raises NotFound, and Conflict for a version that has no rows, or not any more."""
    old, new = looking.get_version(user, from_id), looking.get_version(user, to_id)
    for version in (old, new):
        rows.require_readable(version)
    return old, new


def guess_match(user: User, from_id: str, to_id: str) -> tuple[list[str], bool]:
    """(key, by row number) by which the fewest rows differ: the likeliest key, the numbers of the rows, or
    neither, where whole rows tell as much. Of equal ones the first.

    Raises as :func:`diff_versions`, but never about a key.
    """
    likely = suggest_keys(user, from_id, to_id)[:1]
    fewest: tuple[int, list[str], bool] | None = None
    for key, by_row in ([(likely, False)] if likely else []) + [([], True), ([], False)]:
        try:
            found = diff_versions(user, from_id, to_id, key=key, by_row=by_row, limit=0)
        except ValidationError:  # it looked like a key at first
            continue
        differing = found.added + found.removed + found.changed
        if fewest is None or differing < fewest[0]:
            fewest = (differing, key, by_row)
    assert fewest is not None  # whole rows can always be compared
    return fewest[1], fewest[2]


def require_key(old: Version, new: Version, key: Sequence[str], *, by_row: bool = False) -> None:
    """Raises ValidationError for columns that are not in both versions."""
    if by_row and key:
        raise ValidationError.of("key", "must be empty where rows meet by their numbers")
    if len(key) > MAX_KEY or len(set(key)) != len(key):
        raise ValidationError.of("key", f"must be up to {MAX_KEY} different columns")
    for version in (old, new):
        known = {column["name"] for column in version.columns}
        if missing := [name for name in key if name not in known]:
            raise ValidationError.of("key", f"version {version.version} has no column {missing[0][:100]!r}")


def prepare(
    work: Scratch, old: Version, new: Version, key: Sequence[str], *, by_row: bool = False
) -> list[Compared]:
    """Make the table ``pairs``: (la, lb, times), places from 0
    of what is not the same; the missing side is null."""
    columns = compared(old.columns, new.columns)
    for side, version in (("a", old), ("b", new)):
        shown = ", ".join(f"{c.sql(side)} AS {c.alias}" for c in columns)
        work.run(
            f"CREATE TEMP VIEW {side} AS SELECT file_row_number AS line{', ' if shown else ''}{shown} "
            f"FROM {parquet(version.id)}"
        )
    if key:
        _pair_by_key(
            work, old, new, [c for c in columns if c.name in key], [c for c in columns if c.name not in key]
        )
    elif by_row:
        _pair(work, ["line"], columns)
    else:
        _pair_as_bags(work, columns)
    return columns


def _compute(old: Version, new: Version, key: list[str], limit: int, *, by_row: bool) -> Diff:
    with scratch(SECONDS, of=[old.id, new.id]) as work:
        columns = prepare(work, old, new, key, by_row=by_row)
        counted = "SELECT coalesce(sum(times) FILTER ({}), 0)::BIGINT FROM pairs"
        added, removed, changed = (
            int(work.one(counted.format(condition))[0])
            for condition in ("la IS NULL", "lb IS NULL", "la IS NOT NULL AND lb IS NOT NULL")
        )
        return Diff(
            from_=_side(old),
            to=_side(new),
            key=key,
            columns=_schema(old, new),
            added=added,
            removed=removed,
            changed=changed,
            unchanged=old.num_rows - removed - changed,
            changed_columns=_count_cells(work, columns) if changed else {},
            samples={
                "added": _alone(work, new, "b", limit),
                "removed": _alone(work, old, "a", limit),
                "changed": _changed(work, old, new, [c for c in columns if c.name in key], columns, limit)
                if changed
                else [],
            },
            by_row=by_row,
        )


def _pair_by_key(
    work: Scratch, old: Version, new: Version, keys: list[Compared], others: list[Compared]
) -> None:
    for side, version in (("a", old), ("b", new)):
        _require_unique(work, side, version, keys)
    _pair(work, [c.alias for c in keys], others)


def _pair(work: Scratch, names: list[str], others: list[Compared]) -> None:
    """Rows that agree in ``names`` meet; those that are the same in all else are left out."""
    content = ", ".join(f"{part} AS h{i}" for i, part in enumerate(_hashes(others)))
    named = ", ".join(dict.fromkeys(["line", *names]))
    same = " AND ".join(f"a.{name} = b.{name}" for name in names)
    sides = [f"(SELECT {named}, {content} FROM {side}) {side}" for side in ("a", "b")]
    work.run(
        "CREATE TEMP TABLE pairs AS SELECT a.line AS la, b.line AS lb, 1 AS times "
        f"FROM {sides[0]} FULL JOIN {sides[1]} ON {same} "
        "WHERE a.line IS NULL OR b.line IS NULL OR a.h0 <> b.h0 OR a.h1 <> b.h1"
    )


def _pair_as_bags(work: Scratch, columns: list[Compared]) -> None:
    first, second = _hashes(columns)
    sides = [
        (
            f"SELECT {n} AS side, line, {first if columns else n} AS h0, {second if columns else n} AS h1 "
            f"FROM {side}"
        )
        for n, side in enumerate(("a", "b"))
    ]  # without a column in common nothing is the same
    work.run(
        "CREATE TEMP TABLE pairs AS SELECT CASE WHEN na > nb THEN la END AS la, CASE WHEN nb > na "
        "THEN lb END AS lb, "
        "abs(na - nb) AS times FROM (SELECT count(*) FILTER (side = 0) AS na, count(*) FILTER (side = 1) "
        "AS nb, "
        "min(line) FILTER (side = 0) AS la, min(line) FILTER (side = 1) AS lb "
        f"FROM ({sides[0]} UNION ALL {sides[1]}) GROUP BY h0, h1) WHERE na <> nb"
    )


def _hashes(columns: list[Compared]) -> tuple[str, str]:
    """Two hashes of a row that do not fail together:
    the second sees other texts, and everything behind another beginning."""
    return (
        f"hash({', '.join(['0', *(c.alias for c in columns)])})",
        f"hash({', '.join(['1', *(c.salted for c in columns)])})",
    )


def _require_unique(work: Scratch, side: str, version: Version, keys: list[Compared]) -> None:
    missing = " OR ".join(f"{c.alias} IS NULL" for c in keys)
    for (line,) in work.run(f"SELECT min(line) FROM {side} WHERE {missing}"):
        if line is not None:
            row = rows_at(work, version.id, [c.name for c in keys], [line])[line]
            empty = next(name for name, value in row.items() if value is None)
            raise _no_key(f"row {line + 1:,} of version {version.version} has no value in {empty!r}")
    names = ", ".join(c.alias for c in keys)
    for count, line in work.run(
        f"SELECT count(*), min(line) FROM {side} GROUP BY {names} HAVING count(*) > 1 ORDER BY min(line) "
        f"LIMIT 1"
    ):
        row = rows_at(work, version.id, [c.name for c in keys], [line])[line]
        key_text = ", ".join(f"{name} = {_shown(value)}" for name, value in row.items())
        raise _no_key(
            f"{key_text} is in {count:,} rows of version {version.version}, first in row {line + 1:,}"
        )


def _no_key(why: str) -> ValidationError:
    message = (
        f"These columns do not name each row once: {why}. Choose others, or more of them, "
        f"or compare whole rows."
    )
    return ValidationError(message, details=[Detail("key", why)])


def _shown(value: Any) -> str:
    return repr(value[:80]) if isinstance(value, str) else str(value)[:80]


def _count_cells(work: Scratch, columns: list[Compared]) -> dict[str, int]:
    few = columns[:MOST_COUNTED_COLUMNS]
    counts = ", ".join(f"count(*) FILTER (a.{c.alias} IS DISTINCT FROM b.{c.alias})" for c in few)
    numbers = work.one(f"SELECT {counts} FROM pairs JOIN a ON a.line = la JOIN b ON b.line = lb")
    return dict(
        sorted(((c.name, n) for c, n in zip(few, numbers, strict=True) if n), key=lambda pair: -pair[1])
    )


def _alone(work: Scratch, version: Version, side: str, limit: int) -> list[dict[str, Any]]:
    """The first rows that only one side has."""
    mine, theirs = ("la", "lb") if side == "a" else ("lb", "la")
    wanted = work.run(f"SELECT {mine}, times FROM pairs WHERE {theirs} IS NULL ORDER BY 1 LIMIT {limit:d}")
    data_by_line = rows_at(
        work, version.id, [column["name"] for column in version.columns], [line for line, _ in wanted]
    )
    return [{"line": line + 1, "data": data_by_line[line], "times": times} for line, times in wanted]


def _changed(
    work: Scratch, old: Version, new: Version, keys: list[Compared], columns: list[Compared], limit: int
) -> list[dict[str, Any]]:
    wanted = work.run(
        f"SELECT la, lb FROM pairs WHERE la IS NOT NULL AND lb IS NOT NULL ORDER BY lb LIMIT {limit:d}"
    )
    before = rows_at(work, old.id, [column["name"] for column in old.columns], [la for la, _ in wanted])
    after = rows_at(work, new.id, [column["name"] for column in new.columns], [lb for _, lb in wanted])
    differs = _differing_cells(work, columns, wanted)
    return [
        {
            "key": {c.name: json_safe(after[lb][c.name]) for c in keys},
            "from": before[la],
            "to": after[lb],
            "columns": differs[lb],
            "from_line": la + 1,
            "to_line": lb + 1,
        }
        for la, lb in wanted
    ]


def _differing_cells(
    work: Scratch, columns: list[Compared], wanted: list[tuple[int, int]]
) -> dict[int, list[str]]:
    if not wanted:
        return {}
    marks = ", ".join(f"a.{c.alias} IS DISTINCT FROM b.{c.alias}" for c in columns)
    some = ", ".join(f"({la:d}, {lb:d})" for la, lb in wanted)
    compared_rows = work.run(
        f"SELECT b.line, {marks} FROM (VALUES {some}) w(la, lb) JOIN a ON a.line = la JOIN b ON b.line = lb"
    )
    return {
        line: [c.name for c, differs in zip(columns, flags, strict=True) if differs]
        for line, *flags in compared_rows
    }


def _schema(old: Version, new: Version) -> dict[str, list[dict[str, str]]]:
    before = {column["name"]: column["type"] for column in old.columns}
    after = {column["name"]: column["type"] for column in new.columns}
    return {
        "added": [{"name": name, "type": type_} for name, type_ in after.items() if name not in before],
        "removed": [{"name": name, "type": type_} for name, type_ in before.items() if name not in after],
        "changed": [
            {"name": name, "from": before[name], "to": type_}
            for name, type_ in after.items()
            if name in before and before[name] != type_
        ],
    }


def _unique_at_first(
    work: Scratch, version_id: str, shared: list[Compared], sample: int = 20_000
) -> list[str]:
    counts = ", ".join(f"count(DISTINCT {quoted(c.name)})" for c in shared)
    names = ", ".join(quoted(c.name) for c in shared)
    total, *distinct_counts = work.one(
        f"SELECT count(*), {counts} FROM (SELECT {names} FROM {parquet(version_id)} "
        f"WHERE file_row_number < {sample:d})"
    )
    return [c.name for c, distinct in zip(shared, distinct_counts, strict=True) if distinct == total]


def _likeliness(name: str) -> tuple[int, int]:
    folded = name.lower()
    looks_like_one = folded in ("id", "key", "uuid") or folded.endswith(("_id", "id", "_key"))
    return (0 if looks_like_one else 1, len(name))


def _side(version: Version) -> VersionSide:
    return VersionSide(version.dataset_id, version.id, version.version, version.num_rows)


def _remembered(asked: tuple[Any, ...]) -> Diff | None:
    with _guard:
        if asked in _answers:
            _answers.move_to_end(asked)
        return _answers.get(asked)


def _remember(asked: tuple[Any, ...], found: Diff) -> None:
    with _guard:
        _answers[asked] = found
        while len(_answers) > KEPT:
            _answers.popitem(last=False)
