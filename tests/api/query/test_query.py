"""``POST /api/query``: the JSON of the contract, the Arrow stream, errors, and clients that hang up."""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from core import query, sql_sandbox, storage
from core.api.rest import query as route
from core.config import settings
from core.people.users import User
from core.query.turn import turns
from core.sql_sandbox import Stop
from tests.api.conftest import Caller, error_of, fields_of, signed_in
from tests.api.live import serving
from tests.waiting import wait_until

ARROW = {"Accept": route.ARROW}
ENDLESS = "SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1"


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    yield
    sql_sandbox.shut_down()


def test_json_is_as_the_contract_says(as_ada: Caller) -> None:
    answer = as_ada.post("/api/query", {"sql": "SELECT range AS n FROM range(5) ORDER BY n", "limit": 2})
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) == {"columns", "rows", "row_count", "truncated", "elapsed_ms"}
    assert (body["columns"], body["rows"]) == ([{"name": "n", "type": "BIGINT"}], [[0], [1]])
    assert (body["row_count"], body["truncated"]) == (2, True)
    assert not as_ada.post("/api/query", {"sql": "SELECT 1"}).json()["truncated"]


@pytest.mark.parametrize(
    ("limit", "as_json", "as_arrow"), [(0, 422, 422), (10_001, 422, 200), (1_000_001, 422, 422)]
)
def test_limits_of_both_forms(as_ada: Caller, limit: int, as_json: int, as_arrow: int) -> None:
    for headers, status in (({}, as_json), (ARROW, as_arrow)):
        answer = as_ada.post("/api/query", {"sql": "SELECT 1", "limit": limit}, headers=headers)
        assert answer.status_code == status
        if status == 422:
            assert fields_of(answer) == {"limit"}


@pytest.mark.parametrize(
    "accept", [route.ARROW, f"{route.ARROW};q=0.9, application/json;q=0.5", route.ARROW.upper()]
)
def test_arrow_stream_has_the_rows_and_says_what_is_missing(as_ada: Caller, accept: str) -> None:
    sql = (
        "SELECT range AS n, 'x' || range AS s, [range] AS l, sum(range) OVER () AS total FROM range(100) "
        "ORDER BY n"
    )
    answer = as_ada.post("/api/query", {"sql": sql, "limit": 70}, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == route.ARROW
    assert (answer.headers["X-Row-Count"], answer.headers["X-Truncated"]) == ("70", "true")
    assert int(answer.headers["X-Elapsed-Ms"]) >= 0
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.num_rows == 70
    assert table.schema.field("total").type == pa.int64()
    assert table.slice(69).to_pylist() == [{"n": 69, "s": "x69", "l": [69], "total": 4950}]
    assert list(storage.staging_dir().iterdir()) == []


@pytest.mark.parametrize(
    "accept", [f"{route.ARROW};q=0", f"application/json, {route.ARROW};q=0.1", "*/*", "text/csv", ""]
)
def test_json_is_the_answer_where_it_is_wanted_more(as_ada: Caller, accept: str) -> None:
    answer = as_ada.post("/api/query", {"sql": "SELECT 1"}, headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("sql", "type_"), [("SELECT NULL", "NULL"), ("SELECT []", "NULL[]"), ("SELECT {'NULL': 1}", None)]
)
def test_the_type_of_nothing_is_written_without_half_a_quote(
    as_ada: Caller, sql: str, type_: str | None
) -> None:
    (column,) = as_ada.post("/api/query", {"sql": sql}).json()["columns"]
    assert column["type"] == (type_ or 'STRUCT("NULL" INTEGER)')


@pytest.mark.parametrize(
    ("sql", "parameters", "said"),
    [
        ("SELECT $a", [1], "either a list"),
        ("SELECT ? + $a", [1], "either a list"),
        ("SELECT $a", {"a": 10**40}, "at most 38 digits"),
        ("SELECT 1", {"a": 1}, "$name for each in an object"),
        ("SELECT * FROM (SELECT 1 AS n) t, (SELECT 2 AS n) t", None, "duplicate alias"),
        ("SELECT t.zz FROM (SELECT 1 AS n) t", None, 'The table "t" has no column "zz".'),
    ],
)
def test_what_is_wrong_with_parameters_and_tables_is_said_in_our_words(
    as_ada: Caller, sql: str, parameters: Any, said: str
) -> None:
    answer = as_ada.post("/api/query", {"sql": sql, "parameters": parameters})
    assert answer.status_code == 422
    assert said in error_of(answer)["message"]
    assert not any(word in answer.text for word in ("not supported yet", "Python", "memory.main"))


def test_parameters_that_are_neither_list_nor_object_are_told_both(as_ada: Caller) -> None:
    answer = as_ada.post("/api/query", {"sql": "SELECT 1", "parameters": "x"})
    assert fields_of(answer) == {"parameters"}
    assert error_of(answer)["message"] == "parameters: must be a list or an object"


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT 170141183460469231731687303715884105727::HUGEINT AS v", [2**127 - 1]),
        ("SELECT 1 AS v WHERE false", []),
        ("SELECT NULL AS v", [None]),
        ("SELECT 'a'::ENUM('a', 'b') AS v", ["a"]),
        ("SELECT INTERVAL 1 MONTH AS v", ["1 month"]),
    ],
)
def test_arrow_stream_keeps_values(as_ada: Caller, sql: str, values: list[Any]) -> None:
    answer = as_ada.post("/api/query", {"sql": sql}, headers=ARROW)
    found = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all().column("v").to_pylist()
    assert [int(v) if hasattr(v, "as_tuple") else v for v in found] == values
    assert answer.headers["X-Truncated"] == "false"


