"""Arrow to values that JSON can hold, without losing or bending any.

Dates, times and timestamps become ISO 8601 text (UTC ones end in Z), integers stay numbers however long,
decimals become numbers where a double holds them exactly as written and text elsewhere, NaN and infinities
become null, bytes become Base64, maps become objects, and dates that Python's calendar does not reach become
text.
"""

import base64
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa


def json_rows(table: pa.Table) -> list[list[Any]]:
    """One list per row, in the order of the columns."""
    columns = [_column_values(table.column(index)) for index in range(table.num_columns)]
    return (
        [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(table.num_rows)]
    )


def json_value(value: Any) -> Any:
    """One Python value as JSON can hold it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    for kind, present in _PRESENTERS:
        if isinstance(value, kind):
            return present(value)
    return str(value)


def _column_values(column: pa.ChunkedArray) -> list[Any]:
    present = _map_value if pa.types.is_map(column.type) else json_value
    try:
        return [present(value) for value in column.to_pylist()]
    except (OverflowError, ValueError, pa.ArrowInvalid):  # a date beyond the years 1 to 9999
        return [_scalar_text(scalar) for scalar in column]


def _scalar_text(scalar: pa.Scalar) -> Any:
    try:
        return json_value(scalar.as_py())
    except (OverflowError, ValueError, pa.ArrowInvalid):
        is_time = pa.types.is_timestamp(scalar.type) or pa.types.is_date32(scalar.type)
        return _far_date(scalar) if is_time else str(scalar)


def _far_date(scalar: pa.Scalar) -> str:
    """A date that Python's calendar does not reach; the largest numbers are DuckDB's infinities."""
    bits = 31 if pa.types.is_date32(scalar.type) else 63
    if abs(scalar.value) >= 2**bits - 1:
        return "infinity" if scalar.value > 0 else "-infinity"
    unit = "D" if pa.types.is_date32(scalar.type) else scalar.type.unit
    return str(np.array(scalar.value, dtype=f"datetime64[{unit}]"))


def _float_value(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _decimal_value(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if value.as_tuple().exponent == 0:
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)


def _datetime_value(value: datetime) -> str:
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _list_value(values: "list[Any] | tuple[Any, ...]") -> Any:
    # how Arrow gives a nested map
    is_map = bool(values) and all(isinstance(v, tuple) and len(v) == 2 for v in values)
    return _map_value(values) if is_map else [json_value(v) for v in values]


def _map_value(pairs: Any) -> Any:
    return None if pairs is None else {_key(k): json_value(v) for k, v in pairs}


def _struct_value(fields: dict[str, Any]) -> dict[str, Any]:
    return {_key(k): json_value(v) for k, v in fields.items()}


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(json_value(key))


def _bytes_value(value: bytes) -> str:
    return base64.b64encode(value).decode()


_PRESENTERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (float, _float_value),
    (Decimal, _decimal_value),
    (datetime, _datetime_value),  # before date: a datetime is one
    ((date, time), lambda value: value.isoformat()),
    (timedelta, str),
    (bytes, _bytes_value),
    (UUID, str),
    (dict, _struct_value),
    ((list, tuple), _list_value),
)
