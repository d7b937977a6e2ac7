"""Datasets and their versions: making, looking, changing,
deleting, and that a stranger sees nothing of them."""

import csv
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet
import pytest
from sqlalchemy import select

from core import datasets, storage
from core.clock import now
from core.config import settings
from core.datasets import DatasetChange, DatasetList, IngestOptions, NewDataset, Version, adding
from core.db import reading, writing
from core.errors import (
    Conflict,
    InUse,
    NotFound,
    TooLarge,
    UnreadableFile,
    UnsupportedMediaType,
    ValidationError,
)
from core.ingest import converter
from core.ingest import queue as conversions
from core.listing import ListQuery
from core.people.users import User
from core.processes import children
from core.tables import DatasetRow, DatasetVersionRow, JobRow, UsageRow
from tests.core.uploads.shared import in_process, left_on_disk, rows, stage, upload
from tests.waiting import wait_until

__all__ = ["in_process"]
CSV = "n,s\n" + "".join(f"{i},row {i}\n" for i in range(1, 51))


def test_an_upload_becomes_a_dataset(ada: User) -> None:
    dataset = upload(ada, "C:\\Users\\ada\\numbers.csv", CSV)
    assert (dataset.name, dataset.filename, dataset.status, dataset.version) == (
        "numbers",
        "numbers.csv",
        "ready",
        1,
    )
    assert (dataset.num_rows, dataset.num_columns, dataset.format) == (50, 2, "table")
    assert dataset.size_bytes == len(CSV)
    version = datasets.version_of(ada, dataset.id)
    assert version.sha256 == dataset.sha256
    assert version.content_hash
    assert sorted(left_on_disk()) == [
        f"datasets/{version.id}/data.parquet",
        f"datasets/{version.id}/original",
    ]
    with reading() as session:
        used = session.scalars(
            select(UsageRow.bytes).where(UsageRow.user_id == ada.id, UsageRow.kind == "storage")
        ).all()
    assert sum(used) == storage.folder_bytes(storage.version_dir(version.id))


def test_a_small_bad_upload_leaves_nothing(ada: User) -> None:
    with pytest.raises(UnreadableFile) as caught:
        upload(ada, "bad.csv", "a,b\n1\n")
    assert caught.value.lines == ((2, "1 value where the first row has 2 (from column 2)"),)
    assert datasets.list_datasets(ada, DatasetList()).total == 0
    assert left_on_disk() == []


def test_a_large_upload_goes_on_in_the_background(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "SMALL_BYTES", 1)
    good, bad = upload(ada, "good.csv", CSV), upload(ada, "bad.csv", "a,b\n1,2\n1\n")
    assert (good.status, good.version, bad.status) == ("processing", None, "processing")
    wait_until(lambda: {datasets.get(ada, d.id).status for d in (good, bad)} == {"ready", "failed"})
    assert datasets.get(ada, good.id).version == 1
    failed = datasets.get(ada, bad.id)
    assert (failed.version, failed.latest_version_id) == (None, None)
    assert failed.errors == [{"line": 3, "message": "1 value where the first row has 2 (from column 2)"}]
    with pytest.raises(Conflict):
        datasets.preview(ada, bad.id)
    wait_until(lambda: not [path for path in left_on_disk() if "staging" in path or "logs" in path])
    assert datasets.list_datasets(ada, DatasetList(status="failed")).items[0].id == bad.id


def test_a_killed_converter_is_noticed(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    start = children.start

    def start_and_kill(*arguments: Any, **options: Any) -> Any:
        process = start(*arguments, **options)
        process.kill()
        return process

    monkeypatch.setattr(children, "start", start_and_kill)
    with pytest.raises(UnreadableFile, match="was stopped before its end"):
        upload(ada, "numbers.csv", CSV)
    assert datasets.list_datasets(ada, DatasetList()).total == 0
    assert left_on_disk() == []


quick = pytest.mark.usefixtures("in_process")


@quick
def test_names_from_files_are_numbered_and_stated_ones_are_kept(ada: User, bob: User) -> None:
    names = [
        upload(ada, filename, "a\n1\n").name
        for filename in ("faq.csv", "FAQ.csv", "faq.csv.gz.csv", "faq.csv")
    ]
    assert names == ["faq", "FAQ 2", "faq.csv.gz", "faq 3"]
    assert upload(ada, "x.csv", "a\n1\n", name="faq").name == "faq"
    assert upload(bob, "faq.csv", "a\n1\n").name == "faq"


@quick
@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("../../etc/passwd.csv", "passwd.csv"), ("a\\b/c.csv", "c.csv"),
        ("tab\there\x00\x1f.csv", "tabhere.csv"), ("ü😀.csv", "ü😀.csv"),
        ("x" * 400 + ".csv", "x" * 251 + ".csv"), ("é" * 300 + ".csv", "é" * 125 + ".csv"),
        ("<b>'\"; DROP.csv", "<b>'\"; DROP.csv"),
    ],
)  # fmt: skip
def test_a_file_name_is_only_shown(ada: User, filename: str, shown: str) -> None:
    dataset = upload(ada, filename, "a\n1\n")
    assert dataset.filename == shown
    assert len(dataset.filename.encode()) <= 255
    assert {part.split("/")[0] for part in left_on_disk()} == {"datasets"}


