"""API.md sections 3 and 4: chats and messages, whole and streamed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from core import chats, stopping
from core.people.users import User
from core.providers import PROVIDERS
from tests.api.conftest import Caller, error_of, fields_of, signed_in
from tests.api.live import serving
from tests.ui.things import Echo, make_dataset, make_model
from tests.waiting import wait_until

CHAT = {"id", "title", "model_id", "dataset_id", "system_prompt", "message_count", "created_at", "updated_at"}
MESSAGE = {"id", "chat_id", "role", "content", "model_id", "finish_reason", "usage", "created_at"}


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Echo:
    provider = Echo()
    monkeypatch.setitem(PROVIDERS, "echo", provider)
    return provider


@pytest.fixture
def model_id(ada: User, echo: Echo) -> str:
    return make_model(ada, "parrot", provider="echo")


@pytest.fixture
def dataset_id(ada: User) -> str:
    return make_dataset(ada, [{"q": "a"}]).dataset_id


@pytest.fixture
def chat_id(as_ada: Caller, model_id: str) -> str:
    made: str = as_ada.post("/api/chats", {"model_id": model_id}).json()["id"]
    return made


def test_new_chat_has_every_field_and_the_defaults(as_ada: Caller, model_id: str) -> None:
    answer = as_ada.post("/api/chats", {"model_id": model_id})
    assert answer.status_code == 201
    chat = answer.json()
    assert set(chat) >= CHAT
    assert chat["id"].startswith("chat_")
    assert (chat["title"], chat["model_id"], chat["dataset_id"], chat["system_prompt"]) == (
        "New chat",
        model_id,
        None,
        None,
    )
    assert chat["message_count"] == 0
    assert chat["created_at"].endswith("Z")
    assert as_ada.get(f"/api/chats/{chat['id']}").json() == chat


def test_texts_are_kept_as_they_are(as_ada: Caller, model_id: str, dataset_id: str) -> None:
    texts = {"title": "  <i>'; DROP--</i> 👩‍🔬 ", "system_prompt": "\n\t%_\\ \u202e\ufeff"}
    chat = as_ada.post("/api/chats", {"model_id": model_id, "dataset_id": dataset_id, **texts}).json()
    assert {name: chat[name] for name in texts} == texts
    assert as_ada.get(f"/api/chats/{chat['id']}").json()["dataset_id"] == dataset_id


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a\u0000"}, "title"),
        ({"system_prompt": "x" * 20_001}, "system_prompt"),
        ({"system_prompt": ["x"]}, "system_prompt"),
        ({"model_id": None}, "model_id"),
        ({"model_id": 7}, "model_id"),
        ({"dataset_id": 7}, "dataset_id"),
    ],
)
def test_broken_field_is_named(
    as_ada: Caller, chat_id: str, model_id: str, change: dict[str, Any], field: str
) -> None:
    assert fields_of(as_ada.post("/api/chats", {"model_id": model_id, **change})) == {field}
    assert fields_of(as_ada.patch(f"/api/chats/{chat_id}", change)) == {field}


def test_missing_model_is_named_and_an_unknown_one_not_found(as_ada: Caller) -> None:
    assert fields_of(as_ada.post("/api/chats", {})) == {"model_id"}
    for unknown in ("mdl_x", "", "../../etc", "x" * 5000):
        assert as_ada.post("/api/chats", {"model_id": unknown}).status_code == 404


def test_unknown_dataset_is_not_found(as_ada: Caller, model_id: str) -> None:
    assert as_ada.post("/api/chats", {"model_id": model_id, "dataset_id": "ds_x"}).status_code == 404


def test_change_touches_only_what_was_given(as_ada: Caller, chat_id: str, dataset_id: str) -> None:
    assert (
        as_ada.patch(f"/api/chats/{chat_id}", {"title": "T", "dataset_id": dataset_id}).json()["dataset_id"]
        == dataset_id
    )
    chat = as_ada.patch(f"/api/chats/{chat_id}", {"system_prompt": "S"}).json()
    assert (chat["title"], chat["system_prompt"], chat["dataset_id"]) == ("T", "S", dataset_id)
    assert as_ada.patch(f"/api/chats/{chat_id}", {"dataset_id": None}).json()["dataset_id"] is None
    ignored = as_ada.patch(
        f"/api/chats/{chat_id}", {"id": "x", "user_id": "x", "message_count": 9, "created_at": "x"}
    )
    assert (ignored.json()["id"], ignored.json()["message_count"]) == (chat_id, 0)


def test_deleting_a_chat_takes_its_messages_along(as_ada: Caller, chat_id: str) -> None:
    message = as_ada.post(
        "/api/messages", {"chat_id": chat_id, "content": "hello", "generate": False}
    ).json()["message"]
    assert as_ada.delete(f"/api/chats/{chat_id}").status_code == 204
    assert as_ada.get(f"/api/chats/{chat_id}").status_code == 404
    assert as_ada.delete(f"/api/chats/{chat_id}").status_code == 404
    assert as_ada.get(f"/api/messages/{message['id']}").status_code == 404
    assert as_ada.get(f"/api/messages?chat_id={chat_id}").status_code == 404


def test_search_is_literal_and_ignores_case(as_ada: Caller, model_id: str) -> None:
    for title in ("100% Wool", "100 percent", "a_b", "axb", "it's"):
        as_ada.post("/api/chats", {"model_id": model_id, "title": title})

    def found(text: str) -> set[str]:
        return {chat["title"] for chat in as_ada.get("/api/chats", params={"q": text}).json()["items"]}

    assert found("100%") == {"100% Wool"}
    assert found("WOOL") == {"100% Wool"}
    assert found("_") == {"a_b"}
    assert found("'") == {"it's"}
    assert found("\\") == set()


def test_filters_and_sorting(as_ada: Caller, ada: User, model_id: str, dataset_id: str) -> None:
    other = make_model(ada, "other", provider="echo")
    as_ada.post("/api/chats", {"model_id": model_id, "title": "b"})
    as_ada.post("/api/chats", {"model_id": other, "title": "a", "dataset_id": dataset_id})
    for query, titles in (
        (f"model_id={model_id}", ["b"]),
        (f"dataset_id={dataset_id}", ["a"]),
        ("model_id=mdl_x", []),
        ("sort=title", ["a", "b"]),
        ("sort=-title", ["b", "a"]),
        ("sort=created_at", ["b", "a"]),
        ("sort=-updated_at", ["a", "b"]),
    ):
        assert [chat["title"] for chat in as_ada.get(f"/api/chats?{query}").json()["items"]] == titles


def test_a_list_says_how_many_messages_each_has_in_as_many_queries_however_long_it_is(
    as_ada: Caller, model_id: str, chat_id: str, statements: list[str]
) -> None:
    as_ada.get("/api/chats")
    of_one = len(statements)
    for _ in range(2):
        as_ada.post("/api/messages", {"chat_id": chat_id, "content": "hello", "generate": False})
        as_ada.post("/api/chats", {"model_id": model_id})
    statements.clear()
    chats_of_ada = as_ada.get("/api/chats?sort=created_at").json()["items"]
    assert len(statements) == of_one
    assert [chat["message_count"] for chat in chats_of_ada] == [2, 0, 0]


def test_answer_has_message_and_reply(as_ada: Caller, chat_id: str, model_id: str) -> None:
    answer = as_ada.post("/api/messages", {"chat_id": chat_id, "content": "sing a song"})
    assert answer.status_code == 201
    message, reply = answer.json()["message"], answer.json()["reply"]
    assert set(message) >= MESSAGE
    assert set(reply) >= MESSAGE
    assert (message["role"], message["content"], message["model_id"], message["usage"]) == (
        "user",
        "sing a song",
        None,
        None,
    )
    assert (reply["role"], reply["content"], reply["model_id"], reply["finish_reason"]) == (
        "assistant",
        "sing a song",
        model_id,
        "stop",
    )
    assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert message["created_at"].endswith("Z")
    assert as_ada.get(f"/api/messages/{reply['id']}").json() == reply
    assert as_ada.get(f"/api/chats/{chat_id}").json()["message_count"] == 2


def test_without_generate_the_message_is_only_stored(as_ada: Caller, chat_id: str) -> None:
    for more in ({}, {"stream": True}, {"role": "system"}):
        answer = as_ada.post("/api/messages", {"chat_id": chat_id, "content": "x", "generate": False, **more})
        assert (answer.status_code, answer.json()["reply"]) == (201, None)
    assert as_ada.get(f"/api/messages?chat_id={chat_id}&role=system").json()["total"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": ""}, "content"),
        ({"content": "x" * 100_001}, "content"),
        ({"content": None}, "content"),
        ({"content": "a\u0000b"}, "content"),
        ({"role": "assistant"}, "role"),
        ({"role": "tool"}, "role"),
        ({"generate": "yes"}, "generate"),
        ({"stream": 1}, "stream"),
        ({"parameters": {"temperature": 2.1}}, "parameters.temperature"),
        ({"parameters": {"temperature": -0.1}}, "parameters.temperature"),
        ({"parameters": {"temperature": "hot"}}, "parameters.temperature"),
        ({"parameters": {"top_p": 0}}, "parameters.top_p"),
        ({"parameters": {"top_p": 1.1}}, "parameters.top_p"),
        ({"parameters": {"max_tokens": 0}}, "parameters.max_tokens"),
        ({"parameters": {"max_tokens": 8193}}, "parameters.max_tokens"),
        ({"parameters": {"seed": 1.5}}, "parameters.seed"),
        ({"parameters": {"seed": 2**70}}, "parameters.seed"),
        ({"parameters": {"stop": ["a"] * 5}}, "parameters.stop"),
        ({"parameters": {"stop": "a"}}, "parameters.stop"),
        ({"parameters": []}, "parameters"),
    ],
)
def test_broken_message_field_is_named(
    as_ada: Caller, chat_id: str, change: dict[str, Any], field: str
) -> None:
    assert fields_of(as_ada.post("/api/messages", {"chat_id": chat_id, "content": "x", **change})) == {field}
    assert as_ada.get(f"/api/chats/{chat_id}").json()["message_count"] == 0


def test_longest_content_is_taken(as_ada: Caller, chat_id: str) -> None:
    content = "🎻" * 100_000
    answer = as_ada.post("/api/messages", {"chat_id": chat_id, "content": content, "generate": False})
    assert answer.json()["message"]["content"] == content


def test_messages_are_listed_oldest_first(as_ada: Caller, chat_id: str) -> None:
    for content in "abc":
        as_ada.post("/api/messages", {"chat_id": chat_id, "content": content, "generate": False})
    contents = [m["content"] for m in as_ada.get(f"/api/messages?chat_id={chat_id}").json()["items"]]
    assert contents == ["a", "b", "c"]
    assert [
        m["content"] for m in as_ada.get(f"/api/messages?chat_id={chat_id}&sort=-created_at").json()["items"]
    ] == [
        "c",
        "b",
        "a",
    ]
    assert fields_of(as_ada.get("/api/messages")) == {"chat_id"}
    assert fields_of(as_ada.get(f"/api/messages?chat_id={chat_id}&sort=content")) == {"sort"}
    assert fields_of(as_ada.get(f"/api/messages?chat_id={chat_id}&role=tool")) == {"role"}
    assert as_ada.get("/api/messages?chat_id=chat_x").status_code == 404


def test_message_can_be_deleted(as_ada: Caller, chat_id: str) -> None:
    made = as_ada.post("/api/messages", {"chat_id": chat_id, "content": "x", "generate": False}).json()[
        "message"
    ]["id"]
    assert as_ada.delete(f"/api/messages/{made}").status_code == 204
    assert as_ada.get(f"/api/messages/{made}").status_code == 404
    assert as_ada.delete(f"/api/messages/{made}").status_code == 404


def test_chat_without_its_model_cannot_answer(as_ada: Caller, chat_id: str, model_id: str) -> None:
    assert as_ada.delete(f"/api/models/{model_id}").status_code == 204
    assert as_ada.get(f"/api/chats/{chat_id}").json()["model_id"] is None
    answer = as_ada.post("/api/messages", {"chat_id": chat_id, "content": "hello"})
    assert answer.status_code == 409
    assert error_of(answer)["code"] == "conflict"
    assert (
        as_ada.post("/api/messages", {"chat_id": chat_id, "content": "hello", "stream": True}).status_code
        == 409
    )


@pytest.fixture(scope="module")
def live() -> Iterator[str]:
    with serving() as address:
        yield address


def events_of(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


def read_until(lines: Iterator[str], text: str) -> None:
    """Until this much of the reply has come; pieces may come together."""
    seen = ""
    for event in events_of(lines):
        seen += json.loads(event).get("content", "")
        if seen == text:
            return


def stream(live: str, ada: User, chat_id: str, content: str) -> Any:
    body = {"chat_id": chat_id, "content": content, "stream": True}
    return httpx.stream("POST", f"{live}/api/messages", json=body, headers=signed_in(ada), timeout=20)


def test_stream_has_the_events_of_the_contract(live: str, as_ada: Caller, ada: User, chat_id: str) -> None:
    with stream(live, ada, chat_id, "one two three") as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Request-ID"].startswith("req_")
        *events, done = events_of(answer.iter_lines())
    parsed = [json.loads(event) for event in events]
    assert done == "[DONE]"
    kinds = [event["type"] for event in parsed]
    assert (kinds[0], set(kinds[1:-1]), kinds[-1]) == ("message", {"delta"}, "done")
    assert set(parsed[0]["message"]) >= MESSAGE
    assert "".join(event["content"] for event in parsed[1:-1]) == "one two three"
    reply = parsed[-1]["reply"]
    assert (reply["content"], reply["finish_reason"]) == ("one two three", "stop")
    assert as_ada.get(f"/api/messages/{reply['id']}").json() == reply


def test_client_that_hangs_up_stops_the_reply_and_keeps_what_there_is(
    live: str, as_ada: Caller, ada: User, chat_id: str, echo: Echo
) -> None:
    echo.may_end.clear()
    with stream(live, ada, chat_id, "one two three") as answer:
        read_until(answer.iter_lines(), "one two ")

    def reply() -> Any:
        return as_ada.get(f"/api/messages?chat_id={chat_id}&role=assistant").json()["items"][0]

    wait_until(lambda: reply()["finish_reason"] == "cancelled")
    assert reply()["content"] == "one two "


def test_stopping_server_ends_the_stream_in_words(live: str, ada: User, chat_id: str, echo: Echo) -> None:
    echo.may_end.clear()
    with stream(live, ada, chat_id, "one two three") as answer:
        lines = answer.iter_lines()
        read_until(lines, "one two ")
        stopping.begin()
        rest = list(events_of(lines))
    assert rest[-1] == "[DONE]"
    assert "unavailable" in rest[-2] or '"done"' in rest[-2]
    wait_until(lambda: chats.list_messages(ada, chats.MessageList(chat_id=chat_id)).items[-1].finish_reason)


def test_a_reply_that_fails_for_no_known_reason_is_a_500(
    as_ada: Caller, chat_id: str, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any, **_more: Any) -> Iterator[Any]:
        raise RuntimeError("secret")
        yield

    monkeypatch.setattr(echo, "generate", fail)
    answer = as_ada.post("/api/messages", {"chat_id": chat_id, "content": "hi"})
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
