"""What a training format is, and what it makes of a row: an :class:`Example`, or a list of what is wrong.

A format names its *roles* (``prompt``, ``completion``, …) and the *layouts* by which people name their
columns. A dataset whose columns have a layout has the format; any other table gets there through a *mapping*
from role to column. Rules every format keeps: a null
is an empty text, a value that is no text is rendered as one, and a message about a row names the field as the
user knows it (her column, not our role). Line numbers are the reader's business
(``core.formats.read_examples``), tokens and masks the trainer's.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core.errors import Detail
from core.formats import layouts
from core.formats.layouts import TableLayout

# {"role": "system|user|assistant", "content": str}, and "weight": 0 where the row says so
Message = dict[str, Any]
Column = Mapping[str, str]  # {"name": …, "type": DuckDB type}
ColumnMapping = Mapping[str, str]  # role -> column
Record = Mapping[str, Any]

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class ChatExample:
    """A conversation; the assistant's messages are learned."""

    messages: list[Message]


@dataclass(frozen=True)
class Text:
    """Plain text; all of it is learned."""

    text: str


@dataclass(frozen=True)
class PreferenceExample:
    """Two answers to the same conversation; the first one is the better."""

    messages: list[Message]
    preferred: list[Message]
    non_preferred: list[Message]


Example = ChatExample | Text | PreferenceExample


@dataclass(frozen=True)
class Role:
    """One thing a format needs from a row. It is also one field of the mapping form.

    ``likely``: names of columns that most likely play it, the likeliest first.
    """

    name: str
    title: str
    help: str
    required: bool = True
    likely: tuple[str, ...] = ()


class Format(ABC):
    """One member of the family. Stateless; ``name`` is stored with every version."""

    name: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    shape: ClassVar[str]  # one row as JSON, for people
    roles: ClassVar[tuple[Role, ...]] = ()
    layouts: ClassVar[tuple[TableLayout, ...]] = ()

    def recognise(self, columns: Sequence[Column]) -> tuple[TableLayout, dict[str, str]] | None:
        """The layout that a table with these columns has, and which column plays which role in it.

        None where it needs a mapping.
        """
        return layouts.choose(self.layouts, types_of(columns))

    def detect(self, columns: Sequence[Column]) -> bool:
        """Whether a table with these columns has the format without any mapping."""
        return self.recognise(columns) is not None

    def own_mapping(self, columns: Sequence[Column]) -> dict[str, str] | None:
        """role -> column of a table that has this format; None where no layout says so.

        It was recognised by its types when it was made; here its names are enough.
        """
        if found := self.recognise(columns):
            return found[1]
        names = {column["name"] for column in columns}
        named = (one for one in self.layouts if names >= set(one.columns.values()))
        return next((dict(one.columns) for one in named), None)

    @abstractmethod
    def check_row(self, row: Record, mapping: ColumnMapping | None = None) -> list[Detail]:
        """Everything that is wrong with a row, in the order a reader meets it; [] when it can be learned."""

    @abstractmethod
    def to_example(self, row: Record, mapping: ColumnMapping | None = None) -> Example:
        """The example of a row that ``check_row`` found right."""

    def left_out(self, row: Record, mapping: ColumnMapping | None = None) -> set[str]:
        """What stands in the cells that are read, and is not learned from: ``messages[].name``."""
        return set()

    @property
    def trainable(self) -> bool:
        return bool(self.roles)

    def columns_used(self, columns: Sequence[Column], mapping: ColumnMapping | None = None) -> list[str]:
        """The columns a reader has to fetch, in the order of the roles."""
        present = {column["name"] for column in columns}
        wanted = (column_of(role.name, mapping) for role in self.roles)
        return [name for name in wanted if name in present]


def column_of(role: str, mapping: ColumnMapping | None) -> str:
    """The column that plays a role; without a mapping it bears the role's name."""
    return mapping.get(role, "") if mapping else role


def types_of(columns: Sequence[Column]) -> dict[str, str]:
    return {column["name"]: column["type"].upper() for column in columns}


def as_text(value: Any) -> str:
    """A cell as the model reads it: null is empty, truth values and structures are as JSON has them,
    everything else is its ``str``."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def unpacked(value: Any) -> Any:
    """A structure that arrived as JSON text, opened; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
