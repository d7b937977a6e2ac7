"""What the command line prints: tables that fit 80 columns
for people, JSON for programs, errors that say what to do."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from core.clock import now
from core.errors import LuthierError, ValidationError

WIDTH = 80
SHORTEST = 8  # a column is not cut below this
NOTHING = "–"
# would turn what stands after a name around, too
REORDERING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
UNPRINTABLE = dict.fromkeys(range(32), " ") | dict.fromkeys(REORDERING)


def show(things: Any) -> None:
    """JSON: dataclasses as objects, times in ISO format."""
    print(json.dumps(_plain(things), indent=2, ensure_ascii=False))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Any]], *, flexible: int = 0, empty: str = "Nothing yet."
) -> None:
    """Columns side by side; the one numbered ``flexible`` is cut where the line would pass 80 characters."""
    texts = [[_cell(value) for value in row] for row in rows]
    if not texts:
        print(empty)
        return
    widths = [max(len(line[i]) for line in [list(heads), *texts]) for i in range(len(heads))]
    spare = WIDTH - sum(widths) - 2 * (len(heads) - 1)
    widths[flexible] = max(SHORTEST, widths[flexible] + min(0, spare))
    for line in [list(heads), *texts]:
        cells = [_cut(text, width).ljust(width) for text, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def facts(pairs: Mapping[str, Any]) -> None:
    """One fact a line."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        print(f"{name.ljust(width)}  {_cell(value)}")


def note(text: str) -> None:
    """Something for the person, not for the program that reads the output."""
    print(text.translate(UNPRINTABLE), file=sys.stderr, flush=True)


def say_error(error: LuthierError) -> None:
    note(f"error: {error.message}")
    if isinstance(error, ValidationError):
        for detail in error.details:
            if detail.message not in error.message:
                note(f"  {detail.field}: {detail.message}")


def age(moment: datetime | None) -> str:
    """``5 min``, ``3 h``, ``2 d``: how long ago."""
    return short_seconds((now() - moment).total_seconds()) if moment else NOTHING


def short_seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def size(count: int | None) -> str:
    """``1.3M`` parameters or bytes."""
    if count is None:
        return NOTHING
    for unit, each in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= each:
            return f"{count / each:.3g}{unit}"
    return str(count)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (f"{value:.4g}" if isinstance(value, float) else str(value)).translate(UNPRINTABLE)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime) else value
