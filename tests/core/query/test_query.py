"""Queries as users ask them: names, ownership, limits, waiting, errors, saving.

What SQL may do is tested in test_sql_gate.py.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from core import datasets, query, sql_sandbox, storage
from core.clock import now
from core.config import settings
from core.datasets import DatasetList
from core.db import writing
from core.errors import (
    LuthierError,
    NotFound,
    QueryStopped,
    QueryTimeout,
    RateLimited,
    SqlError,
    TooLarge,
    Unavailable,
    ValidationError,
)
from core.fields import parse
from core.people import usage
from core.people.users import User
from core.query import NewQuery, turn
from core.sql_sandbox import Stop
from core.sql_sandbox.rows import json_rows, json_value
from core.sql_sandbox.turns import TooBusy, Turns
from core.tables import DatasetRow, DatasetVersionRow
from tests.waiting import wait_until

ROWS = [{"amount": n, "city": name} for n, name in enumerate(["Oslo", "Rome", "Lima", "Bern"])]
Make = Callable[..., DatasetVersionRow]


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    yield
    sql_sandbox.shut_down()


def ask(user: User, sql: str, **fields: Any) -> list[list[Any]]:
    return query.run(user, NewQuery(sql=sql, **fields)).rows


def refused(user: User, sql: str, **fields: Any) -> SqlError:
    with pytest.raises(SqlError) as error:
        query.run(user, NewQuery(sql=sql, **fields))
    return error.value


def _error_of(user: User, sql: str) -> str:
    try:
        query.run(user, NewQuery(sql=sql))
    except LuthierError as error:
        return error.message
    return ""


def add_version(
    first: DatasetVersionRow, make_version: Make, user: User, rows: list[dict[str, Any]]
) -> DatasetVersionRow:
    """A second version of the first one's dataset."""
    other = make_version(user, rows, name="to be merged")
    with writing() as session:
        row = session.get_one(DatasetVersionRow, other.id)
        old = row.dataset_id
        row.dataset_id, row.number = first.dataset_id, 2
        session.flush()
        session.delete(session.get_one(DatasetRow, old))
    return other


def test_answer_has_columns_rows_and_arrow(ada: User, make_version: Make) -> None:
    make_version(ada, ROWS, name="cities")
    result = query.run(ada, NewQuery(sql="SELECT city, amount FROM Cities ORDER BY amount", limit=3))
    assert result.columns == [{"name": "city", "type": "VARCHAR"}, {"name": "amount", "type": "BIGINT"}]
    assert result.rows == [["Oslo", 0], ["Rome", 1], ["Lima", 2]]
    assert (result.row_count, result.truncated) == (3, True)
    assert result.elapsed_ms >= 0
    assert result.table.column("amount").to_pylist() == [0, 1, 2]


@pytest.mark.parametrize("limit", [0, 10_001])
def test_limit_has_bounds(limit: int) -> None:
    with pytest.raises(ValidationError):
        parse(NewQuery, sql="SELECT 1", limit=limit)


@pytest.mark.parametrize("sql", ["", "SELECT '\0'", "SELECT '\ud800'", "x" * 100_001])
def test_text_must_be_text(sql: str) -> None:
    with pytest.raises(ValidationError):
        parse(NewQuery, sql=sql)


def test_dataset_answers_to_name_number_and_ids(ada: User, make_version: Make) -> None:
    first = make_version(ada, ROWS, name="my data")
    second = add_version(first, make_version, ada, ROWS[:1])
    for name in (
        '"my data"',
        '"MY Data"',
        '"my data@2"',
        first.dataset_id,
        f'"{first.dataset_id}@2"',
        second.id,
    ):
        assert ask(ada, f"SELECT count(*) FROM {name}") == [[1]], name
    for name in ('"my data@1"', f'"{first.dataset_id}@1"', first.id):
        assert ask(ada, f"SELECT count(*) FROM {name}") == [[4]], name


