"""The page of one dataset: rows, columns, versions, what it is good for, renaming and deleting."""

import json
from collections.abc import Callable

import pytest

from core import datasets, query
from core.datasets import Dataset, DatasetList
from core.ui import row_view, rows_view
from core.users import User
from tests.ui.conftest import Visit, jsonl, text_of

CHAT = {"messages": [{"role": "user", "content": "How many strings?"}, {"role": "assistant", "content": "Four."}]}


@pytest.fixture
def numbers(ada: User, dataset_of: Callable[..., Dataset]) -> Dataset:
    return dataset_of(ada, "numbers", jsonl(*({"n": n, "word": f"w{n:03}"} for n in range(120))))


def test_rows_come_in_pages_from_the_server(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id)
    assert not app.exception
    assert len(app.dataframe[0].value) == rows_view.PER_PAGE
    assert "of 120" in text_of(app)
    app.get_by_key("rows_page").set_value(3).run()
    assert list(app.dataframe[0].value["n"]) == list(range(100, 120))


def test_rows_can_be_sorted_by_the_server(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id)
    app.selectbox(key="rows_sort").set_value("n").run()
    app.toggle(key="rows_desc").set_value(True).run()
    assert list(app.dataframe[0].value["n"])[:2] == [119, 118]


def test_a_filter_per_column_is_kept_in_the_address(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id)
    app.selectbox(key="filter_column").set_value("word").run()
    app.text_input(key="filter_value").set_value("w00").run()
    app.button(key="filter_add").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["word"]) == [f"w{n:03}" for n in range(10)]
    assert json.loads(app.query_params["where"]) == {"word": {"contains": "w00"}}
    app.button(key="drop_filter_0").click().run()
    assert "of 120" in text_of(app)


@pytest.mark.parametrize("where", ["nonsense", "[1]", '{"gone": {"equals": 1}}', '{"n": 1}', '{"n": {"rm": 1}}'])
def test_a_broken_filter_in_the_address_is_ignored(visit: Visit, ada: User, numbers: Dataset, where: str) -> None:
    app = visit(ada, "dataset", id=numbers.id, where=where)
    assert not app.exception
    assert "of 120" in text_of(app)


@pytest.mark.parametrize("value", ["'; DROP TABLE x; --", "%", "abc", ""])
def test_filter_values_are_values(visit: Visit, ada: User, numbers: Dataset, value: str) -> None:
    where = json.dumps({"word": {"contains": value}})
    app = visit(ada, "dataset", id=numbers.id, where=where)
    assert not app.exception
    assert bool(app.dataframe) == (value == "")


def test_the_columns_are_summarised(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id, view="Columns")
    assert not app.exception
    assert "none empty" in text_of(app)
    assert app.get("vega_lite_chart")


def test_a_version_made_by_sql_shows_its_query(visit: Visit, ada: User, numbers: Dataset) -> None:
    query.save(ada, sql="SELECT * FROM numbers WHERE n < 7", dataset_id=numbers.id, note="the first week")
    app = visit(ada, "dataset", id=numbers.id, view="Versions")
    assert not app.exception
    assert "the first week" in text_of(app)
    assert "SELECT * FROM numbers WHERE n < 7" in [one.value for one in app.code]


def test_an_older_version_says_that_there_is_a_newer_one(visit: Visit, ada: User, numbers: Dataset) -> None:
    query.save(ada, sql="SELECT * FROM numbers WHERE n < 7", dataset_id=numbers.id)
    assert "of 7" in text_of(visit(ada, "dataset", id=numbers.id))
    app = visit(ada, "dataset", id=numbers.id, version="1")
    assert "the newest is 2" in app.info[0].value
    assert "of 120" in text_of(app)


def test_a_version_that_is_not_there_leads_to_the_newest(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id, version="99")
    assert not app.exception
    assert app.error
    assert "Go to the newest version" in [link.label for link in app.page_link]


def test_it_can_be_used_for_training_sql_and_programs(visit: Visit, ada: User, dataset_of: Callable[..., Dataset]) -> None:
    made = dataset_of(ada, "talks", jsonl(CHAT, CHAT))
    app = visit(ada, "dataset", id=made.id, view="Use it")
    assert "2 examples in the chat format" in text_of(app)
    assert f"/api/datasets/{made.id}" in app.code[-1].value
    app.button(key="use_tab_sql").click().run()
    assert not app.exception
    assert "talks" in app.query_params["sql"]


def test_downloads_are_links_to_the_streaming_route(visit: Visit, ada: User, numbers: Dataset) -> None:
    links = {link.value: link.url for link in visit(ada, "dataset", id=numbers.id).link_button}
    assert links["CSV"] == f"/download/{numbers.id}?version=1&as=csv"
    assert len(links) == 4


def test_deleting_asks_first_and_goes_back_to_the_list(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id)
    app.get_by_key("dataset_more").set_value("Delete").run()
    assert datasets.list_datasets(ada, DatasetList()).total == 1
    app.button(key="delete_dataset_yes").click().run()
    assert not app.exception
    assert datasets.list_datasets(ada, DatasetList()).total == 0
    assert app.title[0].value == "Datasets"
    assert "is deleted" in app.toast[0].value


@pytest.mark.parametrize("id", ["ds_nothing", "", "../../etc", "0"])
def test_a_dataset_that_is_not_there_is_said_plainly(visit: Visit, ada: User, id: str) -> None:
    app = visit(ada, "dataset", id=id)
    assert not app.exception
    assert "There is no such dataset" in text_of(app)


def test_others_datasets_look_missing(visit: Visit, bob: User, numbers: Dataset) -> None:
    text = text_of(visit(bob, "dataset", id=numbers.id))
    assert "There is no such dataset" in text
    assert "numbers" not in text


def test_a_row_of_messages_is_drawn_as_a_conversation() -> None:
    def script(row):  # type: ignore[no-untyped-def]
        from core.ui import row_view

        row_view.show_row(row, "chat")

    from streamlit.testing.v1 import AppTest

    app = AppTest.from_function(script, args=({**CHAT, "source": "manual"},)).run()
    assert [one.name for one in app.chat_message] == ["user", "assistant"]
    assert [one.value for one in app.text] == ["How many strings?", "Four.", "manual"]
    assert row_view.ROLES["user"]
