"""New versions from old ones: edits and appends keep order
and types and refuse what does not fit; removed versions say so."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core import datasets, fine_tuning, storage
from core.clock import now
from core.datasets import Edits, IngestOptions, Retention, editing
from core.datasets.retention import sweep_versions
from core.db import writing
from core.errors import Conflict, Forbidden, InUse, NotFound, UnreadableFile, ValidationError
from core.fine_tuning import sources
from core.ingest import queue as conversions
from core.people.users import User
from core.security import new_id
from core.tables import (
    ChatRow,
    DatasetVersionRow,
    JobRow,
    ModelAliasRow,
    ModelRow,
    ModelVersionRow,
    VersionParentRow,
)
from core.training import METHODS
from tests.core.datasets.version_of_sql import make
from tests.core.uploads.shared import in_process, stage

__all__ = ["in_process"]
KINDS = """SELECT i AS n, i + 0.25 AS x, 'row ' || i AS s, DATE '2024-01-01' + i::INTEGER AS d,
    i % 2 = 0 AS ok, (i / 4)::DECIMAL(9,2) AS price, [i, NULL] AS l, {'a': i, 'b': 'x'} AS o,
    TIMESTAMP '2024-01-01 10:00:00' AS t
    FROM range(5) r(i)"""


def edit(user: User, version_id: str, **edits: Any) -> Any:
    return datasets.edit(user, version_id, Edits.model_validate(edits))


def data(user: User, version: Any) -> list[dict[str, Any]]:
    return [
        item["data"]
        for item in datasets.preview(user, version.dataset_id, version=version.version, limit=100).items
    ]


@pytest.mark.usefixtures("in_process")
def test_cells_change_rows_come_and_go_and_types_stay(ada: User) -> None:
    old = make(ada, KINDS)
    before = data(ada, old)
    changes: dict[str, Any] = {
        "n": 70, "x": 1.5, "s": "", "d": "2020-02-29", "ok": False, "price": "12.50", "l": [1, 2],
        "o": {"a": None, "b": "y"}, "t": "2020-01-01 00:00:01",
    }  # fmt: skip
    cells = [{"line": 2, "column": name, "value": value} for name, value in changes.items()]
    cells += [{"line": 5, "column": "s", "value": None}, {"line": 5, "column": "s", "value": "last word"}]
    new = edit(
        ada, old.id, cells=cells, deleted=[1, 3], added=[{"n": 9}, {"s": "new", "l": []}], note="mended"
    )
    shown = {**before[1], **changes, "price": 12.5, "t": "2020-01-01T00:00:01"}
    empty = dict.fromkeys(changes)
    assert data(ada, new) == [
        shown, before[3], {**before[4], "s": "last word"}, {**empty, "n": 9}, {**empty, "s": "new", "l": []},
    ]  # fmt: skip
    assert new.columns == old.columns
    assert (new.version, new.origin, new.parents, new.note, new.author["name"]) == (
        2,
        "edit",
        [old.id],
        "mended",
        "Ada",
    )
    assert new.options == {"edit": {"cells": 11, "added": 2, "deleted": 2}}
    assert data(ada, old) == before
    assert not list(storage.staging_dir().iterdir())


@pytest.mark.usefixtures("in_process")
def test_rows_stay_in_order_when_a_large_version_is_edited(ada: User) -> None:
    old = make(ada, "SELECT i AS n, i % 7 AS k FROM range(300000) t(i)")
    lines = list(range(1, 300_000, 37))
    new = edit(
        ada,
        old.id,
        cells=[{"line": n, "column": "k", "value": -1} for n in lines],
        deleted=[2, 299_999],
        added=[{"n": -5}],
    )
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(storage.parquet_path(new.id))
    changed = {n - 1 for n in lines}
    numbers = [n for n in range(300_000) if n not in (1, 299_998)]
    assert table["n"].to_pylist() == [*numbers, -5]
    assert table["k"].to_pylist() == [*(-1 if n in changed else n % 7 for n in numbers), None]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("n", "many", "'many' is not a whole number (BIGINT)"),
        ("n", 1.5, "'1.5' is not a whole number"),
        ("n", "", "is not a whole"),
        ("n", 1180591620717411303424, "is not a whole number"),
        ("x", "1,5", "is not a number"),
        ("o", {"a": 1.5, "b": "x"}, "is not a value of"),
        ("o", {"c": 1}, "is not a value of"),
        ("l", [1, "x"], "is not a value of"),
        ("d", "31.12.2024", "is not a date such as"),
        ("d", "2024-01-01 12:00:00", "is not a date"),
        ("d", "2024-02-30", "is not a date"),
        ("ok", "perhaps", "is not true or false"),
        ("price", "1.005", "is not a number (DECIMAL(9,2))"),
        ("price", "99999999.5", "is not a number"),
        ("l", "x", "is not a value of"),
        ("l", {"a": 1}, "is not a value of"),
        ("o", [1], "is not a value of"),
        ("t", "noon", "is not a point in time"),
    ],
)
def test_a_value_of_another_type_is_refused_by_row_and_column(
    ada: User, column: str, value: Any, said: str
) -> None:
    old = make(ada, KINDS)
    with pytest.raises(ValidationError) as caught:
        edit(
            ada,
            old.id,
            cells=[{"line": 3, "column": column, "value": value}],
            added=[{"s": "fine"}, {"n": "no"}],
        )
    assert [detail.field for detail in caught.value.details] == [
        f"row 3, column {column}",
        "new row 2, column n",
    ]
    assert said in caught.value.details[0].message
    assert datasets.version_of(ada, old.dataset_id).id == old.id
    assert not list(storage.staging_dir().iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "nothing is changed"),
        ({"cells": [{"line": 6, "column": "n", "value": 1}]}, "there is no row 6"),
        ({"deleted": [0]}, "there is no row 0"),
        ({"added": [{"nope": 1}]}, "no column 'nope'"),
        ({"deleted": [1, 2, 3, 4, 5]}, "at least one row"),
    ],
)
def test_edits_that_make_no_sense_are_refused(ada: User, wrong: dict[str, Any], said: str) -> None:
    old = make(ada, KINDS)
    with pytest.raises(ValidationError, match=said):
        edit(ada, old.id, **wrong)


@pytest.mark.usefixtures("in_process")
def test_edits_of_an_older_version_are_refused_unless_meant(ada: User, bob: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    with pytest.raises(Conflict, match="newest version is 2, and these edits are for version 1"):
        edit(ada, old.id, added=[{"n": 3}])
    new = edit(ada, old.id, added=[{"n": 3}], force=True)
    assert (new.version, data(ada, new)) == (3, [{"n": 1}, {"n": 3}])
    with pytest.raises(NotFound):
        edit(bob, old.id, added=[{"n": 3}])


@pytest.mark.usefixtures("in_process")
def test_an_edit_is_refused_when_a_version_is_made_while_it_is_being_written(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make(ada, "SELECT 1 AS n")
    write = editing._edited

    def write_slowly(*given: Any) -> str:
        make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
        return write(*given)

    monkeypatch.setattr(editing, "_edited", write_slowly)
    with pytest.raises(Conflict, match="newest version is 2, and these edits are for version 1"):
        edit(ada, old.id, added=[{"n": 3}])
    assert datasets.version_of(ada, old.dataset_id).version == 2
    assert not list(storage.staging_dir().iterdir())


def append(user: User, dataset_id: str, text: str, filename: str = "more.csv", **options: Any) -> Any:
    return datasets.append_rows(
        user,
        dataset_id,
        file=stage(text.encode()),
        filename=filename,
        note="more",
        options=IngestOptions(**options),
    )


@pytest.mark.usefixtures("in_process")
def test_rows_of_a_file_go_behind_the_others(ada: User, bob: User) -> None:
    old = make(
        ada, "SELECT '007' AS code, 1.5::DOUBLE AS x, DATE '2024-01-01' AS d, 3::INTEGER AS n FROM range(2)"
    )
    new = append(ada, old.dataset_id, "n,code,d,x\n4,12,2024-02-03,2\n5,001,,\n")
    assert data(ada, new)[2:] == [
        {"code": "12", "x": 2.0, "d": "2024-02-03", "n": 4},
        {"code": "001", "x": None, "d": None, "n": 5},
    ]
    assert (new.version, new.num_rows, new.origin, new.parents, new.columns) == (
        2,
        4,
        "append",
        [old.id],
        old.columns,
    )
    assert (new.filename, new.note) == ("more.csv", "more")
    again = append(
        ada, old.dataset_id, '{"code": "x", "x": 1, "d": "2024-01-01", "n": null}\n', filename="more.jsonl"
    )
    assert (again.num_rows, again.parents, data(ada, again)[-1]["x"]) == (5, [new.id], 1.0)
    with pytest.raises(NotFound):
        append(bob, old.dataset_id, "n\n1\n")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,x\n1,2\n", "it has no column 'n'"),
        ("code,n,y\n1,2,3\n", "it has no column 'x', and the dataset has no column 'y'"),
        ("code,x,n\na,2.5,1\na,2,2.5\n", "'n'"),
        ("code,x,n\na,b,1\n", "'x'"),
        ("code,x,n\na,1,9999999999\n", "column 'n' is BIGINT here and INTEGER in the dataset"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_made(ada: User, text: str, said: str) -> None:
    old = make(ada, "SELECT 'a' AS code, 1.5::DOUBLE AS x, 3::INTEGER AS n")
    with pytest.raises(UnreadableFile) as caught:
        append(ada, old.dataset_id, text)
    assert said in caught.value.message + str(caught.value.lines)
    assert datasets.list_versions(ada, old.dataset_id).total == 1
    assert not list(storage.staging_dir().iterdir())


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("value", "type_", "kept"),
    [
        ("-3", "DECIMAL(38,0)", -3),
        ("[1, -3]", "DECIMAL(38,0)[]", [1, -3]),
        ("[[1], [-3]]", "DECIMAL(38,0)[][]", [[1], [-3]]),
        ('{"b": 1, "a": [-3]}', "STRUCT(a DECIMAL(38,0)[], b DECIMAL(38,0))", {"a": [-3], "b": 1}),
        ("[1, -3]", "INTEGER[]", [1, -3]),
        ("[1, -3]", "DOUBLE[]", [1.0, -3.0]),
        ("[1.5, -3]", "DECIMAL(10,2)[]", [1.5, -3]),
        ('{"a": "2024-01-31"}', "STRUCT(a VARCHAR)", {"a": "2024-01-31"}),
    ],
)
def test_rows_take_the_types_of_the_version_they_follow(ada: User, value: str, type_: str, kept: Any) -> None:
    """Also those that an earlier reader chose: DECIMAL(38,0) for whole numbers of both signs."""
    old = make(ada, f"SELECT NULL::{type_} AS v, 1 AS n")
    new = append(ada, old.dataset_id, f'{{"v": {value}, "n": 2}}\n', filename="more.jsonl")
    assert (new.columns, data(ada, new)) == (old.columns, [{"v": None, "n": 1}, {"v": kept, "n": 2}])


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("[1.5, -3]", "BIGINT[]"),
        ("[300]", "TINYINT[]"),
        ('{"a": -1}', "STRUCT(a UBIGINT)"),
        ('{"a": 1}', "STRUCT(a VARCHAR)"),
        ('{"b": 1}', "STRUCT(a BIGINT)"),
        ("[1]", "STRUCT(a BIGINT)"),
        ("[1]", "BIGINT[][]"),
    ],
)
def test_nested_rows_that_would_lose_something_are_refused(ada: User, value: str, type_: str) -> None:
    old = make(ada, f"SELECT NULL::{type_} AS v")
    with pytest.raises(UnreadableFile, match=r"column 'v' is .* here and .* in the dataset"):
        append(ada, old.dataset_id, f'{{"v": {value}}}\n', filename="more.jsonl")


@pytest.mark.usefixtures("in_process")
def test_an_older_reading_of_whole_numbers_differs_in_nothing_from_the_new_one(ada: User) -> None:
    old = make(ada, "SELECT -3::DECIMAL(38,0) AS n, [1, -3]::DECIMAL(38,0)[] AS v")
    new = append(ada, old.dataset_id, '{"n": -3, "v": [1, -3]}\n', filename="again.jsonl")
    other = make(ada, "SELECT -3 AS n, [1, -3]::BIGINT[] AS v FROM range(2)")
    found = datasets.diff_versions(ada, new.id, other.id)
    assert (found.added, found.removed, found.changed) == (0, 0, 0)


def test_two_appends_at_once_cannot_lose_rows(ada: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    make(ada, "SELECT 1 AS n", dataset_id=old.dataset_id, status="processing", content_hash=None)
    with pytest.raises(Conflict, match="Another version of this dataset is being made"):
        append(ada, old.dataset_id, "n\n1\n")


def test_an_edit_waits_for_a_version_that_is_being_made(ada: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    make(ada, "SELECT 1 AS n", dataset_id=old.dataset_id, status="processing", content_hash=None)
    with pytest.raises(Conflict, match="Another version of this dataset is being made"):
        edit(ada, old.id, added=[{"n": 3}])


@pytest.mark.usefixtures("in_process")
def test_rows_go_behind_the_newest_version_that_is_left(ada: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    newer = make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    datasets.delete_version(ada, newer.id)
    new = append(ada, old.dataset_id, "n\n3\n")
    assert (new.version, new.parents, data(ada, new)) == (3, [old.id], [{"n": 1}, {"n": 3}])
    again = edit(ada, new.id, deleted=[1])
    assert (again.version, data(ada, again)) == (4, [{"n": 3}])


def test_what_another_version_is_being_made_from_stays(ada: User) -> None:
    old, kept = make(ada, "SELECT 1 AS n"), Retention(enabled=True, keep_newest=1, keep_days=1)
    make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    child = make(ada, "SELECT 2 AS n", name="other", status="processing", content_hash=None)
    with writing() as session:
        session.add(VersionParentRow(version_id=child.id, parent_id=old.id))
    with pytest.raises(InUse, match="Version 1 is just being made into another one"):
        datasets.delete_version(ada, old.id)
    datasets.set_retention(ada, kept)
    assert sweep_versions(now() + timedelta(days=400)) == []
    with writing() as session:
        session.get_one(DatasetVersionRow, child.id).status = "failed"
    assert [gone.version_id for gone in sweep_versions(now() + timedelta(days=400))] == [old.id]


def test_a_removed_version_says_so_to_everyone_who_reads_it(ada: User, bob: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    new = make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    with pytest.raises(NotFound):
        datasets.delete_version(bob, old.id)
    datasets.delete_version(ada, old.id)
    assert not storage.version_dir(old.id).exists()
    gone = datasets.get_version(ada, old.id)
    assert (gone.status, gone.removed_why, gone.num_rows, gone.removed_at is None) == (
        "ready",
        "by Ada",
        1,
        False,
    )
    readers = [
        lambda: datasets.preview(ada, old.dataset_id, version=1),
        lambda: datasets.profile(ada, old.dataset_id, version=1),
        lambda: datasets.open_content(ada, old.dataset_id, version=1),
        lambda: datasets.training_preview(ada, old.id),
        lambda: datasets.training_report(ada, old.id),
        lambda: edit(ada, old.id, added=[{"n": 1}], force=True),
        lambda: datasets.delete_version(ada, old.id),
        lambda: sources.find_rows(
            ada,
            old.dataset_id,
            version_id=old.id,
            mapping={"prompt": "n", "completion": "n"},
            method=METHODS["supervised"],
        ),
    ]
    for read in readers:
        with pytest.raises(Conflict, match=r"The files of version 1 were removed on \d+ \w+ \d{4} by Ada"):
            read()
    assert [table.number for table in datasets.sql_tables(ada)] == [2]
    with pytest.raises(Conflict, match="only version with rows"):
        datasets.delete_version(ada, new.id)
    conversions.recover()
    assert [folder.name for folder in storage.version_dir(new.id).parent.iterdir()] == [new.id]


def test_a_job_is_not_made_on_a_version_that_goes_while_it_is_checked(
    ada: User, make_job: Callable[..., JobRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(make_job(ada, status="succeeded").base_model_id)
    old = make(ada, "SELECT 'a' AS prompt, 'b' AS completion FROM range(20)")
    make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    check = sources.require_sound

    def check_slowly(rows: sources.Rows) -> None:
        check(rows)
        datasets.delete_version(ada, old.id)

    monkeypatch.setattr(sources, "require_sound", check_slowly)
    new = fine_tuning.NewJob(base_model_id=base, dataset_id=old.dataset_id, dataset_version_id=old.id)
    with pytest.raises(Conflict, match="The files of version 1 were removed"):
        fine_tuning.create(ada, new)


def test_when_the_newest_is_removed_the_one_before_is_shown(ada: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    new = make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    datasets.delete_version(ada, new.id)
    assert (datasets.get(ada, old.dataset_id).version, datasets.version_of(ada, old.dataset_id).id) == (
        1,
        old.id,
    )
    assert make(ada, "SELECT 3 AS n", dataset_id=old.dataset_id).version == 3


@pytest.mark.parametrize(("status", "refused"), [("queued", True), ("paused", True), ("succeeded", False)])
def test_what_a_job_reads_is_not_removed(
    ada: User, make_job: Callable[..., JobRow], status: str, refused: bool
) -> None:
    job = make_job(ada, status=status)
    read = str(job.dataset_version_id)
    make(ada, "SELECT 2 AS n", dataset_id=job.dataset_id)
    assert [(use.kind, use.id, use.blocks) for use in datasets.uses(ada, read)] == [("job", job.id, refused)]
    if refused:
        with pytest.raises(InUse, match=job.id):
            datasets.delete_version(ada, read)
    else:
        datasets.delete_version(ada, read)


def test_what_an_alias_stands_on_is_not_removed(ada: User, bob: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    with writing() as session:
        model = ModelRow(id=new_id("mdl"), owner_id=ada.id, name="bot", type="finetuned")
        session.add(model)
        session.flush()
        version = ModelVersionRow(
            id=new_id("mdv"), model_id=model.id, version=1, folder="x", dataset_version_id=old.id
        )
        session.add(version)
        session.flush()
        session.add(ModelAliasRow(model_id=model.id, alias="best", version_id=version.id))
    assert [(use.kind, use.name, use.blocks) for use in datasets.uses(ada, old.dataset_id)] == [
        ("alias", "bot@best", True)
    ]
    for remove in (
        lambda: datasets.delete_version(ada, old.id),
        lambda: datasets.delete(ada, old.dataset_id),
    ):
        with pytest.raises(InUse, match="bot@best"):
            remove()
    with pytest.raises(NotFound):
        datasets.uses(bob, old.id)


def test_children_and_chats_are_named_and_do_not_forbid(ada: User) -> None:
    old, child = make(ada, "SELECT 1 AS n"), make(ada, "SELECT 1 AS n", name="child")
    with writing() as session:
        session.add(VersionParentRow(version_id=child.id, parent_id=old.id))
        session.add(ChatRow(id=new_id("chat"), user_id=ada.id, title="About it", dataset_id=old.dataset_id))
    found = datasets.uses(ada, old.dataset_id)
    assert [(use.kind, use.name, use.blocks) for use in found] == [
        ("version", "child version 1", False),
        ("chat", "About it", False),
    ]
    datasets.delete(ada, old.dataset_id)
    assert datasets.get_version(ada, child.id).parents == []


def test_failed_tries_leave_no_gaps(ada: User) -> None:
    old = make(ada, "SELECT 1 AS n")
    failed: dict[str, Any] = {"status": "failed", "content_hash": None, "dataset_id": old.dataset_id}
    make(ada, "SELECT 1 AS n", **failed)
    assert [(v.version, v.status) for v in datasets.list_versions(ada, old.dataset_id).items] == [
        (2, "failed"),
        (1, "ready"),
    ]
    assert make(ada, "SELECT 1 AS n", **failed).version == 2
    assert make(ada, "SELECT 1 AS n", dataset_id=old.dataset_id).version == 2
    assert [(v.version, v.status) for v in datasets.list_versions(ada, old.dataset_id).items] == [
        (2, "ready"),
        (1, "ready"),
    ]


def test_sql_is_told_which_versions_are_gone(ada: User, bob: User) -> None:
    old = make(ada, "SELECT 1 AS n", name="faq")
    make(ada, "SELECT 2 AS n", dataset_id=old.dataset_id)
    datasets.delete_version(ada, old.id)
    (gone,) = datasets.removed_tables(ada)
    assert (gone.dataset_name, gone.number, gone.why.endswith("by Ada")) == ("faq", 1, True)
    assert datasets.removed_tables(bob) == []


def aged(user: User, count: int, **fields: Any) -> list[Any]:
    """Versions, one a day, the last one today."""
    found: list[Any] = []
    for day in range(count):
        moment = now() - timedelta(days=count - 1 - day, hours=1)
        found.append(
            make(
                user,
                "SELECT 1 AS n",
                dataset_id=found[0].dataset_id if found else None,
                created_at=moment,
                **fields,
            )
        )
    return found


def readable(user: User, dataset_id: str) -> list[int]:
    return [v.version for v in datasets.list_versions(user, dataset_id).items if not v.removed_at]


def test_old_versions_go_by_the_admins_rule_only(ada: User, bob: User) -> None:
    versions = aged(bob, 6)
    rule = Retention(enabled=True, keep_newest=2, keep_days=3)
    assert sweep_versions() == []
    with pytest.raises(Forbidden):
        datasets.set_retention(bob, rule)
    with pytest.raises(Forbidden):
        datasets.preview_retention(bob, rule)
    expected = [(3, "bob@example.com"), (2, "bob@example.com"), (1, "bob@example.com")]
    assert [(one.version, one.owner) for one in datasets.preview_retention(ada, rule)] == expected
    datasets.set_retention(ada, rule)
    assert datasets.retention() == rule
    assert [one.version for one in sweep_versions()] == [3, 2, 1]
    assert readable(bob, versions[0].dataset_id) == [6, 5, 4]
    assert not storage.version_dir(versions[0].id).exists()
    gone = datasets.get_version(bob, versions[0].id)
    assert gone.removed_why == "by the server's rule: older than 3 days and not among the newest 2"
    assert sweep_versions() == []


def test_the_newest_and_what_a_job_needs_stay_however_old(ada: User, make_job: Callable[..., JobRow]) -> None:
    versions = aged(ada, 4)
    job = make_job(ada, status="paused")
    with writing() as session:
        row = session.get(JobRow, job.id)
        assert row is not None
        row.dataset_version_id = versions[1].id
    datasets.set_retention(ada, Retention(enabled=True, keep_newest=1, keep_days=0))
    assert [one.version for one in sweep_versions()] == [3, 1]
    assert readable(ada, versions[0].dataset_id) == [4, 2]


def test_lineage_joins_versions_jobs_and_models(
    ada: User, bob: User, make_job: Callable[..., JobRow]
) -> None:
    job = make_job(ada, status="succeeded")
    old = datasets.get_version(ada, str(job.dataset_version_id))
    new = make(ada, "SELECT 1 AS n", dataset_id=old.dataset_id)
    answer = make(ada, "SELECT 1 AS n", name="answer", origin="query", note="the best")
    with writing() as session:
        session.add(VersionParentRow(version_id=answer.id, parent_id=old.id))
        model = ModelRow(id=new_id("mdl"), owner_id=ada.id, name="bot", type="finetuned")
        session.add(model)
        session.flush()
        made = ModelVersionRow(
            id=new_id("mdv"),
            model_id=model.id,
            version=1,
            folder="x",
            dataset_version_id=old.id,
            finetune_job_id=job.id,
        )
        session.add(made)
        made_id = made.id
    found = datasets.lineage(ada, answer.dataset_id)
    assert {node.title for node in found.nodes} == {
        "faq · version 1",
        "answer · version 1",
        "tuned",
        "bot · version 1",
    }
    edges = {(edge.from_, edge.to, edge.how) for edge in found.edges}
    assert edges == {(old.id, answer.id, "SQL"), (old.id, job.id, "training"), (job.id, made_id, "training")}
    assert (old.id, new.id, "then") in {
        (e.from_, e.to, e.how) for e in datasets.lineage(ada, old.dataset_id).edges
    }
    with pytest.raises(NotFound):
        datasets.lineage(bob, old.dataset_id)
