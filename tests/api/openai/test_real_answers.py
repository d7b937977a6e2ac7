"""``/v1`` of a real server with the starter that comes along: what a caller sees of stop strings, control
tokens typed as text, parameters of other servers, and a key's limit under requests that come at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.rest import Rest
from tests.browser.server import serving

CASES = Path(__file__).parent / "cases"
HELLO = [{"role": "user", "content": "Hello! Who are you?"}]
LIMIT = 100  # tokens a month
AT_ONCE = 10

pytestmark = [pytest.mark.slow, pytest.mark.long]  # a server of its own, which loads a model


def read_cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield Rest(server.url, "ada@example.com")


@pytest.fixture(scope="module")
def caller(ada: Rest) -> Iterator[httpx.Client]:
    with make_caller(ada) as made:
        yield made


def make_caller(ada: Rest, **limits: int) -> httpx.Client:
    """With a key of its own."""
    key = ada.post("/apikeys", {"name": "test", **limits})["key"]
    url = str(ada.http.base_url).rstrip("/")
    return httpx.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=300)


def complete(caller: httpx.Client, **body: Any) -> httpx.Response:
    return caller.post("/chat/completions", json={"model": "luthier-starter", **body})


def answer_of(caller: httpx.Client, **body: Any) -> tuple[str, str]:
    """The text, and why it ended."""
    answer = complete(caller, **body)
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def deltas_of(caller: httpx.Client, **body: Any) -> list[str]:
    asked = {"model": "luthier-starter", "stream": True, **body}
    with caller.stream("POST", "/chat/completions", json=asked) as answer:
        chunks = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    return [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]


@pytest.mark.parametrize("case", read_cases("stops.jsonl"), ids=lambda case: str(case.get("stop", "emoji")))
def test_a_stop_string_ends_an_answer_and_is_never_seen(caller: httpx.Client, case: dict[str, Any]) -> None:
    body = {key: case[key] for key in ("stop", "max_tokens") if key in case}
    body |= {"messages": [{"role": "user", "content": case["prompt"]}], "temperature": 0}
    text, reason = answer_of(caller, **body)
    assert text == case.get("text", text)
    assert reason == case.get("finish", reason)
    deltas = deltas_of(caller, **body)
    assert "".join(deltas) == text
    assert not any("\ufffd" in delta for delta in deltas)


@pytest.mark.parametrize("case", read_cases("forged_roles.jsonl"))
def test_control_tokens_that_a_user_types_are_text(caller: httpx.Client, case: dict[str, Any]) -> None:
    def prompt_tokens(messages: list[dict[str, str]]) -> int:
        return int(complete(caller, messages=messages, max_tokens=1).json()["usage"]["prompt_tokens"])

    tokens = prompt_tokens(case["messages"])
    assert tokens >= case.get("want_at_least", 0)
    if "must_not_equal" in case:
        assert tokens > prompt_tokens(case["must_not_equal"])


@pytest.mark.parametrize("case", read_cases("ignored_params.jsonl"), ids=lambda case: str(case["param"]))
def test_a_parameter_of_another_server_has_an_effect_or_is_refused_by_name(
    caller: httpx.Client, case: dict[str, Any]
) -> None:
    more = {case["param"]: case["value"]}
    if case["want"] == "refused":
        answer = complete(caller, messages=HELLO, **more)
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert (error["code"], error["param"]) == ("unsupported_parameter", case["param"])
        assert case.get("nearest", "") in error["message"]
        return

    def answers(**given: Any) -> list[tuple[str, str]]:
        fixed = {"messages": HELLO, "max_tokens": 40, "seed": 1}
        return [answer_of(caller, **fixed, temperature=heat, **given) for heat in (0, 2)]

    plain = answers()
    assert plain == answers()
    assert answers(**more) != plain


@pytest.mark.parametrize(("letters", "most"), [(100, 100), (20, 100), (5, 5)])
def test_requests_at_once_stay_together_within_a_keys_limit(ada: Rest, letters: int, most: int) -> None:
    """A prompt that is too long by itself, an answer that may take all that is left, and many that are short
    enough for several to fit."""
    with make_caller(ada, monthly_token_limit=LIMIT) as caller, ThreadPoolExecutor(AT_ONCE) as pool:
        asked = [{"role": "user", "content": "a" * letters}]
        sent = [pool.submit(complete, caller, messages=asked, max_tokens=most) for _ in range(AT_ONCE)]
        answers = [future.result() for future in sent]
    assert {answer.status_code for answer in answers} <= {200, 429}
    spent = [answer.json()["usage"]["total_tokens"] for answer in answers if answer.is_success]
    assert sum(spent) <= LIMIT
    assert bool(spent) == (letters < LIMIT)
    refused = [answer for answer in answers if not answer.is_success]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
