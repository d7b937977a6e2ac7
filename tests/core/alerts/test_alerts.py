"""Alerts reach their owner: in the app once, by webhook at least once,
signed, and never a host that this server must not call."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core import alerts
from core.alerts import AlertList, delivering, webhooks
from core.alerts.webhooks import NewWebhook, sign
from core.clock import now
from core.config import settings
from core.db import reading, writing
from core.errors import NotFound, ValidationError
from core.fields import parse
from core.people.users import User
from core.tables import AlertRow, JobRow

MakeJob = Callable[..., JobRow]


class Receiver(BaseHTTPRequestHandler):
    """What was posted, and answers as told."""

    got: list[tuple[dict[str, str], bytes]] = []
    answers: list[int] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((dict(self.headers), body))
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:  # never ends its headers
            for _ in range(100):
                self.wfile.write(b"H")
                time.sleep(0.1)
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in the own network that the admin has listed."""
    Receiver.got, Receiver.answers = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LUTHIER_WEBHOOK_HOSTS", f"127.0.0.1:{server.server_port}")
    settings.cache_clear()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()


@pytest.fixture
def job(ada: User, make_job: MakeJob) -> JobRow:
    return make_job(ada, name="support-bot")


def tell(job: JobRow, kind: str = "failed", message: str = "support-bot: It failed.") -> None:
    with writing() as session:
        alerts.note(session, user_id=job.user_id, job_id=job.id, kind=kind, message=message)


def rows() -> list[AlertRow]:
    with reading() as session:
        return list(session.query(AlertRow).order_by(AlertRow.id))


def test_alert_is_unseen_until_its_owner_has_seen_it(ada: User, bob: User, job: JobRow) -> None:
    tell(job)
    tell(job, "paused")
    newest, oldest = alerts.list_alerts(ada).items
    assert (oldest.kind, oldest.job_name, newest.kind) == ("failed", "support-bot", "paused")
    assert alerts.count_unseen(ada) == 2
    assert alerts.mark_seen(ada, oldest.id).seen_at is not None
    assert [a.id for a in alerts.list_alerts(ada, AlertList(unseen=True)).items] == [newest.id]
    assert [a.id for a in alerts.newest(ada, after=oldest.id)] == [newest.id]
    assert (alerts.count_unseen(bob), alerts.list_alerts(bob).total, alerts.mark_all_seen(bob)) == (0, 0, 0)
    assert alerts.mark_all_seen(ada) == 1
    assert alerts.count_unseen(ada) == 0


@pytest.mark.parametrize("alert_id", ["alr_1", "alr_x", "1", "alr_", "alr_99999999999999999999", "alr_²"])
def test_another_users_alert_looks_missing(bob: User, job: JobRow, alert_id: str) -> None:
    tell(job)
    with pytest.raises(NotFound):
        alerts.mark_seen(bob, alert_id)


def test_alert_is_sent_signed_and_once(ada: User, job: JobRow, receiver: str) -> None:
    hook = webhooks.put(ada, NewWebhook(url=receiver))
    tell(job)
    assert delivering.deliver_due() == 1
    assert delivering.deliver_due() == 0
    [(headers, body)] = Receiver.got
    assert headers["X-Luthier-Signature"] == sign(hook.secret, body)
    sent = json.loads(body)
    assert (sent["kind"], sent["job"]["id"], sent["message"]) == ("failed", job.id, "support-bot: It failed.")
    assert rows()[0].delivery == "sent"


def test_only_the_chosen_kinds_are_sent(ada: User, job: JobRow, receiver: str) -> None:
    tell(job)
    webhooks.put(ada, NewWebhook(url=receiver, kinds=["nan"]))
    tell(job, "failed")
    tell(job, "nan")
    assert [row.delivery for row in rows()] == ["none", "none", "waiting"]


def test_failed_delivery_is_tried_again_later_and_at_last_given_up(
    ada: User, job: JobRow, receiver: str
) -> None:
    webhooks.put(ada, NewWebhook(url=receiver))
    tell(job)
    at = now()
    Receiver.answers = [500] * 10
    assert delivering.deliver_due(at) == 1
    assert delivering.deliver_due(at + timedelta(seconds=5)) == 0
    for tries in range(2, 7):
        at += timedelta(hours=3)
        assert delivering.deliver_due(at) == 1
        assert rows()[0].delivery_attempts == tries
    assert (rows()[0].delivery, len(Receiver.got)) == ("failed", 6)
    assert delivering.deliver_due(at + timedelta(days=9)) == 0
    assert "500" in (webhooks.get(ada).last_error or "")


def test_failed_alert_does_not_hold_up_a_newer_one(ada: User, job: JobRow, receiver: str) -> None:
    webhooks.put(ada, NewWebhook(url=receiver))
    tell(job)
    Receiver.answers = [500]
    delivering.deliver_due()
    tell(job, "paused")
    assert delivering.deliver_due() == 1
    assert [row.delivery for row in rows()] == ["waiting", "sent"]


def test_redirect_is_a_failure_and_not_followed(ada: User, receiver: str) -> None:
    webhooks.put(ada, NewWebhook(url=receiver))
    Receiver.answers = [302]
    result = webhooks.send_test(ada)
    assert (result.ok, result.status, len(Receiver.got)) == (False, 302, 1)


def test_drip_of_bytes_ends_in_time(ada: User, receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 0.5)
    webhooks.put(ada, NewWebhook(url=receiver))
    Receiver.answers = [0]
    began = time.monotonic()
    assert not webhooks.send_test(ada).ok
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://example.com:8443/",
        "ftp://example.com/",
        "https://me:pw@example.com/",
        "http://127.0.0.1/",
        "x",
    ],
)
def test_address_that_may_not_be_called_is_refused_at_once(ada: User, url: str) -> None:
    with pytest.raises(ValidationError):
        webhooks.put(ada, parse(NewWebhook, url=url))


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "192.168.1.1", "::1", "::ffff:10.0.0.1"]
)
def test_public_name_of_a_private_host_is_never_called(
    ada: User, ip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_a, **_k: [(family, socket.SOCK_STREAM, 6, "", (ip, 443))]
    )
    monkeypatch.setattr(socket, "create_connection", lambda *_a, **_k: pytest.fail("a connection was opened"))
    webhooks.put(ada, NewWebhook(url="https://hooks.example/x"))
    result = webhooks.send_test(ada)
    assert not result.ok
    assert "private" in (result.error or "")


def test_removed_webhook_sends_nothing_that_waited(ada: User, bob: User, job: JobRow, receiver: str) -> None:
    webhooks.put(ada, NewWebhook(url=receiver))
    tell(job)
    webhooks.remove(ada)
    assert delivering.deliver_due() == 0
    assert Receiver.got == []
    for user in (ada, bob):
        with pytest.raises(NotFound):
            webhooks.get(user)


def test_changing_the_address_keeps_the_secret(ada: User, receiver: str) -> None:
    first = webhooks.put(ada, NewWebhook(url=receiver))
    assert webhooks.put(ada, NewWebhook(url=receiver + "2", kinds=["nan"])).secret == first.secret
    with pytest.raises(ValidationError):
        webhooks.put(ada, NewWebhook(url=receiver, kinds=[]))
