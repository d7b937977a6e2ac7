"""``/api/usage``: what the caller has used."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, ConfigDict, Field

from core.api.deps import CurrentUser, SignedIn
from core.fields import Input
from core.people import usage
from core.people.usage import GroupBy, UsageLine

router = APIRouter(route_class=SignedIn, tags=["usage"])
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)  # with room for every zone


def _read_moment(value: Any) -> Any:
    """A day, or a time with its zone. Pydantic would read midnight as the whole day, and digits as seconds
    since 1970. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        read = date.fromisoformat(value) if _DAY.fullmatch(value) else datetime.fromisoformat(value)
    except ValueError:
        read = None
    if read is None or not _DAY.match(value):
        raise ValueError("must be a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z")
    if not FIRST <= _moment(read) < LAST:
        raise ValueError("must be between 0001-01-02 and 9999-12-30")
    return read


Moment = Annotated[date | datetime, BeforeValidator(_read_moment)]


class UsageQuery(Input):
    """``from`` and ``to`` are dates or times; a date as ``to`` includes that day.

    Default: the last 30 days.
    """

    model_config = ConfigDict(strict=False)

    since: Moment | None = Field(None, alias="from")
    until: Moment | None = Field(None, alias="to")
    group_by: GroupBy = "day"


@dataclass(frozen=True)
class UsageReport:
    group_by: GroupBy
    items: list[UsageLine]
    total: UsageLine


@router.get("/usage")
def get_usage(user: CurrentUser, query: Annotated[UsageQuery, Query()]) -> UsageReport:
    """Tokens, requests, training and query seconds and stored bytes, summed per day, model, key or kind."""
    since = _moment(query.since) if query.since else None
    until = _moment(query.until, end=True) if query.until else None
    lines = usage.summary(user, since=since, until=until, group_by=query.group_by)
    return UsageReport(query.group_by, lines, usage.total(lines))


def _moment(value: date | datetime, *, end: bool = False) -> datetime:
    """Where nobody says a zone it is UTC; ``end``: of a day, its end."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    midnight = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return midnight + timedelta(days=1) if end else midnight
