"""The review of an upload: what was found, changing it, importing it; and the ways in that lead there."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import datasets, uploads
from core.datasets import Dataset, DatasetList, adding
from core.errors import ValidationError
from core.ingest import queue as conversions
from core.people.users import User
from core.readers import IngestOptions
from core.readers.look import Look, look_at
from core.ui.uploads import review_columns, review_import, review_options, source_tabs
from core.uploads import NewUpload, Upload, rows
from tests.ui.conftest import Visit, jsonl, kept_from_the_browser, text_of

CITIES = "city;population;founded\nZürich;1,5;01/02/2024\nBern;2,5;31/12/2023\n"
Arrive = Callable[..., Upload]


@pytest.fixture(autouse=True)
def look_in_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[IngestOptions]:
    """The real look without its process; returns what was asked for."""
    asked: list[IngestOptions] = []

    def look(path: Path, filename: str, options: IngestOptions) -> Look:
        asked.append(options)
        work = tmp_path / f"look{len(asked)}"
        work.mkdir()
        return look_at(path, filename, options, work=work)

    monkeypatch.setattr("core.uploads.waiting.look_in_child", look)
    return asked


@pytest.fixture
def arrive() -> Arrive:
    """``arrive(user, "cities.csv", text)`` is an upload whose bytes are all here."""

    def make(
        user: User,
        filename: str,
        content: str | bytes,
        *,
        dataset_id: str | None = None,
        received: int | None = None,
    ) -> Upload:
        data = content.encode() if isinstance(content, str) else content
        new = NewUpload(filename=filename, size_bytes=len(data), dataset_id=dataset_id)
        begun = uploads.begin(user, new)
        return uploads.append(user, begun.id, offset=0, chunk=data[:received])

    return make


def column(app: AppTest, name: str) -> Any:
    """The field with the name of a column, by what it is called in the file."""
    return next(one for one in app.text_input if one.label == f"Name of the column {name}")


def only(user: User) -> Dataset:
    (found,) = datasets.list_datasets(user, DatasetList()).items
    return found


def test_what_was_found_is_said_before_anything_is_made(visit: Visit, ada: User, arrive: Arrive) -> None:
    app = visit(ada, "review", id=arrive(ada, "cities.csv", CITIES).id)
    assert not app.exception
    assert "separated by semicolons" in text_of(app)
    assert list(app.dataframe[0].value["city"]) == ["Zürich", "Bern"]
    assert [one.value for one in app.text_input if "Name of the column" in one.label] == [
        "city",
        "population",
        "founded",
    ]
    assert datasets.list_datasets(ada, DatasetList()).total == 0


def test_a_change_looks_again_and_outlives_the_page(visit: Visit, ada: User, arrive: Arrive) -> None:
    made = arrive(ada, "cities.csv", CITIES)
    app = visit(ada, "review", id=made.id)
    app.selectbox(key="review_delimiter").set_value(",").run()
    assert not app.exception
    assert uploads.chosen(ada, made.id).options.delimiter == ","
    assert "city" not in list(app.dataframe[0].value.columns) if app.dataframe else app.error
    again = visit(ada, "review", id=made.id)
    assert again.selectbox(key="review_delimiter").value == ","
    assert kept_from_the_browser(again) == {}
    again.selectbox(key="review_delimiter").set_value(None).run()
    assert uploads.chosen(ada, made.id).options.delimiter is None
    again.selectbox(key="review_delimiter").set_value("|").run()
    again.button(key="review_afresh").click().run()
    assert again.selectbox(key="review_delimiter").value is None
    assert list(again.dataframe[0].value["city"]) == ["Zürich", "Bern"]


def test_looks_are_not_taken_twice(
    visit: Visit, ada: User, arrive: Arrive, look_in_process: list[IngestOptions]
) -> None:
    app = visit(ada, "review", id=arrive(ada, "cities.csv", CITIES).id)
    app.text_input(key="review_name").set_value("Towns").run()
    assert len(look_in_process) == 1


def test_an_impossible_choice_is_said_and_not_kept(visit: Visit, ada: User, arrive: Arrive) -> None:
    made = arrive(ada, "cities.csv", CITIES)
    app = visit(ada, "review", id=made.id)
    column(app, "city").set_value("same").run()
    column(app, "population").set_value("Same").run()
    assert not app.exception
    assert "same name" in app.error[0].value
    assert uploads.chosen(ada, made.id).options.names == {"city": "same"}
    assert column(app, "population").value == "population"


def test_it_is_imported_as_chosen(visit: Visit, ada: User, arrive: Arrive) -> None:
    made = arrive(ada, "cities.csv", CITIES)
    app = visit(ada, "review", id=made.id)
    app.text_input(key="review_name").set_value("Towns").run()
    column(app, "city").set_value("town").run()
    next(one for one in app.selectbox if one.label == "Type of the column founded").set_value("VARCHAR").run()
    assert not app.exception
    app.button(key="review_import").click().run()
    assert not app.exception
    dataset = only(ada)
    assert (dataset.name, dataset.num_rows) == ("Towns", 2)
    assert [column["name"] for column in dataset.columns] == ["town", "population", "founded"]
    assert dataset.columns[2]["type"] == "VARCHAR"
    assert app.query_params["id"] == dataset.id
    assert uploads.list_uploads(ada) == []


def test_what_cannot_be_read_names_its_lines_and_offers_to_skip(
    visit: Visit, ada: User, arrive: Arrive
) -> None:
    made = arrive(ada, "bad.jsonl", '{"a": 1}\n{"a": \n{"a": 3}\n')
    app = visit(ada, "review", id=made.id)
    assert "line 2" in app.error[0].value.lower()
    assert app.button(key="review_import").disabled
    app.button(key="review_skip").click().run()
    assert not app.exception
    assert not app.error
    assert app.checkbox(key="review_skip_bad_rows").value
    app.button(key="review_import").click().run()
    assert (only(ada).num_rows, only(ada).skipped_rows) == (2, 1)


def test_the_next_upload_is_read_as_the_version_before(visit: Visit, ada: User, arrive: Arrive) -> None:
    first = arrive(ada, "cities.csv", CITIES)
    uploads.commit(ada, first.id, options=IngestOptions(types={"founded": "VARCHAR"}))
    dataset = only(ada)
    app = visit(
        ada, "review", id=arrive(ada, "cities.csv", CITIES + "Basel;1;02/02/2024\n", dataset_id=dataset.id).id
    )
    assert not app.exception
    assert "As for version 1" in text_of(app)
    assert f"A new version of {dataset.name}" in app.title[0].value
    app.text_input(key="review_note").set_value("with Basel").run()
    app.button(key="review_import").click().run()
    assert not app.exception
    version = datasets.version_of(ada, dataset.id)
    assert (version.version, version.num_rows, version.note) == (2, 3, "with Basel")
    assert version.columns[2]["type"] == "VARCHAR"


def test_bytes_that_are_there_already_are_told(visit: Visit, ada: User, arrive: Arrive) -> None:
    uploads.commit(ada, arrive(ada, "cities.csv", CITIES).id)
    app = visit(ada, "review", id=arrive(ada, "copy.csv", CITIES).id)
    assert "these very bytes already" in app.info[0].value


@pytest.mark.parametrize("id", ["upl_nothing", "", "../../etc"])
def test_an_upload_that_is_not_there_is_said_plainly(visit: Visit, ada: User, id: str) -> None:
    app = visit(ada, "review", id=id)
    assert not app.exception
    assert "There is no such upload" in text_of(app)


def test_others_uploads_look_missing(visit: Visit, ada: User, bob: User, arrive: Arrive) -> None:
    text = text_of(visit(bob, "review", id=arrive(ada, "cities.csv", CITIES).id))
    assert "There is no such upload" in text
    assert "cities" not in text


def test_an_unfinished_upload_says_how_to_go_on(
    visit: Visit, ada: User, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOVING_SECONDS", 0)
    app = visit(ada, "review", id=arrive(ada, "cities.csv", CITIES, received=10).id)
    assert not app.exception
    assert "Choose the same file again" in text_of(app)


def test_waiting_uploads_can_be_imported_all_at_once(visit: Visit, ada: User, arrive: Arrive) -> None:
    arrive(ada, "one.csv", "a,b\n1,2\n")
    arrive(ada, "two.csv", "a,b\n1,2\n3,4\n")
    app = visit(ada, "datasets")
    assert "Waiting (2)" in app.subheader[0].value
    app.button(key="import_all").click().run()
    assert not app.exception
    assert {(d.name, d.num_rows) for d in datasets.list_datasets(ada, DatasetList()).items} == {
        ("one", 1),
        ("two", 2),
    }
    assert uploads.list_uploads(ada) == []


def test_importing_all_tables_again_goes_on_behind_those_that_came_in(
    visit: Visit, ada: User, arrive: Arrive
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("good.csv", "a,b\n1,2\n")
        archive.writestr("ragged.csv", "a,b\n1,2\n3,4,5\n6,7\n")
    app = visit(ada, "review", id=arrive(ada, "two.zip", packed.getvalue()).id)
    for _ in range(2):
        app.button(key="review_all").click().run()
        assert not app.exception
        assert "trying again goes on from here" in text_of(app)
        assert only(ada).name == "two good.csv"
    assert len(uploads.list_uploads(ada)) == 1


def test_a_waiting_upload_can_be_discarded(visit: Visit, ada: User, arrive: Arrive) -> None:
    made = arrive(ada, "one.csv", "a,b\n1,2\n")
    app = visit(ada, "datasets")
    app.button(key=f"discard_{made.id}").click().run()
    assert not app.exception
    assert uploads.list_uploads(ada) == []


def test_a_pasted_table_is_reviewed(visit: Visit, ada: User) -> None:
    app = visit(ada, "datasets")
    app.session_state["ways_in"] = "Paste"
    app.run()
    app.text_area(key="paste_text").set_value("name\tage\nAda\t36\nBob\t7\n").run()
    assert "copied from a spreadsheet" in text_of(app)
    app.button(key="paste_go").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["age"]) == ["36", "7"]


@pytest.mark.parametrize("tab", ["From an address", "From the server"])
def test_ways_that_are_off_say_who_opens_them(visit: Visit, ada: User, tab: str) -> None:
    app = visit(ada, "datasets")
    app.session_state["ways_in"] = tab
    app.run()
    assert not app.exception
    assert "An admin" in app.info[0].value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a\tb\n1\t2", "tsv"),
        ("a,b\n1,2", "csv"),
        ("a;b\tc\n1;2\n3;4\n5;6", "csv"),
        (jsonl({"a": 1}, {"a": 2}), "jsonl"),
        ('[{"a": 1},\n {"a": 2}]', "json"),
        ('{"a": 1}', "json"),
        ("", "csv"),
    ],
)
def test_kind_of_a_pasted_text(text: str, kind: str) -> None:
    assert source_tabs.kind_of_text(text) == kind


@pytest.mark.parametrize(
    ("type_", "label"),
    [("VARCHAR", "Text"), ("SMALLINT", "Whole number"), ("STRUCT(a BIGINT)", "Nested"), ("BIGINT[]", "List")],
)
def test_types_have_words(type_: str, label: str) -> None:
    assert review_columns.label(type_) == label


def test_the_sentence_about_the_reading() -> None:
    found = {"encoding": "utf-8", "delimiter": ";", "header": True, "date_format": "%d/%m/%Y"}
    assert review_options.describe(found) == (
        "UTF-8 text, values separated by semicolons, the first row holds the names, dates like 31/12/2024, "
        "day first."
    )
    assert review_options.describe({}) == ""


def test_a_next_version_in_the_making_has_its_bar_and_cancel(
    visit: Visit, ada: User, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.commit(ada, arrive(ada, "cities.csv", CITIES).id)
    dataset = only(ada)
    monkeypatch.setattr(adding, "SMALL_BYTES", 0)
    monkeypatch.setattr(conversions, "run_in_background", lambda version_id: None)
    made = uploads.commit(ada, arrive(ada, "cities.csv", CITIES * 2, dataset_id=dataset.id).id)
    for page in ("dataset", "datasets"):
        assert visit(ada, page, id=dataset.id).get_by_key(f"cancel_{made.id}")
    app = visit(ada, "dataset", id=dataset.id)
    app.button(key=f"cancel_{made.id}").click().run()
    assert not app.exception
    conversions.run_and_wait(made.id)
    app = visit(ada, "dataset", id=dataset.id)
    assert "Version 2 could not be made" in app.error[0].value
    app.button(key="review_again").click().run()
    assert not app.exception
    assert f"A new version of {dataset.name}" in app.title[0].value


def test_rows_can_be_appended_instead(visit: Visit, ada: User, arrive: Arrive) -> None:
    uploads.commit(ada, arrive(ada, "cities.csv", CITIES).id)
    dataset = only(ada)
    more = "city;population;founded\nBasel;3,5;02/02/2024\n"
    app = visit(ada, "review", id=arrive(ada, "more.csv", more, dataset_id=dataset.id).id)
    app.segmented_control(key="review_mode").set_value(review_import.APPEND).run()
    app.button(key="review_import").click().run()
    assert not app.exception
    assert (datasets.version_of(ada, dataset.id).version, datasets.version_of(ada, dataset.id).num_rows) == (
        2,
        3,
    )


def test_a_question_is_answered_with_one_click_and_back(visit: Visit, ada: User, arrive: Arrive) -> None:
    made = arrive(ada, "ships.csv", "ship,built\nElli,01/02/1990\nMira,03/12/1985\n")
    app = visit(ada, "review", id=made.id)
    assert not app.exception
    assert "written day first or month first?" in text_of(app)
    firsts = [one.value["is read as"].iloc[0] for one in app.table]
    assert firsts == ["1 February 1990", "2 January 1990"]
    assert [b.key for b in app.button if "answer" in str(b.key)] == ["review_answer_0_1"]
    app.button(key="review_answer_0_1").click().run()
    assert uploads.chosen(ada, made.id).options.date_format == "%m/%d/%Y"
    assert app.selectbox(key="review_date_format").value == "%m/%d/%Y"
    assert [b.key for b in app.button if "answer" in str(b.key)] == ["review_answer_0_0"]
    assert "1990-01-02" in list(app.dataframe[0].value["built"])
    app.button(key="review_answer_0_0").click().run()
    assert "1990-02-01" in list(app.dataframe[0].value["built"])


def test_an_answer_about_types_leaves_what_was_chosen_elsewhere(
    visit: Visit, ada: User, arrive: Arrive
) -> None:
    made = arrive(ada, "book.csv", "section,pages\n1.9,3\n1.10,4\n")
    uploads.choose(ada, made.id, IngestOptions(types={"pages": "VARCHAR"}))
    app = visit(ada, "review", id=made.id)
    app.button(key="review_answer_0_1").click().run()
    assert uploads.chosen(ada, made.id).options.types == {"pages": "VARCHAR", "section": "DOUBLE"}
    assert "DOUBLE" in [one.value for one in app.selectbox if one.label == "Type of the column section"]
    app.button(key="review_answer_0_0").click().run()
    assert uploads.chosen(ada, made.id).options.types == {"pages": "VARCHAR"}


def test_a_note_has_the_button_that_undoes_it(visit: Visit, ada: User, arrive: Arrive) -> None:
    made = arrive(ada, "prices.csv", "price\n12.50\n7.00\n")
    app = visit(ada, "review", id=made.id)
    assert "zeros behind the point stay" in text_of(app)
    app.button(key="review_offer_0_0").click().run()
    assert not app.exception
    assert uploads.chosen(ada, made.id).options.types == {"price": "VARCHAR"}
    assert "zeros behind the point stay" not in text_of(app)


def test_the_form_is_gone_while_its_import_is_made_and_back_when_that_fails(
    visit: Visit, ada: User, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = arrive(ada, "cities.csv", CITIES)
    app = visit(ada, "review", id=made.id)
    app.text_input(key="review_name").set_value("Towns").run()
    order: list[str] = []
    draw = review_import.show_bar

    def commit(*_: Any, **__: Any) -> None:
        order.append("made")
        raise ValidationError("The disk is full of cities.")

    def show_bar(review: Any) -> None:
        order.append("form")
        draw(review)

    monkeypatch.setattr(uploads, "commit", commit)
    monkeypatch.setattr(review_import, "show_bar", show_bar)
    app.button(key="review_import").click().run()
    assert order == ["made", "form"]
    assert "full of cities" in app.error[0].value
    assert app.text_input(key="review_name").value == "Towns"
    assert not app.button(key="review_import").disabled
