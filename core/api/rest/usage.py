"""``/api/usage``: what the caller has used."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from core.api.deps import CurrentUser, SignedIn
from core.fields import Input
from core.people import usage
from core.people.usage import GroupBy, UsageLine

router = APIRouter(route_class=SignedIn, tags=["usage"])


class UsageQuery(Input):
    """``from`` and ``to`` are dates or times; a date as ``to`` includes that day.

    Default: the last 30 days.
    """

    model_config = ConfigDict(strict=False)

    since: date | datetime | None = Field(None, alias="from")
    until: date | datetime | None = Field(None, alias="to")
    group_by: GroupBy = "day"


@dataclass(frozen=True)
class UsageReport:
    group_by: GroupBy
    items: list[UsageLine]
    total: UsageLine


@router.get("/usage")
def get_usage(user: CurrentUser, query: Annotated[UsageQuery, Query()]) -> UsageReport:
    """Tokens, requests, training and query seconds and stored bytes, summed per day, model, key or kind."""
    lines = usage.summary(
        user, since=_moment(query.since), until=_moment(query.until, end=True), group_by=query.group_by
    )
    return UsageReport(query.group_by, lines, usage.total(lines))


def _moment(value: date | datetime | None, *, end: bool = False) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
    midnight = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return midnight + timedelta(days=1) if end else midnight
