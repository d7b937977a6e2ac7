"""Column names by which tables made for training are known: TRL, Alpaca, ShareGPT, and pairs such as
question and answer.

A format lists the layouts of its rows (``Format.layouts``); a table that has one needs no mapping. Names
alone do not make it one: their types must fit, so that measured inputs and outputs stay a table. Where two
layouts fit different columns, neither is taken: the mapping is then a question for people.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core import sql_types

Fits = Callable[[str, str], bool]  # (role, DuckDB type) -> whether such a column can play it
_KEYS_OF_A_MESSAGE = ({"role", "content"}, {"from", "value"})


def is_text(type_: str) -> bool:
    return type_ in ("VARCHAR", "JSON")


def is_messages(type_: str) -> bool:
    """A list of messages, or of what may be messages as JSON."""
    if type_ in ("JSON", "JSON[]"):
        return True
    if not sql_types.is_list(type_):
        return False
    inside = dict(sql_types.children(sql_types.parsed(type_))).get("")
    names = {name.lower() for name, _ in sql_types.children(inside)} if inside is not None else set()
    return any(keys <= names for keys in _KEYS_OF_A_MESSAGE)


def text_or_messages(_role: str, type_: str) -> bool:
    return is_text(type_) or is_messages(type_)


def plain_or_messages(_role: str, type_: str) -> bool:
    """Numbers and dates are answers, too: "2+2?", 4."""
    return not sql_types.is_nested(type_) or is_messages(type_)


def asked_in_text(role: str, type_: str) -> bool:
    """As ``plain_or_messages``, but what is asked is text: a survey's numbered questions are none."""
    return (plain_or_messages if role == "completion" else text_or_messages)(role, type_)


def only_messages(_role: str, type_: str) -> bool:
    return is_messages(type_)


def text_or_nested(_role: str, type_: str) -> bool:
    """A structure, or a text that may hold one as JSON."""
    return is_text(type_) or sql_types.is_nested(type_)


@dataclass(frozen=True)
class TableLayout:
    """One way in which people name the columns of a format.

    ``columns``: role -> column; a table needs all of them. ``optional``: (role, column); of those that are
    there, the first of a role plays it. ``certain``: it is taken whatever else is in the table.
    """

    title: str
    columns: Mapping[str, str]
    fits: Fits
    optional: Sequence[tuple[str, str]] = ()
    certain: bool = False

    def mapping(self, types: Mapping[str, str]) -> dict[str, str] | None:
        """role -> column in a table with columns of these types; None where it does not have this layout."""
        if not all(name in types and self.fits(role, types[name]) for role, name in self.columns.items()):
            return None
        mapping = dict(self.columns)
        for role, name in self.optional:
            if name in types and is_text(types[name]) and name not in mapping.values():
                mapping.setdefault(role, name)
        return mapping


def choose(
    layouts: Sequence[TableLayout], types: Mapping[str, str]
) -> tuple[TableLayout, dict[str, str]] | None:
    """The layout of a table and its columns by role; None for none, or for several that differ."""
    fitting = [(layout, mapping) for layout in layouts if (mapping := layout.mapping(types)) is not None]
    certain = [found for found in fitting if found[0].certain]
    if certain:
        return certain[0]
    needed = {name for layout, _ in fitting for name in layout.columns.values()}
    # one that reads all that the others need: instruction, input and output are not input and output
    return next((found for found in fitting if needed <= set(found[1].values())), None)
