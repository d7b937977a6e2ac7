"""How often a stranger may try: failed sign-ins and registrations,
counted in the database so that a restart forgets nothing.

Rules: 5 failed sign-ins for one (e-mail address, client address) within 15 minutes, also for unknown
addresses; 100 failures for one client address; a configured number of registrations per hour and client
address. While blocked even the right password is refused. Who the client is, behind proxies or not, is the
edges' business.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core import clock
from core.config import settings
from core.errors import RateLimited
from core.tables import AttemptRow

FAILURES_PER_ACCOUNT = 5
FAILURES_PER_ADDRESS = 100
FAILURE_WINDOW = timedelta(minutes=15)
REGISTRATION_WINDOW = timedelta(hours=1)
_turns = [threading.Lock() for _ in range(64)]


@contextmanager
def one_at_a_time(email: str, address: str) -> Iterator[None]:
    """Tries for one account from one address wait for each other:
    fifty at once must not all pass the count of four failures."""
    with _turns[hash((email, address)) % len(_turns)]:
        yield


def require_sign_in_allowed(session: Session, *, email: str, address: str) -> None:
    """Raises RateLimited with the seconds until the oldest failure leaves the window."""
    by_address = [AttemptRow.kind == "login", AttemptRow.address == address]
    _require_below(session, FAILURES_PER_ACCOUNT, FAILURE_WINDOW, *by_address, AttemptRow.email == email)
    _require_below(session, FAILURES_PER_ADDRESS, FAILURE_WINDOW, *by_address)


def note_failed_sign_in(session: Session, *, email: str, address: str) -> None:
    session.add(AttemptRow(kind="login", email=email, address=address, created_at=clock.now()))


def require_registration_allowed(session: Session, *, address: str) -> None:
    """Raises RateLimited when this address has made its accounts for this hour."""
    allowed = settings().registrations_per_hour
    _require_below(
        session, allowed, REGISTRATION_WINDOW, AttemptRow.kind == "register", AttemptRow.address == address
    )


def note_registration(session: Session, *, email: str, address: str) -> None:
    session.add(AttemptRow(kind="register", email=email, address=address, created_at=clock.now()))


def sweep(session: Session) -> None:
    """Forget the attempts that no window reaches any more."""
    session.execute(
        delete(AttemptRow).where(
            AttemptRow.created_at < clock.now() - max(FAILURE_WINDOW, REGISTRATION_WINDOW)
        )
    )


def _require_below(session: Session, allowed: int, window: timedelta, *conditions: Any) -> None:
    since = clock.now() - window
    newest = select(AttemptRow.created_at).where(*conditions, AttemptRow.created_at > since)
    times = session.scalars(newest.order_by(AttemptRow.created_at.desc()).limit(allowed)).all()
    if len(times) >= allowed:
        seconds = (times[-1] + window - clock.now()).total_seconds()
        raise RateLimited(retry_after=max(1, int(seconds) + 1))
