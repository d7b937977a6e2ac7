"""Questions about one table with their SQL, as the starter model is trained on them; see ``sql``."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.training.starter.sql import SqlColumn, link, spoken
from core.training.starter.words import (
    DATE_COLUMNS,
    MODIFIERS,
    NUMBER_COLUMNS,
    TABLES,
    TEXT_COLUMNS,
    VALUES,
    Draw,
)


def write_question(draw: Draw) -> tuple[str, str]:
    """One training question: (prompt in linked notation, SQL over ids)."""
    table, columns = _write_table(draw)
    question, parts = _QuestionWriter(draw, table, columns).write()
    linked = link(question, table, columns)
    ids = {column.name: f"c{number}" for number, column in enumerate(columns, 1)}
    ids |= {literal: name for name, literal in linked.literals.items()}
    return linked.prompt, "".join(
        part if isinstance(part, str) else ids.get(part.text, part.text) for part in parts
    )


def _column_name(draw: Draw, bases: Sequence[str]) -> str:
    if not draw.held_out and draw.chance(0.25):
        return draw.made_up() + ("_" + draw.word(bases) if draw.chance(0.4) else "")
    base = draw.word(bases)
    return f"{draw.word(MODIFIERS)}_{base}" if "_" not in base and draw.chance(0.4) else base


def _write_table(draw: Draw) -> tuple[str, list[SqlColumn]]:
    columns: dict[str, SqlColumn] = {}
    values = draw.words(VALUES, 12)
    if not draw.held_out:
        values = draw.rng.sample(values + [draw.made_up().capitalize() for _ in range(8)], 16)
    for _ in range(draw.number(1, 3)):
        name = _column_name(draw, NUMBER_COLUMNS)
        columns[name] = SqlColumn(name, draw.one("integer", "double"))
    for _ in range(draw.number(1, 3)):
        name = _column_name(draw, TEXT_COLUMNS)
        columns[name] = SqlColumn(name, "text", tuple(values.pop() for _ in range(draw.number(2, 4))))
    if draw.chance(0.5):
        name = draw.word(DATE_COLUMNS)
        columns[name] = SqlColumn(name, "date")
    listed = list(columns.values())
    draw.rng.shuffle(listed)
    return draw.word(TABLES), ([SqlColumn("id", "integer")] if draw.chance(0.3) else []) + listed


@dataclass(frozen=True)
class _Slot:
    """A column name, value or number inside the SQL being written."""

    text: str


_Sql = list[str | _Slot]
_AGGREGATES = {
    "AVG": ("average", "mean", "typical"),
    "SUM": ("total", "sum of", "overall"),
    "MAX": ("highest", "maximum", "largest", "biggest"),
    "MIN": ("lowest", "minimum", "smallest"),
}
_COMPARISONS = {
    ">": ("above", "greater than", "more than", "over"),
    "<": ("below", "less than", "under"),
    ">=": ("at least",),
    "<=": ("at most",),
}


class _QuestionWriter:
    """Writes one question about a table in one of ten intents, with the SQL that answers it."""

    def __init__(self, draw: Draw, table: str, columns: list[SqlColumn]) -> None:
        self.draw = draw
        self.table = spoken(table)
        self.numbers = [c for c in columns if c.type in ("integer", "double") and c.name != "id"]
        self.texts = [c for c in columns if c.type == "text"]
        self.dates = [c for c in columns if c.type == "date"]
        self.columns = columns
        self.rows = draw.one(self.table, self.table, self.table, "rows", "records", "entries")

    def write(self) -> tuple[str, _Sql]:
        intents = [self._count, self._aggregate, self._group, self._top, self._list, self._distinct]
        intents += [self._count_distinct, self._count_by, self._best_group, self._by_period]
        weights = (
            (12, 20, 18, 12, 12, 6, 6, 10, 10, 6) if self.dates else (12, 20, 18, 12, 12, 6, 6, 10, 10, 0)
        )
        question, sql = self.draw.rng.choices(intents, weights)[0]()
        question = " ".join(question.split())
        if self.draw.chance(0.5):
            question = question[0].upper() + question[1:]
        return question + self.draw.one("", "?", ".", "?"), [*sql, ";"]

    def _where(self, probability: float) -> tuple[str, _Sql]:
        if not self.draw.chance(probability):
            return "", []
        question, sql = self._condition()
        if self.draw.chance(0.2):
            more, extra = self._condition()
            if extra != sql:
                return f"{question} and {more}", [" WHERE ", *sql, " AND ", *extra]
        return question, [" WHERE ", *sql]

    def _condition(self) -> tuple[str, _Sql]:
        kind = self.draw.rng.random()
        if self.dates and kind < 0.15:
            column, year = self.draw.one(*self.dates), str(self.draw.number(1995, 2026))
            phrase = self.draw.one(f"in {year}", f"where {spoken(column.name)} is in {year}")
            return phrase, ["YEAR(", _Slot(column.name), ") = ", _Slot(year)]
        if kind < 0.6:
            column = self.draw.one(*self.texts)
            value, name = self.draw.one(*column.values), spoken(column.name)
            phrase = self.draw.one(
                f"in {value}",
                f"where {name} is {value}",
                f"for {value}",
                f"from {value}",
                f"with {name} {value}",
            )
            return phrase, [_Slot(column.name), " = ", _Slot(value)]
        return self._comparison()

    def _comparison(self) -> tuple[str, _Sql]:
        column = self.draw.one(*self.numbers)
        name = spoken(column.name)
        if self.draw.chance(0.12):
            low = self.draw.number(1, 50)
            high = low + self.draw.number(1, 50)
            sql: _Sql = [_Slot(column.name), " BETWEEN ", _Slot(str(low)), " AND ", _Slot(str(high))]
            return f"with {name} between {low} and {high}", sql
        number = str(
            self.draw.one(
                self.draw.number(1, 20), self.draw.number(1, 10) * 10, self.draw.number(1, 20) * 100
            )
        )
        sign = self.draw.one(*_COMPARISONS)
        words = self.draw.one(*_COMPARISONS[sign])
        phrase = self.draw.one(
            f"with {name} {words} {number}",
            f"where {name} is {words} {number}",
            f"having {name} {words} {number}",
        )
        return phrase, [_Slot(column.name), f" {sign} ", _Slot(number)]

    def _aggregated(self, *functions: str) -> tuple[str, str, SqlColumn]:
        function = self.draw.one(*(functions or _AGGREGATES))
        return function, self.draw.one(*_AGGREGATES[function]), self.draw.one(*self.numbers)

    def _count(self) -> tuple[str, _Sql]:
        where, sql = self._where(0.8)
        rows = self.rows
        phrase = self.draw.one(
            f"how many {rows} are there", f"count the {rows}", f"number of {rows}", f"how many {rows}"
        )
        return f"{phrase} {where}", ["SELECT COUNT(*) FROM t", *sql]

    def _aggregate(self) -> tuple[str, _Sql]:
        function, word, column = self._aggregated()
        where, sql = self._where(0.6)
        name = spoken(column.name)
        start = self.draw.one("what is the ", "", "show the ", "find the ", "tell me the ")
        return f"{start}{word} {name} {where}", [f"SELECT {function}(", _Slot(column.name), ") FROM t", *sql]

    def _group(self) -> tuple[str, _Sql]:
        function, word, column = self._aggregated()
        key = self.draw.one(*self.texts)
        where, sql = self._where(0.25)
        what, by = f"{word} {spoken(column.name)}", spoken(key.name)
        phrase = self.draw.one(
            f"{what} by {by}",
            f"what is the {what} per {by}",
            f"show {what} for each {by}",
            f"for each {by} show the {what}",
        )
        select: _Sql = ["SELECT ", _Slot(key.name), f", {function}(", _Slot(column.name), ") FROM t"]
        return f"{phrase} {where}", [*select, *sql, " GROUP BY ", _Slot(key.name)]

    def _top(self) -> tuple[str, _Sql]:
        number, column, key = (
            str(self.draw.number(2, 10)),
            self.draw.one(*self.numbers),
            self.draw.one(*self.texts),
        )
        where, sql = self._where(0.25)
        highest = self.draw.chance(0.7)
        word = (
            self.draw.one("top", "highest", "largest")
            if highest
            else self.draw.one("bottom", "lowest", "smallest")
        )
        by, what = spoken(column.name), spoken(key.name)
        phrase = self.draw.one(
            f"{word} {number} {what} by {by}",
            f"show the {word} {number} {what} by {by}",
            f"list the {number} {what} with the {'highest' if highest else 'lowest'} {by}",
        )
        select: _Sql = ["SELECT ", _Slot(key.name), ", ", _Slot(column.name), " FROM t", *sql]
        order = " DESC" if highest else " ASC"
        return f"{phrase} {where}", [
            *select,
            " ORDER BY ",
            _Slot(column.name),
            f"{order} LIMIT ",
            _Slot(number),
        ]

    def _list(self) -> tuple[str, _Sql]:
        where, sql = self._where(0.8)
        if not sql or self.draw.chance(0.4):
            return f"{self.draw.one('show all', 'list all', 'show me the', 'list')} {self.rows} {where}", [
                "SELECT * FROM t",
                *sql,
            ]
        column = self.draw.one(*self.columns)
        phrase = self.draw.one("show the {} of {}", "list the {} of {}", "give me the {} of all {}")
        question = phrase.format(spoken(column.name), self.rows)
        return f"{question} {where}", ["SELECT ", _Slot(column.name), " FROM t", *sql]

    def _distinct(self) -> tuple[str, _Sql]:
        column = self.draw.one(*self.texts)
        phrase = self.draw.one(
            "what are the different {} values", "list the distinct {}", "which {} values exist", "unique {}"
        )
        return phrase.format(spoken(column.name)), ["SELECT DISTINCT ", _Slot(column.name), " FROM t"]

    def _count_distinct(self) -> tuple[str, _Sql]:
        column = self.draw.one(*self.texts)
        where, sql = self._where(0.3)
        phrase = self.draw.one(
            "how many different {} are there", "count the distinct {}", "number of unique {}"
        )
        select: _Sql = ["SELECT COUNT(DISTINCT ", _Slot(column.name), ") FROM t"]
        return f"{phrase.format(spoken(column.name))} {where}", [*select, *sql]

    def _count_by(self) -> tuple[str, _Sql]:
        key = self.draw.one(*self.texts)
        where, sql = self._where(0.25)
        phrase = self.draw.one(
            "how many {} per {}", "count of {} by {}", "number of {} for each {}", "count {} grouped by {}"
        )
        select: _Sql = ["SELECT ", _Slot(key.name), ", COUNT(*) FROM t", *sql, " GROUP BY ", _Slot(key.name)]
        return f"{phrase.format(self.rows, spoken(key.name))} {where}", select

    def _best_group(self) -> tuple[str, _Sql]:
        function, word, column = self._aggregated("AVG", "SUM")
        key = self.draw.one(*self.texts)
        highest = self.draw.chance(0.75)
        phrase = self.draw.one(
            "which {} has the {} {} {}", "{} with the {} {} {}", "what {} has the {} {} {}"
        )
        question = phrase.format(
            spoken(key.name), "highest" if highest else "lowest", word, spoken(column.name)
        )
        total: _Sql = [f"{function}(", _Slot(column.name), ")"]
        end = " DESC LIMIT 1" if highest else " ASC LIMIT 1"
        return question, [
            "SELECT ",
            _Slot(key.name),
            ", ",
            *total,
            " FROM t GROUP BY ",
            _Slot(key.name),
            " ORDER BY ",
            *total,
            end,
        ]

    def _by_period(self) -> tuple[str, _Sql]:
        date, period = self.draw.one(*self.dates), self.draw.one("year", "month")
        total: _Sql = ["COUNT(*)"]
        if self.draw.chance(0.6):
            function, word, column = self._aggregated("AVG", "SUM")
            phrase = self.draw.one("{} {} by {}", "{} {} per {}", "show {} {} for each {}")
            question = phrase.format(word, spoken(column.name), period)
            total = [f"{function}(", _Slot(column.name), ")"]
        else:
            question = self.draw.one("how many {} per {}", "number of {} by {}").format(self.rows, period)
        if self.draw.chance(0.4):
            question += f" of {spoken(date.name)}"
        return question, [
            f"SELECT DATE_TRUNC('{period}', ",
            _Slot(date.name),
            "), ",
            *total,
            " FROM t GROUP BY 1",
        ]