@pytest.mark.parametrize(
    "name", ['a"b', "order", "data.v2", "sales.csv", "naïve ☂", "x'; DROP TABLE t; --", "faq@2", "{}", "a\\b"]
)
def test_any_name_can_be_queried_when_quoted(ada: User, make_version: Make, name: str) -> None:
    make_version(ada, ROWS, name=name)
    assert ask(ada, f"SELECT count(*) FROM {query.tables(ada)[0].name}") == [[4]]


def test_two_datasets_of_one_name_are_told_apart_by_id(ada: User, make_version: Make) -> None:
    first, second = make_version(ada, ROWS, name="faq"), make_version(ada, ROWS[:1], name="FAQ")
    error = refused(ada, "SELECT * FROM faq")
    assert "2 datasets" in error.message
    assert first.dataset_id in error.message
    assert second.dataset_id in error.message
    assert ask(ada, f"SELECT count(*) FROM {second.dataset_id}") == [[1]]


@pytest.mark.parametrize(
    ("sql", "words", "position"),
    [
        ("SELECT amout FROM faq", 'Unknown column "amout". Did you mean "amount"?', 7),
        ("SELECT 'é', * FROM fax", 'Unknown table "fax". Did you mean faq?', 19),
        ("SELECT * FROM zebra", "Your datasets:", 14),
        ('SELECT * FROM "faq@7"', '"faq" has no version 7; its newest is 1.', 14),
        ("SELECT * FROM 'faq.csv'", "upload it", 14),
        ("SELECT * FROM read_csv('x')", "Name one of your datasets", None),
        ("SELECT * FROM my-data", 'double quotes: "my-data"', 16),
        ("SELECT * FROM data.v2", 'double quotes: "data.v2"', 14),
        ("SELECT * FROM faq@1", 'double quotes: "faq@1"', 17),
        ("SELECT lowr(city) FROM faq", 'Did you mean "lower"?', 7),
        ("DELETE FROM faq", "Only SELECT", 0),
        ("SELECT city::INT FROM faq", "Could not convert", 11),
        ("SELECT unit price FROM priced", 'Put the name in double quotes: "unit price".', 7),
        (
            "SELECT max(unit price) FROM priced",
            'If you mean the column, put its name in double quotes: "unit price".',
            16,
        ),
        ("SELECT price-net FROM priced", 'Put the name in double quotes: "price-net".', 7),
        ("SELECT qq FROM priced", 'Columns here: "unit price", "price-net", zzzzzzzzz.', 7),
        ("EXPLAIN SELECT 1", "on the tab Plan", 0),
        ("SHOW TABLES", "listed beside the editor", 0),
        ("SELECT list_transform([1], v -> v + 1)", "Write lambda x: x + 1", None),
        ("SELECT ?", "No value was given for the parameter 1", None),
        ("SELECT current_user FROM faq", "If it is a column, write its table in front of it", 7),
    ],
)
def test_errors_help(ada: User, make_version: Make, sql: str, words: str, position: int | None) -> None:
    for name in ("faq", "my-data", "data.v2"):
        make_version(ada, ROWS, name=name)
    make_version(ada, [{"unit price": 1, "price-net": 2, "zzzzzzzzz": 3}], name="priced")
    error = refused(ada, sql)
    assert words in error.message
    assert error.position == position


def test_errors_never_show_where_data_lies(ada: User, make_version: Make) -> None:
    version = make_version(ada, ROWS, name="faq")
    for sql in (
        "SELECT nope FROM faq",
        "SELECT filename FROM faq",
        "SELECT faq.file_row_number FROM faq",
        "SELECT sum(city) FROM faq",
        "SELECT city::INT FROM faq",
        "SELECT * FROM faq, faq",
        "SELECT * FROM faq JOIN faq x USING (nope)",
        "SELECT * FROM duckdb_views()",
        "SELECT error(city) FROM faq",
        "SELECT * FROM '/etc/passwd'",
        "SELECT 1 FROM faq WHERE city SIMILAR TO '('",
        "SELECT strptime(city, '%Y') FROM faq",
    ):
        message = _error_of(ada, sql)
        assert str(settings().data_dir) not in message
        assert version.id not in message
        assert "parquet" not in message.lower()


