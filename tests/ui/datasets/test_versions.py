"""The Versions tab, the page that compares, the table editor,
splits and the admin's rule for old versions."""

from typing import Any

import pytest
import streamlit as st

from core import datasets
from core.datasets import DatasetList, Edits, Retention, Version
from core.errors import ValidationError
from core.people.users import User
from core.ui import places, show
from core.ui.datasets import lineage_view
from core.ui.datasets.rows import edit_view
from core.ui.datasets.rows.edit_state import ROW, Pending, fold, shown_rows
from tests.core.datasets.version_of_sql import make
from tests.ui.conftest import Visit, jsonl, text_of


@pytest.fixture
def pair(ada: User) -> tuple[Version, Version]:
    old = make(ada, "SELECT i AS id, 'row ' || i AS s FROM range(20) t(i)", name="faq", filename="faq.csv")
    sql = "SELECT * FROM faq"
    changed = "SELECT i AS id, CASE WHEN i = 3 THEN 'other' ELSE 'row ' || i END AS s FROM range(1, 22) t(i)"
    return old, make(ada, changed, dataset_id=old.dataset_id, note="better", sql=sql, origin="query")


def test_the_timeline_says_who_how_and_what(visit: Visit, ada: User, pair: tuple[Version, Version]) -> None:
    app = visit(ada, "dataset", id=pair[0].dataset_id, view="Versions", lineage="true")
    assert not app.exception
    text = text_of(app)
    for said in ("Version 2", "Ada", "21 rows (+1)", "better", "Compare with 1", "SQL", "Upload"):
        assert said in text
    assert app.get("graphviz_chart")


