"""What is seen of a training over ``/api``: samples, hardest rows,
curves in a range, the log; notes; alerts and their webhook."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from core import storage
from core.config import settings
from core.db import writing
from core.jobs import notes, row_files
from core.people.users import User
from core.training.method import AnswerSample, RowLosses
from tests.api.conftest import Caller, error_of, fields_of
from tests.ui.things import add_points, make_alert, make_dataset, make_job


@pytest.fixture
def job_id(ada: User) -> str:
    """Ended, on five rows, with answers of two steps, the losses
    of three rows, curves of 50 steps and a log of three lines."""
    version = make_dataset(ada, [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(1, 6)])
    job_id = make_job(ada, "succeeded", dataset_id=version.dataset_id, dataset_version_id=version.id)
    add_points(job_id)
    with writing() as session:
        for step in (10, 20):
            worst = AnswerSample("worst", "p3", f"wrong at {step}", expected="c3", line=3, loss=4.5)
            notes.note_samples(
                session, job_id, step, [worst, AnswerSample("fixed", "Who?", f"at {step}", expected="c1")]
            )
    losses = np.array([0.5, 3.0, np.nan, 1.5], np.float32)
    row_files.write(job_id, RowLosses("train", np.array([1, 2, 3, 4]), losses, losses + 1, np.full(4, 7), 20))
    (storage.job_dir(job_id) / "log.txt").write_text("step 1\nSaved.\nSTEP 2 <b>\n")
    return job_id


def test_samples_are_by_step_with_fixed_prompts_first(as_ada: Caller, job_id: str) -> None:
    seen = as_ada.get(f"/api/finetune/{job_id}/samples").json()
    assert [(s["step"], s["kind"], s["answer"]) for s in seen["items"]] == [
        (10, "fixed", "at 10"),
        (10, "worst", "wrong at 10"),
        (20, "fixed", "at 20"),
        (20, "worst", "wrong at 20"),
    ]
    worst = seen["items"][1]
    assert (worst["prompt"], worst["expected"], worst["line"], worst["loss"], worst["position"]) == (
        "p3",
        "c3",
        3,
        4.5,
        0,
    )
    narrowed = as_ada.get(f"/api/finetune/{job_id}/samples?step=20&kind=fixed").json()
    assert ([s["answer"] for s in narrowed["items"]], narrowed["total"]) == (["at 20"], 1)
    assert as_ada.get(f"/api/finetune/{job_id}/samples?sort=-step&limit=1").json()["items"][0]["step"] == 20


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("samples?kind=best", "kind"),
        ("samples?step=soon", "step"),
        ("samples?limit=101", "limit"),
        ("rows?split=test", "split"),
        ("rows?limit=0", "limit"),
        ("rows?offset=-1", "offset"),
        ("metrics?from_step=-1", "from_step"),
        ("metrics?to_step=x", "to_step"),
        ("metrics?max_points=9", "max_points"),
        ("logs?tail=0", "tail"),
        (f"logs?q={'x' * 201}", "q"),
    ],
)
def test_what_means_nothing_is_refused_by_field(as_ada: Caller, job_id: str, path: str, field: str) -> None:
    assert fields_of(as_ada.get(f"/api/finetune/{job_id}/{path}")) == {field}


def test_hardest_rows_come_first_with_their_text(as_ada: Caller, job_id: str) -> None:
    seen = as_ada.get(f"/api/finetune/{job_id}/rows").json()
    assert [(row["line"], row["loss"], row["first"]) for row in seen["items"]] == [
        (2, 3.0, 4.0),
        (4, 1.5, 2.5),
        (1, 0.5, 1.5),
    ]
    assert seen["total"] == 3, "a row that was not seen yet has no place"
    assert seen["items"][0]["data"] == {"prompt": "p2", "completion": "c2"}
    assert (seen["items"][0]["tokens"], seen["items"][0]["step"]) == (7, 20)
    page = as_ada.get(f"/api/finetune/{job_id}/rows?limit=1&offset=1").json()
    assert ([row["line"] for row in page["items"]], page["total"]) == ([4], 3)
    assert as_ada.get(f"/api/finetune/{job_id}/rows?split=validation").json()["total"] == 0


def test_rows_of_a_deleted_dataset_keep_their_numbers(as_ada: Caller, job_id: str) -> None:
    dataset_id = as_ada.get(f"/api/finetune/{job_id}").json()["dataset_id"]
    assert as_ada.delete(f"/api/datasets/{dataset_id}").status_code == 204
    items = as_ada.get(f"/api/finetune/{job_id}/rows").json()["items"]
    assert [(row["line"], row["data"]) for row in items] == [(2, None), (4, None), (1, None)]


def test_a_range_of_steps_shows_all_of_it(as_ada: Caller, job_id: str) -> None:
    def steps(query: str, name: str = "train_loss") -> list[int]:
        return [
            step
            for step, _ in as_ada.get(f"/api/finetune/{job_id}/metrics?{query}")
            .json()["series"]
            .get(name, [])
        ]

    assert steps("from_step=10&to_step=20") == list(range(10, 21))
    assert steps("from_step=10&to_step=20", "valid_loss") == [10, 20]
    assert steps("from_step=45") == list(range(45, 51))
    assert steps("to_step=3") == [1, 2, 3]
    assert steps("from_step=51") == []
    thinned = steps("max_points=10")
    assert len(thinned) <= 10
    assert (thinned[0], thinned[-1]) == (1, 50)
    assert len(steps("from_step=10&to_step=20&max_points=11")) == 11, (
        "a part shows more of itself than the whole does"
    )


def test_the_log_is_searched_whatever_the_case(as_ada: Caller, job_id: str) -> None:
    assert as_ada.get(f"/api/finetune/{job_id}/logs").text == "step 1\nSaved.\nSTEP 2 <b>\n"
    found = as_ada.get(f"/api/finetune/{job_id}/logs?q=sTeP")
    assert found.text == "1: step 1\n3: STEP 2 <b>\n"
    assert found.headers["Content-Type"].startswith("text/plain")
    assert as_ada.get(f"/api/finetune/{job_id}/logs?q=step&tail=1").text == "3: STEP 2 <b>\n"
    assert as_ada.get(f"/api/finetune/{job_id}/logs?q=.*").text == "", "a search is literal"


def test_notes_and_tags_change_each_alone(as_ada: Caller, job_id: str) -> None:
    path = f"/api/finetune/{job_id}"
    assert as_ada.patch(path, {"tags": [" base  line ", "ok", "ok"]}).json()["tags"] == ["base line", "ok"]
    assert as_ada.patch(path, {"notes": "First."}).json()["tags"] == ["base line", "ok"]
    job = as_ada.get(path).json()
    assert (job["notes"], job["tags"]) == ("First.", ["base line", "ok"])
    assert [found["id"] for found in as_ada.get("/api/finetune?tag=ok").json()["items"]] == [job_id]
    assert as_ada.get("/api/finetune?tag=o").json()["total"] == 0
    assert as_ada.patch(path, {"tags": [], "notes": ""}).json()["tags"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [({"tags": ["a,b"]}, "tags"), ({"tags": [""]}, "tags"), ({"notes": "x" * 10_001}, "notes")],
)
def test_notes_that_do_not_fit_are_refused(
    as_ada: Caller, job_id: str, body: dict[str, Any], field: str
) -> None:
    assert fields_of(as_ada.patch(f"/api/finetune/{job_id}", body)) == {field}


def test_another_user_sees_and_changes_nothing(as_bob: Caller, job_id: str, ada: User) -> None:
    alert_id = make_alert(ada, job_id)
    for path in ("samples", "rows", "metrics", "logs?q=step"):
        assert as_bob.get(f"/api/finetune/{job_id}/{path}").status_code == 404
    assert as_bob.patch(f"/api/finetune/{job_id}", {"notes": "mine"}).status_code == 404
    assert as_bob.get("/api/alerts").json()["total"] == 0
    assert as_bob.post(f"/api/alerts/{alert_id}/seen").status_code == 404
    assert as_bob.post("/api/alerts/seen").json() == {"count": 0}


def test_alerts_are_listed_newest_first_and_seen_once(as_ada: Caller, ada: User, job_id: str) -> None:
    other = make_job(ada, "failed", name="other")
    old, new = make_alert(ada, job_id, "finished", "support-bot: It is ready."), make_alert(ada, other)
    seen = as_ada.get("/api/alerts").json()
    assert [(a["id"], a["job_name"], a["kind"], a["seen_at"], a["delivery"]) for a in seen["items"]] == [
        (new, "other", "failed", None, "none"),
        (old, "support-bot", "finished", None, "none"),
    ]
    assert [a["id"] for a in as_ada.get(f"/api/alerts?job_id={job_id}").json()["items"]] == [old]
    first = as_ada.post(f"/api/alerts/{new}/seen").json()["seen_at"]
    assert first.endswith("Z")
    assert as_ada.post(f"/api/alerts/{new}/seen").json()["seen_at"] == first
    assert [a["id"] for a in as_ada.get("/api/alerts?unseen=true").json()["items"]] == [old]
    assert [as_ada.post("/api/alerts/seen").json()["count"] for _ in range(2)] == [1, 0]
    assert as_ada.get("/api/alerts").json()["total"] == 2, "seen is not gone"
    for unknown in ("alr_999", "alr_x", "ftj_1"):
        assert as_ada.post(f"/api/alerts/{unknown}/seen").status_code == 404


def test_a_webhook_is_set_changed_and_removed(as_ada: Caller, as_bob: Caller) -> None:
    assert error_of(as_ada.get("/api/webhook"))["code"] == "not_found"
    assert as_ada.post("/api/webhook/test").status_code == 404
    made = as_ada("PUT", "/api/webhook", json={"url": "https://example.com/a"}).json()
    assert made["last_error"] is None
    assert set(made["kinds"]) == {"finished", "failed", "paused", "nan", "diverged", "stalled"}
    changed = as_ada(
        "PUT", "/api/webhook", json={"url": "https://example.com/b", "kinds": ["stalled", "failed"]}
    ).json()
    assert (changed["url"], changed["kinds"], changed["secret"]) == (
        "https://example.com/b",
        ["failed", "stalled"],
        made["secret"],
    )
    assert as_ada.get("/api/webhook").json() == changed
    assert as_bob.get("/api/webhook").status_code == 404
    assert as_ada.delete("/api/webhook").status_code == 204
    assert as_ada.delete("/api/webhook").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://example.com/a"}, "url"),
        ({"url": "https://127.0.0.1:8080/a"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://example.com", "kinds": []}, "kinds"),
        ({"url": "https://example.com", "kinds": ["all"]}, "kinds"),
    ],
)
def test_a_webhook_that_may_not_be_called_is_refused(
    as_ada: Caller, body: dict[str, Any], field: str
) -> None:
    assert {name.split("[")[0] for name in fields_of(as_ada("PUT", "/api/webhook", json=body))} == {field}
    assert as_ada.get("/api/webhook").status_code == 404


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str | None, bytes]]]:
    """(signature, body) of what came to a receiver in the own network, whose address is listed."""
    got: list[tuple[str | None, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(
                (self.headers["X-Luthier-Signature"], self.rfile.read(int(self.headers["Content-Length"])))
            )
            self.send_response(200 if self.path == "/hook" else 410)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LUTHIER_WEBHOOK_HOSTS", f"127.0.0.1:{server.server_port}")
    settings.cache_clear()
    yield got
    server.shutdown()
    server.server_close()


def test_a_test_message_is_sent_and_signed(as_ada: Caller, received: list[tuple[str | None, bytes]]) -> None:
    host = settings().webhook_hosts
    secret = as_ada("PUT", "/api/webhook", json={"url": f"http://{host}/hook"}).json()["secret"]
    assert as_ada.post("/api/webhook/test").json() == {"ok": True, "status": 200, "error": None}
    ((signature, body),) = received
    assert json.loads(body)["type"] == "test"
    assert signature == "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    as_ada("PUT", "/api/webhook", json={"url": f"http://{host}/gone"})
    assert as_ada.post("/api/webhook/test").json() == {
        "ok": False,
        "status": 410,
        "error": "127.0.0.1 answered 410.",
    }
