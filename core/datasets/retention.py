"""What goes by itself: an admin may say how many of the newest versions
of each dataset are kept, and for how many days all are.

Off by default. A version goes only when it is neither among the newest nor young enough, and never while an
active job or a model alias needs it (``removing``). Its files go, its row stays and says why. Runs at the
start of a server and once a day.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import clock
from core.datasets import removing
from core.db import reading, writing
from core.errors import Forbidden
from core.fields import Input
from core.people.users import User
from core.tables import DatasetRow, DatasetVersionRow, ServerSettingRow, UserRow

KEY = "retention"
DAY_SECONDS = 86_400
log = logging.getLogger("luthier.retention")


class Retention(Input):
    """The rule.

    Both must hold for a version to go: it is older than ``keep_days`` and not among the ``keep_newest``.
    """

    enabled: bool = Field(False, title="Remove old versions")
    keep_newest: int = Field(
        10, ge=1, le=1000, title="Newest versions to keep", description="Of each dataset."
    )
    keep_days: int = Field(90, ge=0, le=3650, title="Days to keep every version")


@dataclass(frozen=True)
class Expired:
    """A version that the rule removes. ``size_bytes`` of its Parquet."""

    version_id: str
    dataset_id: str
    dataset_name: str
    owner: str
    version: int
    size_bytes: int
    created_at: datetime


def retention() -> Retention:
    """The rule as it is."""
    with reading() as session:
        stored = session.get(ServerSettingRow, KEY)
    return Retention.model_validate(stored.value) if stored else Retention()


def set_retention(user: User, rule: Retention) -> None:
    """Takes effect with the next sweep. Raises Forbidden."""
    _require_admin(user)
    with writing() as session:
        session.merge(ServerSettingRow(key=KEY, value=rule.model_dump()))


def preview_retention(user: User, rule: Retention) -> list[Expired]:
    """What a sweep under this rule would remove now, whether it is enabled or not. Raises Forbidden."""
    _require_admin(user)
    with reading() as session:
        return _expired(session, rule, clock.now())


def sweep_versions(now: datetime | None = None) -> list[Expired]:
    """Apply the rule, if it is enabled; returns what went."""
    rule = retention()
    if not rule.enabled:
        return []
    why = (
        f"by the server's rule: older than {rule.keep_days} days and not among the newest {rule.keep_newest}"
    )
    with writing() as session:
        gone = _expired(session, rule, now or clock.now())
        for one in gone:
            row = session.get(DatasetVersionRow, one.version_id)
            assert row is not None
            removing.mark_removed(session, row, why)
    for one in gone:
        removing.remove_files(one.version_id)
        log.info("version %s of dataset %s is removed %s", one.version, one.dataset_id, why)
    return gone


class Daily:
    """Sweeps when a day has passed since the last time; the server's chores ask it often."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def sweep(self) -> None:
        if time.monotonic() - self._last >= DAY_SECONDS:
            self._last = time.monotonic()
            sweep_versions()


sweep_daily = Daily().sweep


def _require_admin(user: User) -> None:
    if not user.is_admin:
        raise Forbidden


def _expired(session: Session, rule: Retention, now: datetime) -> list[Expired]:
    version = DatasetVersionRow
    versions = session.execute(
        select(
            version.id,
            DatasetRow.id,
            DatasetRow.name,
            UserRow.email,
            version.number,
            version.size_bytes,
            version.created_at,
        )
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .join(UserRow, UserRow.id == DatasetRow.owner_id)
        .where(version.status == "ready", version.removed_at.is_(None))
        .order_by(DatasetRow.id, version.number.desc())
    ).all()
    old = now - timedelta(days=rule.keep_days)
    listed = [Expired(*row) for row in versions]
    beyond = [
        one
        for _, group in groupby(listed, lambda one: one.dataset_id)
        for one in list(group)[rule.keep_newest :]
    ]
    kept = removing.needed(session, [one.version_id for one in beyond])
    return [one for one in beyond if one.created_at < old and one.version_id not in kept]
