"""A model that answers on another server, asked from outside: ``/v1`` and ``/api``, whole and streamed, when
all goes well, when the other server fails, and when the client goes away."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from core import chats
from core.people import api_keys
from core.people.api_keys import NewKey
from core.people.users import User
from core.providers import PROVIDERS
from tests.api.conftest import signed_in
from tests.api.live import serving
from tests.fake_http import KEY, NAME, FakeHttp, Upstream, make_external, upstream
from tests.waiting import wait_until

HTTP = httpx.Client(timeout=60)


@pytest.fixture(scope="module")
def live() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def faraway() -> Iterator[Upstream]:
    with upstream() as state:
        yield state


class Client:
    """Asks the one model by one of the two APIs."""

    def __init__(self, live: str, user: User, api: str) -> None:
        model_id = make_external(user)
        if api == "/v1":
            _, key = api_keys.create(user, NewKey(name="test"))
            self.url, self.headers = f"{live}/v1/chat/completions", {"Authorization": f"Bearer {key}"}
            self.body: dict[str, Any] = {
                "model": "far-1",
                "messages": [{"role": "user", "content": "one two three"}],
            }
        else:
            self.url, self.headers = f"{live}/api/messages", signed_in(user)
            chat = chats.create(user, chats.NewChat(model_id=model_id))
            self.body = {"chat_id": chat.id, "content": "one two three"}

    def ask(self, *, stream: bool = False) -> httpx.Response:
        return HTTP.post(self.url, json={**self.body, "stream": stream}, headers=self.headers)


@pytest.fixture(params=["/v1", "/api"])
def client(request: pytest.FixtureRequest, live: str, ada: User, faraway: Upstream) -> Client:
    return Client(live, ada, request.param)


def text_of(answer: httpx.Response) -> str:
    """The reply in whichever shape it came."""
    if "event-stream" not in answer.headers["Content-Type"]:
        found = answer.json()
        return found["reply"]["content"] if "reply" in found else found["choices"][0]["message"]["content"]
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    found = [json.loads(event) for event in events[:-1]]
    deltas = [choice["delta"] for event in found for choice in event.get("choices", ())]
    deltas += [event for event in found if event.get("type") == "delta"]
    return "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_it_answers_like_any_model(client: Client, faraway: Upstream, stream: bool) -> None:
    answer = client.ask(stream=stream)
    assert answer.status_code == (201 if "reply" in answer.text and not stream else 200)
    assert text_of(answer) == "one two three"
    assert faraway.count == 1


FAILURES: list[tuple[dict[str, Any], int, int, str]] = [  # what fails, status on /v1 and on /api, the message
    ({"status": 500}, 503, 503, "Faraway answered with the error 500"),
    ({"status": 401}, 503, 503, "Faraway does not accept the key of this server"),
    ({"status": 404}, 400, 409, "Faraway has no model named far-1 any more"),
    ({"status": 429}, 429, 429, "Faraway has too much to do"),
    ({"status": 400}, 400, 422, "Faraway refuses this: It is what it is."),
    ({"broken_after": 0}, 503, 503, "The answer of Faraway broke off"),
    ({"held_after": -1}, 503, 503, "Faraway did not answer in time"),
    ({"nonsense": True}, 503, 503, "Faraway sent an answer that cannot be read"),
]


@pytest.mark.parametrize(
    ("failure", "on_v1", "on_api", "sentence"), FAILURES, ids=[str(f[0]) for f in FAILURES]
)
def test_what_fails_there_has_its_status_and_message_here(
    client: Client,
    faraway: Upstream,
    failure: dict[str, Any],
    on_v1: int,
    on_api: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeHttp, "silence_seconds", 1.0 if "held_after" in failure else 20.0)
    for name, value in failure.items():
        setattr(faraway, name, value)
    answer = client.ask()
    assert answer.status_code == (on_v1 if "/v1/" in client.url else on_api)
    assert sentence in answer.json()["error"]["message"]
    assert not [word for word in ("Traceback", "httpx", KEY, faraway.address) if word in answer.text]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_server_that_is_gone_is_a_503(live: str, ada: User, faraway: Upstream, stream: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        PROVIDERS[NAME].address = f"http://127.0.0.1:{taken.getsockname()[1]}"  # type: ignore[attr-defined]
    answer = Client(live, ada, "/v1").ask(stream=stream)
    assert answer.status_code == 503
    assert "Faraway cannot be reached" in answer.json()["error"]["message"]


def test_half_a_stream_ends_with_an_error_event(client: Client, faraway: Upstream) -> None:
    faraway.broken_after, faraway.ends_early = 2, True
    answer = client.ask(stream=True)
    assert answer.status_code == 200
    assert text_of(answer) == "one two"
    last = json.loads(answer.text.strip().splitlines()[-3].removeprefix("data: "))
    assert "The answer of Faraway broke off" in last["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "held_after",
    [
        pytest.param(-1, id="before the headers", marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param(2, id="in the middle"),
    ],
)
def test_a_client_that_goes_away_cancels_the_request_to_the_other_server(
    client: Client, faraway: Upstream, stream: bool, held_after: int
) -> None:
    faraway.held_after = held_after
    url = httpx.URL(client.url)
    with socket.create_connection((url.host, url.port or 80)) as connection:
        body = json.dumps({**client.body, "stream": stream})
        head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n"
        head += f"Authorization: {client.headers['Authorization']}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        wait_until(lambda: faraway.count)
    wait_until(lambda: faraway.hung_up == 1)


def test_it_is_listed_as_what_a_key_may_call(live: str, ada: User, bob: User, faraway: Upstream) -> None:
    make_external(ada)

    def names(user: User) -> list[str]:
        _, key = api_keys.create(user, NewKey(name="test"))
        found = HTTP.get(f"{live}/v1/models", headers={"Authorization": f"Bearer {key}"}).json()
        return [model["id"] for model in found["data"]]

    assert "far-1" in names(ada)
    assert "far-1" not in names(bob)
    assert HTTP.get(f"{live}/api/models?type=external", headers=signed_in(ada)).json()["total"] == 1
