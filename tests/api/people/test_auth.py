"""API.md section 2: accounts, tokens, throttling."""

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from core import clock, security
from core.config import settings
from core.db import writing
from core.people import api_keys, sessions, users
from core.people.api_keys import NewKey
from core.people.users import AccountChange, User
from core.tables import UserRow
from tests.api.conftest import Caller, error_of, fields_of, signed_in
from tests.conftest import PASSWORD

NEW = {"email": "new@example.com", "password": PASSWORD, "name": "New"}


def register(client: TestClient, **fields: Any) -> Any:
    return client.post("/api/auth/register", json={**NEW, **fields})


def login(client: TestClient, email: str = "ada@example.com", password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/api/auth/login", json={"email": email, "password": password}, **more)


def test_register_answers_a_session(client: TestClient) -> None:
    answer = register(client)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert "set-cookie" not in answer.headers
    session = answer.json()
    assert set(session) == {"access_token", "token_type", "expires_in", "user"}
    assert (session["token_type"], session["expires_in"]) == ("bearer", 3600)
    assert session["user"].items() >= {"email": "new@example.com", "name": "New"}.items()
    assert session["user"]["id"].startswith("usr_")
    assert session["user"]["created_at"].endswith("Z")
    assert "password" not in answer.text


def test_token_carries_the_claims_of_the_contract(client: TestClient) -> None:
    session = register(client).json()
    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["sub"] == session["user"]["id"]
    assert claims["exp"] - claims["iat"] == session["expires_in"]
    assert claims["jti"]
    assert jwt.get_unverified_header(session["access_token"])["alg"] == "HS256"


def test_me_is_the_user(as_ada: Caller, ada: User) -> None:
    me = as_ada.get("/api/auth/me")
    assert me.status_code == 200
    assert me.json().items() >= {"id": ada.id, "email": "ada@example.com", "name": "Ada"}.items()
    assert set(me.json()) >= {"id", "email", "name", "created_at"}


def test_the_name_can_be_changed_and_nothing_else(as_ada: Caller, ada: User) -> None:
    sent = {
        "name": " Größe 🎻",
        "email": "eve@example.com",
        "role": "member",
        "id": "usr_x",
        "colour": "blue",
    }
    answer = as_ada.patch("/api/auth/me", sent)
    assert answer.status_code == 200
    assert users.get(ada.id) == replace(ada, name=" Größe 🎻")
    assert as_ada.get("/api/auth/me").json() == answer.json()
    assert as_ada.patch("/api/auth/me", {}).json() == answer.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x" * 101}, "name"),
        ({"name": None}, "name"),
        ({"name": "a\u0000"}, "name"),
        ({"password": "another good one"}, "old_password"),
        ({"password": "another good one", "old_password": ""}, "old_password"),
        ({"password": "another good one", "old_password": 5}, "old_password"),
        ({"password": "short", "old_password": PASSWORD}, "password"),
        ({"password": "", "old_password": PASSWORD}, "password"),
        ({"password": "ada@example.com", "old_password": PASSWORD}, "password"),
        ({"password": "password123", "old_password": PASSWORD}, "password"),
        ({"password": "x" * 129, "old_password": PASSWORD}, "password"),
    ],
)
def test_a_broken_change_is_named_and_changes_nothing(
    client: TestClient, as_ada: Caller, ada: User, body: dict[str, Any], field: str
) -> None:
    assert fields_of(as_ada.patch("/api/auth/me", {"name": "Other", **body})) == {field}
    assert users.get(ada.id) == ada
    assert login(client).status_code == 200


