"""``/v1`` with the unmodified openai SDK against a real server; OPENAI.md and API.md section 10."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from core import models, stopping
from core.db import reading, writing
from core.errors import ContextLengthExceeded, Unavailable
from core.people import api_keys, usage, users
from core.people.api_keys import NewKey
from core.people.users import User
from core.providers import PROVIDERS
from core.tables import ModelAliasRow, UsageRow
from tests.api.conftest import signed_in
from tests.api.live import serving
from tests.ui.things import Echo, make_model
from tests.waiting import wait_until

HELLO: Any = [{"role": "user", "content": "one two three"}]


class Recording(Echo):
    """Remembers what it was asked; fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.failure: Exception | None = None

    def generate(self, request: Any, *, stop: Any) -> Iterator[Any]:
        self.asked.append(request)
        if self.failure:
            raise self.failure
        yield from super().generate(request, stop=stop)


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Recording:
    provider = Recording()
    monkeypatch.setitem(PROVIDERS, "echo", provider)
    return provider


@pytest.fixture
def parrot(ada: User, echo: Recording) -> str:
    """The id of a model of Ada's that is called parrot."""
    return make_model(ada, "parrot", provider="echo")


@pytest.fixture(scope="module")
def live() -> Iterator[str]:
    """One server for all tests: it reads where the data lies at every request."""
    with serving() as address:
        yield address


CONNECTIONS = httpx.Client(timeout=60)  # making one takes longer than most of these tests


def sdk(live: str, user: User, **narrowed: Any) -> openai.OpenAI:
    _, key = api_keys.create(user, NewKey(name="test", **narrowed))
    return openai.OpenAI(
        base_url=f"{live}/v1", api_key=key, max_retries=0, timeout=20, http_client=CONNECTIONS
    )


@pytest.fixture
def client_(live: str, ada: User, parrot: str) -> openai.OpenAI:
    return sdk(live, ada)


def test_completion_has_the_documented_shape(client_: openai.OpenAI) -> None:
    answer = client_.chat.completions.create(model="parrot", messages=HELLO)
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", "parrot")
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content, choice.message.refusal) == (
        "assistant",
        "one two three",
        None,
    )
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        3,
        3,
        6,
    )
    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


def test_raw_body_has_the_required_nullable_fields(live: str, ada: User, parrot: str) -> None:
    _, key = api_keys.create(ada, NewKey(name="raw"))
    answer = CONNECTIONS.post(
        f"{live}/v1/chat/completions",
        json={"model": "parrot", "messages": HELLO},
        headers={"Authorization": f"Bearer {key}"},
    ).json()
    assert answer["choices"][0].keys() >= {"index", "message", "logprobs", "finish_reason"}
    assert answer["choices"][0]["message"].keys() >= {"role", "content", "refusal"}
    assert isinstance(answer["created"], int)


def test_stream_has_the_documented_chunks(client_: openai.OpenAI) -> None:
    chunks = list(client_.chat.completions.create(model="parrot", messages=HELLO, stream=True))
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, "parrot", "chat.completion.chunk")
    }
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_include_usage_adds_one_chunk_without_choices(client_: openai.OpenAI) -> None:
    stream = client_.chat.completions.create(
        model="parrot", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 6
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_ends_with_done(live: str, ada: User, parrot: str) -> None:
    _, key = api_keys.create(ada, NewKey(name="raw"))
    body = {"model": "parrot", "messages": HELLO, "stream": True}
    answer = CONNECTIONS.post(
        f"{live}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    "field",
    [
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "seed",
        "stop",
        "n",
        "tools",
        "response_format",
        "stream",
    ],
)
def test_null_means_default(client_: openai.OpenAI, field: str) -> None:
    answer = client_.chat.completions.create(model="parrot", messages=HELLO, extra_body={field: None})
    assert answer.choices[0].message.content == "one two three"


def test_roles_and_parts_become_plain_turns(client_: openai.OpenAI, echo: Recording) -> None:
    parts: Any = [{"type": "text", "text": "first"}, {"type": "text", "text": "second"}]
    conversation: Any = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": parts},
    ]
    client_.chat.completions.create(model="parrot", messages=conversation)
    assert list(echo.asked[-1].messages) == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "first\nsecond"},
    ]


def test_parameters_reach_the_model(client_: openai.OpenAI, echo: Recording) -> None:
    client_.chat.completions.create(
        model="parrot",
        messages=HELLO,
        temperature=0,
        top_p=0.5,
        max_completion_tokens=7,
        seed=-3,
        stop="END",
        user="ada",
    )
    assert (
        echo.asked[-1].parameters.items()
        >= {"temperature": 0, "top_p": 0.5, "max_tokens": 7, "seed": -3, "stop": ["END"]}.items()
    )
    client_.chat.completions.create(model="parrot", messages=HELLO, max_tokens=100_000, stop=["a", "b"])
    assert echo.asked[-1].parameters.items() >= {"max_tokens": 8192, "stop": ["a", "b"]}.items()


UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3, "logprobs": False}, "top_logprobs"),
    ({"logit_bias": {"5": 1}}, "logit_bias"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        "response_format",
    ),
    ({"response_format": {"type": "text", "json_schema": {"name": "x"}}}, "response_format"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"presence_penalty": -0.5}, "presence_penalty"),
    ({"modalities": ["audio"]}, "modalities"),
    ({"reasoning_effort": "high"}, "reasoning_effort"),
    ({"store": True}, "store"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].role"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0]",
    ),
    (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
        "messages[0].tool_calls",
    ),
    ({"unheard_of": 1}, "unheard_of"),
    ({"temprature": 0}, "temprature"),
    ({"sed": 0.0}, "sed"),
    ({"guided_json": {"type": "object"}}, "guided_json"),
    ({"structured_outputs": {"json": {}}}, "structured_outputs"),
    ({"prediction": {"type": "content", "content": "abc"}}, "prediction"),
    ({"echo": True}, "echo"),
    ({"max_token": 5}, "max_token"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage"),
    (
        {"messages": [{"role": "user", "content": "x", "reasoning_content": "y"}]},
        "messages[0].reasoning_content",
    ),
    ({"messages": [*HELLO, {"role": "assistant", "content": "I am"}]}, "messages[1].role"),
]
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "a\u0000b"}]}, "messages"),
    ({"temperature": 2.5}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 7}, "max_tokens"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"stop": ["a", 5]}, "stop[1]"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ({"seed": 2**64}, "seed"),
    ({"n": 0}, "n"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"top_k": -2}, "top_k"),
    ({"min_p": 1.5}, "min_p"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"messages": [{"role": "user", "content": " \n"}]}, "messages[0].content"),
]


@pytest.mark.parametrize(("change", "param"), UNSUPPORTED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_honoured_is_named(client_: openai.OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client_.chat.completions.create(
            model="parrot", messages=change.pop("messages", HELLO), extra_body=change
        )
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("max_token", "max_tokens"), ("temprature", "temperature"), ("topk", "top_k"), ("stopp", "stop")],
)
def test_a_misspelt_parameter_is_told_the_nearest_name(
    client_: openai.OpenAI, misspelt: str, meant: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=f"Did you mean '{meant}'"):
        client_.chat.completions.create(model="parrot", messages=HELLO, extra_body={misspelt: 1})


def test_what_other_servers_call_parameters_reaches_the_model(
    client_: openai.OpenAI, echo: Recording
) -> None:
    chosen = {"top_k": 1, "min_p": 0.1, "repetition_penalty": 1.5, "ignore_eos": True}
    client_.chat.completions.create(model="parrot", messages=HELLO, extra_body=chosen)
    assert echo.asked[-1].parameters.items() >= chosen.items()


@pytest.mark.parametrize(("change", "param"), BROKEN, ids=lambda value: str(value)[:40])
def test_broken_rule_is_a_400_that_names_the_parameter(
    client_: openai.OpenAI, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client_.chat.completions.create(
            model="parrot", messages=change.pop("messages", HELLO), extra_body=change
        )
    assert refused.value.param == param
    assert refused.value.request_id


@pytest.mark.parametrize(
    "harmless",
    [
        {"n": 1},
        {"logprobs": False},
        {"tools": []},
        {"response_format": {"type": "text"}},
        {"frequency_penalty": 0},
        {"tool_choice": "auto"},
        {"metadata": {"a": "b"}},
        {"unheard_of": None},
        {"unheard_of": False},
        {"stop": ""},
        {"stop": [""]},
        {"max_tokens": 7, "max_completion_tokens": 7},
        {"service_tier": "auto"},
        {"messages": [{"role": "user", "content": "one two three", "name": "Ada", "refusal": None}]},
    ],
)
def test_defaults_spelt_out_are_fine(client_: openai.OpenAI, harmless: dict[str, Any]) -> None:
    messages = harmless.pop("messages", HELLO)
    assert client_.chat.completions.create(model="parrot", messages=messages, extra_body=harmless).choices


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stop": ["a"] * 5}, "stop: at most 4 entries"),
        ({"stop": 5}, "stop: must be text or a list"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: must be text or a list"),
    ],
)
def test_a_value_of_several_kinds_is_told_what_is_wrong_with_its_own(
    live: str, ada: User, parrot: str, change: dict[str, Any], said: str
) -> None:
    _, key = api_keys.create(ada, NewKey(name="raw"))
    body = {"model": "parrot", "messages": HELLO, **change}
    answer = CONNECTIONS.post(
        f"{live}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
    )
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, said)


