"""What a reader is not sure of, as questions: the same cells read each way, for somebody to choose.

What was decided without a doubt is a note; a ``NoteOffer`` says how it can be undone. ``alternatives``
makes questions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Change = dict[str, Any]


@dataclass(frozen=True)
class Alternative:
    """One way to read the cells.

    ``columns`` and ``rows`` show them so read, each cell a text or None. ``change`` leads to it: fields of
    ``IngestOptions``, of which ``types`` is by column (null: as detected) and leaves other columns alone.
    """

    label: str
    columns: list[str]
    rows: list[list[str | None]]
    change: Change
    is_current: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked, and two or three readings of the same cells, one of them current.

    ``about``: dates, header, types or table. ``note``: the one among the notes that says it in a sentence.
    """

    about: str
    ask: str
    readings: list[Alternative]
    note: str = ""


@dataclass(frozen=True)
class NoteOffer:
    """What a note says can be changed: ``change`` as of an :class:`Alternative`, ``label`` on its button."""

    label: str
    change: Change
    note: str = ""


def as_text(names: Iterable[str]) -> Change:
    return {"types": dict.fromkeys(names, "VARCHAR")}
