"""Cards of columns: a chart, counts, and details to unfold.

They draw what they are given and report what was clicked.

One element however many cards there are. Every word is made in Python (``core.ui.reports.column_words``), the
browser only lays it out.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.ui.elements import component

HERE = Path(__file__).parent
COLUMNS = 3  # of cards, on a wide screen


def show(key: str, cards: Sequence[dict[str, Any]], *, on_act: Callable[[dict[str, Any]], None]) -> None:
    """Draw them.

    ``on_act`` is called before the next run with what was clicked, columns being told by their name:

    {"bar", "number"}, {"value", "number"}, {"nulls"}, {"finding"} (its key) or {"line"}.
    """
    component.reserve(key, 15 * -(-len(cards) // COLUMNS))
    component.declare("column_cards", HERE, stem="cards")(
        key=key, data={"cards": list(cards)}, on_acted_change=lambda: component.tell(key, on_act)
    )