@pytest.mark.parametrize("filename", ["", ".", "..", "a/"])
def test_a_file_without_a_name_is_called_upload_and_has_no_kind(ada: User, filename: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        upload(ada, filename, "a\n1\n")
    assert left_on_disk() == []


def test_an_upload_that_is_too_large_is_refused(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    settings.cache_clear()
    with pytest.raises(TooLarge):
        upload(ada, "big.csv", b"a\n" * 2**20)
    assert left_on_disk() == []


@quick
def test_versions_are_numbered_and_kept(ada: User) -> None:
    dataset = upload(ada, "a.csv", "a\n1\n")
    second = datasets.add_version(
        ada, dataset.id, file=stage(b"a,b\n1,2\n3,4\n"), filename="b.csv", note="two columns"
    )
    assert (second.version, second.num_rows, second.note) == (2, 2, "two columns")
    with pytest.raises(UnreadableFile):
        datasets.add_version(ada, dataset.id, file=stage(b"a,b\n1\n"), filename="c.csv")
    shown = datasets.get(ada, dataset.id)
    assert (shown.version, shown.num_rows, shown.filename, shown.status) == (2, 2, "b.csv", "ready")
    assert [version.version for version in datasets.list_versions(ada, dataset.id).items] == [2, 1]
    assert datasets.preview(ada, dataset.id, version=1).items == [{"line": 1, "data": {"a": 1}}]
    for missing in (3, 0, -1):
        with pytest.raises(NotFound):
            datasets.version_of(ada, dataset.id, missing)


@quick
def test_the_next_file_is_read_as_the_newest_one_was(ada: User) -> None:
    chosen = IngestOptions(delimiter=";", types={"a": "VARCHAR"})
    dataset = upload(ada, "a.csv", "a\n1\n")

    def add(content: str, options: IngestOptions | None = None) -> Version:
        return datasets.add_version(
            ada, dataset.id, file=stage(content.encode()), filename="a.csv", options=options
        )

    assert "notes" not in add("a,b\n1,2\n").detected
    add("a;b\n1;2\n", chosen)
    third = add("a;b\n3;4\n")
    assert (third.version, third.columns[0]["type"], third.options["delimiter"]) == (4, "VARCHAR", ";")
    assert third.detected["notes"][-1] == "Read with the options of version 3."
    with pytest.raises((UnreadableFile, ValidationError), match="Read with the options of version 4"):
        add("a;b\n1;2;3\n")
    assert add("a;b\n5;6\n", IngestOptions()).columns[0]["type"] == "BIGINT"


@quick
def test_a_query_result_becomes_a_version_with_its_parents(ada: User, bob: User) -> None:
    parent = upload(ada, "a.csv", CSV)
    parents = [str(parent.latest_version_id)]
    table = pyarrow.table({"n": [1, 2]})

    def result() -> Path:
        path = storage.new_staging_path()
        pyarrow.parquet.write_table(table, path)
        return path

    made, version = datasets.create_from_table(
        ada, name="few", parquet=result(), sql="SELECT n FROM a LIMIT 2", parents=parents
    )
    assert (made.name, made.num_rows, version.sql, version.parents) == (
        "few",
        2,
        "SELECT n FROM a LIMIT 2",
        parents,
    )
    again, second = datasets.create_from_table(
        ada, parquet=result(), sql="SELECT 1", parents=parents, dataset_id=made.id
    )
    assert (again.id, second.version) == (made.id, 2)
    assert datasets.open_content(ada, made.id).filename == "few.parquet"
    for wrong in ({"dataset_id": made.id}, {"parents": parents}):
        with pytest.raises(NotFound):
            datasets.create_from_table(bob, parquet=result(), **wrong)  # type: ignore[arg-type]
    assert not list(storage.staging_dir().iterdir())


@quick
def test_samples_come_in(ada: User) -> None:
    for sample in datasets.samples():
        dataset = datasets.add_sample(ada, sample.name)
        assert (dataset.num_rows, dataset.name) == (sample.num_rows, sample.title)
        assert datasets.add_sample(ada, sample.name).name == f"{sample.title} 2"
    with pytest.raises(NotFound):
        datasets.add_sample(ada, "../secret")


@quick
def test_pages_of_rows(ada: User) -> None:
    dataset = upload(ada, "n.csv", CSV)
    page = datasets.preview(ada, dataset.id, limit=2, offset=30)
    assert page.items == [
        {"line": 31, "data": {"n": 31, "s": "row 31"}},
        {"line": 32, "data": {"n": 32, "s": "row 32"}},
    ]
    assert (page.total, page.limit, page.offset) == (50, 2, 30)
    assert datasets.preview(ada, dataset.id, offset=1000).items == []
    down = datasets.preview(ada, dataset.id, limit=1, offset=1, order_by="-n", columns=["n"])
    assert down.items == [{"line": 49, "data": {"n": 49}}]


@quick
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"s": {"contains": "ROW 4"}}, 11),
        ({"s": {"contains": "%"}}, 0),
        ({"n": {"min": 10, "max": 12}}, 3),
        ({"n": 7}, 1),
        ({"n": None}, 0),
        ({"n": {"is_null": False}}, 50),
        ({"n": {"one_of": [1, 2, 99]}}, 2),
        ({"n": {"one_of": []}}, 0),
        ({"s": "row 3", "n": {"min": 3}}, 1),
        ({"s": "'; DROP TABLE x; --"}, 0),
    ],
)
def test_rows_are_filtered_by_column(ada: User, where: dict[str, Any], expected: int) -> None:
    dataset = upload(ada, "n.csv", CSV)
    page = datasets.preview(ada, dataset.id, where=where, limit=100)
    assert (page.total, len(page.items)) == (expected, expected)


