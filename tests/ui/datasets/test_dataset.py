"""The page of one dataset: rows, columns, versions, what it is good for, renaming and deleting."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import datasets, query
from core.datasets import Dataset, DatasetList
from core.people.users import User
from core.ui.datasets.rows import row_view, rows_address
from tests.ui.conftest import Visit, jsonl, text_of

CHAT = {
    "messages": [{"role": "user", "content": "How many strings?"}, {"role": "assistant", "content": "Four."}]
}


@pytest.fixture
def numbers(ada: User, dataset_of: Callable[..., Dataset]) -> Dataset:
    return dataset_of(ada, "numbers", jsonl(*({"n": n, "word": f"w{n:03}"} for n in range(120))))


def grid_of(app: AppTest) -> dict[str, Any]:
    """What the grid was given to draw."""
    (drawn,) = [one.proto for one in app.get("bidi_component") if one.proto.component_name == "luthier_grid"]
    return dict(json.loads(drawn.json))


def shown(app: AppTest, column: str) -> list[str | None]:
    """A column's cells."""
    sheet = grid_of(app)
    at = [one["name"] for one in sheet["columns"]].index(column) + 1
    return [row[at] for row in sheet["rows"]]


def test_rows_come_in_pages_from_the_server(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id)
    assert not app.exception
    assert len(grid_of(app)["rows"]) == rows_address.PER_PAGE
    assert "of 120" in text_of(app)
    app.get_by_key("rows_page").set_value(3).run()
    assert app.query_params["page"] == "3"
    assert shown(app, "n") == [str(n) for n in range(100, 120)]
    assert "Rows 1 to 25 of 120" in text_of(visit(ada, "dataset", id=numbers.id, size="25"))
    assert "Rows 101 to 120 of 120" in text_of(visit(ada, "dataset", id=numbers.id, page="99"))


@pytest.mark.parametrize(
    ("sort", "first"), [("n", "0"), ("-n", "119"), ("gone", "0"), ("-gone", "0"), ("--n", "0")]
)
def test_rows_are_sorted_by_the_address(
    visit: Visit, ada: User, numbers: Dataset, sort: str, first: str
) -> None:
    app = visit(ada, "dataset", id=numbers.id, sort=sort)
    assert not app.exception
    assert shown(app, "n")[0] == first
    assert grid_of(app)["columns"][0]["sort"] == {"n": "asc", "-n": "desc"}.get(sort)


def test_a_filter_per_column_is_kept_in_the_address(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id, page="2")
    app.selectbox(key="filter_column").set_value("word").run()
    app.text_input(key="filter_value").set_value("w00").run()
    app.button(key="filter_add").click().run()
    assert not app.exception
    assert shown(app, "word") == [f"w{n:03}" for n in range(10)]
    assert "10 found among 120" in text_of(app)
    assert "**10 of 120**" in text_of(app)
    assert json.loads(app.query_params["where"]) == {"word": {"contains": "w00"}}
    assert "page" not in app.query_params
    assert "contains “w00”" in app.button(key="drop_filter_0").label
    app.button(key="drop_filter_0").click().run()
    assert "of 120" in text_of(app)


def test_a_value_that_does_not_fit_is_said_in_the_form(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id)
    app.selectbox(key="filter_column").set_value("n").run()
    app.text_input(key="filter_low").set_value("many").run()
    app.button(key="filter_add").click().run()
    assert not app.exception
    assert "is not a number" in app.error[0].value
    assert "where" not in app.query_params
    app.text_input(key="filter_low").set_value("118").run()
    app.button(key="filter_add").click().run()
    assert shown(app, "n") == ["118", "119"]


def test_a_search_marks_its_words_and_starts_at_the_first_page(
    visit: Visit, ada: User, numbers: Dataset
) -> None:
    app = visit(ada, "dataset", id=numbers.id, page="3", sort="-n")
    app.text_input(key="rows_q").set_value("W11").run()
    assert shown(app, "n") == [str(n) for n in range(119, 109, -1)]
    assert (app.query_params["q"], grid_of(app)["words"]) == ("W11", ["w11"])
    app.button(key="drop_all").click().run()
    assert not {"q", "sort", "page"} & set(app.query_params)
    assert shown(app, "n")[0] == "0"


def test_columns_are_chosen_and_ordered(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id, cols="word,gone")
    assert [one["name"] for one in grid_of(app)["columns"]] == ["word"]
    app.multiselect(key="rows_cols").set_value(["word", "n"]).run()
    assert app.query_params["cols"] == "word,n"
    assert grid_of(app)["rows"][0] == [1, "w000", "0"]
    app.button(key="rows_cols_all").click().run()
    assert "cols" not in app.query_params


def test_the_download_is_of_what_is_shown(visit: Visit, ada: User, numbers: Dataset) -> None:
    app = visit(ada, "dataset", id=numbers.id, sort="-n", cols="n", where='{"n":{"max":5}}', q="w")
    links = {link.proto.url for link in app.get("link_button") if "sort=" in link.proto.url}
    asked = "version=1&sort=-n&q=w&where=%7B%22n%22%3A%7B%22max%22%3A5%7D%7D&cols=n"
    assert links == {f"/download/{numbers.id}?{asked}&as={kind}" for kind in ("csv", "jsonl", "parquet")}


