"""The text of a cell in a download, by its Arrow type, so that what came in goes out.

In JSON Lines: JSON as JSON, decimals with their zeros (as text where a reader would round them), bytes as
Base64. In CSV the same without quotes around texts, nested values as JSON. Intervals read ``1 day 01:30:00``.
"""

import base64
import json
import math
import struct
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from core.cells import json_safe

Writer = Callable[[Any], str]
_NANOSECONDS = 1_000_000_000


def json_writer(type_: Any) -> Writer:
    """What makes a cell's value (``to_pylist``) a piece of JSON."""
    write = _special(type_) or _simple(type_)
    return lambda value: "null" if value is None else write(value)


def csv_writer(type_: Any) -> Callable[[Any], Any]:
    """What makes a cell's value a text, or a number that is written as it is; None stays None."""
    import pyarrow as pa

    if pa.types.is_nested(type_):
        return _unless_none(json_writer(type_))
    if _is_json(type_) or pa.types.is_string(type_):
        return lambda value: value
    if pa.types.is_boolean(type_) or getattr(type_, "extension_name", None) == "arrow.bool8":
        return _unless_none(lambda value: "true" if value else "false")
    if pa.types.is_floating(type_):
        return lambda value: value
    if pa.types.is_decimal(type_):
        return _unless_none(lambda value: f"{value:f}")
    if special := _special(type_):
        return _unless_none(lambda value: json.loads(special(value)))
    return json_safe


def _unless_none(write: Writer) -> Callable[[Any], str | None]:
    return lambda value: None if value is None else write(value)


def _special(type_: Any) -> Writer | None:
    """How to write a value that ``json_safe`` would change; None for all others."""
    import pyarrow as pa

    if _is_json(type_):
        return _json_text
    if pa.types.is_decimal(type_):
        return _decimal
    if pa.types.is_fixed_size_binary(type_) and type_.byte_width == 12:
        return _parquet_interval
    if pa.types.is_interval(type_):
        return lambda value: json.dumps(_interval(value.months, value.days, value.nanoseconds))
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return lambda value: json.dumps(base64.b64encode(value).decode())
    if pa.types.is_struct(type_):
        return _struct(type_)
    if pa.types.is_map(type_):
        return _map(type_)
    if pa.types.is_nested(type_) and type_.num_fields == 1:
        return _list(type_)
    return None


def _simple(type_: Any) -> Writer:
    """The same as ``_plain_json`` for the types that most cells have, in a fifth of the time."""
    import pyarrow as pa

    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return json.encoder.encode_basestring
    if pa.types.is_integer(type_):
        return str
    if pa.types.is_boolean(type_):
        return lambda value: "true" if value else "false"
    if pa.types.is_floating(type_):
        return lambda value: repr(value) if math.isfinite(value) else "null"
    return _plain_json


def _is_json(type_: Any) -> bool:
    return getattr(type_, "extension_name", None) == "arrow.json"


def _plain_json(value: Any) -> str:
    return json.dumps(json_safe(value), ensure_ascii=False)


def _json_text(value: str) -> str:
    """JSON of a user on one line. Line ends stand only between its parts; NaN is not JSON to most readers."""
    if "n" in value.lower() and any(word in value.lower() for word in ("nan", "inf")):
        return json.dumps(json.loads(value, parse_constant=lambda _: None), ensure_ascii=False)
    return value.replace("\n", " ").replace("\r", " ")


def _decimal(value: Decimal) -> str:
    if value == value.to_integral_value() or Decimal(repr(float(value))) == value:
        return f"{value:f}"
    return json.dumps(f"{value:f}")


def _parquet_interval(value: bytes) -> str:
    months, days, milliseconds = struct.unpack("<III", value)
    return json.dumps(_interval(months, days, milliseconds * 1_000_000))


def _interval(months: int, days: int, nanoseconds: int) -> str:
    years, months = divmod(months, 12) if months >= 0 else (0, months)
    parts = [
        f"{count} {name}{'s' * (abs(count) != 1)}"
        for count, name in ((years, "year"), (months, "month"), (days, "day"))
        if count
    ]
    if nanoseconds or not parts:
        seconds, rest = divmod(abs(nanoseconds), _NANOSECONDS)
        fraction = f".{rest // 1000:06}".rstrip("0") if rest else ""
        sign = "-" if nanoseconds < 0 else ""
        parts.append(f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}")
    return " ".join(parts)


def _struct(type_: Any) -> Writer | None:
    writers = {field.name: _special(field.type) for field in type_}
    if not any(writers.values()):
        return None

    def write(value: dict[str, Any]) -> str:
        return _object((name, _part(writers.get(name), part)) for name, part in value.items())

    return write


def _map(type_: Any) -> Writer | None:
    inner = _special(type_.item_type)
    if inner is None:
        return None

    return lambda value: _object((str(key), _part(inner, part)) for key, part in value.items())


def _list(type_: Any) -> Writer | None:
    inner = _special(type_.field(0).type)
    return (
        None if inner is None else lambda value: "[" + ", ".join(_part(inner, part) for part in value) + "]"
    )


def _object(parts: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.encoder.encode_basestring(key)}: {text}" for key, text in parts) + "}"


def _part(write: Writer | None, value: Any) -> str:
    return "null" if value is None else (write or _plain_json)(value)