def test_missing_file_is_said(ada: User, make_version: Make) -> None:
    version = make_version(ada, ROWS, name="faq")
    storage.parquet_path(version.id).unlink()
    with pytest.raises(Unavailable, match="missing"):
        query.run(ada, NewQuery(sql="SELECT * FROM faq"))


def test_others_data_does_not_exist(ada: User, bob: User, make_version: Make) -> None:
    version = make_version(ada, ROWS, name="secret plans")
    own = make_version(bob, ROWS, name="mine")
    for name in ("secret plans", "secret plans@1", version.dataset_id, f"{version.dataset_id}@1", version.id):
        real = refused(bob, f'SELECT * FROM "{name}"').message
        invented = (
            name.replace("secret", "hidden")
            .replace(version.dataset_id, "ds_nothing")
            .replace(version.id, "dsv_nothing")
        )
        unreal = refused(bob, f'SELECT * FROM "{invented}"').message
        assert real.replace(name, "X") == unreal.replace(invented, "X")
        assert "Oslo" not in real
    for call in (query.describe, lambda u, d: query.run_on(u, d, "SELECT 1")):
        with pytest.raises(NotFound):
            call(bob, version.dataset_id)
    with pytest.raises(NotFound):
        query.save(bob, sql="SELECT * FROM mine", dataset_id=version.dataset_id)
    assert [t.dataset_id for t in query.tables(bob)] == [own.dataset_id]


def test_versions_that_are_not_ready_do_not_exist(ada: User, make_version: Make) -> None:
    version = make_version(ada, ROWS, name="faq")
    with writing() as session:
        session.get_one(DatasetVersionRow, version.id).status = "processing"
    assert "no datasets yet" in refused(ada, "SELECT * FROM faq").message


def test_parameters_by_place_and_name(ada: User, make_version: Make) -> None:
    make_version(ada, ROWS, name="faq")
    assert ask(ada, "SELECT amount FROM faq WHERE city = ?", parameters=["Rome"]) == [[1]]
    assert ask(ada, "SELECT amount FROM faq WHERE city = $city", parameters={"city": "x' OR 1=1 --"}) == []
    assert "for the parameter 1" in refused(ada, "SELECT ?").message
    assert refused(ada, "SELECT 1", parameters=[1]).message
    assert ask(ada, "SELECT ?", parameters=[{"a": [1, None]}]) == [[{"a": [1, None]}]]


def test_run_on_calls_the_dataset_data(ada: User, make_version: Make) -> None:
    version = make_version(ada, ROWS, name="faq")
    make_version(ada, ROWS[:1], name="data")
    assert query.run_on(ada, version.dataset_id, "SELECT count(*) FROM data").rows == [[4]]
    assert query.run_on(ada, version.dataset_id, "SELECT count(*) FROM faq").rows == [[4]]
    with pytest.raises(ValidationError):
        query.run_on(ada, version.dataset_id, "")


def test_describe_has_a_row_per_column(ada: User, make_version: Make) -> None:
    version = make_version(ada, ROWS, name="faq")
    result = query.describe(ada, version.dataset_id)
    assert [row[:4] for row in result.rows] == [
        ["amount", "BIGINT", "0", "3"],
        ["city", "VARCHAR", "Bern", "Rome"],
    ]
    assert query.describe(ada, version.dataset_id, version=1).rows == result.rows
    with pytest.raises(NotFound):
        query.describe(ada, version.dataset_id, version=9)


