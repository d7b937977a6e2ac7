"""Tables and rows of every kind, made by hypothesis: what is uploaded in the property tests."""

import datetime as dt
import decimal
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "A x", "ü", '"q"', "a.b", "0", "x/y", "~", "data", "o"])
# Texts that look like something else
ODD_WORDS = st.sampled_from(
    [
        "",
        "  x ",
        *"2024-01-05 01-02-2024 10:30 1.50 true null NaN 2024-01-05T10:00:00Z [1] 007 #a , \\N 🙂".split(),
    ]
)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | ODD_WORDS
WHOLE = st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)
# No subnormal ones: torch, which a test before may have loaded, makes zeros of them
FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | FINITE | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
JSON_ROWS = st.lists(st.dictionaries(KEYS, JSON_VALUES, min_size=1, max_size=4), min_size=1, max_size=5)

DAYS = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
# The years that nanoseconds reach
NEAR = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1))
ZONES = (None, "UTC", "Europe/Berlin", "+05:30")
UNITS = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}


@dataclass(frozen=True)
class Kind:
    """An Arrow type and the values that a cell of it may have."""

    type: pa.DataType
    values: st.SearchStrategy[Any]


def _integers(type_: pa.DataType) -> Kind:
    bits, is_signed = type_.bit_width, not pa.types.is_unsigned_integer(type_)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    return Kind(type_, st.integers(low, high))


def _decimals(type_: pa.DataType) -> Kind:
    most = 10**type_.precision - 1
    with decimal.localcontext(prec=100):
        unit = decimal.Decimal(1).scaleb(-type_.scale)
    return Kind(type_, st.integers(-most, most).map(lambda digits: _scaled(digits, unit)))


def _scaled(digits: int, unit: decimal.Decimal) -> decimal.Decimal:
    with decimal.localcontext(prec=100):
        return digits * unit


def _timestamps(unit: str, zone: str | None) -> Kind:
    moments = (NEAR if unit == "ns" else MOMENTS).map(lambda moment: _cut(moment, UNITS[unit]))
    if zone:
        moments = moments.map(lambda moment: moment.replace(tzinfo=dt.UTC))
    return Kind(pa.timestamp(unit, zone), moments)


def _cut(moment: dt.datetime, step: int) -> dt.datetime:
    return moment.replace(microsecond=moment.microsecond // step * step)


PLAIN = st.sampled_from(
    [
        *(_integers(type_) for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
        *(_integers(type_) for type_ in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
        Kind(pa.bool_(), st.booleans()),
        Kind(pa.float64(), FINITE),
        Kind(pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)),
        Kind(pa.float16(), st.floats(width=16, allow_nan=False, allow_infinity=False, allow_subnormal=False)),
        Kind(pa.string(), WORDS),
        Kind(pa.large_string(), WORDS),
        Kind(pa.string_view(), WORDS),
        Kind(pa.binary(), st.binary(max_size=6)),
        Kind(pa.binary(3), st.binary(min_size=3, max_size=3)),
        Kind(pa.date32(), DAYS),
        Kind(pa.date64(), DAYS),
        Kind(pa.time32("s"), st.times().map(lambda time: time.replace(microsecond=0))),
        Kind(pa.time64("us"), st.times()),
        Kind(pa.dictionary(pa.int32(), pa.string()), WORDS),
        *(_timestamps(unit, zone) for unit in UNITS for zone in ZONES),
        *(_decimals(type_) for type_ in (pa.decimal128(5, 2), pa.decimal128(18, 0), pa.decimal128(38, 9))),
        _decimals(pa.decimal256(60, 3)),
        Kind(pa.duration("ms"), st.integers(-(10**9), 10**9).map(lambda ms: dt.timedelta(milliseconds=ms))),
        Kind(pa.null(), st.none()),
    ]
)


def _nested(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    return st.one_of(
        inner.map(lambda kind: Kind(pa.list_(kind.type), _lists(kind))),
        inner.map(lambda kind: Kind(pa.large_list(kind.type), _lists(kind))),
        inner.map(lambda kind: Kind(pa.map_(pa.string(), kind.type), _maps(kind))),
        st.dictionaries(st.sampled_from("a b c".split()), inner, min_size=1, max_size=3).map(_struct),
    )


def _lists(kind: Kind) -> st.SearchStrategy[Any]:
    return st.lists(_or_null(kind), max_size=3)


def _maps(kind: Kind) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from("k l m".split()), _or_null(kind), max_size=3).map(
        lambda made: list(made.items())
    )


def _struct(fields: dict[str, Kind]) -> Kind:
    values = st.fixed_dictionaries({name: _or_null(kind) for name, kind in fields.items()})
    return Kind(pa.struct([(name, kind.type) for name, kind in fields.items()]), values)


def _or_null(kind: Kind) -> st.SearchStrategy[Any]:
    return st.none() | kind.values


def without_views(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(without_views(field.type)) for field in type_])
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, without_views(type_.item_type))
    if pa.types.is_list(type_):
        return pa.list_(without_views(type_.value_type))
    if pa.types.is_large_list(type_):
        return pa.large_list(without_views(type_.value_type))
    return pa.string() if type_ == pa.string_view() else type_


@st.composite
def tables(draw: st.DrawFn, nested: bool = True) -> pa.Table:
    """1 to 4 columns of 1 to 4 rows."""
    kinds = draw(
        st.dictionaries(
            KEYS, st.recursive(PLAIN, _nested, max_leaves=3) if nested else PLAIN, min_size=1, max_size=4
        )
    )
    count = draw(st.integers(1, 4))
    columns = [
        pa.array(draw(st.lists(_or_null(kind), min_size=count, max_size=count)), kind.type)
        for kind in kinds.values()
    ]
    return pa.table(columns, names=list(kinds))


_WRITTEN = st.sampled_from(
    [
        st.integers(-99, 99).map(str),
        st.decimals(-99, 99, places=2).map(str),
        st.floats(-9, 9, allow_subnormal=False).map(repr),
        st.sampled_from(
            ["1.9", "1.10", "2.0", "007", "1e5", "12345678901234567890", "0.1234567890123456789"]
        ),
        DAYS.map(dt.date.isoformat),
        st.dates(dt.date(1990, 1, 1), dt.date(2020, 1, 1)).map(lambda day: f"{day:%d/%m/%Y}"),
        st.dates(dt.date(1990, 1, 1), dt.date(2020, 1, 1)).map(lambda day: f"{day:%d.%m.%y}"),
        st.sampled_from(["true", "false", "yes", "no"]),
        WORDS,
        st.just(""),
    ]
)


@st.composite
def written_tables(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of texts as people write them, each column of one kind or two; and the same rows shuffled."""
    count, width = draw(st.integers(2, 8)), draw(st.integers(2, 4))
    columns = []
    for _ in range(width):
        kinds = draw(st.lists(_WRITTEN, min_size=1, max_size=2))
        columns.append(draw(st.lists(st.one_of(kinds), min_size=count, max_size=count)))
    rows = [list(row) for row in zip(*columns, strict=True)]
    return rows, draw(st.permutations(rows))
