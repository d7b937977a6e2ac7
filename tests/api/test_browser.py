"""What the pages' scripts fetch with the cookie: sign-in and sign-out,
uploads, downloads; the gate before Streamlit's files."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import clock, storage, uploads
from core.config import settings
from core.people import sessions, users
from core.people.users import AccountChange, User
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


def test_cookie_is_secure_behind_a_tls_proxy(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_TRUSTED_PROXIES", "10.1.1.1")
    settings.cache_clear()
    answer = client.post(
        "/session/claim",
        json={"ticket": sessions.issue_ticket(ada)},
        headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "9.9.9.9"},
    )
    assert "Secure" in answer.headers["Set-Cookie"]


def test_ticket_counts_once_and_for_thirty_seconds(
    client: TestClient, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    users.change(ada, AccountChange(old_password=PASSWORD, password="another good one"), keep_cookie=here)
    assert sessions.user_for(here) == ada
    assert sessions.user_for(there) is None


def begin(browser: TestClient, **more: Any) -> dict[str, Any]:
    answer = browser.post("/uploads", json={"filename": "a.csv", "size_bytes": len(CSV)} | more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


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
    [
        ("POST", "/session/claim"),
        ("POST", "/session/end"),
        ("POST", "/uploads"),
        ("PUT", "/uploads/ID?offset=0"),
        ("DELETE", "/uploads/ID"),
    ],
)
def test_other_sites_cannot_write(
    browser: TestClient, ada: User, method: str, path: str, headers: dict[str, str]
) -> None:
    upload = begin(browser)
    answer = browser.request(method, path.replace("ID", upload["id"]), content=CSV, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    assert sessions.user_for(browser.cookies[sessions.COOKIE]) is not None
    assert [(kept.id, kept.received_bytes) for kept in uploads.list_uploads(ada)] == [(upload["id"], 0)]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}],
)
def test_own_pages_can(client: TestClient, ada: User, headers: dict[str, str]) -> None:
    answer = client.post("/session/claim", json={"ticket": sessions.issue_ticket(ada)}, headers=headers)
    assert answer.status_code == 204


@pytest.mark.parametrize(
    "path", ["/media/abc.png", "/media/", "/_stcore/upload_file/a/b", "/_stcore/metrics"]
)
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
    ("method", "path"),
    [
        ("POST", "/uploads"),
        ("PUT", "/uploads/upl_x?offset=0"),
        ("GET", "/uploads/upl_x"),
        ("GET", "/download/ds_x"),
        ("GET", "/download/job/ftj_x/log"),
    ],
)
def test_files_need_a_session(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, content=CSV)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


def test_file_arrives_in_pieces(browser: TestClient, ada: User) -> None:
    upload = begin(browser, filename="Fragen & Antworten.csv", fingerprint="f")
    assert (upload["state"], upload["received_bytes"], upload["size_bytes"]) == ("receiving", 0, len(CSV))
    answer = browser.put(f"/uploads/{upload['id']}?offset=0", content=CSV[:9])
    assert (answer.status_code, answer.json()["received_bytes"]) == (200, 9)
    again = begin(browser, filename="Fragen & Antworten.csv", fingerprint="f")
    assert (again["id"], again["received_bytes"]) == (upload["id"], 9)
    assert browser.get(f"/uploads/{upload['id']}").json()["received_bytes"] == 9
    done = browser.put(f"/uploads/{upload['id']}?offset=9", content=iter([CSV[9:20], CSV[20:]])).json()
    assert (done["state"], done["sha256"]) == ("received", hashlib.sha256(CSV).hexdigest())
    assert storage.upload_path(upload["id"]).read_bytes() == CSV
    assert browser.delete(f"/uploads/{upload['id']}").status_code == 204
    assert browser.get(f"/uploads/{upload['id']}").status_code == 404
    assert uploads.list_uploads(ada) == []


def test_piece_at_the_wrong_place_is_told_the_right_one(browser: TestClient) -> None:
    upload = begin(browser)
    answer = browser.put(f"/uploads/{upload['id']}?offset=3", content=CSV)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "offset=0" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"filename": "a.csv", "size_bytes": 0}, 422),
        ({"filename": "a.csv", "size_bytes": "x"}, 422),
        ({"filename": "a.csv", "size_bytes": -1}, 422),
        ({"filename": "a.csv"}, 422),
        ({"size_bytes": 1}, 422),
        ({"filename": "a.csv", "size_bytes": 10**12}, 413),
        ({"filename": "a.exe", "size_bytes": 1}, 415),
        ({"filename": "a.csv", "size_bytes": 1, "dataset_id": "ds_x"}, 404),
        ([], 400),
    ],
)
def test_refused_upload_says_why_and_leaves_nothing(
    browser: TestClient, ada: User, body: Any, status: int
) -> None:
    answer = browser.post("/uploads", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert uploads.list_uploads(ada) == []


@pytest.mark.parametrize("offset", ["", "x", "-1", "1.5"])
def test_offset_must_be_a_number(browser: TestClient, offset: str) -> None:
    assert browser.put(f"/uploads/{begin(browser)['id']}?offset={offset}", content=CSV).status_code == 422


def test_full_disk_is_told_before_anything_is_read(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(browser)
    monkeypatch.setenv("LUTHIER_DISK_RESERVE_MB", "1000000000")
    settings.cache_clear()
    assert browser.post("/uploads", json={"filename": "a.csv", "size_bytes": 5}).status_code == 503
    assert browser.put(f"/uploads/{upload['id']}?offset=0", content=CSV).status_code == 503


@pytest.mark.parametrize("form", ["original", "parquet", "csv", "jsonl"])
def test_every_form_is_an_attachment(browser: TestClient, ada: User, form: str) -> None:
    dataset_id = make_dataset(ada, [{"q": "a", "p": "b"}]).dataset_id
    answer = browser.get(f"/download/{dataset_id}?as={form}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "text/html" not in answer.headers["Content-Type"]
    assert answer.content
    assert browser.head(f"/download/{dataset_id}?as={form}").status_code == 200


@pytest.mark.parametrize(
    ("query", "status"), [("as=exe", 422), ("version=0", 422), ("version=x", 422), ("version=9", 404)]
)
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