@quick
@pytest.mark.parametrize(
    "wrong",
    [
        {"order_by": "nope"}, {"columns": ["nope"]}, {"where": {"nope": 1}}, {"where": {"n": "many"}},
        {"limit": 0}, {"limit": 101}, {"offset": -1}, {"where": {"n": {"min": {"a": 1}}}},
        {"order_by": 'n" DESC; --'},
    ],
)  # fmt: skip
def test_a_wrong_page_is_refused(ada: User, wrong: dict[str, Any]) -> None:
    dataset = upload(ada, "n.csv", CSV)
    with pytest.raises(ValidationError):
        datasets.preview(ada, dataset.id, **wrong)


@quick
def test_odd_column_names_are_shown_and_sorted(ada: User) -> None:
    dataset = upload(ada, "odd.csv", 'a b,"say ""hi""",file_row_number,-x\n1,2,3,4\n2,1,0,5\n')
    assert datasets.preview(ada, dataset.id, order_by='say "hi"').items[0]["data"] == {
        "a b": 2, 'say "hi"': 1, "file_row_number_1": 0, "-x": 5,
    }  # fmt: skip
    assert datasets.preview(ada, dataset.id, order_by="-x").items[0]["line"] == 1
    assert datasets.preview(ada, dataset.id, order_by="--x").items[0]["line"] == 2


@quick
def test_downloads_hold_the_same_rows(ada: User) -> None:
    content = 'id,text,x\n007,=1+1,0.5\n008,"a, ""b""\nc",\n'
    dataset = upload(ada, "d.csv", content, name='my/"data"')
    taken = {
        as_: datasets.open_content(ada, dataset.id, as_=as_)
        for as_ in ("original", "csv", "jsonl", "parquet")
    }  # type: ignore[arg-type]
    assert b"".join(taken["original"].chunks) == content.encode()
    assert taken["original"].filename == "d.csv"
    assert taken["csv"].filename == "my_data_.csv"
    written = list(csv.reader(io.StringIO(b"".join(taken["csv"].chunks).decode(), newline="")))
    assert written == [["id", "text", "x"], ["007", "=1+1", "0.5"], ["008", 'a, "b"\nc', ""]]
    lines = [json.loads(line) for line in b"".join(taken["jsonl"].chunks).decode().split("\n") if line]
    assert lines == rows(ada, dataset)
    table = pyarrow.parquet.read_table(io.BytesIO(b"".join(taken["parquet"].chunks)))
    assert table.num_rows == 2