@pytest.mark.parametrize(
    "where", ["nonsense", "[1]", '{"gone": {"equals": 1}}', '{"n": 1}', '{"n": {"rm": 1}}']
)
def test_a_broken_filter_in_the_address_is_ignored(
    visit: Visit, ada: User, numbers: Dataset, where: str
) -> None:
    app = visit(
        ada, "dataset", id=numbers.id, where=where, page="x", size="7", row="-1", cols="[", finding=""
    )
    assert not app.exception
    assert "of 120" in text_of(app)


@pytest.mark.parametrize("value", ["'; DROP TABLE x; --", "%", "abc", ""])
def test_filter_values_are_values(visit: Visit, ada: User, numbers: Dataset, value: str) -> None:
    where = json.dumps({"word": {"contains": value}})
    app = visit(ada, "dataset", id=numbers.id, where=where)
    assert not app.exception
    assert bool(grid_of(app)["rows"]) == (value == "")


def test_a_link_opens_a_row_and_its_neighbours_are_those_of_the_view(
    visit: Visit, ada: User, numbers: Dataset
) -> None:
    app = visit(ada, "dataset", id=numbers.id, sort="-n", row="120")
    assert not app.exception
    assert "Row 120 · 1 of 120" in text_of(app)
    assert app.button(key="row_previous").disabled
    app.button(key="row_next").click().run()
    assert app.query_params["row"] == "119"
    assert "There is no such row" in text_of(visit(ada, "dataset", id=numbers.id, row="5000"))


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


def test_it_can_be_used_for_training_sql_and_programs(
    visit: Visit, ada: User, dataset_of: Callable[..., Dataset]
) -> None:
    made = dataset_of(ada, "talks", jsonl(CHAT, CHAT))
    app = visit(ada, "dataset", id=made.id, view="Use it")
    assert r"Trains as it is. Conversations\: 2 examples." in text_of(app)
    assert any(f"/datasets/{made.id}/" in code.value for code in app.code)
    app.button(key="use_tab_sql").click().run()
    assert not app.exception
    assert "talks" in app.query_params["sql"]


def test_downloads_are_links_to_the_streaming_route(visit: Visit, ada: User, numbers: Dataset) -> None:
    links = {link.value: link.url for link in visit(ada, "dataset", id=numbers.id).link_button}
    assert links["CSV"] == f"/download/{numbers.id}?version=1&as=csv"


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


TURNS = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "Four."}]
SAID = {"role": "assistant", "content": "Four."}
TALKING = (["user", "assistant"], ["How many?", "Four."])


@pytest.mark.parametrize(
    ("format_", "row", "speakers", "texts"),
    [
        ("chat", {"conversations": TURNS}, *TALKING),
        (
            "completion",
            {"instruction": "Count", "input": "xx", "output": 4},
            ["user", "user", "assistant"],
            ["Count", "xx", "4"],
        ),
        ("completion", {"prompt": [TURNS[0]], "completion": [SAID]}, *TALKING),
        (
            "preference",
            {"prompt": "How many?", "chosen": [SAID], "rejected": "Five."},
            ["user", "assistant", "assistant"],
            ["How many?", "Four.", "Five."],
        ),
        (
            "preference",
            {"chosen": [TURNS[0], SAID], "rejected": [TURNS[0], SAID]},
            ["user", "assistant"] * 2,
            ["How many?", "Four."] * 2,
        ),
    ],
)
def test_a_row_of_a_known_shape_is_drawn_as_a_conversation(
    format_: str, row: dict[str, Any], speakers: list[str], texts: list[str]
) -> None:
    def script(row, format_, columns):  # type: ignore[no-untyped-def]
        from core.ui.datasets.rows import row_view

        row_view.show_row(row, format_, columns)

    columns = [{"name": name, "type": "JSON" if isinstance(row[name], list) else "VARCHAR"} for name in row]
    app = AppTest.from_function(script, args=({**row, "source": "manual"}, format_, columns)).run()
    assert not app.exception
    assert [one.name for one in app.chat_message] == speakers
    assert [one.value for one in app.text] == texts
    (record,) = app.get("bidi_component")
    assert [field["name"] for field in json.loads(record.proto.json)["fields"]] == ["source"]


def test_a_row_of_messages_is_drawn_as_a_conversation() -> None:
    def script(row):  # type: ignore[no-untyped-def]
        from core.ui.datasets.rows import row_view

        row_view.show_row(row, "chat")

    app = AppTest.from_function(script, args=({**CHAT, "source": "manual"},)).run()
    assert [one.name for one in app.chat_message] == ["user", "assistant"]
    assert [one.value for one in app.text] == ["How many strings?", "Four."]
    (record,) = app.get("bidi_component")
    assert json.loads(record.proto.json)["fields"] == [
        {"name": "source", "type": "", "value": ["string", "manual"]}
    ]
    assert row_view.ROLES["user"]


def test_bars_that_ignore_the_filter_say_so(
    visit: Visit, ada: User, numbers: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting what passes took too long."""
    said = "The bars above the columns are of all rows"
    assert said not in text_of(visit(ada, "dataset", id=numbers.id, q="w00"))
    monkeypatch.setattr(datasets, "shares_of", lambda *_given, **_how: None)
    app = visit(ada, "dataset", id=numbers.id, q="w00")
    assert not app.exception
    assert said in text_of(app)
