"""Small cards in one row: a label, a value, and a note below it; two columns on a narrow screen.

One element for all of them, as they are drawn anew every second: what is shown is text made in Python.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.ui.elements import component

HERE = Path(__file__).parent


class FactCard(NamedTuple):
    """``note`` is a word more about the value; ``tone`` of the note: good, bad or nothing."""

    label: str
    value: str
    note: str = ""
    help: str = ""
    tone: str = ""


def show(key: str, cards: Sequence[FactCard], *, label: str) -> None:
    """``label`` names the row for those who cannot see it."""
    component.declare("fact_cards", HERE, stem="facts")(
        key=key, data={"cards": [card._asdict() for card in cards], "label": label}
    )
