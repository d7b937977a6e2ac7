"""What the pages' scripts fetch with the cookie: sign-in and sign-out, uploads, downloads; the gate before Streamlit's files."""

import json
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import clock, sessions, storage, users
from core.config import settings
from core.users import User
from tests.conftest import PASSWORD
from tests.ui.things import make_dataset, make_job

CSV = b"question,answer\nwhere?,here\nwhen?,now\n"


@pytest.fixture
def browser(client: TestClient, ada: User) -> TestClient:
    """Ada's, signed in the way the pages do it."""
    claim(client, ada)
    return client


def claim(client: TestClient, user: User) -> Any:
    return client.post("/session/claim", json={"ticket": sessions.issue_ticket(user)})


def test_ticket_becomes_a_cookie_that_scripts_cannot_read(client: TestClient, ada: User) -> None:
    answer = claim(client, ada)
    assert answer.status_code == 204
    assert answer.headers["Cache-Control"] == "no-store"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("luthier_session=")
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=1209600"):
        assert part in cookie
    assert "Secure" not in cookie
    assert sessions.user_for(client.cookies[sessions.COOKIE]) == ada


def test_cookie_is_secure_over_https(client: TestClient, ada: User) -> None:
    over_tls = TestClient(client.app, base_url="https://luthier.example.com")
    assert "Secure" in claim(over_tls, ada).headers["Set-Cookie"]


def test_cookie_is_secure_behind_a_tls_proxy(client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_TRUSTED_PROXIES", "10.1.1.1")
    settings.cache_clear()
    answer = client.post(
        "/session/claim",
        json={"ticket": sessions.issue_ticket(ada)},
        headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"},
    )
    assert "Secure" in answer.headers["Set-Cookie"]


def test_ticket_counts_once_and_for_thirty_seconds(client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, late = sessions.issue_ticket(ada), sessions.issue_ticket(ada)
    assert client.post("/session/claim", json={"ticket": ticket}).status_code == 204
    assert client.post("/session/claim", json={"ticket": ticket}).status_code == 401
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(seconds=31))
    assert client.post("/session/claim", json={"ticket": late}).status_code == 401


@pytest.mark.parametrize("body", [{}, {"ticket": None}, {"ticket": ""}, {"ticket": "x" * 1000}, [], "x"])
def test_wrong_ticket_opens_nothing(client: TestClient, ada: User, body: Any) -> None:
    answer = client.post("/session/claim", json=body)
    assert answer.status_code in (400, 401)
    assert "set-cookie" not in answer.headers


def test_signing_out_ends_the_session_on_the_server(browser: TestClient) -> None:
    token = browser.cookies[sessions.COOKIE]
    answer = browser.post("/session/end")
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert sessions.user_for(token) is None
    replayed = browser.get("/download/ds_x", headers={"Cookie": f"{sessions.COOKIE}={token}"})
    assert replayed.status_code == 401


def test_session_ends_with_its_days(client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(client, ada)
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=15))
    assert sessions.user_for(client.cookies[sessions.COOKIE]) is None


def test_changing_the_password_ends_the_other_sessions(client: TestClient, ada: User) -> None:
    here, there = (sessions.claim_ticket(sessions.issue_ticket(ada)) for _ in range(2))
    users.change_password(ada, old=PASSWORD, new="another good one", keep=here)
    assert sessions.user_for(here) == ada
    assert sessions.user_for(there) is None


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example.com"},
    {"Origin": "null"},
    {"Origin": "http://testserver.evil.com"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/session/claim"), ("POST", "/session/end"), ("POST", "/upload?name=a.csv"), ("PUT", "/upload?name=a.csv")],
)
def test_other_sites_cannot_write(browser: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    answer = browser.request(method, path, content=CSV, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    assert sessions.user_for(browser.cookies[sessions.COOKIE]) is not None
    assert list(storage.staging_dir().iterdir()) == []


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]
)
def test_own_pages_can(client: TestClient, ada: User, headers: dict[str, str]) -> None:
    answer = client.post("/session/claim", json={"ticket": sessions.issue_ticket(ada)}, headers=headers)
    assert answer.status_code == 204


