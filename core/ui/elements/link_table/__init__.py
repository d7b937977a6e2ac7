"""A table whose rows lead somewhere: sorted by its headers, opened by a click
or from the keyboard, rows ticked to do something with them, and cards on a narrow screen.

One element however many rows there are: what is shown is text made in Python, the browser only lays it out.
Names are links, so that a row opens in a new tab as any link does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from core.ui.elements import component

HERE = Path(__file__).parent


def show_table(
    key: str,
    rows: Sequence[dict[str, Any]],
    *,
    columns: Sequence[dict[str, str]],
    sort: str,
    on_sort: Callable[[str], None],
    label: str = "Datasets",
    missing: str = "–",
    chosen: Sequence[str] | None = None,
    on_choose: Callable[[list[str]], None] | None = None,
) -> None:
    """Draw ``rows`` under ``columns`` ({"name", "label", "sort", "kind"}); a row leads to its ``href``.

    ``sort`` is the order they come in, ``-`` in front means descending; ``on_sort`` is told the one that was
    asked for. ``missing`` stands where a row has None. ``chosen``: the ids of the ticked rows, and
    ``on_choose`` is told those of the rows shown when that changes; None: rows have no tick.

    A row's cell is text; of the column ``name`` with ``mark`` and ``about`` around it, of ``training`` and
    ``status`` a badge of ``state`` with ``tone``, ``progress`` (0 to 1 or None) and ``why``; of ``tags`` and
    ``aliases`` a list of texts.
    """

    def choose() -> None:
        told = st.session_state[key].chosen
        if on_choose and isinstance(told, list):
            on_choose([str(one) for one in told])

    component.reserve(key, 2.6 + 3.6 * len(rows))
    component.declare("link_table", HERE, stem="table")(
        key=key,
        data={
            "columns": list(columns),
            "rows": list(rows),
            "sort": sort,
            "label": label,
            "missing": missing,
            "chosen": None if chosen is None else list(chosen),
        },
        on_sorted_change=lambda: on_sort(str(st.session_state[key].sorted)),
        on_chosen_change=choose,
    )