def test_a_version_is_deleted_after_asking_and_says_so(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    app = visit(ada, "dataset", id=pair[0].dataset_id, view="Versions")
    app.button(key="delete_version_1").click().run()
    assert datasets.get_version(ada, pair[0].id).removed_at is None
    app.button(key="delete_version_yes").click().run()
    assert not app.exception
    assert "Its files were removed just now by Ada" in text_of(app)
    app.button(key="delete_version_2").click().run()
    app.button(key="delete_version_yes").click().run()
    assert "only version with rows" in app.error[0].value


def test_names_cannot_break_out_of_the_picture(ada: User) -> None:
    version = make(ada, "SELECT 1 AS n", name='a"]; b [label="x\\', note='"\\n" -> evil\n')
    make(ada, "SELECT 1 AS n", dataset_id=version.dataset_id)
    dot = lineage_view.build_dot(datasets.lineage(ada, version.dataset_id), version.dataset_id, 2)
    assert dot.count("\n") == len(["digraph", "rankdir", "node", "edge", "n0", "n1", "n0->n1", "}"]) - 1
    assert 'a\\"]; b [label=\\"x\\\\' in dot


def test_two_versions_are_compared_by_a_key(visit: Visit, ada: User, pair: tuple[Version, Version]) -> None:
    app = visit(ada, "diff", **{"from": pair[0].id, "to": pair[1].id, "match": "whole"})
    assert [(m.label.split()[-1], m.value) for m in app.metric] == [
        ("Added", "3"),
        ("Removed", "2"),
        ("Unchanged", "18"),
    ]
    app.segmented_control[0].set_value("key").run()
    app.multiselect[0].set_value(["id"]).run()
    assert not app.exception
    assert [(m.label.split()[-1], m.value) for m in app.metric][2] == ("Changed", "1")
    assert app.query_params["key"] == "id"
    table = app.dataframe[0].value
    assert list(table["s"]) == ["row 3", "other"]
    assert app.link_button[-1].url == f"/download/changes?from={pair[0].id}&to={pair[1].id}&key=id"
    app.button(key="diff_swap").click().run()
    assert (app.query_params["from"], app.query_params["to"]) == (pair[1].id, pair[0].id)


def test_the_page_compares_with_the_version_before_by_itself(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    app = visit(ada, "diff", to=pair[1].id)
    assert [m.value for m in app.metric] == ["2", "1", "1", "18"]
    assert app.multiselect[0].value == ["id"]


@pytest.mark.parametrize(
    ("sql", "way", "table"),
    [
        ("SELECT i AS id, 'v' || i % 3 AS s FROM range(9) t(i)", "key", ["v2", "changed"]),
        ("SELECT 'v' || i % 3 AS s, i % 2 AS id FROM range(9) t(i)", "row", ["v2", "changed"]),
    ],
)
def test_one_changed_cell_is_one_changed_cell(
    visit: Visit, ada: User, sql: str, way: str, table: list[str]
) -> None:
    old = make(ada, sql, name="cells")
    new = datasets.edit(
        ada, old.id, Edits.model_validate({"cells": [{"line": 6, "column": "s", "value": "changed"}]})
    )
    app = visit(ada, "diff", **{"from": old.id, "to": new.id})
    assert app.segmented_control[0].value == way
    assert [(m.label.split()[-1], m.value) for m in app.metric] == [
        ("Added", "0"),
        ("Removed", "0"),
        ("Changed", "1"),
        ("Unchanged", "8"),
    ]
    assert list(app.dataframe[0].value["s"]) == table
    ending = "key=id" if way == "key" else "match=row"
    assert app.link_button[-1].url.endswith(ending)


def test_a_row_that_went_is_one_row(visit: Visit, ada: User) -> None:
    old = make(ada, "SELECT 'v' || i % 3 AS s, i % 2 AS n FROM range(9) t(i)", name="rows")
    new = datasets.edit(ada, old.id, Edits.model_validate({"deleted": [2]}))
    app = visit(ada, "diff", **{"from": old.id, "to": new.id})
    assert app.segmented_control[0].value == "whole"
    assert [m.value for m in app.metric] == ["0", "1", "8"]


@pytest.mark.parametrize("query", [{}, {"to": "dsv_nothing"}, {"id": "x"}])
def test_nothing_to_compare_is_said_plainly(visit: Visit, ada: User, query: dict[str, str]) -> None:
    app = visit(ada, "diff", **query)
    assert not app.exception
    assert app.error


def test_strangers_cannot_compare_or_edit(visit: Visit, bob: User, pair: tuple[Version, Version]) -> None:
    for app in (
        visit(bob, "diff", **{"from": pair[0].id, "to": pair[1].id}),
        visit(bob, "edit", id=pair[0].dataset_id),
    ):
        assert not app.exception
        assert app.error
        assert "faq" not in text_of(app)


ITEMS: list[dict[str, Any]] = [{"line": n, "data": {"a": n, "b": str(n)}} for n in (4, 5, 6)]


def test_what_the_editor_reports_is_gathered_over_pages() -> None:
    ground = Pending()
    rows = shown_rows(ITEMS, ground)
    reported: dict[str, Any] = {
        "edited_rows": {0: {"a": 40}, 2: {"b": None}},
        "deleted_rows": [1],
        "added_rows": [{"a": 7}, {"b": None}],
    }
    first = fold(ground, rows, reported)
    assert first == Pending({(4, "a"): 40, (6, "b"): None}, {5}, [{"a": 7}])
    again = shown_rows(ITEMS, first)
    assert again == [{ROW: 4, "a": 40, "b": "4"}, {ROW: 6, "a": 6, "b": None}, {ROW: None, "a": 7}]
    second = fold(
        first,
        again,
        {"edited_rows": {"2": {"b": "new"}, "1": {"a": 60}}, "added_rows": [{"a": 8}], "deleted_rows": []},
    )
    assert second == Pending(
        {(4, "a"): 40, (6, "b"): None, (6, "a"): 60}, {5}, [{"a": 7, "b": "new"}, {"a": 8}]
    )
    assert fold(second, shown_rows(ITEMS, second), {"deleted_rows": [2]}).added == [{"a": 8}]
    edits = Pending({(5, "a"): 1, (4, "a"): 2}, {5}).edits(note="n", force=False)
    assert [(cell.line, cell.value) for cell in edits.cells] == [(4, 2)]


def test_the_editor_saves_the_next_version_and_keeps_edits_on_an_error(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    app = visit(ada, "edit", id=pair[0].dataset_id)
    assert not app.exception
    assert "nothing is changed" in app.button(key="edit_save").click().run().error[0].value
    state = app.session_state[f"_editing_{pair[1].dataset_id}"]
    state.ground = Pending({(1, "id"): "no number"})
    app.run()
    app.button(key="edit_save").click().run()
    assert "row 1, column id" in app.error[0].value
    assert "1 cell changed" in text_of(app)
    app.session_state[f"_editing_{pair[1].dataset_id}"].ground = Pending({(1, "id"): 100})
    app.text_input(key="edit_note").set_value("mended").run()
    app.button(key="edit_save").click().run()
    assert not app.exception
    newest = datasets.version_of(ada, pair[0].dataset_id)
    assert (newest.version, newest.origin, newest.note) == (3, "edit", "mended")


def test_who_saves_second_is_shown_what_the_first_one_changed(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    """And keeps the own edits, to be saved over it on purpose."""
    dataset_id = pair[1].dataset_id
    app = visit(ada, "edit", id=dataset_id)
    app.session_state[f"_editing_{dataset_id}"].ground = Pending({(1, "id"): 100})
    app.run()
    cells = [{"line": 1, "column": "id", "value": 555}]
    datasets.edit(ada, pair[1].id, Edits.model_validate({"cells": cells, "note": "was wrong"}))
    app.button(key="edit_save").click().run()
    assert "its newest version is 3, and these edits are for version 2" in app.error[0].value
    assert "1 cell changed" in text_of(app)
    app.toggle(key="edit_difference").set_value(True).run()
    assert not app.exception
    assert "was wrong" in text_of(app)
    shown = [table.value.to_string() for table in app.dataframe]
    assert any("555" in table for table in shown)
    assert datasets.version_of(ada, dataset_id).version == 3
    app.checkbox(key="edit_force").set_value(True).run()
    app.button(key="edit_save").click().run()
    saved = datasets.version_of(ada, dataset_id)
    assert (saved.version, saved.parents) == (4, [pair[1].id])


def test_an_editor_waits_for_a_version_that_is_being_made(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    dataset_id = pair[1].dataset_id
    app = visit(ada, "edit", id=dataset_id)
    app.session_state[f"_editing_{dataset_id}"].ground = Pending({(1, "id"): 100})
    app.run()
    make(ada, "SELECT 1 AS id", dataset_id=dataset_id, status="processing", content_hash=None)
    app.button(key="edit_save").click().run()
    assert "Another version of this dataset is being made" in app.error[0].value
    assert app.button(key="edit_look").label == "Look for the other version"
    assert datasets.list_versions(ada, dataset_id).total == 3


def test_a_reader_who_is_kept_from_leaving_the_editor_leaves_it_with_the_next_run(
    visit: Visit, ada: User, pair: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that the browser asks for while the page is left takes the place of the page it is left for."""
    left, go = [], places.go

    def overtaken_once(page: str, **query: Any) -> None:
        left.append(page)
        st.stop() if len(left) == 1 else go(page, **query)

    monkeypatch.setattr(places, "go", overtaken_once)
    app = visit(ada, "edit", id=pair[0].dataset_id)
    app.session_state[f"_editing_{pair[1].dataset_id}"].ground = Pending({(1, "id"): 100})
    app.run()
    app.button(key="edit_save").click().run()
    assert left == ["dataset"]
    app.run()
    assert not app.exception
    assert left == ["dataset", "dataset"]
    assert [toast.value.startswith("Version 3 is saved") for toast in app.toast] == [True]
    newest, key = datasets.version_of(ada, pair[0].dataset_id), f"_editing_{pair[1].dataset_id}"
    assert newest.version == 3
    app = visit(ada, "dataset", id=newest.dataset_id)
    app.session_state[key] = edit_view.Editing(newest, saved=newest)
    app.run()
    assert key not in app.session_state  # the next editor begins anew


def test_a_split_shows_its_counts_and_makes_its_parts(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    app = visit(ada, "dataset", id=pair[0].dataset_id, view="Versions")
    app.button(key="versions_split").click().run()
    assert sum(int(m.value) for m in app.metric) == 21
    app.button(key="split_submit").click().run()
    assert not app.exception
    found = datasets.list_datasets(ada, DatasetList(q="faq ")).items
    assert {dataset.name for dataset in found} == {"faq train", "faq validation", "faq test"}
    assert sum(dataset.num_rows for dataset in found) == 21


def test_a_split_that_fails_says_why_above_its_form(
    visit: Visit, ada: User, pair: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValidationError("No part may be empty.")

    monkeypatch.setattr(datasets, "split", fails)
    app = visit(ada, "dataset", id=pair[0].dataset_id, view="Versions")
    app.button(key="versions_split").click().run()
    app.button(key="split_submit").click().run()
    assert not app.exception
    assert "No part may be empty." in app.error[0].value
    assert app.button(key="split_submit")


def test_the_size_of_a_version_says_of_what(visit: Visit, ada: User, dataset_of: Any) -> None:
    made = dataset_of(ada, "faq", jsonl({"prompt": "q", "completion": "a"}))
    version = datasets.version_of(ada, made.id)
    said = text_of(visit(ada, "dataset", id=made.id, view="Versions"))
    assert f"{show.bytes_(version.size_bytes)} stored" in said
    assert f"{show.bytes_(version.original_bytes)} uploaded" in said


def test_the_admin_sets_how_long_versions_stay(
    visit: Visit, ada: User, pair: tuple[Version, Version]
) -> None:
    app = visit(ada, "admin", admin_tab="Old versions")
    app.toggle(key="retention_enabled").set_value(True).run()
    app.number_input(key="retention_newest").set_value(1).run()
    app.number_input(key="retention_days").set_value(0).run()
    assert "1 version" in text_of(app)
    app.button(key="retention_save").click().run()
    assert not app.exception
    assert datasets.retention() == Retention(enabled=True, keep_newest=1, keep_days=0)