def test_an_empty_stop_text_does_not_reach_the_model(client_: openai.OpenAI, echo: Recording) -> None:
    client_.chat.completions.create(model="parrot", messages=HELLO, stop=["", "END"])
    assert echo.asked[-1].parameters["stop"] == ["END"]


def test_a_byte_order_mark_before_the_body_is_no_error(live: str, ada: User, parrot: str) -> None:
    _, key = api_keys.create(ada, NewKey(name="raw"))
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = b'\xef\xbb\xbf{"model": "parrot", "messages": [{"role": "user", "content": "hi"}]}'
    answer = CONNECTIONS.post(f"{live}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"", b"[]"])
def test_unreadable_body_is_a_400_in_the_shape_of_v1(live: str, ada: User, body: bytes) -> None:
    _, key = api_keys.create(ada, NewKey(name="raw"))
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    answer = CONNECTIONS.post(f"{live}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model_is_a_404(client_: openai.OpenAI, stream: bool) -> None:
    for name in ("nobody", "parrot@production", "parrot@99", "mdl_nobody", "../parrot"):
        with pytest.raises(openai.NotFoundError) as refused:
            client_.chat.completions.create(model=name, messages=HELLO, stream=stream)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_conversation_is_a_400(client_: openai.OpenAI, echo: Recording, stream: bool) -> None:
    echo.failure = ContextLengthExceeded()
    with pytest.raises(openai.BadRequestError) as refused:
        client_.chat.completions.create(model="parrot", messages=HELLO, stream=stream)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize("stream", [False, True])
def test_no_worker_is_a_503(client_: openai.OpenAI, echo: Recording, stream: bool) -> None:
    echo.failure = Unavailable()
    with pytest.raises(openai.InternalServerError) as refused:
        client_.chat.completions.create(model="parrot", messages=HELLO, stream=stream)
    assert refused.value.status_code == 503


def test_failure_in_the_middle_is_an_error_event(
    client_: openai.OpenAI, echo: Recording, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_late(request: Any, *, stop: Any) -> Iterator[Any]:
        from core.providers.base import Delta

        yield Delta("one ")
        raise KeyError("/secret/path")

    monkeypatch.setattr(echo, "generate", fail_late)
    with pytest.raises(openai.APIError) as failed:
        list(client_.chat.completions.create(model="parrot", messages=HELLO, stream=True))
    assert "secret" not in str(failed.value)
    wait_until(lambda: usage.summary(ada))


def test_wrong_keys_are_refused(live: str, ada: User, parrot: str) -> None:
    token = signed_in(ada)["Authorization"].removeprefix("Bearer ")
    for key in ("sk-wrong", token, "nonsense"):
        with pytest.raises(openai.AuthenticationError) as refused:
            openai.OpenAI(base_url=f"{live}/v1", api_key=key, max_retries=0).models.list()
        assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")
        assert key not in str(refused.value)


def test_models_are_those_the_key_may_call(live: str, ada: User, bob: User, parrot: str) -> None:
    make_model(bob, "bobs", provider="echo")
    make_model(None, "shared", provider="echo")
    with writing() as session:
        from core.tables import ModelVersionRow

        version = session.query(ModelVersionRow).filter_by(model_id=parrot).one()
        session.add(ModelAliasRow(model_id=parrot, alias="production", version_id=version.id))
    listed = list(sdk(live, ada).models.list())
    assert {model.id for model in listed} == {"parrot", "parrot@production", "shared"}
    assert all(model.object == "model" and model.created > 0 and model.owned_by for model in listed)
    narrowed = sdk(live, ada, models=["parrot"])
    assert {model.id for model in narrowed.models.list()} == {"parrot", "parrot@production"}
    with pytest.raises(openai.NotFoundError):
        narrowed.chat.completions.create(model="shared", messages=HELLO)


@pytest.mark.parametrize("name", ["parrot", "parrot@1"])
def test_a_model_is_found_by_every_name_it_has(client_: openai.OpenAI, parrot: str, name: str) -> None:
    for callable_name in (name, parrot):
        assert client_.models.retrieve(callable_name).id == callable_name
        assert client_.chat.completions.create(model=callable_name, messages=HELLO).model == callable_name


def test_own_model_can_be_deleted_and_a_base_not(
    client_: openai.OpenAI, live: str, bob: User, parrot: str
) -> None:
    make_model(None, "org/shared:7b", provider="echo")
    assert client_.models.retrieve("org/shared:7b").owned_by == "luthier"
    with pytest.raises(openai.PermissionDeniedError):
        sdk(live, bob).models.delete("org/shared:7b")
    deleted = client_.models.delete("parrot")
    assert (deleted.id, deleted.object, deleted.deleted) == ("parrot", "model", True)
    with pytest.raises(openai.NotFoundError):
        client_.models.retrieve("parrot")


@pytest.mark.parametrize("part", ["parrot@1", "parrot@best", "{id}@1"])
def test_a_version_or_an_alias_is_no_model_to_delete(
    live: str, ada: User, echo: Recording, part: str
) -> None:
    model_id = make_model(ada, "parrot", provider="echo", versions=2)
    models.set_alias(ada, model_id, "best", models.NewAlias(version=1))
    with pytest.raises(openai.BadRequestError) as refused:
        sdk(live, ada).models.delete(part.format(id=model_id))
    assert refused.value.param == "model"
    assert models.get(ada, model_id).latest_version == 2


def test_a_name_of_ones_own_and_of_a_base_is_listed_once(live: str, ada: User, echo: Recording) -> None:
    make_model(ada, "parrot", provider="echo")
    make_model(None, "parrot", provider="echo")
    (listed,) = sdk(live, ada).models.list()
    assert (listed.id, listed.owned_by) == ("parrot", ada.id)


def test_a_key_for_one_version_lists_that_version(live: str, ada: User, echo: Recording) -> None:
    make_model(ada, "parrot", provider="echo", versions=3)
    narrow = sdk(live, ada, models=["parrot@2", "parrot@9", "nobody"])
    assert [model.id for model in narrow.models.list()] == ["parrot@2"]
    whole = sdk(live, ada, models=["parrot", "parrot@2"])
    assert [model.id for model in whole.models.list()] == ["parrot"]


def test_scope_is_enforced(live: str, ada: User, parrot: str) -> None:
    narrowed = sdk(live, ada, scopes=["files"])
    with pytest.raises(openai.PermissionDeniedError):
        narrowed.chat.completions.create(model="parrot", messages=HELLO)
    with pytest.raises(openai.PermissionDeniedError):
        narrowed.models.delete("parrot")


def test_monthly_tokens_run_out(live: str, ada: User, parrot: str) -> None:
    narrowed = sdk(live, ada, monthly_token_limit=6)
    narrowed.chat.completions.create(model="parrot", messages=HELLO)
    with pytest.raises(openai.RateLimitError) as refused:
        narrowed.chat.completions.create(model="parrot", messages=HELLO)
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert int(refused.value.response.headers["Retry-After"]) > 0


def test_usage_is_recorded_for_the_key(client_: openai.OpenAI, ada: User) -> None:
    client_.chat.completions.create(model="parrot", messages=HELLO)
    list(client_.chat.completions.create(model="parrot", messages=HELLO, stream=True))
    wait_until(lambda: usage.total(usage.summary(ada, group_by="key")).prompt_tokens == 6)
    with reading() as session:
        assert {row.api_key_id is not None for row in session.query(UsageRow)} == {True}


def test_client_that_hangs_up_stops_the_model(client_: openai.OpenAI, echo: Recording, ada: User) -> None:
    echo.may_end.clear()
    with client_.chat.completions.create(model="parrot", messages=HELLO, stream=True) as stream:
        next(iter(stream))
    wait_until(lambda: usage.summary(ada))  # charged when it has ended
    assert not echo.may_end.is_set()


def test_client_that_hangs_up_without_a_stream_stops_the_model(
    client_: openai.OpenAI, echo: Recording, ada: User
) -> None:
    echo.may_end.clear()
    with pytest.raises(openai.APITimeoutError):
        client_.with_options(timeout=0.5).chat.completions.create(model="parrot", messages=HELLO)
    wait_until(lambda: usage.summary(ada))


def test_stopping_server_ends_the_stream(client_: openai.OpenAI, echo: Recording, ada: User) -> None:
    echo.may_end.clear()
    stream = client_.chat.completions.create(model="parrot", messages=HELLO, stream=True)
    next(iter(stream))
    stopping.begin()
    with pytest.raises(openai.APIError, match="stopping"):
        list(stream)
    wait_until(lambda: usage.summary(ada))


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1", 404), ("/v1/nothing", 404), ("/v1/completions", 404), ("/v1/chat/completions", 405)],
)
def test_unknown_addresses_and_methods_have_the_shape_of_v1(live: str, path: str, status: int) -> None:
    answer = CONNECTIONS.get(live + path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")


def test_revoked_owner_of_a_key_is_nobody(live: str, ada: User, bob: User, parrot: str) -> None:
    program = sdk(live, bob)
    users.get(bob.id)
    with writing() as session:
        from core.tables import UserRow

        session.delete(session.get(UserRow, bob.id))
    with pytest.raises(openai.AuthenticationError):
        program.models.list()
