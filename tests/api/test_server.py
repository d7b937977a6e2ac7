"""The real server: ``streamlit run app.py`` in its own process. Signals, the gate, proxies, small answers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets import Origin, Subprotocol
from websockets.sync.client import connect

from core.config import ROOT
from core.server.page_policy import FILE, PAGE
from tests.waiting import wait_until

PASSWORD = "correct horse battery"
START_SECONDS = 90
PATIENCE = 60  # seconds for one answer: a busy machine may take longer than httpx waits by itself
pytestmark = pytest.mark.slow


def ask(method: str, url: str, **request: Any) -> httpx.Response:
    return httpx.request(method, url, timeout=PATIENCE, **request)


class Server:
    def __init__(self, folder: Path) -> None:
        self.data_dir, self.log, self.port = folder / "data", folder / "log.txt", _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            "-m",
            "streamlit",
            "run",
            str(ROOT / "app.py"),
            "--server.port",
            str(self.port),
            "--server.address",
            "127.0.0.1",
        ]
        environment = {**os.environ, "LUTHIER_DATA_DIR": str(self.data_dir), "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> "Server":
        def is_healthy() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return ask("GET", f"{self.url}/healthz").status_code == 200
            return False

        wait_until(is_healthy, seconds=START_SECONDS, told=self.log.read_text)
        return self

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> float:
        """SIGTERM; the seconds until it is gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """One for all tests of this file; the last test stops it."""
    running = Server(folder).wait()
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    registered = ask(
        "POST", f"{server.url}/api/auth/register", json={"email": "ada@example.com", "password": PASSWORD}
    )
    headers = {"Authorization": f"Bearer {registered.json()['access_token']}"}
    made: str = ask("POST", f"{server.url}/api/apikeys", json={"name": "test"}, headers=headers).json()["key"]
    return made


def test_first_requests_without_a_cookie_get_no_data(server: Server) -> None:
    """Directly after the start: no page script may run for them outside the sign-in gate."""
    for page in (
        "datasets",
        "dataset?id=ds_x",
        "sql",
        "chat",
        "models",
        "model",
        "fine_tuning",
        "job",
        "api_keys",
        "usage",
        "settings",
        "admin",
    ):
        answer = ask("GET", f"{server.url}/{page}")
        assert answer.status_code == 200
        # Streamlit's empty shell; what it shows comes over the websocket
        assert '<div id="root">' in answer.text
    for path in ("/media/abc.png", "/_stcore/upload_file/a/b", "/_stcore/metrics", "/download/ds_x"):
        assert ask("GET", server.url + path).status_code == 401
    for path in ("/api/datasets", "/v1/models"):
        assert ask("GET", server.url + path).status_code == 401
    assert ask("PUT", f"{server.url}/_stcore/upload_file/session/file").status_code == 401
    assert (
        ask("POST", f"{server.url}/uploads", json={"filename": "a.csv", "size_bytes": 4}).status_code == 401
    )
    for path in ("/healthz", "/health"):
        assert ask("GET", server.url + path).status_code == 200


def test_api_without_a_slash_is_not_the_page(server: Server) -> None:
    for path in ("/api", "/v1"):
        answer = ask("GET", server.url + path)
        assert answer.status_code == 404
        assert "error" in answer.json()


def test_streamlits_pages_have_the_policy(server: Server) -> None:
    """The index, deep links, and what a browser that has it already is told."""
    kept = ask("GET", f"{server.url}/").headers["ETag"]
    for path in ("/", "/index.html", "/chat?id=chat_x"):
        answer = ask("GET", server.url + path, headers={"If-None-Match": kept} if path == "/" else {})
        assert answer.status_code == (304 if path == "/" else 200)
        assert answer.headers["Content-Security-Policy"] == PAGE, path
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["X-DNS-Prefetch-Control"] == "off"
    assert ask("GET", f"{server.url}/favicon.png").headers["Content-Security-Policy"] == FILE


