"""A table's cell as JSON can hold it: for previews, profiles and answers.

Not-a-number and infinity are null, times are ISO 8601, decimals are numbers where nothing is lost and text
where it would be, bytes are a note of their length. Integers stay integers, however large.
"""

import datetime as dt
import math
from decimal import Decimal
from typing import Any


def json_safe(value: Any) -> Any:
    """``value`` with everything in it that JSON does not know replaced."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value):,} bytes>"
    if isinstance(value, dict):
        return {str(key): json_safe(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(part) for part in value]
    return str(value)


def _number(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)
