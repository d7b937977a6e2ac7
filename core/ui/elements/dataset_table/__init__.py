"""The table of datasets: sorted by its headers, opened
by a click or from the keyboard, and cards on a narrow screen.

One element however many rows there are: what is shown is text made in Python, the browser only lays it out.
Names are links, so that a dataset opens in a new tab as any link does.
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
) -> None:
    """Draw ``rows`` under ``columns`` ({"name", "label", "sort", "kind"}); a row leads to its ``href``.

    ``sort`` is the order they come in, ``-`` in front means descending; ``on_sort`` is told the one that was
    asked for.
    """
    component.reserve(key, 2.6 + 3.6 * len(rows))
    component.declare("dataset_table", HERE, stem="table")(
        key=key,
        data={"columns": list(columns), "rows": list(rows), "sort": sort},
        on_sorted_change=lambda: on_sort(str(st.session_state[key].sorted)),
    )
