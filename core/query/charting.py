"""The numbers of a chart, computed over all rows of a query where they are: in DuckDB.

A chart shows a few thousand marks at most. Summaries are made over every row, numbers and times with many
values are put into bins, of many words the most frequent are kept, and single rows are drawn as a sample.
What was done is said in ``ChartData.notes``, so that nobody takes a part for the whole.
"""

from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from core.fields import parse
from core.people.users import User
from core.query import queries
from core.query.turn import QueryProgress
from core.query.values import MAX_ROWS, NewQuery
from core.readers.sql import quoted

MOST_MARKS = 5_000  # single rows
MOST_VALUES, BINS = 200, 100  # of numbers and times along the axis before they are put into so many bins
MOST_WORDS, MOST_COLOURS = 60, 12
SEED = 7
Kind = Literal["quantitative", "temporal", "nominal"]
SUMMARIES = {
    "count": "count(*)",
    "sum": "sum(y)",
    "mean": "avg(y)",
    "median": "median(y)",
    "min": "min(y)",
    "max": "max(y)",
}
# From the span of the axis in seconds to the pieces of time that make about a hundred bins of it
UNITS = [(90 * 365 * 86_400, "year"), (8 * 365 * 86_400, "month"), (90 * 86_400, "day"), (90 * 3600, "hour")]


@dataclass(frozen=True)
class WantedChart:
    """Columns of the query's answer. ``summary``: a key of ``SUMMARIES``, or "" for single rows."""

    x: str
    y: str
    colour: str
    summary: str
    x_kind: Kind


@dataclass(frozen=True)
class ChartData:
    """``table`` has the columns x, y and, if there is one, colour; ``num_rows`` the query has in all."""

    table: pa.Table = field(repr=False)
    num_rows: int
    notes: tuple[str, ...]


def chart(user: User, sql: str, wanted: WantedChart, *, progress: QueryProgress | None = None) -> ChartData:
    """Over all rows of ``sql``. Raises as :func:`core.query.run`."""
    new = parse(NewQuery, sql=_statement(sql, wanted), limit=MAX_ROWS)
    answer = queries.run(user, new, progress=progress).table
    names = ["x", "y", *(["colour"] if wanted.colour else [])]
    first = {name: answer[name][0].as_py() for name in answer.column_names} if answer.num_rows else {}
    return ChartData(answer.select(names), int(first.get("num_rows") or 0), tuple(_notes(first, wanted)))


def _statement(sql: str, wanted: WantedChart) -> str:
    colour = f", {quoted(wanted.colour)} AS colour" if wanted.colour else ""
    rows = (
        f"WITH chart_rows AS MATERIALIZED (SELECT {quoted(wanted.x)} AS x, {quoted(wanted.y)} AS y{colour} "
        f"FROM (\n{sql.strip().rstrip(';')}\n) AS chart_query)"
    )
    if not wanted.summary:
        return (
            f"{rows} SELECT *, (SELECT count(*) FROM chart_rows) AS num_rows "
            f"FROM chart_rows USING SAMPLE reservoir({MOST_MARKS} ROWS) REPEATABLE ({SEED})"
        )
    facts = "count(*) AS num_rows, approx_count_distinct(x) AS num_values"
    group, conditions = _axis(wanted.x_kind)
    of_colour = ", colour" if wanted.colour else ""
    if wanted.colour:
        facts += ", approx_count_distinct(colour) AS num_colours"
        conditions = [*conditions, _among("colour", MOST_COLOURS)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"{rows}, chart_facts AS (SELECT {facts}{_span(wanted.x_kind)} FROM chart_rows), "
        f"chart_bins AS (SELECT *, {_bin(wanted.x_kind)} AS bin FROM chart_facts) "
        f"SELECT {group} AS x{of_colour}, {SUMMARIES[wanted.summary]} AS y, "
        f"{', '.join(f'any_value({name}) AS {name}' for name in _told(wanted))} "
        f"FROM chart_rows, chart_bins{where} GROUP BY {group}{of_colour} ORDER BY 1"
    )


def _told(wanted: WantedChart) -> list[str]:
    return ["num_rows", "num_values", "bin", *(["num_colours"] if wanted.colour else [])]


def _span(kind: Kind) -> str:
    if kind == "quantitative":
        return ", min(x)::DOUBLE AS low, max(x)::DOUBLE AS high"
    return ", epoch(max(x)) - epoch(min(x)) AS span" if kind == "temporal" else ""


def _bin(kind: Kind) -> str:
    """The width of a bin, or its unit of time; NULL where every value is drawn."""
    if kind == "quantitative":
        raw = f"((high - low) / {BINS})"
        power = f"pow(10, floor(log10({raw})))"
        step = f"CASE WHEN {raw} / {power} <= 2 THEN 2 WHEN {raw} / {power} <= 5 THEN 5 ELSE 10 END"
        return f"CASE WHEN num_values > {MOST_VALUES} AND high > low THEN {power} * {step} END"
    if kind == "temporal":
        cases = " ".join(f"WHEN span > {seconds} THEN '{unit}'" for seconds, unit in UNITS)
        return f"CASE WHEN num_values <= {MOST_VALUES} THEN NULL {cases} ELSE 'minute' END"
    return "NULL"


def _axis(kind: Kind) -> tuple[str, list[str]]:
    """What is grouped by, and which rows are drawn."""
    if kind == "quantitative":
        return "CASE WHEN bin IS NULL THEN x::DOUBLE ELSE floor(x::DOUBLE / bin) * bin END", []
    if kind == "temporal":
        return "CASE WHEN bin IS NULL THEN x ELSE date_trunc(bin, x) END", []
    return "x", [_among("x", MOST_WORDS)]


def _among(name: str, most: int) -> str:
    """The most frequent values; a missing one is a value."""
    frequent = f"SELECT {name} FROM chart_rows GROUP BY {name} ORDER BY count(*) DESC, {name} LIMIT {most}"
    return f"EXISTS (FROM ({frequent}) AS kept WHERE kept.{name} IS NOT DISTINCT FROM chart_rows.{name})"


def _notes(first: dict[str, object], wanted: WantedChart) -> list[str]:
    count = int(str(first.get("num_rows") or 0))
    if not wanted.summary:
        few = count <= MOST_MARKS
        return [f"All {count:,} rows." if few else f"A random sample of {MOST_MARKS:,} of {count:,} rows."]
    notes = [f"Computed over all {count:,} rows."]
    width = first.get("bin")
    if wanted.x_kind == "quantitative" and width is not None:
        notes.append(f"{wanted.x} in bins of {float(str(width)):,.10g}.")
    elif wanted.x_kind == "temporal" and width is not None:
        notes.append(f"{wanted.x} by {width}.")
    elif wanted.x_kind == "nominal" and int(str(first.get("num_values") or 0)) > MOST_WORDS:
        notes.append(f"Only the {MOST_WORDS} most frequent values of {wanted.x} are drawn.")
    if wanted.colour and int(str(first.get("num_colours") or 0)) > MOST_COLOURS:
        notes.append(f"Only the {MOST_COLOURS} most frequent values of {wanted.colour} are drawn.")
    return notes
