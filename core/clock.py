"""The one clock. Services take ``now`` where a test must choose it; all times are UTC."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def from_timestamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