@quick
def test_lists_filter_sort_and_search(ada: User) -> None:
    upload(ada, "bikes.csv", CSV)
    upload(ada, "100%.jsonl", '{"prompt": "a", "completion": "b"}\n')
    chats = upload(
        ada,
        "zebra.jsonl",
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
    )

    def names(**query: Any) -> list[str]:
        return [dataset.name for dataset in datasets.list_datasets(ada, DatasetList(**query)).items]

    assert names(sort="name") == ["100%", "bikes", "zebra"]
    assert names(sort="-size_bytes")[0] == "bikes"
    assert names(q="%") == ["100%"]
    assert names(q="BIKE") == ["bikes"]
    assert names(format="chat") == [chats.name]
    assert names(status="failed") == []
    assert names(limit=1, offset=1, sort="name") == ["bikes"]
    with pytest.raises(ValidationError):
        names(sort="owner_id")


@quick
def test_sql_sees_every_ready_version_of_its_owner(ada: User, bob: User) -> None:
    dataset = upload(ada, "a.csv", "a\n1\n")
    datasets.add_version(ada, dataset.id, file=stage(b"a\n1\n2\n"), filename="a.csv")
    found = sorted(datasets.sql_tables(ada), key=lambda table: table.number)
    assert [(t.dataset_name, t.number, t.is_latest, t.num_rows) for t in found] == [
        ("a", 1, False, 1),
        ("a", 2, True, 2),
    ]
    assert all(storage.parquet_path(table.version_id).exists() for table in found)
    assert datasets.sql_tables(bob) == []


@quick
def test_a_table_trains_through_a_mapping(ada: User) -> None:
    version = upload(ada, "qa.csv", "asked,answer,empty\n2+2?,4,\n3+3?,6,\n").latest_version_id or ""
    with pytest.raises(ValidationError, match="which column is the prompt"):
        datasets.training_preview(ada, version)
    mapping = {"prompt": "asked", "completion": "answer"}
    (line, example), _ = datasets.training_preview(ada, version, mapping)
    assert line == 1
    assert example.messages[1] == {"role": "assistant", "content": "4"}  # type: ignore[union-attr]
    assert datasets.training_report(ada, version, mapping).ok
    report = datasets.training_report(ada, version, {"prompt": "empty", "completion": "answer"})
    assert (report.ok, report.num_examples, report.errors[0]) == (
        False,
        0,
        {"line": 1, "field": "empty", "message": "is empty"},
    )
    assert datasets.training_report(ada, version).errors[0]["field"] == "columns"


@quick
def test_names_and_descriptions_change(ada: User) -> None:
    dataset = upload(ada, "a.csv", "a\n1\n")
    changed = datasets.update(ada, dataset.id, DatasetChange(name="b", description="about"))
    assert (changed.name, changed.description) == ("b", "about")
    assert changed.updated_at > dataset.updated_at
    assert datasets.update(ada, dataset.id, DatasetChange()).name == "b"


@quick
def test_deleting_takes_files_and_frees_usage(ada: User) -> None:
    dataset = upload(ada, "a.csv", "a\n1\n")
    datasets.delete(ada, dataset.id)
    assert left_on_disk() == []
    with pytest.raises(NotFound):
        datasets.get(ada, dataset.id)
    with reading() as session:
        assert sum(session.scalars(select(UsageRow.bytes).where(UsageRow.kind == "storage"))) == 0


@quick
@pytest.mark.parametrize(
    ("status", "is_active"), [("queued", True), ("paused", True), ("succeeded", False), ("failed", False)]
)
def test_an_active_job_keeps_its_dataset(ada: User, status: str, is_active: bool) -> None:
    dataset = upload(ada, "a.csv", "a\n1\n")
    with writing() as session:
        session.add(
            JobRow(
                id="ftj_test",
                user_id=ada.id,
                name="j",
                status=status,
                validation_version_id=dataset.latest_version_id,
            )
        )
    if is_active:
        with pytest.raises(InUse, match=r"used by job ftj_test\. Cancel the job first"):
            datasets.delete(ada, dataset.id)
        assert rows(ada, dataset)
    else:
        datasets.delete(ada, dataset.id)
        assert left_on_disk() == []