def test_deadline_is_said(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_QUERY_SECONDS", "0.5")
    settings.cache_clear()
    started = time.monotonic()
    with pytest.raises(QueryTimeout, match=r"0\.5 seconds"):
        query.run(ada, NewQuery(sql="SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) = 1"))
    assert time.monotonic() - started < 1.5 + 1


def test_out_of_memory_is_said(ada: User) -> None:
    assert "out of memory" in refused(ada, "SELECT list(repeat('x', 1000000)) FROM range(100000)").message


def test_each_query_is_recorded(ada: User) -> None:
    ask(ada, "SELECT 1")
    refused(ada, "SELECT nope")
    [line] = usage.summary(ada, group_by="kind")
    assert (line.group, line.requests) == ("query", 2)
    assert line.query_seconds > 0


def test_nothing_is_left_in_staging(ada: User, make_version: Make) -> None:
    make_version(ada, ROWS, name="faq")
    ask(ada, "SELECT * FROM faq")
    refused(ada, "SELECT nope FROM faq")
    query.save(ada, sql="SELECT * FROM faq", name="kept")
    assert list(storage.staging_dir().iterdir()) == []


def test_saved_query_becomes_a_dataset_with_its_parents(ada: User, make_version: Make) -> None:
    source, other = make_version(ada, ROWS, name="faq"), make_version(ada, ROWS, name="other")
    sql = (
        "WITH other AS (SELECT 1) SELECT city, sum(amount) AS total FROM faq GROUP BY city "
        "ORDER BY city -- faq, not other"
    )
    dataset, version = query.save(ada, sql=sql, name="totals", note="per city")
    assert (dataset.name, version.version) == ("totals", 1)
    assert (version.sql, version.note, list(version.parents)) == (sql, "per city", [source.id])
    assert other.id not in version.parents
    assert ask(ada, "SELECT total FROM totals WHERE city = 'Bern'") == [[3]]
    assert {t.name: t.columns for t in query.tables(ada)}["totals"] == [
        {"name": "city", "type": "VARCHAR"},
        {"name": "total", "type": "BIGINT"},
    ]


def test_saved_query_becomes_the_next_version(ada: User, make_version: Make) -> None:
    source = make_version(ada, ROWS, name="faq")
    dataset, version = query.save(ada, sql="SELECT * FROM faq WHERE amount > 1", dataset_id=source.dataset_id)
    assert (dataset.id, version.version) == (source.dataset_id, 2)
    assert ask(ada, "SELECT count(*) FROM faq") == [[2]]
    assert ask(ada, 'SELECT count(*) FROM "faq@1"') == [[4]]


def test_save_wants_a_name_and_a_query_that_runs(ada: User) -> None:
    with pytest.raises(ValidationError):
        query.save(ada, sql="SELECT 1")
    with pytest.raises(SqlError):
        query.save(ada, sql="SELECT nope", name="x")
    with pytest.raises(SqlError):
        query.save(ada, sql="COPY (SELECT 1) TO '/tmp/x'", name="x")
    with pytest.raises(NotFound):
        query.save(ada, sql="SELECT 1", dataset_id="ds_unknown")
    assert datasets.list_datasets(ada, datasets.DatasetList()).total == 0


def test_result_too_large_to_save_is_said(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_MAX_EXPANDED_MB", "1")
    settings.cache_clear()
    with pytest.raises(TooLarge, match="larger than"):
        query.save(ada, sql="SELECT uuid() AS u FROM range(300000)", name="x")
    assert datasets.list_datasets(ada, datasets.DatasetList()).total == 0


def test_too_many_queries_are_told_to_wait(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise TooBusy

    monkeypatch.setattr(turn.turns, "_enter", full)
    with pytest.raises(RateLimited) as error:
        query.run(ada, NewQuery(sql="SELECT 1"))
    assert error.value.retry_after >= 1


def test_a_version_whose_files_were_removed_says_so(ada: User, bob: User, make_version: Make) -> None:
    first = make_version(ada, ROWS, name="faq")
    add_version(first, make_version, ada, ROWS[:1])
    with writing() as session:
        row = session.get_one(DatasetVersionRow, first.id)
        row.removed_at, row.removed_why = now(), "by Ada"
    for name in ("faq@1", f"{first.dataset_id}@1", first.id):
        assert "were removed on" in refused(ada, f'SELECT * FROM "{name}"').message
        assert "by Ada" in refused(ada, f'SELECT * FROM "{name}"').message
        assert "removed" not in refused(bob, f'SELECT * FROM "{name}"').message


def test_answer_says_what_it_scanned_and_how_long_it_waited(ada: User, make_version: Make) -> None:
    make_version(ada, ROWS * 1000, name="faq")
    result = query.run(ada, NewQuery(sql="SELECT sum(amount) FROM faq WHERE city = 'Rome'"))
    assert (result.rows_scanned, result.bytes_scanned > 0) == (4000, True)
    assert result.queue_ms >= 0
    assert query.run(ada, NewQuery(sql="SELECT 1")).rows_scanned == 0


def test_plan_has_shares_and_a_text(ada: User, make_version: Make) -> None:
    make_version(ada, ROWS * 1000, name="faq")
    plan = query.plan(
        ada, NewQuery(sql="SELECT city, sum(amount) AS n FROM faq WHERE amount > 0 GROUP BY city ORDER BY n")
    )
    steps = list(plan.operators)
    for step in steps:
        steps += step.children
    assert abs(sum(step.share for step in steps) - 1) < 0.01
    assert steps[0].name == "Order by"
    assert ("Table", "faq") in steps[-1].details
    assert "table: faq" in plan.text.splitlines()[-1]
    assert plan.rows_scanned == 4000


def test_a_query_stopped_while_it_waits_leaves_the_queue(ada: User) -> None:
    stop, told = Stop(), threading.Event()
    with turn.turns.take(ada.id, places=1, seconds=1):
        running = query.Running(lambda progress: query.run(ada, NewQuery(sql="SELECT 1"), progress=progress))
        places = settings().query_concurrency
        with ExitStack() as taken:
            for n in range(places):
                taken.enter_context(turn.turns.take(f"other{n}", places=places + 2, seconds=1))
            running.start()
            wait_until(lambda: running.progress.place == 1)
            running.stop()
            with pytest.raises(QueryStopped, match="was stopped"):
                running.outcome()
    assert turn.turns.waiting == []
    assert turn.turns.running.total() == 0
    with stop.when_set(told.set):
        stop.set()
    assert told.is_set()


def test_places_in_the_queue_are_told_in_the_order_they_will_go() -> None:
    turns, told = Turns(), {name: [] for name in ("a1", "a2", "b1")}
    go = threading.Event()

    def work(name: str) -> None:
        with turns.take(name[0], places=1, seconds=10, tell=told[name].append):
            go.wait(10)

    with turns.take("c", places=1, seconds=1):
        threads = [threading.Thread(target=work, args=(name,)) for name in told]
        for count, thread in enumerate(threads, start=1):
            thread.start()
            wait_until(lambda count=count: len(turns.waiting) == count)
        wait_until(lambda: [places[-1] for places in told.values()] == [1, 3, 2])  # b1 goes before a's second
    go.set()
    for thread in threads:
        thread.join()
    assert [places[-1] for places in told.values()] == [0, 0, 0]


def test_free_place_goes_to_whoever_runs_least() -> None:
    turns, order = Turns(), []
    go = {name: threading.Event() for name in ("a1", "a2", "a3", "b1")}

    def work(name: str) -> None:
        with turns.take(name[0], places=3, seconds=10):
            order.append(name)
            go[name].wait(10)

    threads = {}
    for count, name in enumerate(("a1", "a2", "a3", "b1"), start=1):
        threads[name] = threading.Thread(target=work, args=(name,))
        threads[name].start()
        wait_until(lambda count=count: len(order) + len(turns.waiting) == count)
    wait_until(lambda: len(order) == 3)
    assert order == ["a1", "a2", "b1"]  # a3 came before b1, but one user never holds every place
    go["a1"].set()
    wait_until(lambda: len(order) == 4)
    for event in go.values():
        event.set()
    for thread in threads.values():
        thread.join()
    assert turns.running.total() == 0
    assert turns.waiting == []


def test_wait_for_a_place_is_bounded() -> None:
    turns = Turns()
    with (
        turns.take("a", places=1, seconds=1),
        pytest.raises(TooBusy),
        turns.take("b", places=1, seconds=0.05),
    ):
        pass
    with turns.take("b", places=1, seconds=1):
        pass


def test_many_users_at_once_all_get_answers(ada: User, bob: User, make_version: Make) -> None:
    make_version(ada, ROWS, name="faq")
    make_version(bob, ROWS[:2], name="faq")
    answers: list[tuple[str, Any]] = []

    def work(user: User) -> None:
        answers.append((user.id, ask(user, "SELECT count(*) FROM faq")))

    threads = [threading.Thread(target=work, args=(user,)) for user in (ada, bob) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([(ada.id, [[4]])] * 6 + [(bob.id, [[2]])] * 6)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("DATE '2024-02-29'", "2024-02-29"),
        ("TIMESTAMP '2024-02-29 10:00:00.5'", "2024-02-29T10:00:00.500000"),
        ("TIMESTAMPTZ '2024-02-29 10:00:00+02'", "2024-02-29T08:00:00Z"),
        ("TIMESTAMP_NS '2024-02-29 10:00:00.123456789'", "2024-02-29T10:00:00.123456789"),
        ("TIME '10:00'", "10:00:00"),
        ("'10:00:00+02'::TIMETZ", "10:00:00+02"),
        ("INTERVAL '1 month 2 hours'", "1 month 02:00:00"),
        ("'infinity'::DATE", "infinity"),
        ("'-infinity'::TIMESTAMP", "-infinity"),
        ("DATE '290000-01-01'", "290000-01-01"),
        ("1.50::DECIMAL(10, 2)", 1.5),
        ("12345678901234567890.12::DECIMAL(38, 2)", "12345678901234567890.12"),
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("9223372036854775807", 2**63 - 1),
        ("sum(3)", 3),
        ("'nan'::DOUBLE", None),
        ("'-inf'::FLOAT", None),
        ("['nan'::DOUBLE, 1]", [None, 1.0]),
        ("'ab'::BLOB", base64.b64encode(b"ab").decode()),
        ("{'a': [1, NULL], 'd': DATE '2024-01-01'}", {"a": [1, None], "d": "2024-01-01"}),
        ("map {'k': 1.5::DECIMAL(4, 1)}", {"k": 1.5}),
        ("[map {1: 'x'}]", [{"1": "x"}]),
        ("'6c84fb90-12c4-11e1-840d-7b25c5ee775a'::UUID", "6c84fb90-12c4-11e1-840d-7b25c5ee775a"),
        ("'x'::ENUM('x', 'y')", "x"),
        ("'101'::BIT", "101"),
        ("union_value(n := 1)", "1"),
        ("'{\"a\": 1}'::JSON", '{"a": 1}'),
        ("NULL", None),
        ("[]", []),
        ("(1, 'x')", {"element1": 1, "element2": "x"}),
    ],
)
def test_every_value_fits_into_json(ada: User, sql: str, value: Any) -> None:
    [[found]] = ask(ada, f"SELECT {sql} AS v")
    json.dumps(found, allow_nan=False)
    assert found == value


def test_rows_of_arrow_without_duckdb() -> None:
    table = pa.table({"a": pa.array([Decimal("1E+2"), None]), "b": pa.array([[b"x"], None])})
    assert json_rows(table) == [[100, ["eA=="]], [None, None]]
    assert json_rows(table.select([])) in ([], [[], []])
    assert json_value(object).startswith("<class")


def test_columns_of_one_name_stay_apart(ada: User) -> None:
    result = query.run(ada, NewQuery(sql="SELECT 1 AS a, 2 AS a"))
    assert result.rows == [[1, 2]]
    assert len({c["name"] for c in result.columns}) == 2


def test_nothing_is_kept_of_a_query_without_rows(ada: User) -> None:
    with pytest.raises(ValidationError, match="sql: gives no rows, so there is nothing to keep"):
        query.save(ada, sql="SELECT 1 AS n WHERE false", name="empty")
    assert datasets.list_datasets(ada, DatasetList()).total == 0
