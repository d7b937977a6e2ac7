"""Who is signed in: cookies for browsers, signed tokens for ``/api``. Both can be ended from the server.

A browser gets its cookie in two steps, because a page cannot set an HttpOnly cookie: the page issues a
single-use ticket (30 s), the browser posts it to an own route, which claims it and answers with the cookie.
The table keeps hashes only. Every call asks the table, so an ended session ends at the next call. API tokens
end by ``jti`` (sign out) or all at once (``tokens_valid_from``).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from core import clock
from core.config import settings
from core.db import find_row, num_changed, writing
from core.errors import Unauthorized
from core.people import limits
from core.people.users import ACCOUNT, User, end_sessions, present
from core.security import digest, new_token, read_jwt, sign_jwt
from core.tables import RevokedTokenRow, SessionRow, TicketRow, UserRow

COOKIE = "luthier_session"
TICKET_SECONDS = 30
LONGEST_TOKEN = 600  # ours have about 300; longer ones are not worth parsing

# Asked with every request, so they are built once: that takes as long as running them
_BY_COOKIE = (
    select(*ACCOUNT)
    .join(SessionRow, SessionRow.user_id == UserRow.id)
    .where(
        SessionRow.token_hash == bindparam("token_hash"),
        SessionRow.revoked_at.is_(None),
        SessionRow.expires_at > bindparam("at"),
    )
)
_BY_JWT = (
    select(*ACCOUNT, UserRow.tokens_valid_from, UserRow.kept_token, RevokedTokenRow.jti)
    .outerjoin(RevokedTokenRow, RevokedTokenRow.jti == bindparam("jti"))
    .where(UserRow.id == bindparam("user_id"))
)


@dataclass(frozen=True)
class AccessToken:
    access_token: str
    token_type: str
    expires_in: int
    user: User


def issue_ticket(user: User) -> str:
    """A single-use ticket by which this user's browser may fetch its cookie within 30 seconds."""
    ticket = new_token()
    with writing() as session:
        session.add(
            TicketRow(
                ticket_hash=digest(ticket),
                user_id=user.id,
                expires_at=clock.now() + timedelta(seconds=TICKET_SECONDS),
            )
        )
    return ticket


def claim_ticket(ticket: str) -> str:
    """Exchange a ticket for a session's token. Raises Unauthorized when it is unknown, used or late."""
    token, at = new_token(), clock.now()
    with writing() as session:
        claimed = delete(TicketRow).where(TicketRow.ticket_hash == digest(ticket), TicketRow.expires_at > at)
        user_id = session.scalar(claimed.returning(TicketRow.user_id))
        if user_id is None:
            raise Unauthorized("This sign-in link has expired. Sign in again.")
        expires = at + timedelta(days=settings().session_days)
        session.add(SessionRow(token_hash=digest(token), user_id=user_id, created_at=at, expires_at=expires))
    return token


def user_for(token: str | None) -> User | None:
    """Who this cookie belongs to, or None when it is missing, wrong, expired or ended."""
    if not token:
        return None
    row = find_row(_BY_COOKIE, token_hash=digest(token), at=clock.now())
    return present(row) if row else None


def end(token: str | None) -> None:
    """Sign this browser out. Unknown tokens are fine."""
    if not token:
        return
    with writing() as session:
        session.execute(
            update(SessionRow).where(SessionRow.token_hash == digest(token)).values(revoked_at=clock.now())
        )


def end_all(user: User) -> None:
    """Sign this user out everywhere: browsers and API tokens."""
    with writing() as session:
        end_sessions(session, user.id)


def issue_jwt(user: User) -> AccessToken:
    minutes = settings().jwt_minutes
    token, _, _ = sign_jwt(user.id, issued_at=clock.now(), minutes=minutes)
    return AccessToken(access_token=token, token_type="bearer", expires_in=minutes * 60, user=user)


def user_for_jwt(token: str) -> User:
    """Raises Unauthorized when the token is forged, expired or signed out, or its user is gone."""
    claims = _claims(token)
    row = find_row(_BY_JWT, user_id=claims["sub"], jti=claims["jti"])
    if row is None or row.jti is not None:
        raise Unauthorized
    is_older = claims["iat_us"] < int(row.tokens_valid_from.timestamp() * 1_000_000)
    if is_older and claims["jti"] != row.kept_token:
        raise Unauthorized
    return present(row)


def jti_of(token: str) -> str:
    """The id of an API token. Raises Unauthorized when it is none of ours."""
    return str(_claims(token)["jti"])


def revoke_jwt(token: str) -> None:
    """Sign this API token out. Raises Unauthorized when it is none of ours."""
    claims = _claims(token)
    with writing() as session:
        session.merge(RevokedTokenRow(jti=claims["jti"], expires_at=clock.from_timestamp(claims["exp"])))


def sweep() -> int:
    """Remove expired sessions, tickets, signed-out tokens and old attempts. Returns how many rows."""
    at, removed = clock.now(), 0
    with writing() as session:
        for table in (SessionRow, TicketRow, RevokedTokenRow):
            removed += num_changed(session, delete(table).where(table.expires_at < at))
        limits.sweep(session)
    return removed


def _claims(token: str) -> dict[str, Any]:
    claims = read_jwt(token) if len(token) <= LONGEST_TOKEN else None
    if claims is None or not isinstance(claims.get("iat_us"), int):
        raise Unauthorized
    return claims
