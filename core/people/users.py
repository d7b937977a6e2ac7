"""Accounts: who may have one, and how somebody proves to be who they say.

Rules: e-mail addresses are unique after trimming and lower-casing, also under concurrent requests; the first
account is the admin and is always allowed; afterwards the admin's choice (or else the setting) decides
between open, invite and closed; an invitation is used up in the transaction that makes the account; an
unknown address costs the same hashing time as a wrong password. Sessions and tokens are
``core.people.sessions``'s, throttling is ``core.people.limits``'s.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from sqlalchemy import Row, delete, exists, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import clock
from core.config import RegistrationMode, settings
from core.db import num_changed, reading, writing
from core.errors import (
    EmailTaken,
    Forbidden,
    InvalidCredentials,
    NotFound,
    RegistrationClosed,
    ValidationError,
)
from core.fields import Input, parse
from core.people import limits, passwords
from core.security import digest, hash_password, new_id, new_token, verify_password
from core.tables import InvitationRow, ServerSettingRow, SessionRow, TicketRow, UserRow

REGISTRATION_KEY = "registration"
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s.\x00-\x1f\x7f-\x9f]+(\.[^@\s.\x00-\x1f\x7f-\x9f]+)+")
MAX_EMAIL = 254
ACCOUNT = (UserRow.id, UserRow.email, UserRow.name, UserRow.role, UserRow.created_at)  # what a User holds


def normal_email(email: str) -> str:
    return email.strip().lower()


class Registration(Input):
    email: str
    password: str
    name: str = Field("", max_length=100)
    invitation: str | None = None

    @field_validator("email")
    @classmethod
    def _email_is_an_address(cls, email: str) -> str:
        email = normal_email(email)
        if len(email) > MAX_EMAIL:
            raise ValueError(f"at most {MAX_EMAIL} characters")
        if not _EMAIL.fullmatch(email):
            raise ValueError("must be an e-mail address such as ada@example.com")
        return email

    @field_validator("password")
    @classmethod
    def _password_is_good(cls, password: str, info: ValidationInfo) -> str:
        email = info.data.get("email", "")
        if fault := passwords.find_fault(password, email=email):
            raise ValueError(fault)
        return password


class Credentials(Input):
    email: str = Field(max_length=MAX_EMAIL + 66)
    password: str = Field(max_length=4096)

    @field_validator("email")
    @classmethod
    def _email_is_normal(cls, email: str) -> str:
        return normal_email(email)


class AccountChange(Input):
    """Only what was given is changed; ``password`` needs ``old_password``, the present one."""

    name: str = Field("", max_length=100)
    password: str = ""
    old_password: str = Field("", max_length=4096)


class NewInvitation(Input):
    note: str = Field("", max_length=200)
    days: Annotated[int, Field(ge=1, le=365)] = 7


@dataclass(frozen=True)
class User:
    id: str
    email: str
    name: str
    role: str
    created_at: datetime

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


@dataclass(frozen=True)
class Invitation:
    """``token`` is there only in the answer to :func:`invite`."""

    id: str
    note: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    token: str | None = None


def register(new: Registration, *, address: str) -> User:
    """Make an account. Raises RegistrationClosed, EmailTaken or RateLimited."""
    with reading() as session:  # before the slow hash: most refusals are known already
        _find_admission(session, new.invitation)
        limits.require_registration_allowed(session, address=address)
    password_hash = hash_password(new.password)
    with writing() as session:
        _let_one_registration_run(session)
        invitation = _find_admission(session, new.invitation)
        limits.require_registration_allowed(session, address=address)
        row = _insert(session, new, password_hash)
        if invitation:
            _use_up(session, invitation, row)
        limits.note_registration(session, email=new.email, address=address)
        return present(row)


def sign_in(credentials: Credentials, *, address: str) -> User:
    """The user with this address and password.

    Raises InvalidCredentials, or RateLimited after too many failures.
    """
    email = credentials.email
    with limits.one_at_a_time(email, address):
        with reading() as session:
            limits.require_sign_in_allowed(session, email=email, address=address)
            row = session.scalar(select(UserRow).where(UserRow.email == email))
        if verify_password(credentials.password, row.password_hash if row else None) and row:
            return present(row)
        with writing() as session:
            limits.note_failed_sign_in(session, email=email, address=address)
        raise InvalidCredentials


def has_any() -> bool:
    with reading() as session:
        return _has_any(session)


def registration_open_to_me(invitation: str | None) -> bool:
    """Whether somebody with this invitation, or none, could register now."""
    with reading() as session:
        try:
            _find_admission(session, invitation)
        except RegistrationClosed:
            return False
    return True


def registration_mode() -> RegistrationMode:
    """``open``, ``invite`` or ``closed``: the admin's choice, else the setting."""
    with reading() as session:
        return _registration_mode(session)


def get(user_id: str) -> User:
    with reading() as session:
        row = session.get(UserRow, user_id)
    if row is None:
        raise NotFound
    return present(row)


def change(
    user: User, new: AccountChange, *, keep_cookie: str | None = None, keep_jti: str | None = None
) -> User:
    """Change one's own account. A new password signs out everywhere, except for the session with the cookie
    ``keep_cookie`` and the API token with the id ``keep_jti``; API keys stay.

    Raises ValidationError, InvalidCredentials when the old password is wrong, RateLimited after too many
    wrong ones.
    """
    given = new.model_fields_set
    password_hash = _hash_new_password(user, new) if "password" in given else None
    with writing() as session:
        row = _own_row(session, user)
        if "name" in given:
            row.name = new.name
        if password_hash:
            row.password_hash = password_hash
            end_sessions(session, user.id, keep_cookie=keep_cookie, keep_jti=keep_jti)
        return present(row)


