"""The Columns tab: the quality card on top, what is still computed,
a card per column, and the ways from there to the rows."""

from collections.abc import Callable
from typing import Any

import pytest

from core import datasets
from core.datasets import Dataset
from core.db import writing
from core.errors import LuthierError
from core.people.users import User
from core.reports import computing
from core.tables import VersionReportRow
from core.ui.reports import column_words, columns_view, quality_view
from tests.ui.conftest import Visit, jsonl, text_of


@pytest.fixture
def people(ada: User, dataset_of: Callable[..., Dataset]) -> Dataset:
    return dataset_of(
        ada, "people", jsonl(*({"n": n, "mail": f"user{n}@example.org", "same": "x"} for n in range(50)))
    )


def computed(dataset: Dataset) -> str:
    """Its version, with its quality looked at."""
    version_id = str(dataset.latest_version_id)
    assert computing.run(version_id, "quality")
    return version_id


def test_what_was_found_stands_on_top_with_help_and_a_way_to_its_rows(
    visit: Visit, ada: User, people: Dataset
) -> None:
    computed(people)
    app = visit(ada, "dataset", id=people.id, view="Columns")
    assert not app.exception
    assert "1 to look at" in text_of(app)
    assert [one.label for one in app.expander if "E-mail addresses" in one.label] == [
        ":orange[:material/warning:] **E-mail addresses** in mail · 50 rows, all"
    ]
    assert "u•••@e•••.org" in text_of(app)
    assert "user1@example.org" not in text_of(app)
    app.button(key="open_email.1").click().run()
    assert not app.exception
    assert (app.query_params["finding"], app.session_state["view"]) == ("email.1", "Rows")


def test_a_version_without_findings_says_so(
    visit: Visit, ada: User, dataset_of: Callable[..., Dataset]
) -> None:
    made = dataset_of(ada, "plain", jsonl(*({"n": n, "word": f"w{n}"} for n in range(9))))
    computed(made)
    assert "Nothing found" in text_of(visit(ada, "dataset", id=made.id, view="Columns"))


def test_while_it_is_looked_for_the_page_says_so(visit: Visit, ada: User, people: Dataset) -> None:
    app = visit(ada, "dataset", id=people.id, view="Columns")
    assert not app.exception
    assert "being looked at" in text_of(app)
    assert "Looking at the quality: waiting for its turn" in str(app.get("progress")[0].proto)


def test_who_waits_behind_others_reads_how_many(
    visit: Visit, ada: User, people: Dataset, dataset_of: Callable[..., Dataset]
) -> None:
    second = dataset_of(ada, "second", jsonl({"n": 1}, {"n": 2}))
    app = visit(ada, "dataset", id=second.id, view="Columns")
    assert "waiting for its turn, 1 before it" in str(app.get("progress")[0].proto)


def test_a_failure_is_told_with_a_way_to_try_again(visit: Visit, ada: User, people: Dataset) -> None:
    key = (str(people.latest_version_id), "quality")
    computing.WORK.fail(key, LuthierError("It was too much."), pid=None)
    app = visit(ada, "dataset", id=people.id, view="Columns")
    assert "It was too much." in text_of(app)
    app.button(key="quality_again").click().run()
    assert not app.exception
    assert datasets.quality(ada, str(people.latest_version_id)).status == "waiting"


def test_a_version_from_before_there_were_reports_gets_them(visit: Visit, ada: User, people: Dataset) -> None:
    with writing() as session:
        session.query(VersionReportRow).delete()
    visit(ada, "dataset", id=people.id, view="Columns")
    assert datasets.quality(ada, str(people.latest_version_id)).status == "waiting"


def test_columns_can_be_searched(visit: Visit, ada: User, people: Dataset) -> None:
    app = visit(ada, "dataset", id=people.id, view="Columns")
    assert "3 columns over 50 rows" in text_of(app)
    app.text_input(key="columns_q").set_value("zzz").run()
    assert "No column has such a name." in text_of(app)


@pytest.mark.parametrize(
    ("acted", "where"),
    [
        ({"bar": "n", "number": 0}, '{"n":{"min":0,"max":2}}'),
        ({"value": "same", "number": 0}, '{"same":{"one_of":["x"]}}'),
        ({"nulls": "n"}, '{"n":{"is_null":true}}'),
    ],
)
def test_parts_of_a_card_open_the_rows_they_stand_for(
    ada: User, people: Dataset, monkeypatch: pytest.MonkeyPatch, acted: dict[str, Any], where: str
) -> None:
    gone: list[dict[str, Any]] = []
    monkeypatch.setattr(quality_view, "go_to_rows", lambda version, **view: gone.append(view))
    found = datasets.profile(ada, people.id)
    version = datasets.version_of(ada, people.id)
    columns_view._act(acted, version, {column["name"]: column for column in found.columns})
    assert gone == [{"where": where}]


def test_the_longest_text_and_a_finding_open_their_rows(
    ada: User, people: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[dict[str, Any]] = []
    monkeypatch.setattr(quality_view, "go_to_rows", lambda version, **view: gone.append(view))
    version = datasets.version_of(ada, people.id)
    for acted in ({"line": 120}, {"finding": "email.1"}, {"bar": "gone", "number": 0}, {}):
        columns_view._act(acted, version, {})
    assert gone == [{"page": 3, "row": 120}, {"finding": "email.1"}]


def test_a_card_says_what_the_profile_says(ada: User, people: Dataset) -> None:
    computed(people)
    found = datasets.profile(ada, people.id)
    finding = datasets.quality(ada, str(people.latest_version_id)).findings[0]
    tokens = {
        "rows": 50, "total": 200, "mean": 4.0, "quantiles": {"p50": 4.0, "p99": 5.0},
        "histogram": {"edges": [3.0, 4.0, 5.0], "counts": [20, 30]}, "longest": {"line": 7, "tokens": 5},
    }  # fmt: skip
    number, mail, same = (
        column_words.card(column, found.num_rows, findings=[finding], tokens=tokens)
        for column in found.columns
    )
    assert (number["counts"], number["ends"], len(number["bars"])) == (
        ["50 distinct", "no nulls"],
        ["0", "49"],
        20,
    )
    assert same["tops"][0]["percent"] == "100%"
    assert mail["note"] == "such as user0@example.org"
    assert mail["flags"][0]["text"] == "E-mail addresses · 50 rows"
    sections = {section["title"]: section for section in mail["sections"]}
    assert list(sections) == ["Values", "Length in characters", "Length in tokens", "Examples"]
    assert ["Longest", "5 in row 7", 7] in sections["Length in tokens"]["pairs"]
    assert ["50% up to", "24.5"] in {s["title"]: s for s in number["sections"]}["Values"]["pairs"]


def test_a_profile_that_is_not_there_yet_still_makes_a_card() -> None:
    bare = {
        "name": "n",
        "type": "BIGINT",
        "nulls": 0,
        "min": 1,
        "max": 9,
        "distinct": None,
        "top_values": [],
        "examples": [],
    }
    assert column_words.card(bare, 10)["note"] == "from 1 to 9"
    assert column_words.card({**bare, "nulls": None, "min": None}, 10)["counts"] == []
