"""PIVOT without a list of values, as people write it: ``PIVOT t ON city USING sum(amount)``.

DuckDB expands it into two statements and does not show its tree, so the gate could not look at it. Here the
text gets a list with one marker after every ON element that has none; this text has a tree, which the gate
checks as any other. The marker is random, and the gate insists that every one of them became the value of a
pivot, so that the text without them differs in nothing else.
"""

import secrets
from dataclasses import dataclass

import duckdb

PIVOTS = frozenset({b"pivot", b"pivot_wider"})
ENDS = frozenset({b"using", b"group", b"order", b"limit", b"union", b"except", b"intersect", b"where", b";"})
OPENING, CLOSING = frozenset({b"(", b"[", b"{"}), frozenset({b")", b"]", b"}"})


@dataclass(frozen=True)
class Marked:
    """A text with ``count`` lists that hold nothing but ``marker``."""

    sql: str
    marker: str
    count: int


@dataclass(frozen=True)
class _Token:
    start: int
    text: bytes
    depth: int


def with_markers(sql: str) -> Marked | None:
    """``sql`` with a value list wherever a PIVOT lacks one, None where no PIVOT does."""
    data = sql.encode("utf-8", "surrogatepass")
    tokens = _tokens(data)
    places = sorted(
        {
            place
            for index, token in enumerate(tokens)
            if token.text in PIVOTS
            for place in _missing(tokens, index)
        }
    )
    if not places:
        return None
    marker = secrets.token_hex(16)
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    marked = f"\nIN ('{marker}')\n".encode().join(pieces)
    return Marked(marked.decode("utf-8", "surrogatepass"), marker, len(places))


def _tokens(data: bytes) -> list[_Token]:
    raw_tokens = duckdb.tokenize(data.decode("utf-8", "surrogatepass"))
    starts = [(start, kind) for start, kind in raw_tokens if kind != duckdb.token_type.comment]
    ends = [start for start, _ in raw_tokens[1:]] + [len(data)]
    end_of = dict(zip((start for start, _ in raw_tokens), ends, strict=True))
    tokens, depth = [], 0
    for start, _ in starts:
        text = data[start : end_of[start]].strip().lower()
        depth -= text in CLOSING
        tokens.append(_Token(start, text, depth))
        depth += text in OPENING
    return [*tokens, _Token(len(data), b";", 0)]


def _missing(tokens: list[_Token], pivot: int) -> list[int]:
    """Where the ON elements of one PIVOT end that have no IN."""
    depth = tokens[pivot].depth
    inside = _inside(tokens, pivot + 1, depth)
    on = next((i for i in inside if tokens[i].depth == depth and tokens[i].text == b"on"), None)
    if on is None:
        return []
    places: list[int] = []
    has_list = False
    for i in [*_inside(tokens, on + 1, depth)]:
        here = tokens[i].depth == depth
        if here and tokens[i].text in ENDS:
            return places if has_list else [*places, tokens[i].start]
        if here and tokens[i].text == b",":
            places += [] if has_list else [tokens[i].start]
            has_list = False
        has_list = has_list or (here and tokens[i].text == b"in")
    end = next((t.start for t in tokens[on + 1 :] if t.depth < depth), tokens[-1].start)
    return places if has_list else [*places, end]


def _inside(tokens: list[_Token], start: int, depth: int) -> list[int]:
    """The tokens from ``start`` until the surrounding bracket closes."""
    indices = []
    for i in range(start, len(tokens)):
        if tokens[i].depth < depth:
            break
        indices.append(i)
    return indices
