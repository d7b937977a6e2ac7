"""The SQL page: the tables at hand, answers, mistakes, charts, saving, history."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from core import datasets, query
from core.datasets import Dataset, DatasetList
from core.errors import SqlError
from core.people.users import User
from core.query import QueryProgress, Running
from core.sql_sandbox import shut_down
from core.ui import charts
from core.ui.elements import sql_tables
from core.ui.query import sql_run, sql_view
from tests.ui.conftest import Visit, jsonl, text_of

ROWS = jsonl({"word": "bow", "n": 1}, {"word": "scroll", "n": 2}, {"word": "bridge", "n": 3})


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's page runs once, so it waits for the answer however busy the machine is."""
    monkeypatch.setattr(sql_run, "PATIENCE", 20.0)


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    yield
    shut_down()


@pytest.fixture
def words(ada: User, dataset_of: Callable[..., Dataset]) -> Dataset:
    return dataset_of(ada, "words", ROWS)


def test_without_tables_the_page_says_where_they_come_from(visit: Visit, ada: User) -> None:
    app = visit(ada, "sql")
    assert "No tables yet" in text_of(app)
    assert app.button(key="sql_to_datasets")


def test_a_link_with_a_query_opens_with_its_answer(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT word FROM words WHERE n > 1 ORDER BY n")
    assert not app.exception
    assert list(app.dataframe[0].value["word"]) == ["scroll", "bridge"]
    assert "**2 rows**" in text_of(app)


def test_the_tables_and_their_columns_are_listed(
    visit: Visit,
    ada: User,
    words: Dataset,
    dataset_of: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset_of(ada, "my data", jsonl({"a": 1}))
    listed = _tables_shown(monkeypatch)
    visit(ada, "sql")
    assert {table.name: [column["name"] for column in table.columns] for table in listed} == {
        "words": ["word", "n"],
        '"my data"': ["a"],
    }


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "DROP TABLE words", "SELECT * FROM read_csv('/etc/passwd')", "SELECT nope FROM words", ";"],
)
def test_what_cannot_run_is_a_sentence(visit: Visit, ada: User, words: Dataset, sql: str) -> None:
    app = visit(ada, "sql", sql=sql)
    assert not app.exception
    assert app.error
    assert "Traceback" not in text_of(app)


def test_a_mistake_is_pointed_at() -> None:
    assert sql_view.point_at("SELECT 1\nFORM x", 9) == "line 2: FORM x\n        ^"
    assert sql_view.point_at("SELECT", 99) == "line 1: SELECT\n              ^"


