"""API.md section 5, what is in a version: preview, profile, diff and content.

What they mean is tested in tests/core.
"""

import csv
import io
import json
from typing import Any

import pytest
from pyarrow import parquet
from sqlalchemy import update

from core.db import writing
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User
from core.reports import computing
from core.tables import DatasetVersionRow
from tests.api.conftest import Caller, fields_of
from tests.ui.things import make_dataset

ROWS = b"id,word,when\n1,Apple pie,2024-01-01\n2,,2024-01-02\n3,100% 'pure',\n4,apple,2024-01-04\n"


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real converter without its process, which takes a second to start."""
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)


@pytest.fixture
def path(as_ada: Caller) -> str:
    """The address of a dataset that was uploaded."""
    answer = as_ada("POST", "/api/datasets", files={"file": ("words.csv", ROWS)})
    assert answer.status_code == 201, answer.text
    return f"/api/datasets/{answer.json()['id']}"


def lines(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["line"] for item in answer.json()["items"]]


def test_preview_is_a_page_of_rows(as_ada: Caller, path: str) -> None:
    page = as_ada.get(f"{path}/preview?limit=1&offset=1").json()
    assert page["items"] == [{"line": 2, "data": {"id": 2, "word": None, "when": "2024-01-02"}}]
    assert (page["total"], page["limit"], page["offset"]) == (4, 1, 1)
    assert len(as_ada.get(f"{path}/preview").json()["items"]) == 4
    assert as_ada.get(f"{path}/preview?offset=1000000000").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"order_by": "-id"}, [4, 3, 2, 1]),
        ({"order_by": "word", "limit": 2}, [3, 1]),
        ({"where": {"word": {"contains": "APPLE"}}}, [1, 4]),
        ({"where": {"word": {"contains": "%"}}}, [3]),
        ({"where": {"word": {"contains": "'"}}}, [3]),
        ({"where": {"word": "apple"}}, [4]),
        ({"where": {"word": None}}, [2]),
        ({"where": {"word": {"is_null": True}}}, [2]),
        ({"where": {"word": {"is_null": False}, "when": {"is_null": False}}}, [1, 4]),
        ({"where": {"id": 3}}, [3]),
        ({"where": {"id": {"min": 2, "max": 3}}}, [2, 3]),
        ({"where": {"id": {"one_of": [1, 4, 9]}}}, [1, 4]),
        ({"where": {"when": {"min": "2024-01-02"}}}, [2, 4]),
        ({"where": {"id": {"equals": 77}}}, []),
        ({"where": {}}, [1, 2, 3, 4]),
        ({"search": "pie apple"}, [1]),
        ({"search": "%", "where": {"id": {"min": 1}}}, [3]),
    ],
)
def test_preview_filters_and_sorts(
    as_ada: Caller, path: str, query: dict[str, Any], found: list[int]
) -> None:
    asked = {name: json.dumps(value) if name == "where" else value for name, value in query.items()}
    assert lines(as_ada.get(f"{path}/preview", params=asked)) == found


@pytest.mark.parametrize("columns", ["word,id", '["word", "id"]'])
def test_preview_shows_the_chosen_columns(as_ada: Caller, path: str, columns: str) -> None:
    (first, *_) = as_ada.get(f"{path}/preview", params={"columns": columns}).json()["items"]
    assert list(first["data"].items()) == [("word", "Apple pie"), ("id", 1)]


BROKEN = """
    limit=101 limit=0 limit=x offset=-1 version=0 version=x columns=nope columns=[1] columns={} order_by=nope
    where={ where=[] where={"nope":1} where={"id":{"rm":1}} where={"id":{"one_of":3}} where={"id":{"min":[1]}}
    search=%00
""".split()


def test_broken_previews_name_the_field(as_ada: Caller, path: str) -> None:
    for query in BROKEN:
        name, _, value = query.partition("=")
        asked = {name: value.replace("%00", "\x00")}
        assert {field.split(".")[0] for field in fields_of(as_ada.get(f"{path}/preview", params=asked))} == {
            name
        }, query


def test_values_are_not_code(as_ada: Caller, path: str) -> None:
    for value in ("'; DROP TABLE x; --", '"', "\\", "1 OR 1=1", "\u202e", "🎻" * 50):
        assert lines(as_ada.get(f"{path}/preview", params={"where": json.dumps({"word": value})})) == []
        assert lines(as_ada.get(f"{path}/preview", params={"search": value})) == []


def test_profile_tells_about_each_column(as_ada: Caller, path: str) -> None:
    profile = as_ada.get(f"{path}/profile").json()
    columns = {column["name"]: column for column in profile["columns"]}
    told = {"type", "nulls", "distinct", "min", "max", "mean", "quantiles", "histogram", "top_values"}
    assert all(set(column) >= told for column in columns.values())
    assert (columns["word"]["nulls"], columns["id"]["min"], columns["id"]["max"]) == (1, 1, 4)
    assert profile["num_rows"] == 4
    assert as_ada.get(f"{path}/profile?version=7").status_code == 404
    assert fields_of(as_ada.get(f"{path}/profile?version=0")) == {"version"}


def test_diff_counts_and_shows(as_ada: Caller, path: str) -> None:
    changed = ROWS.replace(b"2,,", b"2,pear,").replace(b"1,Apple", b"9,Apple")
    made = as_ada("POST", f"{path}/versions", files={"file": ("words.csv", changed)})
    assert made.json()["version"] == 2, made.text
    keyed = as_ada.get(f"{path}/diff?from=1&to=2&key=id").json()
    assert [keyed[part] for part in ("added", "removed", "changed", "unchanged")] == [1, 1, 1, 2]
    assert (keyed["from"]["version"], keyed["to"]["version"], keyed["key"]) == (1, 2, ["id"])
    assert keyed["samples"]["changed"][0]["columns"] == ["word"]
    whole = as_ada.get(f"{path}/diff?from=1&to=2").json()
    assert [whole[part] for part in ("added", "removed", "changed", "unchanged")] == [2, 2, 0, 2]
    assert as_ada.get(f"{path}/diff?from=1&to=1").json()["unchanged"] == 4


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("from=1", 422),
        ("from=0&to=1", 422),
        ("from=1&to=1&key=nope", 422),
        ("from=1&to=1&key=[1]", 422),
        ("from=1&to=9", 404),
    ],
)
def test_broken_diffs(as_ada: Caller, path: str, query: str, status: int) -> None:
    assert as_ada.get(f"{path}/diff?{query}").status_code == status


def test_edits_make_the_next_version(as_ada: Caller, path: str) -> None:
    edits = {
        "cells": [{"line": 2, "column": "word", "value": "pear"}],
        "deleted": [4],
        "added": [{"id": 9}],
        "note": "mended",
    }
    made = as_ada.post(f"{path}/edits", edits)
    assert made.status_code == 201, made.text
    assert (made.json()["version"], made.json()["num_rows"], made.json()["note"]) == (2, 4, "mended")
    words = [item["data"]["word"] for item in as_ada.get(f"{path}/preview").json()["items"]]
    assert words == ["Apple pie", "pear", "100% 'pure'", None]
    assert as_ada.post(f"{path}/edits?version=1", {"deleted": [1]}).status_code == 409  # it moved on
    assert (
        as_ada.post(
            f"{path}/edits", {"cells": [{"line": 1, "column": "id", "value": "no number"}]}
        ).status_code
        == 422
    )
    assert as_ada.post(f"{path}/edits", {"deleted": ["1"]}).status_code == 422


def test_splits_leaks_lineage_and_quality(as_ada: Caller, as_bob: Caller, ada: User, bob: User) -> None:
    source = make_dataset(ada, [{"text": f"row number {n}"} for n in range(40)], name="all")
    path = f"/api/datasets/{source.dataset_id}"
    parts = as_ada.post(f"{path}/splits", {"train": 0.5, "validation": 0.0, "test": 0.5, "seed": 7})
    assert parts.status_code == 201, parts.text
    assert [part["name"] for part in parts.json()] == ["all train", "all test"]
    assert sum(part["num_rows"] for part in parts.json()) == 40
    train, test = (part["latest_version_id"] for part in parts.json())
    leaks = as_ada.get(f"/api/datasets/{parts.json()[0]['id']}/leaks?against={test}").json()
    assert [(leak["exact"], leak["near"]) for leak in leaks["leaks"]] == [(0, leaks["leaks"][0]["near"])]
    others = make_dataset(bob, [{"text": "x"}])
    assert as_ada.get(f"{path}/leaks?against={others.id}").status_code == 404
    lineage = as_ada.get(f"{path}/lineage").json()
    assert {(edge["from"], edge["to"]) for edge in lineage["edges"]} >= {
        (source.id, train),
        (source.id, test),
    }
    assert as_ada.get(f"{path}/quality").json()["num_rows"] == 40
    assert as_ada.post(f"{path}/splits", {"train": 0.9, "test": 0.9}).status_code == 422
    assert as_bob.get(f"{path}/lineage").status_code == 404


@pytest.mark.parametrize("kind", ["quality", "profile"])
def test_a_report_that_failed_can_be_asked_for_again(
    as_ada: Caller, as_bob: Caller, ada: User, kind: str
) -> None:
    made = make_dataset(ada, [{"text": "x"}])
    path = f"/api/datasets/{made.dataset_id}/{kind}"
    asked = as_ada.post(path).json()
    assert (asked["status"], asked["ahead"]) == ("waiting", 0)
    computing.WORK.fail((made.id, kind), computing.CRASHED, pid=None)
    assert as_ada.get(path).json()["status"] == "failed"
    answer = as_ada.post(path, params={"version": 1})
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    assert computing.run(made.id, kind)
    assert as_ada.get(path).json()["status"] == "ready"
    assert as_ada.post(path).json()["status"] == "ready"  # nothing is computed twice
    assert as_bob.post(path).status_code == as_ada.post(path, params={"version": 9}).status_code == 404


def test_content_comes_in_four_forms(as_ada: Caller, path: str) -> None:
    original = as_ada.get(f"{path}/content")
    assert original.content == ROWS
    assert original.headers["Content-Disposition"].startswith('attachment; filename="words.csv"')
    table = parquet.read_table(io.BytesIO(as_ada.get(f"{path}/content?as=parquet").content))
    assert table.column_names == ["id", "word", "when"]
    rows = list(csv.DictReader(io.StringIO(as_ada.get(f"{path}/content?as=csv").text)))
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    objects = [json.loads(line) for line in as_ada.get(f"{path}/content?as=jsonl").text.splitlines()]
    assert objects[1] == {"id": 2, "word": None, "when": "2024-01-02"}
    part = as_ada.get(
        f"{path}/content", params={"as": "jsonl", "where": '{"id": {"min": 3}}', "columns": "id"}
    )
    assert [json.loads(line) for line in part.text.splitlines()] == [{"id": 3}, {"id": 4}]


@pytest.mark.parametrize(
    ("query", "status"), [("as=exe", 422), ("version=0", 422), ("version=7", 404), ("where={", 422)]
)
def test_broken_content(as_ada: Caller, path: str, query: str, status: int) -> None:
    assert as_ada.get(f"{path}/content?{query}").status_code == status


@pytest.mark.parametrize(
    "name",
    ['a"b\\c.csv', "na\u00efve \U0001f3bb.csv", "a;b%0d%0aSet-Cookie: x=1.csv", "..", "x" * 300 + ".csv"],
)
def test_nasty_names_stay_within_their_header(as_ada: Caller, name: str) -> None:
    made = as_ada(
        "POST",
        "/api/datasets",
        files={"file": (name if name != ".." else "../...csv", ROWS)},
        data={"name": name[:200]},
    )
    assert made.status_code == 201, made.text
    for form in ("original", "csv", "jsonl", "parquet"):
        answer = as_ada("HEAD", f"/api/datasets/{made.json()['id']}/content?as={form}")
        header = answer.headers["Content-Disposition"]
        assert header.startswith('attachment; filename="')
        assert header.isascii()
        assert header.count('"') == 2
        assert "Set-Cookie" not in answer.headers


def test_head_is_get_without_a_body(as_ada: Caller, path: str) -> None:
    for part in ("", "/preview", "/profile", "/versions", "/content", "/content?as=csv"):
        head, got = as_ada("HEAD", path + part), as_ada.get(path + part)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert as_ada("HEAD", "/api/datasets/ds_nothing").status_code == 404


def test_what_is_not_ones_own_looks_missing(as_ada: Caller, as_bob: Caller, path: str) -> None:
    for part in (
        "",
        "/preview",
        "/profile",
        "/versions",
        "/versions/1",
        "/content",
        "/content?as=rejects",
        "/uses",
        "/diff?from=1&to=1",
    ):
        answers = [
            as_bob.get(where + part)
            for where in (path, "/api/datasets/ds_nothing", "/api/datasets/%00", "/api/datasets/1")
        ]
        assert {answer.status_code for answer in answers} == {404}, part
        assert len({answer.json()["error"]["message"] for answer in answers}) == 1


def test_a_version_that_is_not_ready_has_no_rows_yet(as_ada: Caller, ada: User) -> None:
    made = make_dataset(ada, [{"a": "1"}])
    with writing() as session:
        session.execute(
            update(DatasetVersionRow).where(DatasetVersionRow.id == made.id).values(status="processing")
        )
    assert as_ada.get(f"/api/datasets/{made.dataset_id}").json()["version"] is None
    for part in ("preview", "content", "profile"):
        assert as_ada.get(f"/api/datasets/{made.dataset_id}/{part}").status_code == 409
