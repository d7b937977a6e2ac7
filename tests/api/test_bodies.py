"""Bodies that are refused or cut short: whatever is wrong, the client gets to read it."""

import asyncio
import http.client
import json
import random
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request

from core import stopping, uploads
from core.api.uploads import Form, receive_form
from core.config import settings
from core.errors import LuthierError
from core.people.users import User
from core.server import request_body
from core.server.request_body import RequestBody
from core.uploads import NewUpload, receiving
from tests.api.conftest import Caller, error_of, signed_in
from tests.api.live import serving
from tests.waiting import wait_until

LARGE = 12 * 2**20  # more than the system holds back on its way
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def address() -> Iterator[str]:
    with serving() as found:
        yield found


def send_all(address: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """As a program does that closes after one answer, and reads nothing before it has sent everything."""
    request = urllib.request.Request(address + path, data=body, headers=headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    return caught.value.code, json.loads(caught.value.read())["error"]


@pytest.mark.parametrize(
    ("path", "headers", "reserve", "status", "said"),
    [
        ("/api/chats", JSON, "0", 413, "at most 1 MiB"),
        ("/v1/chat/completions", JSON, "0", 401, "key"),
        ("/api/datasets", FORM, "0", 413, "larger than 1 MiB"),
        ("/api/datasets", FORM, str(2**40), 503, "disk is full"),
        ("/api/nothing", FORM, "0", 404, "no such"),
        ("/nothing", FORM, "0", 404, "nothing at this address"),
    ],
)
def test_the_refusal_of_a_large_body_arrives(
    address: str,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    headers: dict[str, str],
    reserve: str,
    status: int,
    said: str,
) -> None:
    monkeypatch.setenv("LUTHIER_DISK_RESERVE_MB", reserve)
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1" if status == 413 else "100")
    settings.cache_clear()
    token = {} if path.startswith("/v1") else signed_in(ada)
    code, error = send_all(address, path, b"x" * LARGE, headers | token)
    assert (code, said in error["message"]) == (status, True), error


def test_no_more_is_read_than_the_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "DRAINED_BYTES", 1000)
    pieces, sent = [], []

    async def receive() -> Any:
        pieces.append(400)
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}

    async def send(message: Any) -> None:
        sent.append((message["body"], message["more_body"], len(pieces)))

    async def answer() -> None:
        scope = {"type": "http", "headers": [(b"content-length", b"100000")]}
        await RequestBody(scope, receive, send).send({"type": "http.response.body", "body": b"no"})

    asyncio.run(answer())
    assert sent == [(b"no", True, 0), (b"", False, 3)]  # the answer first, then what is left


def test_a_length_that_is_said_twice_is_refused(as_ada: Caller, client: Any) -> None:
    both = {"Content-Length": "2", "Transfer-Encoding": "chunked", **JSON}
    for path in ("/api/chats", "/v1/chat/completions", "/", "/uploads"):
        answer = client.request("POST", path, headers=as_ada.headers | both, content=b"{}")
        assert answer.status_code == 400, path
        assert answer.headers["Connection"] == "close"
        assert "Content-Length or Transfer-Encoding" in answer.json()["error"]["message"]


def test_a_length_that_is_said_twice_ends_the_connection(address: str) -> None:
    """So that nothing behind it can be taken for a request."""
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port)) as line:
        line.sendall(
            b"POST /api/chats HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        said = b""
        while more := line.recv(10_000):
            said += more
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("length", [257, 300, 5000])
def test_a_boundary_that_is_too_long_is_a_bad_request(as_ada: Caller, length: int) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={'b' * length}"}
    answer = as_ada("POST", "/api/datasets", headers=headers, content=b"--b\r\n")
    assert (answer.status_code, error_of(answer)["code"]) == (400, "bad_request")


@pytest.mark.parametrize("name", ['name="same"', 'name="f{n}"', 'name="other"; filename="x"', ""])
def test_many_parts_are_refused_whatever_they_are_called(as_ada: Caller, name: str) -> None:
    parts = [
        f"--b\r\nContent-Disposition: form-data; {name.format(n=n)}\r\n\r\nx\r\n".encode()
        for n in range(200_000)
    ]
    answer = as_ada("POST", "/api/datasets", headers=FORM, content=b"".join(parts) + b"--b--\r\n")
    assert (answer.status_code, error_of(answer)["message"]) == (400, "The form has too many fields.")


def test_a_stopping_server_answers_an_upload_and_keeps_what_arrived(address: str, ada: User) -> None:
    upload = uploads.begin(ada, NewUpload(filename="half.csv", size_bytes=100), source="api")
    host = urlsplit(address)
    line = http.client.HTTPConnection(str(host.hostname), host.port, timeout=30)
    line.putrequest("PUT", f"/api/uploads/{upload.id}?offset=0")
    for name, value in {**signed_in(ada), "Content-Length": "100"}.items():
        line.putheader(name, value)
    line.endheaders(b"a,b\n1,2\n")
    # its bytes wait in the server until there are enough of them to be written
    wait_until(lambda: receiving._transfers.get(upload.id, receiving._Transfer()).writer)
    stopping.begin()
    answer = line.getresponse()
    said = json.loads(answer.read())["error"]
    assert (answer.status, said["code"]) == (503, "unavailable")
    assert "stopping" in said["message"]
    assert uploads.get(ada, upload.id).received_bytes == 8


def test_no_form_is_an_internal_error() -> None:
    """Whatever its boundary and its bytes: of 300 at random, the seed is said where one fails."""
    pieces = [
        b"--b",
        b"--",
        b"\r\n",
        b"Content-Disposition: form-data",
        b'; name="file"',
        b"; filename=",
        b"\x00",
    ]
    for seed in range(300):
        chance = random.Random(seed)
        boundary = chance.choice(
            [b"b", b'"b"', b"b; boundary=c", b"", b"\xff", bytes([chance.randrange(32, 256)])]
        )
        body = b"".join(chance.choices([*pieces, chance.randbytes(5)], k=chance.randrange(20)))
        try:
            asyncio.run(read_form(b"multipart/form-data; boundary=" + boundary, body))
            refused_with = None
        except LuthierError as error:
            refused_with = error.code
        assert refused_with in (None, "bad_request"), seed


async def read_form(content_type: bytes, body: bytes) -> Form:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async with receive_form(
        Request({"type": "http", "headers": [(b"content-type", content_type)]}, receive)
    ) as form:
        return form