def test_others_tables_do_not_exist(
    visit: Visit,
    ada: User,
    bob: User,
    words: Dataset,
    dataset_of: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset_of(bob, "bobs", jsonl({"a": 1}))
    listed = _tables_shown(monkeypatch)
    app = visit(bob, "sql", sql="SELECT * FROM words")
    assert app.error
    assert {table.name for table in listed} == {"bobs"}


def test_a_cut_answer_says_so_plainly(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT range AS n FROM range(150)", sql_limit="100 rows")
    assert not app.exception
    assert "Only the first 100 rows" in app.warning[0].value
    assert not visit(ada, "sql", sql="SELECT 1").warning


def test_a_slow_query_leaves_the_page_alive_and_can_be_stopped(
    visit: Visit, ada: User, words: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_run, "PATIENCE", 0.0)
    app = visit(ada, "sql", sql="SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1")
    assert not app.exception
    assert "Running" in text_of(app) or "Waiting" in text_of(app)
    work = app.session_state[sql_run.RUNNING]
    app.button(key="sql_running_stop").click().run()
    assert work.running.wait(20)
    app.run()
    assert "The query was stopped." in app.info[0].value
    assert "stopped" in app.button(key="history_0").label
    assert not app.error


def test_a_new_query_stops_the_one_before(
    visit: Visit, ada: User, words: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_run, "PATIENCE", 0.0)
    app = visit(ada, "sql", sql="SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1")
    first = app.session_state[sql_run.RUNNING].running
    monkeypatch.setattr(sql_run, "PATIENCE", 20.0)
    app.query_params["sql"] = "SELECT 2 AS second"
    app.run()
    assert first.wait(20)
    assert list(app.dataframe[0].value) == ["second"]


@pytest.mark.parametrize(
    ("place", "words"), [(1, "Next in line"), (3, "2 queries first"), (2, "1 query first"), (0, "Running")]
)
def test_a_query_that_waits_says_its_place(place: int, words: str) -> None:
    progress = QueryProgress()
    progress.tell(place)
    assert words in sql_run._words(progress)


def test_a_background_query_tells_what_went_wrong() -> None:
    def fail(_: QueryProgress) -> Any:
        raise SqlError("no")

    running = Running(fail).start()
    with pytest.raises(SqlError, match="no"):
        running.outcome()


def test_the_plan_is_drawn_and_can_be_copied(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT n, count(*) FROM words WHERE n > 1 GROUP BY n", answer="Plan")
    assert not app.exception
    assert not app.error
    text = app.code[0].value
    assert "Table scan" in text
    assert "table: words" in text
    assert "parquet" not in text.lower()


def test_what_is_shown_can_be_downloaded(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(
        ada,
        "sql",
        sql="SELECT n, word, [n] AS l, n > 1 AS big, NULL AS nothing, '' AS blank FROM words ORDER BY n",
    )
    result = app.session_state[sql_run.OUTCOME].result
    assert query.as_csv(result).decode().splitlines() == [
        "n,word,l,big,nothing,blank",
        '1,bow,[1],false,,""',
        '2,scroll,[2],true,,""',
        '3,bridge,[3],true,,""',
    ]
    assert parquet.read_table(io.BytesIO(query.as_parquet(result))).column("l").to_pylist() == [[1], [2], [3]]


def test_an_answer_can_be_saved_as_a_dataset(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT * FROM words WHERE n < 3")
    app.text_input(key="save_name").set_value("short words")
    app.text_input(key="save_note").set_value("less than three")
    app.button(key="save_submit").click().run()
    assert not app.exception
    saved = datasets.list_datasets(ada, DatasetList(q="short")).items[0]
    version = datasets.version_of(ada, saved.id)
    assert (saved.num_rows, version.sql, version.note) == (
        2,
        "SELECT * FROM words WHERE n < 3",
        "less than three",
    )
    assert app.query_params["id"] == saved.id


def test_an_answer_can_become_the_next_version(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT * FROM words WHERE n < 2")
    app.segmented_control(key="save_kind").set_value("version").run()
    app.button(key="save_submit").click().run()
    assert not app.exception
    assert datasets.get(ada, words.id).version == 2
    assert datasets.get(ada, words.id).num_rows == 1


@pytest.mark.parametrize(
    ("sql", "proposed"),
    [
        ("SELECT n FROM words", "words"),
        ("SELECT n FROM words WHERE word LIKE 'b%' ORDER BY n", "words"),
        ("SELECT * FROM words, other", None),
        ("SELECT 1 AS n", None),
    ],
)
def test_the_dataset_that_was_asked_gets_the_version_or_none_is_proposed(
    visit: Visit, ada: User, words: Dataset, sql: str, proposed: str | None
) -> None:
    """The one that was changed last is another one: a click on Save must not give it these rows."""
    other, _ = query.save(ada, sql="SELECT 2 AS a", name="other")
    app = visit(ada, "sql", sql=sql)
    app.segmented_control(key="save_kind").set_value("version").run()
    assert app.selectbox(key="save_target").value == (words.id if proposed else None)
    if proposed is None:
        app.button(key="save_submit").click().run()
        assert "Choose the dataset" in app.error[0].value
    assert [datasets.get(ada, one).version for one in (words.id, other.id)] == [1, 1]


def test_saving_without_a_name_is_refused_in_words(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT 1 AS a")
    app.button(key="save_submit").click().run()
    assert "name" in app.error[0].value
    assert datasets.list_datasets(ada, DatasetList()).total == 1


def test_earlier_queries_can_be_opened_again(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT 1 AS first_answer")
    app.query_params["sql"] = "SELECT 2 AS second_answer"
    app.run()
    assert list(app.dataframe[0].value) == ["second_answer"]
    app.button(key="history_1").click().run()
    assert list(app.dataframe[0].value) == ["first_answer"]


def test_a_chart_is_built_from_chosen_columns(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT * FROM words")
    app.session_state["answer"] = "Chart"
    app.run()
    assert not app.exception
    assert app.selectbox(key="chart_x").value == "word"
    assert app.selectbox(key="chart_y").value == "n"
    assert app.get("vega_lite_chart")
    app.selectbox(key="chart_sum").set_value("mean").run()
    app.segmented_control(key="chart_type").set_value("point").run()
    assert not app.exception


def test_column_names_with_dots_and_brackets_can_be_drawn() -> None:
    table = pa.table({"a.b[0]": [1, 2]})
    chosen = charts.ChosenChart("bar", "a.b[0]", "a.b[0]", "", "")
    assert charts._spec(table, chosen)["encoding"]["x"]["field"] == r"a\.b\[0\]"


def test_a_chart_of_a_cut_answer_is_computed_over_all_rows(visit: Visit, ada: User, words: Dataset) -> None:
    """The first 1,000 of 10,000 rows are shown; a mean over them would be another one."""
    sql = "SELECT range AS n, CASE WHEN range < 5000 THEN 'low' ELSE 'high' END AS half FROM range(10000)"
    app = visit(ada, "sql", sql=sql)
    app.session_state["answer"] = "Chart"
    app.run()
    assert not app.exception, app.exception
    app.selectbox(key="chart_x").set_value("half").run()
    app.selectbox(key="chart_y").set_value("n").run()
    app.selectbox(key="chart_sum").set_value("mean").run()
    assert not app.exception
    (chart,) = app.get("vega_lite_chart")
    table = pa.ipc.open_stream(chart.proto.data.data).read_all().to_pydict()
    assert dict(zip(table["x"], table["y"], strict=True)) == {"low": 2499.5, "high": 7499.5}
    assert any("Computed over all 10,000 rows" in caption.value for caption in app.caption)
    app.selectbox(key="chart_sum").set_value("").run()
    assert any("A random sample of 5,000 of 10,000 rows" in caption.value for caption in app.caption)


def _tables_shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the list of tables is given; the browser draws it."""
    listed: list[Any] = []
    monkeypatch.setattr(sql_tables, "show", lambda tables, *, key: listed.extend(tables))
    return listed