@pytest.mark.parametrize("headers", [{}, ARROW])
def test_errors_are_json_in_both_forms(as_ada: Caller, headers: dict[str, str]) -> None:
    answer = as_ada.post("/api/query", {"sql": "SELECT 1 FRM x"}, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "sql_error")
    assert isinstance(error_of(answer)["position"], int)
    runtime = as_ada.post("/api/query", {"sql": "SELECT ('x' || range)::INT FROM range(9)"}, headers=headers)
    assert (runtime.status_code, error_of(runtime)["position"]) == (422, 21)


def test_result_larger_than_the_disk_allows_is_said(as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query.turn, "SPILL_BYTES", 2**20)
    answer = as_ada.post(
        "/api/query", {"sql": "SELECT uuid() AS u FROM range(200000)", "limit": 1_000_000}, headers=ARROW
    )
    assert answer.status_code == 422
    assert "larger than one query may write" in error_of(answer)["message"]
    assert list(storage.staging_dir().iterdir()) == []


def test_deadline_is_408(as_ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_QUERY_SECONDS", "0.3")
    settings.cache_clear()
    for headers in ({}, ARROW):
        answer = as_ada.post("/api/query", {"sql": ENDLESS}, headers=headers)
        assert (answer.status_code, error_of(answer)["code"]) == (408, "timeout")


@pytest.mark.parametrize("accept", ["application/json", route.ARROW])
def test_query_ends_when_its_client_hangs_up(ada: User, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    stops: list[Stop] = []
    ran = threading.Event()

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, stop: Stop, **more: Any) -> Any:
            stops.append(stop)
            try:
                return work(*args, stop=stop, **more)
            finally:
                ran.set()

        return run

    monkeypatch.setattr(route.query, "run", noting(query.run))
    monkeypatch.setattr(route.query, "arrow", noting(query.arrow))
    with serving() as address:
        line = _ask(address, ada, accept)
        wait_until(lambda: turns.running[ada.id] == 1)
        line.close()
        wait_until(ran.is_set)
    assert stops[0].is_set()
    assert turns.running[ada.id] == 0
    assert list(storage.staging_dir().iterdir()) == []


def _ask(address: str, user: User, accept: str) -> socket.socket:
    """A request on an own line, because a client library would not hang up in the middle."""
    body = json.dumps({"sql": ENDLESS}).encode()
    headers = {
        **signed_in(user),
        "Accept": accept,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Host": "x",
    }
    line = socket.create_connection((urlsplit(address).hostname, urlsplit(address).port))
    head = "POST /api/query HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    line.sendall(head.encode() + b"\r\n" + body)
    return line
