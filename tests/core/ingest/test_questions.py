"""What is not certain about a file is asked, with the same cells read each way; each answer leads there."""

import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from core.fields import parse
from core.readers import IngestOptions
from core.readers.look import Look, look_at

DATES = "ship,built\nElli,01/02/1990\nMira,03/12/1985\n"
JSON_DATES = '{"built":"01/02/1990"}\n{"built":"03/12/1985"}\n'
SECTIONS = "section,zip\n1.9,007\n1.10,0123\n"
NUMBERS = "1,2\n3,4\n5,6\n"
DAY, MONTH = [["01/02/1990", "1 February 1990"]], [["01/02/1990", "2 January 1990"]]


@pytest.fixture
def look(tmp_path: Path) -> Any:
    def at(filename: str, content: str | bytes, **options: Any) -> Look:
        work = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        work.mkdir()
        path = tmp_path / filename
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return look_at(path, filename, parse(IngestOptions, **options), work=work)

    return at


def workbook(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


TWO_SHEETS = workbook(ships=[["ship", "tons"], ["Elli", 120]], ports=[["port"], ["Bern"]])
ASKED: dict[str, tuple[str, str | bytes, str, list[str], list[list[list[str]]]]] = {
    "CSV dates": ("a.csv", DATES, "dates", ["Day first", "Month first"], [DAY, MONTH]),
    "JSON dates": (
        "a.jsonl",
        JSON_DATES,
        "dates",
        ["Text", "Day first", "Month first"],
        [[["01/02/1990", "01/02/1990"]], DAY, MONTH],
    ),
    "numbers": ("a.csv", SECTIONS, "types", ["Text", "Numbers"], [[["1.10", "007"]], [["1.1", "7"]]]),
    "a header": (
        "a.csv",
        NUMBERS,
        "header",
        ["It holds the names", "It is a row like the others"],
        [[["3", "4"]], [["1", "2"]]],
    ),
    "sheets": (
        "a.xlsx",
        TWO_SHEETS,
        "table",
        ["Sheet ships", "Sheet ports"],
        [[["Elli", "120"]], [["Bern"]]],
    ),
}


@pytest.mark.parametrize("kind", ASKED)
def test_what_is_unclear_is_asked_with_both_readings(look: Any, kind: str) -> None:
    filename, content, about, labels, firsts = ASKED[kind]
    (question,) = look(filename, content).questions
    assert question["about"] == about
    assert [one["label"] for one in question["readings"]] == labels
    assert [one["rows"][:1] for one in question["readings"]] == firsts
    assert [one["is_current"] for one in question["readings"]].count(True) == 1


@pytest.mark.parametrize("kind", ASKED)
def test_an_answer_becomes_the_current_reading_and_can_be_taken_back(look: Any, kind: str) -> None:
    filename, content, *_ = ASKED[kind]
    first = look(filename, content)
    (question,) = first.questions
    for wanted in [*question["readings"], *question["readings"]]:
        then = look(filename, content, **wanted["change"])
        assert then.error is None
        (again,) = then.questions
        assert [one["label"] for one in again["readings"] if one["is_current"]] == [wanted["label"]]
        is_other = not wanted["is_current"]
        assert (then.rows != first.rows or then.columns != first.columns) == is_other


def test_a_reading_shows_what_the_table_then_holds(look: Any) -> None:
    (question,) = look("a.csv", SECTIONS).questions
    types = question["readings"][1]["change"]["types"]
    assert types == {"section": "DOUBLE", "zip": "BIGINT"}
    assert look("a.csv", SECTIONS, types=types).rows == [
        {"section": 1.9, "zip": 7},
        {"section": 1.1, "zip": 123},
    ]


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("a.csv", DATES + "Nora,25/12/2001\n"),  # only the day fits first
        ("a.csv", "a,b\nx,01/01/1990\ny,02/02/1991\n"),  # both orders say the same
        ("a.csv", "a,b\nx,1.5\ny,2.25\n"),
        ("a.csv", "a,b\n0x1F,k\n0x2F,l\n"),  # no number that can be read
        ("a.jsonl", '{"a":"31/12/1990"}\n'),
        ("a.xlsx", workbook(ships=[["ship", "tons"], ["Elli", 120]], empty=[])),
    ],
)
def test_what_is_clear_is_not_asked(look: Any, filename: str, content: str | bytes) -> None:
    assert look(filename, content).questions == []


@pytest.mark.parametrize(
    ("filename", "content", "types"),
    [
        ("a.csv", DATES + "Nora,25/12/2001\n", {"built": "VARCHAR"}),
        ("a.csv", "a\n12.50\n7.00\n", {"a": "VARCHAR"}),
        ("a.csv", "prompt,completion\n12,a\n13,b\n", None),
        ("a.csv", "a,b\n1,31/12/29\n", {"b": "DATE"}),
        ("a.csv", "Title\n\na,b\n1,2\n", None),
        ("a.jsonl", '{"a":"31/12/1990"}\n', {"a": "DATE"}),
        ("a.jsonl", '{"a":"31-12-1990"}\n', {"a": "VARCHAR"}),
    ],
)
def test_a_note_that_can_be_undone_says_how(look: Any, filename: str, content: str, types: Any) -> None:
    first = look(filename, content)
    for offer in first.offers:
        assert offer["note"] in first.detected["notes"]
        then = look(filename, content, **offer["change"])
        if types:
            found = {column["name"]: column["type"] for column in then.columns}
            assert {name: found[name] for name in types} == types
    assert first.offers or types is None
