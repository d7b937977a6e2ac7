"""One row of JSON: what it must be, and what is said when it is not.

Integers that fit no 64 bits are kept as text.
"""

import json
from typing import Any

MAX_DEPTH = 120
FLOAT_DIGITS = 17
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


def parse_row(text: str) -> tuple[Any, str | None]:
    """The object in ``text``, or what is wrong with it."""
    try:
        value = json.loads(text, object_pairs_hook=without_twins, **EXACT)
    except (ValueError, RecursionError) as error:
        return None, why_not(error)
    problem = problem_of(value)
    return (None, problem) if problem else (value, None)


def problem_of(value: Any) -> str | None:
    """What keeps a parsed value from being a row."""
    if not isinstance(value, dict):
        return 'must be an object, such as {"question": "…"}'
    if _depth(value) > MAX_DEPTH:
        return TOO_DEEP
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "not valid JSON: half of a surrogate pair, or a byte that is not UTF-8"
    return None


def why_not(error: Exception) -> str:
    """A parser's error about one row, in words. The column counts from the row's own line."""
    if isinstance(error, json.JSONDecodeError):
        return f"not valid JSON: {error.msg.lower()} at column {error.colno}"
    return TOO_DEEP if isinstance(error, RecursionError) else str(error)


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:60]!r} stands twice in one object")
            seen.add(key)
    if "" in values:
        raise ValueError("a key is empty")
    return values


def without_case_twins(row: dict[str, Any]) -> dict[str, Any]:
    """The row with a number behind each key that another one equals but for its case: SQL has one name for
    both. Which is which depends on their order in the row."""
    if len({key.lower() for key in row}) == len(row):
        return row
    taken: set[str] = set()
    renamed = {}
    for key, value in row.items():
        unique, copy = key, 1
        while unique.lower() in taken:
            unique, copy = f"{key}_{copy}", copy + 1
        taken.add(unique.lower())
        renamed[unique] = value
    return renamed


def exact_integer(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 and -(2**63) <= int(digits) < 2**63 else digits


class LongFraction(float):
    """A number with more digits than floating point holds; ``written``: all of them."""

    written: str


def exact_fraction(digits: str) -> float:
    significant = digits.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    if len(significant) <= FLOAT_DIGITS:
        return float(digits)
    value = LongFraction(digits)
    value.written = digits
    return value


def with_long_fractions(row: dict[str, Any]) -> list[str]:
    """The keys below which one lies."""
    return [key for key, value in row.items() if _has_long(value)]


def as_written(value: Any) -> Any:
    """A long fraction as its text; all else as it is."""
    return value.written if isinstance(value, LongFraction) else value


def _has_long(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_long, value.values() if isinstance(value, dict) else value))
    return isinstance(value, LongFraction)


EXACT: dict[str, Any] = {"parse_int": exact_integer, "parse_float": exact_fraction}


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        deepest = max(deepest, depth)
        children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(child, depth + 1) for child in children if isinstance(child, (dict, list))]
    return deepest
