"""The SQL page: the tables at hand, answers, mistakes, charts, saving, history."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from core import datasets
from core.datasets import Dataset, DatasetList
from core.ui import charts, sql_view
from core.users import User
from tests.ui.conftest import Visit, jsonl, text_of

ROWS = jsonl({"word": "bow", "n": 1}, {"word": "scroll", "n": 2}, {"word": "bridge", "n": 3})


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


def test_the_tables_and_their_columns_are_listed(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql")
    assert "words" in [one.label for one in app.expander]
    assert "`word`" in text_of(app)


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "DROP TABLE words", "SELECT * FROM read_csv('/etc/passwd')", "SELECT nope FROM words", ";"]
)
def test_what_cannot_run_is_a_sentence(visit: Visit, ada: User, words: Dataset, sql: str) -> None:
    app = visit(ada, "sql", sql=sql)
    assert not app.exception
    assert app.error
    assert "Traceback" not in text_of(app)


def test_a_mistake_is_pointed_at() -> None:
    assert sql_view.point_at("SELECT 1\nFORM x", 9) == "line 2: FORM x\n        ^"
    assert sql_view.point_at("SELECT", 99) == "line 1: SELECT\n              ^"


def test_others_tables_do_not_exist(visit: Visit, ada: User, bob: User, words: Dataset, dataset_of: Callable[..., Dataset]) -> None:
    dataset_of(bob, "bobs", jsonl({"a": 1}))
    app = visit(bob, "sql", sql="SELECT * FROM words")
    assert app.error
    assert "words" not in [one.label for one in app.expander]


def test_an_answer_can_be_saved_as_a_dataset(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT * FROM words WHERE n < 3")
    app.text_input(key="save_name").set_value("short words")
    app.text_input(key="save_note").set_value("less than three")
    app.button(key="save_submit").click().run()
    assert not app.exception
    saved = datasets.list_datasets(ada, DatasetList(q="short")).items[0]
    version = datasets.version_of(ada, saved.id)
    assert (saved.num_rows, version.sql, version.note) == (2, "SELECT * FROM words WHERE n < 3", "less than three")
    assert app.query_params["id"] == saved.id


def test_an_answer_can_become_the_next_version(visit: Visit, ada: User, words: Dataset) -> None:
    app = visit(ada, "sql", sql="SELECT * FROM words WHERE n < 2")
    app.segmented_control(key="save_kind").set_value("version").run()
    app.button(key="save_submit").click().run()
    assert not app.exception
    assert datasets.get(ada, words.id).version == 2
    assert datasets.get(ada, words.id).num_rows == 1


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
    app.session_state["sql_view"] = "Chart"
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
    assert charts._spec(table, "bar", "a.b[0]", "a.b[0]", "", "")["encoding"]["x"]["field"] == r"a\.b\[0\]"