def end_sessions(
    session: Session, user_id: str, *, keep_cookie: str | None = None, keep_jti: str | None = None
) -> None:
    """End every session, ticket and API token of this user, but for those two."""
    at = clock.now()
    others = update(SessionRow).where(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None))
    session.execute(
        (others.where(SessionRow.token_hash != digest(keep_cookie)) if keep_cookie else others).values(
            revoked_at=at
        )
    )
    session.execute(delete(TicketRow).where(TicketRow.user_id == user_id))
    session.execute(
        update(UserRow).where(UserRow.id == user_id).values(tokens_valid_from=at, kept_token=keep_jti)
    )


def list_all(user: User) -> list[User]:
    _require_admin(user)
    with reading() as session:
        return [
            present(row) for row in session.scalars(select(UserRow).order_by(UserRow.created_at, UserRow.id))
        ]


def set_registration_mode(user: User, mode: str) -> None:
    _require_admin(user)
    if mode not in ("open", "invite", "closed"):
        raise ValidationError.of("mode", "must be open, invite or closed")
    with writing() as session:
        session.merge(ServerSettingRow(key=REGISTRATION_KEY, value={"mode": mode}))


def invite(user: User, *, note: str = "", days: int = 7) -> Invitation:
    """An invitation for one account. Its token is in this answer only."""
    _require_admin(user)
    new, token, at = parse(NewInvitation, note=note, days=days), new_token(), clock.now()
    row = InvitationRow(
        id=new_id("inv"),
        token_hash=digest(token),
        created_by=user.id,
        note=new.note,
        created_at=at,
        expires_at=at + timedelta(days=new.days),
    )
    with writing() as session:
        session.add(row)
    return _present_invitation(row, token)


def invitations(user: User) -> list[Invitation]:
    """All invitations, newest first."""
    _require_admin(user)
    with reading() as session:
        rows = session.scalars(
            select(InvitationRow).order_by(InvitationRow.created_at.desc(), InvitationRow.id)
        ).all()
    return [_present_invitation(row) for row in rows]


def revoke_invitation(user: User, invitation_id: str) -> None:
    _require_admin(user)
    unused = update(InvitationRow).where(
        InvitationRow.id == invitation_id, InvitationRow.used_at.is_(None), InvitationRow.revoked_at.is_(None)
    )
    with writing() as session:
        if not num_changed(session, unused.values(revoked_at=clock.now())):
            raise NotFound


def present(row: UserRow | Row[*tuple[Any, ...]]) -> User:
    """A row of the table, or one with at least the columns of ``ACCOUNT``."""
    return User(id=row.id, email=row.email, name=row.name, role=row.role, created_at=row.created_at)


def _require_admin(user: User) -> None:
    if not user.is_admin:
        raise Forbidden("Only an admin may do this.")


def _hash_new_password(user: User, new: AccountChange) -> str:
    if not new.old_password:
        raise ValidationError.of("old_password", "is needed to change the password")
    if fault := passwords.find_fault(new.password, email=user.email):
        raise ValidationError.of("password", fault)
    present_one = parse(Credentials, email=user.email, password=new.old_password)
    sign_in(present_one, address=f"account {user.id}")
    return hash_password(new.password)


def _own_row(session: Session, user: User) -> UserRow:
    row = session.get(UserRow, user.id)
    if row is None:
        raise NotFound
    return row


def _has_any(session: Session) -> bool:
    return bool(session.scalar(select(exists().select_from(UserRow))))


def _registration_mode(session: Session) -> RegistrationMode:
    chosen = session.get(ServerSettingRow, REGISTRATION_KEY)
    return chosen.value["mode"] if chosen else settings().registration


def _let_one_registration_run(session: Session) -> None:
    """SQLite's write transactions already wait for each other;
    elsewhere two first accounts could both be admins."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))


def _find_admission(session: Session, invitation: str | None) -> InvitationRow | None:
    """The invitation to use up, or None where none is needed.

    Raises RegistrationClosed. Closed means closed for guests, too.
    """
    mode = _registration_mode(session)
    if mode == "open" or not _has_any(session):
        return None
    row = _valid_invitation(session, invitation) if mode == "invite" and invitation else None
    if row is None:
        raise RegistrationClosed("Registration is closed." if mode == "closed" else None)
    return row


def _valid_invitation(session: Session, token: str) -> InvitationRow | None:
    return session.scalar(
        select(InvitationRow).where(
            InvitationRow.token_hash == digest(token),
            InvitationRow.used_at.is_(None),
            InvitationRow.revoked_at.is_(None),
            InvitationRow.expires_at > clock.now(),
        )
    )


def _use_up(session: Session, invitation: InvitationRow, user: UserRow) -> None:
    unused = update(InvitationRow).where(InvitationRow.id == invitation.id, InvitationRow.used_at.is_(None))
    if not num_changed(session, unused.values(used_at=clock.now(), used_by=user.id)):
        raise RegistrationClosed


def _insert(session: Session, new: Registration, password_hash: str) -> UserRow:
    role = "member" if _has_any(session) else "admin"
    row = UserRow(
        id=new_id("usr"),
        email=new.email,
        name=new.name,
        password_hash=password_hash,
        role=role,
        tokens_valid_from=clock.now(),
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        if "users.email" in str(error.orig) or "uq_users_email" in str(error.orig):
            raise EmailTaken from error
        raise
    return row


def _present_invitation(row: InvitationRow, token: str | None = None) -> Invitation:
    return Invitation(
        id=row.id,
        note=row.note,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
        token=token,
    )