@pytest.mark.parametrize("path", ["/media/abc.png", "/media/", "/_stcore/upload_file/a/b", "/_stcore/metrics"])
def test_streamlits_files_need_a_live_session(client: TestClient, ada: User, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.put(path, content=b"x").status_code == 401
    client.cookies.set(sessions.COOKIE, "guess")
    assert client.get(path).status_code == 401
    client.cookies.clear()
    claim(client, ada)
    assert client.get(path).text == "streamlit"
    sessions.end_all(ada)
    assert client.get(path).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/upload?name=a.csv"), ("GET", "/download/ds_x"), ("GET", "/download/job/ftj_x/log")]
)
def test_files_need_a_session(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, content=CSV)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_raw_body_becomes_a_dataset(browser: TestClient, method: str) -> None:
    answer = browser.request(method, "/upload", params={"name": "Fragen & Antworten.csv"}, content=CSV)
    assert answer.status_code == 201
    made = answer.json()
    assert made.keys() == {"dataset_id", "version_id", "status"}
    assert made["status"] == "ready"
    download = browser.get(f"/download/{made['dataset_id']}")
    assert download.content == CSV
    assert download.headers["Content-Disposition"].startswith("attachment")
    assert "filename*=UTF-8''Fragen%20%26%20Antworten.csv" in download.headers["Content-Disposition"]


def test_upload_can_be_a_version_with_options(browser: TestClient) -> None:
    made = browser.post("/upload", params={"name": "a.csv"}, content=CSV).json()
    more = {"name": "a.csv", "dataset_id": made["dataset_id"], "options": json.dumps({"delimiter": ";"})}
    again = browser.post("/upload", params=more, content=b"question;answer\na,b;c\n").json()
    assert again["dataset_id"] == made["dataset_id"]
    assert browser.get(f"/download/{made['dataset_id']}?version=2&as=jsonl").json() == {"question": "a,b", "answer": "c"}
    assert browser.get(f"/download/{made['dataset_id']}?version=1").content == CSV


@pytest.mark.parametrize(
    ("params", "body", "status"),
    [
        ({"name": "a.csv"}, b"", 422),
        ({"name": "a.exe"}, CSV, 415),
        ({"name": "a.parquet"}, CSV, 422),
        ({"name": "a.csv", "options": "{"}, CSV, 422),
        ({"name": "a.csv", "options": "[]"}, CSV, 422),
        ({"name": "a.csv", "options": '{"delimiter": ";;"}'}, CSV, 422),
        ({"name": "a.csv", "dataset_id": "ds_x"}, CSV, 404),
        ({}, CSV, 415),
    ],
)
def test_refused_upload_says_why_and_leaves_nothing(browser: TestClient, params: dict[str, str], body: bytes, status: int) -> None:
    answer = browser.post("/upload", params=params, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert list(storage.staging_dir().iterdir()) == []
    assert not list((settings().data_dir / "datasets").glob("*"))


def test_too_large_upload_is_refused(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    settings.cache_clear()
    for body in (b"x" * (2 * 2**20 + 1), iter([b"x" * 2**19] * 3)):
        answer = browser.post("/upload", params={"name": "a.csv"}, content=body)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too_large"
    assert list(storage.staging_dir().iterdir()) == []


def test_full_disk_is_told_before_anything_is_read(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_DISK_RESERVE_MB", "1000000000")
    settings.cache_clear()
    assert browser.post("/upload", params={"name": "a.csv"}, content=CSV).status_code == 503


@pytest.mark.parametrize("form", ["original", "parquet", "csv", "jsonl"])
def test_every_form_is_an_attachment(browser: TestClient, ada: User, form: str) -> None:
    dataset_id = make_dataset(ada, [{"q": "a", "p": "b"}]).dataset_id
    answer = browser.get(f"/download/{dataset_id}?as={form}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "text/html" not in answer.headers["Content-Type"]
    assert answer.content
    assert browser.head(f"/download/{dataset_id}?as={form}").status_code == 200


@pytest.mark.parametrize(("query", "status"), [("as=exe", 422), ("version=0", 422), ("version=x", 422), ("version=9", 404)])
def test_broken_download_queries(browser: TestClient, ada: User, query: str, status: int) -> None:
    dataset_id = make_dataset(ada, [{"q": "a"}]).dataset_id
    assert browser.get(f"/download/{dataset_id}?{query}").status_code == status


def test_log_of_a_job_is_a_text_file(browser: TestClient, ada: User) -> None:
    job_id = make_job(ada)
    assert browser.get(f"/download/job/{job_id}/log").content == b""
    storage.job_dir(job_id).mkdir(parents=True)
    (storage.job_dir(job_id) / "log.txt").write_bytes(b"step 1\n")
    answer = browser.get(f"/download/job/{job_id}/log")
    assert (answer.content, answer.headers["Content-Type"].split(";")[0]) == (b"step 1\n", "text/plain")
