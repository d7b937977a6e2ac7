"""Columns whose words a model learns: they stay as they were written ("yes", "1.50", "2024-01-05"), whatever
they could be parsed as."""

from collections.abc import Iterable

from core.formats import FORMATS

# By these names alone
PROSE = frozenset({"prompt", "completion", "system", "text", "question", "answer", "instruction", "response"})
# By these names together: a table that is made for training
SHAPES = (
    *(
        frozenset(layout.columns.values())
        for name in ("completion", "preference")
        for layout in FORMATS[name].layouts
    ),
    frozenset({"chosen", "rejected"}),
)
COMPANIONS = {"input", "context", "history"}  # of a shape: they are read with the question
_OF_ANY_TABLE = {"input", "output"}  # also the names of measured numbers


def taught(names: Iterable[str], *, are_numbers: Iterable[str] = ()) -> frozenset[str]:
    """Those of the columns that are taught. ``are_numbers``: columns that hold nothing else; input and output
    that do are no training rows."""
    given = {name.lower(): name for name in names}
    numeric = {name.lower() for name in are_numbers}
    words = set(PROSE)
    for shape in SHAPES:
        if shape <= set(given) and not (shape == _OF_ANY_TABLE and shape <= numeric):
            words |= shape | (COMPANIONS - numeric if shape != _OF_ANY_TABLE else set())
    return frozenset(name for lower, name in given.items() if lower in words)