def test_a_new_password_ends_every_session_and_token_but_its_own(client: TestClient, ada: User) -> None:
    cookie = sessions.claim_ticket(sessions.issue_ticket(ada))
    here, there = Caller(client, signed_in(ada)), Caller(client, signed_in(ada))
    _, secret = api_keys.create(ada, NewKey(name="stays"))
    change = {"name": "Countess", "password": "another good one", "old_password": PASSWORD}
    answer = here.patch("/api/auth/me", change)
    assert (answer.status_code, answer.json()["name"]) == (200, "Countess")
    assert "another good one" not in answer.text
    assert here.get("/api/auth/me").status_code == 200
    assert there.get("/api/auth/me").status_code == 401
    assert sessions.user_for(cookie) is None
    assert api_keys.identify(secret).user.id == ada.id
    assert login(client).status_code == 401
    assert login(client, password="another good one").status_code == 200
    sessions.end_all(ada)  # everywhere is everywhere
    assert here.get("/api/auth/me").status_code == 401


def test_the_kept_token_can_be_signed_out_and_is_not_kept_by_the_next_change(
    client: TestClient, ada: User
) -> None:
    first, second = Caller(client, signed_in(ada)), Caller(client, signed_in(ada))
    change = {"password": "another good one", "old_password": PASSWORD}
    assert first.patch("/api/auth/me", change).status_code == 200
    assert second.patch("/api/auth/me", change).status_code == 401
    third = Caller(client, signed_in(ada))
    change = {"password": "a third good one", "old_password": "another good one"}
    assert third.patch("/api/auth/me", change).status_code == 200
    assert first.get("/api/auth/me").status_code == 401
    assert third.post("/api/auth/logout").status_code == 204
    assert third.get("/api/auth/me").status_code == 401


def test_old_passwords_cannot_be_guessed(client: TestClient, ada: User, bob: User) -> None:
    callers = [Caller(client, signed_in(ada)) for _ in range(5)]
    wrong = {"password": "another good one", "old_password": "not the password"}
    for caller in callers:  # a new token each: it is the account that counts
        answer = caller.patch("/api/auth/me", wrong)
        assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_credentials")
    answer = callers[0].patch("/api/auth/me", {**wrong, "old_password": PASSWORD})
    assert (answer.status_code, error_of(answer)["code"]) == (429, "rate_limited")
    assert int(answer.headers["Retry-After"]) > 0
    assert callers[0].patch("/api/auth/me", {"name": "Still Ada"}).status_code == 200
    right = {"password": "another good one", "old_password": PASSWORD}
    assert Caller(client, signed_in(bob)).patch("/api/auth/me", right).status_code == 200


def test_email_is_trimmed_and_lower_cased(client: TestClient) -> None:
    assert register(client, email="  NEW@Example.COM ").json()["user"]["email"] == "new@example.com"
    assert login(client, " New@example.com").status_code == 200


def test_email_is_taken_once(client: TestClient, ada: User, bob: User) -> None:
    answer = register(client, email="ADA@example.com")
    assert answer.status_code == 409
    assert error_of(answer)["code"] == "email_taken"


def test_of_simultaneous_registrations_one_wins(client: TestClient, ada: User, bob: User) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: register(client).status_code, range(8)))
    assert sorted(answers) == [201] + [409] * 7


def test_of_simultaneous_first_accounts_one_is_admin(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_REGISTRATION", "open")
    settings.cache_clear()
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda i: register(client, email=f"u{i}@example.com").json()["user"]["role"], range(6))
        )
    assert sorted(answers) == ["admin"] + ["member"] * 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", ""),
        ("email", "no-at.example.com"),
        ("email", "two@at@example.com"),
        ("email", "a@nodot"),
        ("email", "a b@example.com"),
        ("email", "a\u0007b@example.com"),
        ("email", "@example.com"),
        ("email", "a@example..com"),
        ("email", "a" * 250 + "@b.co"),
        ("email", None),
        ("email", 5),
        ("password", "short1234"),
        ("password", "x" * 129),
        ("password", "new@example.com"),
        ("password", "password123"),
        ("password", "1234567890"),
        ("password", "QWERTYUIOP"),
        ("password", "null\u0000null\u0000null"),
        ("password", None),
        ("name", "x" * 101),
        ("name", "a\u0000b"),
        ("name", []),
    ],
)
def test_broken_field_is_named(client: TestClient, field: str, value: Any) -> None:
    assert field in fields_of(register(client, **{field: value}))


