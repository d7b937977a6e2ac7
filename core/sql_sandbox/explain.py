"""DuckDB's errors in the user's words: what is wrong and where,
never a path, a setting or the way tables are stored.

DuckDB is asked for errors as JSON; the position counts bytes of the text.
"""

import errno
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import duckdb

from core.errors import is_full_disk, says_full_disk

Kind = Literal["sql", "memory", "died", "size", "disk", "unknown_tables", "timeout"]
MAX_MESSAGE = 1_000
UNSAID = re.compile(
    r"parquet|duckdb|allowed_|temp_directory|\bSET [a-z_]+\s*=|max_expression_depth|configuration",
    re.IGNORECASE,
)
# What DuckDB says, and what a person can do about it
KNOWN = (
    (r"lambda arrow", "Write lambda x: x + 1 where x -> x + 1 stands: arrows are no functions in this SQL."),
    (
        r"count mismatch for prepared statement\. Expected (\d+), got (\d+)",
        "The query has {0} places for parameters, and {1} were given. Write a ? for each in a list, $name "
        "for each in an object, or leave them out.",
    ),
    (
        r'^(?:Values list|Table) "(.+?)" does not have a column named "(.+?)"',
        'The table "{0}" has no column "{1}".',
    ),
    (
        r"Mixing named and positional parameters",
        "Parameters are either a list for places written ? or $1, or an object for those written $name: "
        "write and give them all in one of these ways.",
    ),
    (
        r"integer too large for 128-bit integer type",
        "A whole number among the parameters is too large: it may have at most 38 digits.",
    ),
    (
        r"not provided for the following parameters: (.+)",
        "No value was given for the parameter {0} of the query.",
    ),
    (
        r"identifiers of the excess parameters: (.+)",
        "The query does not use the parameter {0}: write ${0} in it, or leave the parameter out.",
    ),
)
CATALOG = re.compile(r"\bmemory\.main\.")  # where DuckDB holds every table; nobody writes it
GENERIC = "The query could not be run. Try writing it differently."


@dataclass(frozen=True)
class Failure:
    """Why a query did not answer. ``position`` counts bytes from 0."""

    kind: Kind
    message: str
    position: int | None = None


def explain(error: BaseException, *, unsaid: Iterable[str] = ()) -> Failure:
    """``unsaid``: texts that must not reach the user, such as the folders of the tables."""
    if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)):
        return Failure("memory", "out of memory")
    if isinstance(error, duckdb.InterruptException):
        return Failure("timeout", "interrupted")
    facts = _facts(error) if isinstance(error, duckdb.Error) else {}
    message = str(facts.get("exception_message") or "")
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EFBIG or "File too large" in message:
        return Failure("size", "file too large")
    if (isinstance(error, OSError) and is_full_disk(error)) or says_full_disk(message):
        return Failure("disk", "disk full")
    position = int(facts["position"]) if str(facts.get("position", "")).isdigit() else None
    return Failure("sql", _words(error, message, facts, tuple(unsaid)), position)


def is_explained(error: BaseException) -> bool:
    """Whether the error came as JSON, with its position."""
    return "{" in str(error) and bool(_facts(error).get("exception_type"))


def _facts(error: BaseException) -> dict[str, Any]:
    text = str(error)
    try:
        facts = json.loads(text[text.index("{") :])
    except ValueError:
        facts = None
    return facts if isinstance(facts, dict) else {"exception_message": text.partition(": ")[2] or text}


def _words(error: BaseException, message: str, facts: dict[str, Any], unsaid: tuple[str, ...]) -> str:
    if facts.get("error_subtype") == "COLUMN_NOT_FOUND":
        return _unknown_column(str(facts.get("name", "")), str(facts.get("candidates", "")))
    if "max_expression_depth" in message or "Max expression depth" in message:
        return "The query is nested too deeply. Split it with WITH … AS (…)."
    for pattern, sentence in KNOWN:
        if found := re.search(pattern, message):
            return sentence.format(*(part.strip() for part in found.groups()))
    broken = isinstance(
        error,
        (duckdb.IOException, duckdb.PermissionException, duckdb.InternalException, duckdb.FatalException),
    )
    if broken or not message or any(text and text in message for text in unsaid):
        return GENERIC
    lines = [line for line in message.strip().splitlines() if not UNSAID.search(line)]
    text = CATALOG.sub("", re.sub(r"\n{2,}", "\n", "\n".join(lines))).strip()[:MAX_MESSAGE]
    return text[0].upper() + text[1:] if text else GENERIC


def _unknown_column(name: str, candidates: str) -> str:
    known = [c.strip() for c in candidates.split(",") if c.strip()]
    close = get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    if close:
        likely = next(k for k in known if k.lower() == close[0])
        return f'Unknown column "{name}". Did you mean "{likely}"?'
    listed = ", ".join(f'"{k}"' for k in known[:8])
    return f'Unknown column "{name}".' + (f" Columns here: {listed}." if listed else "")
