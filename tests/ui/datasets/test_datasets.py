"""The list of datasets: empty, searched, sorted, with samples, with conversions that run or failed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from core import datasets
from core.datasets import Dataset, DatasetList
from core.db import writing
from core.people.users import User
from core.tables import DatasetVersionRow
from core.ui import show
from tests.ui.conftest import Visit, jsonl, names_of, table_of, text_of
from tests.ui.things import make_dataset

Make = Callable[..., Dataset]


def rows_of(app: AppTest) -> list[dict[str, Any]]:
    """What the table shows."""
    rows: list[dict[str, Any]] = table_of(app)["rows"]
    return rows


def test_the_empty_list_offers_samples(visit: Visit, ada: User) -> None:
    app = visit(ada, "datasets")
    assert not app.exception
    assert "No datasets yet" in text_of(app)
    assert app.button(key=f"sample_{datasets.samples()[0].name}")


def test_adding_a_sample_opens_it(visit: Visit, ada: User) -> None:
    app = visit(ada, "datasets")
    sample = datasets.samples()[0]
    app.button(key=f"sample_{sample.name}").click().run()
    assert not app.exception
    made = datasets.list_datasets(ada, DatasetList()).items[0]
    assert made.num_rows == sample.num_rows
    assert app.query_params["id"] == made.id
    assert app.title[0].value == made.name.replace("_", "\\_")


def test_a_row_tells_everything_at_a_glance(visit: Visit, ada: User, dataset_of: Make) -> None:
    made = dataset_of(
        ada, "faq", jsonl({"prompt": "q", "completion": "a"}, {"prompt": "r", "completion": "b"})
    )
    (row,) = rows_of(visit(ada, "datasets"))
    assert (row["name"], row["rows"], row["columns"], row["version"], row["owner"]) == (
        "faq",
        "2",
        "2",
        "1",
        "Ada",
    )
    assert (row["size"], row["changed"], row["href"]) == (
        show.bytes_(made.stored_bytes),
        "just now",
        f"dataset?id={made.id}",
    )
    assert (row["tone"], row["state"], row["why"]) == (
        "good",
        "Trains as it is",
        "Questions and answers: 2 examples.",
    )


@pytest.mark.parametrize(
    ("rows", "tone", "why"),
    [
        (
            [{"prompt": "q", "completion": ""}, {"prompt": "q", "completion": "a"}],
            "bad",
            "1 row cannot be learned: row 1, completion is empty. Read as questions and answers.",
        ),
        (
            [{"Question": "q", "Answer": "a", "n": 1}],
            "map",
            "Table: “Question” and “Answer” look like questions and answers.",
        ),
        ([{"x": 1, "y": 2}], "map", "Table: say which column is the question and which the answer."),
    ],
)
def test_a_row_says_why_it_does_not_train(
    visit: Visit, ada: User, dataset_of: Make, rows: list[dict[str, Any]], tone: str, why: str
) -> None:
    dataset_of(ada, "some", jsonl(*rows))
    (row,) = rows_of(visit(ada, "datasets"))
    assert row["tone"] == tone
    assert why in row["why"]


@pytest.mark.parametrize(
    ("values", "state", "why"),
    [
        ({"status": "processing", "progress": 0.42}, "Converting 42%", "once it is converted"),
        (
            {"status": "failed", "errors": [{"line": 7, "message": "has 5 values"}]},
            "Could not be read",
            "Line 7: has 5 values",
        ),
    ],
)
def test_a_row_says_what_became_of_its_file(
    visit: Visit, ada: User, dataset_of: Make, values: dict[str, Any], state: str, why: str
) -> None:
    made = dataset_of(ada, "some", jsonl({"a": 1}))
    with writing() as session:
        session.execute(
            update(DatasetVersionRow).where(DatasetVersionRow.id == made.latest_version_id).values(**values)
        )
    (row,) = rows_of(visit(ada, "datasets"))
    assert row["state"] == state
    assert why in row["why"]
    assert row["progress"] == values.get("progress")


def test_search_is_literal_and_says_when_nothing_matches(visit: Visit, ada: User, dataset_of: Make) -> None:
    dataset_of(ada, "hundred%", jsonl({"a": 1}))
    dataset_of(ada, "other", jsonl({"a": 1}))
    app = visit(ada, "datasets")
    app.text_input(key="datasets_q").set_value("%").run()
    assert names_of(app) == ["hundred%"]
    app.text_input(key="datasets_q").set_value("nowhere").run()
    assert "Nothing matches" in text_of(app)


def test_filters_and_order_come_from_the_address(visit: Visit, ada: User, dataset_of: Make) -> None:
    dataset_of(ada, "b", jsonl({"prompt": "q", "completion": "a"}))
    dataset_of(ada, "A", jsonl({"text": "t"}, {"text": "u"}))
    dataset_of(ada, "c", jsonl({"x": 1, "y": 2, "z": 3}))
    assert names_of(visit(ada, "datasets", datasets_sort="name")) == ["A", "b", "c"]
    assert names_of(visit(ada, "datasets", datasets_sort="-num_columns")) == ["c", "b", "A"]
    assert names_of(visit(ada, "datasets", datasets_sort="training"))[0] == "c"
    assert names_of(visit(ada, "datasets", datasets_trains="Does not train as it is")) == ["c"]
    assert names_of(visit(ada, "datasets", datasets_kind="Text")) == ["A"]
    assert names_of(visit(ada, "datasets", datasets_sort="'; --", datasets_page="x")) == ["c", "A", "b"]


def test_the_list_has_pages_and_another_search_begins_on_the_first(visit: Visit, ada: User) -> None:
    for n in range(27):
        make_dataset(ada, [{"a": "1"}], name=f"set {n:02}")
    app = visit(ada, "datasets", datasets_sort="name")
    assert len(names_of(app)) == 25
    app.get_by_key("datasets_page").set_value(2).run()
    assert names_of(app) == ["set 25", "set 26"]
    app.text_input(key="datasets_q").set_value("set").run()
    assert names_of(app)[0] == "set 00"


def test_doubled_names_are_marked(visit: Visit, ada: User, bob: User) -> None:
    for owner, name in ((ada, "faq"), (ada, "FAQ"), (ada, "other"), (bob, "other")):
        make_dataset(owner, [{"a": "1"}], name=name)
    marks = {row["name"]: row["mark"] for row in rows_of(visit(ada, "datasets"))}
    assert marks == {"faq": "name used twice", "FAQ": "name used twice", "other": ""}
    (other,) = (row["id"] for row in rows_of(visit(ada, "datasets")) if row["name"] == "other")
    assert "Name used twice" not in text_of(visit(ada, "dataset", id=other))


def test_a_name_is_never_markdown(visit: Visit, ada: User, dataset_of: Make) -> None:
    name = "**bold** :red[x] $y$ [l](http://e.x) 🎻"
    dataset_of(ada, name, jsonl({"a": 1}))
    assert names_of(visit(ada, "datasets")) == [name]  # the table draws text, not markdown


@pytest.mark.parametrize(
    "name", ["www.example.com", "http://example.com", "HTTPS://example.com", "me@example.com", "a_b@c.d"]
)
def test_a_name_is_never_a_link(visit: Visit, ada: User, name: str) -> None:
    made = make_dataset(ada, [{"a": "1"}], name=name)
    title = visit(ada, "dataset", id=made.dataset_id).title[0].value
    # where GFM begins to see an address
    assert not re.search(r"www\.|https?\\?:|\w@\w", title, re.IGNORECASE)
    assert title.replace(show.NOTHING, "").replace("\\", "") == name


def test_others_datasets_are_not_listed(visit: Visit, ada: User, bob: User, dataset_of: Make) -> None:
    dataset_of(ada, "adas-own", jsonl({"a": 1}))
    assert not rows_of(visit(bob, "datasets"))
