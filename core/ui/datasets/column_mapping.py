"""Which column of a table plays which role in training:
picked by a person, guessed from the names before that.

The roles and the names that are likely for them come from ``formats.FORMATS``. The form of a fine-tuning and
a dataset's training view share this, and the address that carries a mapping from one to the other is read and
written here.
"""

import json
from collections.abc import Mapping, Sequence

import streamlit as st

from core import formats
from core.formats import Format
from core.ui import show

Columns = dict[str, str]
NO_COLUMN = "None (optional)"
OFFERED = ("completion", "text", "chat", "preference")  # the ways a job can read a table


def to_address(columns: Columns | None) -> str | None:
    """The mapping as a query parameter; None for a version that is learned as it is."""
    return json.dumps(columns, ensure_ascii=False) if columns else None


def from_address(text: str | None) -> Columns | None:
    """What an address says, None for what is no mapping at all."""
    try:
        mapping = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    is_mapping = (
        isinstance(mapping, dict) and mapping and all(isinstance(value, str) for value in mapping.values())
    )
    return dict(mapping) if is_mapping else None


def pick_columns(names: Sequence[str], mapping: Mapping[str, str]) -> Columns | None:
    """What a row is and which column plays which role, guessed from their names.

    None until every required role has one.
    """
    offered = [formats.FORMATS[name] for name in OFFERED]
    guessed = next(
        (f for f in offered if mapping and set(mapping) <= {r.name for r in f.roles}), None
    ) or guess_format(names)
    shape = st.segmented_control(
        "What is in a row?",
        offered,
        default=guessed,
        required=True,
        format_func=lambda format_: format_.title,
        key="ft_shape",
        help="\n\n".join(f"**{f.title}**: {f.help}" for f in offered),
    )
    return pick_roles(shape, names, mapping, key="ft_column")


def pick_roles(
    shape: Format, names: Sequence[str], mapping: Mapping[str, str], *, key: str, bind: bool = False
) -> Columns | None:
    """A select box per role of ``shape``, filled from a whole ``mapping``, else with what is likely.

    None until every required role has a column.

    ``bind`` keeps what is chosen in the address.
    """
    given = {role: name for role, name in mapping.items() if name in names}
    is_whole = {role.name for role in shape.roles if role.required} <= given.keys()
    guesses = given if is_whole else guess_columns(shape, names) | given
    picked: dict[str, str | None] = {}
    with st.grid(max(2, len(shape.roles)), min_column_width=150):
        for role in shape.roles:
            # a box that begins with a column cannot be emptied again, so no column is a choice of its own
            choices: list[str | None] = [*names] if role.required else [None, *names]
            guess = guesses.get(role.name)
            picked[role.name] = st.selectbox(
                role.title,
                choices,
                index=choices.index(guess) if guess or not role.required else None,
                format_func=lambda name: NO_COLUMN if name is None else name,
                placeholder="Choose a column",
                help=role.help,
                key=f"{key}_{role.name}",
                bind="query-params" if bind else None,
            )
    missing = [role.title.lower() for role in shape.roles if role.required and not picked[role.name]]
    if missing:
        st.info(f"Choose the column of the {' and the '.join(missing)}.", icon=":material/arrow_upward:")
        return None
    return {role: column for role, column in picked.items() if column}


def known_as(format_: Format, columns: Sequence[Mapping[str, str]]) -> str:
    """`` (Alpaca)``: by which names the columns are known, where these are not the format's own."""
    found = format_.recognise(columns)
    if found is None or all(role == column for role, column in found[1].items()):
        return ""
    return f" ({show.plain(found[0].title)})"


def guess_format(names: Sequence[str]) -> Format:
    """The first way of reading whose required roles all have a likely column;
    prompt and completion if none has."""
    for name in OFFERED:
        format_ = formats.FORMATS[name]
        if {role.name for role in format_.roles if role.required} <= set(guess_columns(format_, names)):
            return format_
    return formats.FORMATS[OFFERED[0]]


def guess_columns(format_: Format, names: Sequence[str]) -> Columns:
    """The likely column of each role: by name, and never one column twice."""
    lowered = {name.lower().strip(): name for name in reversed(names)}
    columns: Columns = {}
    for role in format_.roles:
        likely = (lowered[word] for word in role.likely if word in lowered)
        column = next((name for name in likely if name not in columns.values()), None)
        if column:
            columns[role.name] = column
    return columns