@pytest.mark.parametrize(
    "password",
    [
        "x" * 10,
        "x" * 128,
        "å" * 128,
        "🎻" * 10,
        " leading and trailing ",
        "пароль-пароль",
        "tab\tand\nnewline",
    ],
)
def test_any_unicode_is_a_password_and_all_of_it_counts(client: TestClient, password: str) -> None:
    assert register(client, password=password).status_code == 201
    assert login(client, "new@example.com", password).status_code == 200
    assert login(client, "new@example.com", password[:-1]).status_code == 401
    assert login(client, "new@example.com", password + "x").status_code == 401


def test_lone_surrogate_is_a_broken_field(client: TestClient) -> None:
    body = '{"email": "a@example.com", "password": "0123456789ab", "name": "\\ud800"}'
    answer = client.post("/api/auth/register", content=body, headers={"Content-Type": "application/json"})
    assert fields_of(answer) == {"name"}


def test_name_is_stored_as_it_is(client: TestClient) -> None:
    name = "  <b>Robert'); DROP TABLE users;--</b> 👩‍🔬\u202e "
    session = register(client, name=name).json()
    assert session["user"]["name"] == name


def test_role_and_id_in_the_body_are_ignored(client: TestClient, ada: User, bob: User) -> None:
    made = register(client, role="admin", id="usr_mine", created_at="2020-01-01T00:00:00Z").json()["user"]
    assert made["role"] == "member"
    assert made["id"] != "usr_mine"


def test_password_is_stored_as_bcrypt_and_nowhere_else(client: TestClient, data_dir: Path) -> None:
    register(client)
    with writing() as session:
        assert session.scalar(select(UserRow.password_hash)).startswith("$2b$")
    for file in data_dir.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()


def test_production_cost_is_twelve() -> None:
    source = Path(security.__file__).read_text()
    assert "BCRYPT_COST = 12" in source


@pytest.mark.parametrize(("mode", "status"), [("open", 201), ("invite", 403), ("closed", 403)])
def test_registration_mode_decides(client: TestClient, ada: User, mode: str, status: int) -> None:
    users.set_registration_mode(ada, mode)
    answer = register(client)
    assert answer.status_code == status
    if status == 403:
        assert error_of(answer)["code"] == "registration_closed"


def test_first_account_is_always_allowed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_REGISTRATION", "closed")
    settings.cache_clear()
    assert register(client).json()["user"]["role"] == "admin"


def test_admins_choice_wins_over_the_setting(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.set_registration_mode(ada, "closed")
    monkeypatch.setenv("LUTHIER_REGISTRATION", "open")
    settings.cache_clear()
    assert register(client).status_code == 403


def test_invitation_works_once(client: TestClient, ada: User) -> None:
    token = users.invite(ada).token
    assert register(client, invitation=token).status_code == 201
    assert register(client, email="other@example.com", invitation=token).status_code == 403


def test_invitation_is_kept_when_the_registration_fails(client: TestClient, ada: User) -> None:
    token = users.invite(ada).token
    assert register(client, email="ada@example.com", invitation=token).status_code == 409
    assert register(client, invitation=token).status_code == 201


def test_one_invitation_makes_one_account_of_simultaneous_ones(client: TestClient, ada: User) -> None:
    token = users.invite(ada).token
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(
                lambda i: register(client, email=f"u{i}@example.com", invitation=token).status_code, range(6)
            )
        )
    assert sorted(answers) == [201] + [403] * 5


@pytest.mark.parametrize("invitation", ["", "nonsense", "x" * 10_000])
def test_wrong_invitation_does_not_help(client: TestClient, ada: User, invitation: str) -> None:
    assert register(client, invitation=invitation).status_code == 403