@quick
def test_a_stranger_finds_nothing(ada: User, bob: User) -> None:
    dataset = upload(ada, "a.csv", "a\n1\n")
    version = dataset.latest_version_id or ""
    attempts: list[Callable[[], Any]] = [
        lambda: datasets.get(bob, dataset.id),
        lambda: datasets.update(bob, dataset.id, DatasetChange(name="mine")),
        lambda: datasets.delete(bob, dataset.id),
        lambda: datasets.add_version(bob, dataset.id, file=stage(b"a\n1\n"), filename="a.csv"),
        lambda: datasets.list_versions(bob, dataset.id, ListQuery()),
        lambda: datasets.get_version(bob, version),
        lambda: datasets.version_of(bob, dataset.id),
        lambda: datasets.preview(bob, dataset.id),
        lambda: datasets.profile(bob, dataset.id),
        lambda: datasets.open_content(bob, dataset.id),
        lambda: datasets.cancel_ingest(bob, version),
        lambda: datasets.training_preview(bob, version),
        lambda: datasets.training_report(bob, version),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound) as caught:
            attempt()
        assert caught.value.message == NotFound().message
    assert datasets.list_datasets(bob, DatasetList()).total == 0
    assert datasets.get(ada, dataset.id) == dataset
    assert not list(storage.staging_dir().iterdir())


def processing(ada: User, **values: Any) -> str:
    """A version as a dead server leaves it."""
    version_id = f"dsv_{'a' * 24}"
    with writing() as session:
        session.add(DatasetRow(id="ds_x", owner_id=ada.id, name="x"))
        session.flush()
        session.add(
            DatasetVersionRow(
                id=version_id, dataset_id="ds_x", created_by=ada.id, number=1, filename="x.csv", **values
            )
        )
    return version_id


def test_a_cancelled_conversion_ends_as_failed(ada: User) -> None:
    version_id = processing(ada, original_bytes=100)
    converter.staged_path(version_id).write_text(CSV)
    datasets.cancel_ingest(ada, version_id)
    assert converter.run(version_id)
    found = datasets.get_version(ada, version_id)
    assert (found.status, found.errors) == (
        "failed",
        [{"line": None, "message": "The conversion was cancelled."}],
    )
    assert left_on_disk() == []
    with pytest.raises(Conflict):
        datasets.cancel_ingest(ada, version_id)


def test_a_second_converter_leaves_a_version_to_the_first(ada: User) -> None:
    version_id = processing(ada, worker_pid=1, worker_started=1.0)
    converter.staged_path(version_id).write_text(CSV)
    assert converter.run(version_id)
    assert datasets.get_version(ada, version_id).status == "processing"
    assert converter.staged_path(version_id).exists()


def test_deleting_ends_a_conversion(ada: User) -> None:
    version_id = processing(ada)
    converter.staged_path(version_id).write_text(CSV)
    datasets.delete(ada, "ds_x")
    assert converter.run(version_id)
    assert left_on_disk() == []


def test_after_a_crash_nothing_is_half_there(ada: User) -> None:
    version_id = processing(ada, worker_pid=2**22 + 1, worker_started=1.0, heartbeat_at=now())
    folder = storage.version_dir(version_id)
    draft = folder.parent / f".{folder.name}.abc.tmp"
    draft.mkdir(parents=True)
    (draft / "data.parquet").write_text("half")
    (folder.parent / f"dsv_{'b' * 24}").mkdir()
    stage(b"an upload that was never finished")
    (storage.staging_dir() / "sql-left").mkdir()
    conversions.recover()
    assert datasets.get(ada, "ds_x").status == "failed"
    assert "was stopped before its end" in datasets.get(ada, "ds_x").errors[0]["message"]
    assert list(folder.parent.iterdir()) == list(storage.staging_dir().iterdir()) == []


def test_an_upload_that_was_waiting_is_converted_after_a_restart(ada: User) -> None:
    version_id = processing(ada)
    converter.staged_path(version_id).write_text(CSV)
    conversions.recover()
    wait_until(lambda: datasets.get(ada, "ds_x").status == "ready")
    assert datasets.get(ada, "ds_x").num_rows == 50


def test_a_living_converter_of_the_last_server_is_left_alone(ada: User) -> None:
    me = psutil.Process(os.getpid())
    version_id = processing(ada, worker_pid=me.pid, worker_started=me.create_time(), heartbeat_at=now())
    converter.staged_path(version_id).write_text(CSV)
    draft = storage.version_dir(version_id).parent / f".{version_id}.abc.tmp"
    draft.mkdir(parents=True)
    conversions.recover()
    assert datasets.get(ada, "ds_x").status == "processing"
    assert draft.exists()
    assert converter.staged_path(version_id).exists()
    with writing() as session:  # it dies after all
        row = session.get(DatasetVersionRow, version_id)
        assert row is not None
        row.worker_started = 1.0
    wait_until(lambda: datasets.get(ada, "ds_x").status == "failed")
    wait_until(lambda: not any(thread.name == f"adopt-{version_id}" for thread in threading.enumerate()))


def test_a_dataset_is_described_by_its_input() -> None:
    with pytest.raises(ValueError, match="format"):
        NewDataset(format="xml")