def test_docs_need_no_network(server: Server) -> None:
    page = ask("GET", f"{server.url}/api/docs").text
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert f"/api/docs/{asset}" in page
        assert ask("GET", f"{server.url}/api/docs/{asset}").status_code == 200
    described = ask("GET", f"{server.url}/api/openapi.json").json()
    assert "/chats" in described["paths"]


def test_loopback_is_no_trusted_proxy(server: Server, key: str) -> None:
    """uvicorn would believe X-Forwarded-For from 127.0.0.1,
    and throttling would count an address that the guesser chooses."""
    guesses = [
        ask(
            "POST",
            f"{server.url}/api/auth/login",
            json={"email": "victim@example.com", "password": "not the password"},
            headers={"X-Forwarded-For": f"9.9.9.{i}"},
        ).status_code
        for i in range(6)
    ]
    assert guesses == [401] * 5 + [429]


def test_head_has_no_body(server: Server, key: str) -> None:
    answer = ask("HEAD", f"{server.url}/v1/models", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 2


def test_small_answers_are_sent_at_once(server: Server) -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms."""
    with httpx.Client(timeout=PATIENCE) as client:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            client.get(f"{server.url}/healthz")
            took.append(time.perf_counter() - began)
    assert sorted(took)[5] < 0.03


def test_the_refusal_of_a_large_body_arrives(server: Server, key: str) -> None:
    """Also at a program that reads nothing before it has sent everything, and then closes."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", b"x" * 30_000_000, headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=PATIENCE)
    assert caught.value.code == 413
    assert json.loads(caught.value.read())["error"]["message"]


def test_log_is_json_without_secrets(server: Server, key: str) -> None:
    ask(
        "GET",
        f"{server.url}/v1/models?api_key={key}",
        headers={"Authorization": f"Bearer {key}", "Cookie": f"luthier_session={key}"},
    )
    wait_until(lambda: any(line.get("path") == "/v1/models" for line in server.lines()))
    requests = [line for line in server.lines() if "status" in line]
    assert all(
        line.keys() == {"time", "request_id", "user", "method", "path", "status", "ms"} for line in requests
    )
    text = server.log.read_text()
    for secret in (key, PASSWORD, "eyJ"):
        assert secret not in text


def test_sigterm_with_open_streams_ends_within_three_seconds(server: Server, key: str) -> None:
    """And a request that is still sending its body, and a websocket of a page."""
    ended: list[str] = []

    def stream() -> None:
        body = {
            "model": "luthier-starter",
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
        }
        headers = {"Authorization": f"Bearer {key}"}
        with contextlib.suppress(httpx.TransportError):
            ended.append(ask("POST", f"{server.url}/v1/chat/completions", json=body, headers=headers).text)

    threads = [threading.Thread(target=stream, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    page = connect(
        f"ws://127.0.0.1:{server.port}/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        origin=Origin(server.url),
    )
    with page, socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(
            b"POST /api/auth/login HTTP/1.1\r\n"
            b"Host: x\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 1000\r\n"
            b"\r\n"
            b"{"
        )
        wait_until(lambda: connections(server) >= len(threads) + 2, told=lambda: "not all are under way")
        took = server.stop()
        refused = half.recv(10_000).decode()
    assert took < 3
    assert refused.startswith("HTTP/1.1 503 ")
    assert '"code": "unavailable", "message": "The server is stopping.' in refused
    for thread in threads:
        thread.join(5)
    assert any(line.get("message") == "Luthier has stopped" for line in server.lines())


def connections(server: Server) -> int:
    """How many the server has accepted."""
    listed = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == server.port for one in listed)


def test_stopped_server_left_a_database_that_starts_again(folder: Path, server: Server, key: str) -> None:
    again = Server(folder).wait()
    try:
        assert (
            ask("GET", f"{again.url}/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code
            == 200
        )
        assert again.stop() < 3
    finally:
        again.process.kill()
