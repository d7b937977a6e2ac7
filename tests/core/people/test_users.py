"""Accounts as services see them; what the edges do with them is in tests/api/people/test_auth.py."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from core import clock
from core.errors import (
    Detail,
    Forbidden,
    InvalidCredentials,
    NotFound,
    RateLimited,
    Unauthorized,
    ValidationError,
)
from core.fields import parse
from core.people import passwords, sessions, users
from core.people.users import AccountChange, User
from core.tables import AttemptRow, RevokedTokenRow, SessionRow, TicketRow
from tests.conftest import PASSWORD


def test_first_account_is_the_admin_and_the_next_is_not(ada: User, bob: User) -> None:
    assert ada.is_admin
    assert not bob.is_admin


def test_only_an_admin_administers(ada: User, bob: User) -> None:
    invitation = users.invite(ada)
    for forbidden in (
        lambda: users.list_all(bob),
        lambda: users.set_registration_mode(bob, "closed"),
        lambda: users.invite(bob),
        lambda: users.invitations(bob),
        lambda: users.revoke_invitation(bob, invitation.id),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    assert [user.email for user in users.list_all(ada)] == ["ada@example.com", "bob@example.com"]


def test_invitation_is_told_once(ada: User) -> None:
    made = users.invite(ada, note="for Eve", days=3)
    (listed,) = users.invitations(ada)
    assert made.token
    assert (listed.id, listed.note, listed.token) == (made.id, "for Eve", None)
    assert listed.expires_at - listed.created_at == timedelta(days=3)
    users.revoke_invitation(ada, made.id)
    with pytest.raises(NotFound):
        users.revoke_invitation(ada, made.id)


def test_registration_is_open_to_whom_the_mode_lets_in(ada: User) -> None:
    token = users.invite(ada).token
    for mode, without, with_one in (("open", True, True), ("invite", False, True), ("closed", False, False)):
        users.set_registration_mode(ada, mode)
        assert users.registration_mode() == mode
        assert users.registration_open_to_me(None) is without
        assert users.registration_open_to_me(token) is with_one
    with pytest.raises(ValidationError):
        users.set_registration_mode(ada, "ajar")


def test_without_accounts_everybody_may_register() -> None:
    assert users.registration_open_to_me(None)
    assert not users.has_any()


def test_name_can_be_changed(ada: User) -> None:
    assert users.change(ada, AccountChange(name="Countess 🎻")).name == "Countess 🎻"
    assert users.get(ada.id).name == "Countess 🎻"
    for broken in ("x" * 101, "a\x00", "\ud800"):
        with pytest.raises(ValidationError):
            users.change(ada, parse(AccountChange, name=broken))


def test_changing_the_password_needs_the_old_one(ada: User) -> None:
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            users.change(ada, AccountChange(old_password="not the password", password="another good one"))
    with pytest.raises(RateLimited):
        users.change(ada, AccountChange(old_password=PASSWORD, password="another good one"))


@pytest.mark.parametrize(
    "new", ["short", "ada@example.com", "password123", "x" * 129, "null\x00null\x00null"]
)
def test_new_password_follows_the_rules(ada: User, new: str) -> None:
    with pytest.raises(ValidationError):
        users.change(ada, parse(AccountChange, old_password=PASSWORD, password=new))


@pytest.mark.parametrize("length", [1, 9, 10, 11, 127, 128, 129, 200])
def test_the_rule_is_the_one_that_pages_tell(ada: User, length: int) -> None:
    """Whoever registers and whoever changes a password meets the same rule."""
    least, most = map(int, re.findall(r"\d+", passwords.HELP))
    password = ("ä correct horse " * 20)[:length]
    by_registering, by_changing = (
        error_of(lambda: parse(users.Registration, email="new@example.com", password=password)),
        error_of(lambda: users.change(ada, AccountChange(old_password=PASSWORD, password=password))),
    )
    assert by_registering == by_changing
    assert (by_registering is None) == (least <= length <= most)


def error_of(call: Callable[[], object]) -> tuple[Detail, ...] | None:
    try:
        call()
    except ValidationError as error:
        return error.details
    return None


def test_new_password_ends_tokens_and_all_sessions_but_this(ada: User) -> None:
    here, there = (sessions.claim_ticket(sessions.issue_ticket(ada)) for _ in range(2))
    token = sessions.issue_jwt(ada).access_token
    users.change(ada, AccountChange(old_password=PASSWORD, password="another good one"), keep_cookie=here)
    assert (sessions.user_for(here), sessions.user_for(there)) == (ada, None)
    with pytest.raises(Unauthorized):
        sessions.user_for_jwt(token)
    assert (
        users.sign_in(users.Credentials(email="ada@example.com", password="another good one"), address="x")
        == ada
    )


def test_sweep_takes_what_has_expired_and_nothing_else(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.db import reading

    token = sessions.claim_ticket(sessions.issue_ticket(ada))
    sessions.issue_ticket(ada)
    sessions.revoke_jwt(sessions.issue_jwt(ada).access_token)
    assert sessions.sweep() == 0
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=2))
    assert sessions.sweep() == 2
    assert sessions.user_for(token) == ada
    with reading() as session:
        assert [
            session.query(table).count() for table in (SessionRow, TicketRow, RevokedTokenRow, AttemptRow)
        ] == [1, 0, 0, 0]
