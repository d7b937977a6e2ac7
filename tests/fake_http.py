"""A provider over HTTP for tests, and the server it asks: a real one, which counts its requests and fails as
it is told.

The provider is what README's "How to add" says: one file with one class. Its server says the last message
again, word by word, in the events that OpenAI's API and its likenesses send.
"""

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from core.db import writing
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import Delta, Finish, Generation, Usage
from core.providers.over_http import HttpProvider
from core.security import new_id
from core.tables import ModelRow

NAME = "fake_http"
KEY = "sk-the-servers-own"


class FakeHttp(HttpProvider):
    """A server that speaks the streamed half of ``/v1/chat/completions``."""

    name = NAME
    title = "Faraway"
    connect_seconds = 2.0
    silence_seconds = 20.0

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address

    def build(self, request: Generation) -> httpx.Request:
        body = {
            "model": request.model.name,
            "messages": list(request.messages),
            "stream": True,
            **request.parameters,
        }
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.Request("POST", f"{self.address}/chat/completions", json=body, headers=headers)

    def read(self, lines: Iterator[str]) -> Iterator[Delta | Finish]:
        reason, usage = "stop", Usage()
        for line in lines:
            if line == "data: [DONE]":
                yield Finish(reason, usage)  # type: ignore[arg-type]
                return
            if line.startswith("data: "):
                chunk = json.loads(line.removeprefix("data: "))
                if counts := chunk.get("usage"):
                    usage = Usage(counts["prompt_tokens"], counts["completion_tokens"])
                for choice in chunk["choices"]:
                    reason = choice["finish_reason"] or reason
                    yield Delta(choice["delta"].get("content") or "")


@dataclass(frozen=True)
class Request:
    """One that arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Upstream:
    """The other server: what it was asked, and how it answers from now on.

    ``status``: other than 200 is an error that says ``complaint``. ``broken_after``: the connection ends
    after so many words; ``ends_early``: the answer ends there, in good order. ``held_after``: after so many
    words, or with -1 before the headers, it says nothing until ``let_go`` is set. ``nonsense``: sends what is
    no event.
    """

    address: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    hung_up: int = 0  # answers whose reader left before they were whole
    status: int = 200
    complaint: str = "It is what it is."
    broken_after: int | None = None
    ends_early: bool = False
    held_after: int | None = None
    nonsense: bool = False
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def count(self) -> int:
        """How many requests arrived."""
        return len(self.requests)


@contextmanager
def upstream() -> Iterator[Upstream]:
    """A server of its own for this test; its provider is in ``PROVIDERS`` meanwhile."""
    state = Upstream()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    provider = FakeHttp(state.address)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(PROVIDERS, NAME, provider)
            yield state
    finally:
        state.let_go.set()
        provider.stop()
        server.shutdown()
        server.server_close()


def make_external(user: User, name: str = "far-1", **fields: Any) -> str:
    """A model of the user's that the other server answers for; returns its id."""
    values = {"id": new_id("mdl"), "owner_id": user.id, "name": name, "type": "external", "provider": NAME}
    with writing() as session:
        row = ModelRow(**{**values, **fields})
        session.add(row)
        session.flush()
        return row.id


class _Handler(BaseHTTPRequestHandler):
    state: Upstream
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.state.connections += 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.requests.append(Request(self.path, dict(self.headers), body))
        try:
            self._answer(body)
        except (_Gone, OSError):
            self.state.hung_up += 1
            self.close_connection = True

    def _answer(self, body: dict[str, Any]) -> None:
        if self.state.held_after == -1:
            self._hold()
        if self.state.status != 200:
            self._complain()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        words = body["messages"][-1]["content"].split(" ")
        for number, word in enumerate(words):
            if number == self.state.held_after:
                self._hold()
            if number == self.state.broken_after:
                self._break()
                return
            self._event(word if number == 0 else f" {word}")
        asked = sum(len(message["content"].split(" ")) for message in body["messages"])
        usage = {"prompt_tokens": asked, "completion_tokens": len(words)}
        self._send(_data({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
        self._send(_data({"choices": [], "usage": usage}) + "data: [DONE]\n\n")
        self._send("")

    def _event(self, text: str) -> None:
        chunk = {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
        self._send("data: {nonsense\n\n" if self.state.nonsense else _data(chunk))

    def _break(self) -> None:
        if self.state.ends_early:
            self._send("")
        self.close_connection = True

    def _complain(self) -> None:
        body = json.dumps({"error": {"message": self.state.complaint}}).encode()
        self.send_response(self.state.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def _hold(self) -> None:
        while not self.state.let_go.wait(0.01):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise _Gone

    def _send(self, text: str) -> None:
        """One chunk; the empty one ends the answer."""
        sent = text.encode()
        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None: ...


class _Gone(Exception):
    """Nobody reads any more."""


def _data(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