def test_revoked_and_expired_invitations_do_not_help(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked, old = users.invite(ada), users.invite(ada, days=1)
    users.revoke_invitation(ada, revoked.id)
    assert register(client, invitation=revoked.token).status_code == 403
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=2))
    assert register(client, invitation=old.token).status_code == 403


def test_registrations_per_hour_are_limited(
    client: TestClient, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_REGISTRATIONS_PER_HOUR", "3")
    settings.cache_clear()
    for i in range(3):
        assert register(client, email=f"u{i}@example.com").status_code == 201
        assert register(client, email=f"u{i}@example.com").status_code in (409, 429)  # failures do not count
    answer = register(client)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 3601


def test_forty_registrations_are_allowed_by_default() -> None:
    assert settings().registrations_per_hour >= 40


def test_login_answers_a_session(client: TestClient, ada: User) -> None:
    answer = login(client)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["user"]["id"] == ada.id


def test_unknown_email_and_wrong_password_answer_the_same(client: TestClient, ada: User) -> None:
    wrong, unknown = login(client, password="not the password"), login(client, "nobody@example.com")
    for answer in (wrong, unknown):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert error_of(answer)["code"] == "invalid_credentials"
    assert {**error_of(wrong), "request_id": ""} == {**error_of(unknown), "request_id": ""}


def test_unknown_email_costs_the_same_time(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "BCRYPT_COST", 10)
    security._dummy_hash.cache_clear()
    users.change(ada, AccountChange(old_password=PASSWORD, password="another good one"))
    took: dict[str, list[float]] = {"ada@example.com": [], "nobody@example.com": []}
    for email in list(took) * 4:
        began = time.perf_counter()
        login(client, email, "not the password")
        took[email].append(time.perf_counter() - began)
    known, unknown = (min(times) for times in took.values())
    assert 0.5 < unknown / known < 2
    security._dummy_hash.cache_clear()


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com"])
def test_after_five_failures_even_the_right_password_is_refused(
    client: TestClient, ada: User, email: str
) -> None:
    for _ in range(5):
        assert login(client, email, "not the password").status_code == 401
    answer = login(client, email, PASSWORD)
    assert answer.status_code == 429
    assert error_of(answer)["code"] == "rate_limited"
    assert 0 < int(answer.headers["Retry-After"]) <= 901


def test_simultaneous_guesses_do_not_slip_through(client: TestClient, ada: User) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: login(client, password=f"guess number {i}").status_code, range(12)))
    assert sorted(answers) == [401] * 5 + [429] * 7


def test_throttling_ends_with_the_window(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        login(client, password="not the password")
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(minutes=15, seconds=1))
    assert login(client).status_code == 200


def test_throttling_is_per_email_and_address(ada: User, bob: User, client: TestClient) -> None:
    for _ in range(5):
        login(client, password="not the password")
    assert login(client, "bob@example.com").status_code == 200
    elsewhere = TestClient(client.app, client=("10.2.2.2", 1))
    assert login(elsewhere).status_code == 200


def test_a_hundred_failures_block_an_address(client: TestClient, ada: User) -> None:
    with writing() as session:
        from core.people import limits

        for i in range(100):
            limits.note_failed_sign_in(session, email=f"u{i}@example.com", address="10.1.1.1")
    assert login(client).status_code == 429
    assert login(TestClient(client.app, client=("10.2.2.2", 1))).status_code == 200


def test_forwarded_address_counts_only_from_a_trusted_proxy(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5):
        login(client, password="not the password", headers={"X-Forwarded-For": f"9.9.9.{i}"})
    assert login(client, headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 429
    monkeypatch.setenv("LUTHIER_TRUSTED_PROXIES", "10.1.1.1")
    settings.cache_clear()
    assert login(client, headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 200
    for _ in range(5):
        login(client, password="not the password", headers={"X-Forwarded-For": "1.2.3.4, 8.8.4.4"})
    # the last stranger counts
    assert login(client, headers={"X-Forwarded-For": "5.6.7.8, 8.8.4.4"}).status_code == 429


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "bearer-token",
        "Bearer a.b.c",
        "Bearer " + "x" * 10_000,
        "Token sk-abc",
        "Bearer sk-" + "a" * 43,
    ],
)
def test_missing_or_malformed_token_is_refused(client: TestClient, ada: User, header: str) -> None:
    answer = client.get("/api/auth/me", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert error_of(answer)["code"] == "unauthorized"


def encode(claims: dict[str, Any], header: dict[str, Any], secret: str = "") -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest() if secret else b""
    return f"{text}.{part(signature)}"


def test_forged_tokens_are_refused(client: TestClient, ada: User) -> None:
    good = sessions.issue_jwt(ada).access_token
    claims, secret = jwt.decode(good, options={"verify_signature": False}), security.jwt_secret()
    now = int(time.time())
    forged = {
        "other secret": encode(claims, {"alg": "HS256", "typ": "JWT"}, "x" * 32),
        "none": encode(claims, {"alg": "none"}),
        "None": encode(claims, {"alg": "None"}),
        "none with signature": good.replace(good.split(".")[0], encode({}, {"alg": "none"}).split(".")[0]),
        "other algorithm": jwt.encode(claims, secret, algorithm="HS512"),
        "expired": encode({**claims, "iat": now - 100, "exp": now - 1}, {"alg": "HS256"}, secret),
        "without exp": encode({k: v for k, v in claims.items() if k != "exp"}, {"alg": "HS256"}, secret),
        "without jti": encode({k: v for k, v in claims.items() if k != "jti"}, {"alg": "HS256"}, secret),
        "user gone": encode({**claims, "sub": "usr_gone"}, {"alg": "HS256"}, secret),
        "cut off": good[:-4],
        "other user": encode({**claims, "sub": "usr_other"}, {"alg": "HS256"}, "guess"),
        "signature of another": good.rsplit(".", 1)[0]
        + "."
        + sessions.issue_jwt(ada).access_token.rsplit(".", 1)[1],
        "deep": "." * 500,
    }
    assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {good}"}).status_code == 200
    for name, token in forged.items():
        assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401, (
            name
        )


def test_token_of_a_deleted_user_is_refused(client: TestClient, ada: User, bob: User) -> None:
    headers = signed_in(bob)
    with writing() as session:
        session.delete(session.get(UserRow, bob.id))
    assert client.get("/api/auth/me", headers=headers).status_code == 401


def test_token_counts_only_in_the_header(client: TestClient, ada: User) -> None:
    token = sessions.issue_jwt(ada).access_token
    assert client.get(f"/api/auth/me?access_token={token}&token={token}").status_code == 401
    client.cookies.set("access_token", token)
    client.cookies.set(sessions.COOKIE, sessions.claim_ticket(sessions.issue_ticket(ada)))
    assert client.get("/api/auth/me").status_code == 401


def test_logout_ends_this_token_only(client: TestClient, ada: User) -> None:
    one, other = signed_in(ada), signed_in(ada)
    assert client.post("/api/auth/logout", headers=one).status_code == 204
    assert client.get("/api/auth/me", headers=one).status_code == 401
    assert client.post("/api/auth/logout", headers=one).status_code == 401
    assert client.get("/api/auth/me", headers=other).status_code == 200


def test_signing_out_everywhere_ends_every_token_before_and_none_after(client: TestClient, ada: User) -> None:
    before = signed_in(ada)
    sessions.end_all(ada)
    assert client.get("/api/auth/me", headers=before).status_code == 401
    assert client.get("/api/auth/me", headers=signed_in(ada)).status_code == 200


def test_secret_is_made_once_and_kept_private(client: TestClient, data_dir: Path) -> None:
    register(client)
    secret = data_dir / "secrets" / "jwt"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.parent.stat().st_mode & 0o777 == 0o700
    assert len(secret.read_text().strip()) >= 43
