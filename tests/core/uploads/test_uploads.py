"""Files on their way in: pieces, resume, one writer at a time,
waiting, import; other users' uploads do not exist."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from core import datasets, storage, uploads
from core.datasets import Dataset, IngestOptions, NewDataset, Version
from core.db import reading, writing
from core.errors import (
    Conflict,
    LuthierError,
    NotFound,
    TooLarge,
    UnreadableFile,
    UnsupportedMediaType,
    ValidationError,
)
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User
from core.tables import UploadRow
from core.uploads import NewUpload, Upload, receiving

CSV = b"question,answer\nwhere?,here\nwhen?,now\n"
MiB = 2**20


@pytest.fixture(autouse=True)
def converting_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter in this process: its start would be most of these tests' time."""
    monkeypatch.setattr(conversions, "run_and_wait", converter.run)


def begin(user: User, body: bytes = CSV, **more: Any) -> Upload:
    return uploads.begin(
        user, NewUpload(**{"filename": "faq.csv", "size_bytes": len(body), "fingerprint": "f1"} | more)
    )


def send(user: User, body: bytes = CSV, **more: Any) -> Upload:
    """All of it in one piece."""
    return uploads.append(user, begin(user, body, **more).id, offset=0, chunk=body)


def forget_process() -> None:
    """As after a restart: nothing in memory."""
    receiving._transfers.clear()


def test_pieces_become_a_file_with_its_hash(ada: User) -> None:
    upload = begin(ada)
    assert (upload.state, upload.received_bytes, upload.size_bytes) == ("receiving", 0, len(CSV))
    upload = uploads.append(ada, upload.id, offset=0, chunk=CSV[:10])
    assert (upload.state, upload.received_bytes, upload.sha256) == ("receiving", 10, None)
    upload = uploads.append(ada, upload.id, offset=10, chunk=CSV[10:])
    assert (upload.state, upload.received_bytes) == ("received", len(CSV))
    assert upload.sha256 == hashlib.sha256(CSV).hexdigest()
    assert storage.upload_path(upload.id).read_bytes() == CSV


def test_a_piece_may_be_a_file(ada: User, tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(CSV)
    assert uploads.append(ada, begin(ada).id, offset=0, chunk=tmp_path / "piece").state == "received"


def test_wrong_offset_names_the_right_one(ada: User) -> None:
    upload = begin(ada)
    uploads.append(ada, upload.id, offset=0, chunk=CSV[:7])
    for offset in (0, 6, 8, 10**9):
        with pytest.raises(Conflict, match="offset=7"):
            uploads.append(ada, upload.id, offset=offset, chunk=b"x")
    assert uploads.get(ada, upload.id).received_bytes == 7


def test_same_file_goes_on_where_it_stopped(ada: User, bob: User) -> None:
    upload = begin(ada)
    uploads.append(ada, upload.id, offset=0, chunk=CSV[:7])
    again = begin(ada)
    assert (again.id, again.received_bytes) == (upload.id, 7)
    others = [
        begin(bob),
        begin(ada, fingerprint="f2"),
        begin(ada, filename="b.csv"),
        begin(ada, CSV + b"x"),
        begin(ada, fingerprint=None),
    ]
    assert len({upload.id, *(other.id for other in others)}) == 6


def test_after_a_restart_the_hash_covers_what_was_there(ada: User) -> None:
    upload = begin(ada)
    uploads.append(ada, upload.id, offset=0, chunk=CSV[:7])
    forget_process()
    uploads.recover()
    seen = uploads.get(ada, upload.id)
    assert "restarted" in (seen.error or "")
    done = uploads.append(ada, upload.id, offset=7, chunk=CSV[7:])
    assert (done.sha256, done.error) == (hashlib.sha256(CSV).hexdigest(), None)


def test_bytes_that_no_row_vouches_for_are_cut_off(ada: User) -> None:
    upload = begin(ada)
    uploads.append(ada, upload.id, offset=0, chunk=CSV[:7])
    forget_process()
    with storage.upload_path(upload.id).open("ab") as file:
        file.write(b"garbage of a crash, longer than the file itself was")
    assert uploads.append(ada, upload.id, offset=7, chunk=CSV[7:]).sha256 == hashlib.sha256(CSV).hexdigest()


def test_disk_that_lost_bytes_asks_for_them_again(ada: User) -> None:
    upload = begin(ada)
    uploads.append(ada, upload.id, offset=0, chunk=CSV[:7])
    forget_process()
    storage.upload_path(upload.id).write_bytes(CSV[:3])
    with pytest.raises(Conflict, match="offset=3"):
        uploads.append(ada, upload.id, offset=7, chunk=CSV[7:])
    assert uploads.append(ada, upload.id, offset=3, chunk=CSV[3:]).sha256 == hashlib.sha256(CSV).hexdigest()


def test_long_pieces_are_settled_on_the_way(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SETTLED_BYTES", 4)
    upload = begin(ada)
    receiver = uploads.open_chunk(ada, upload.id, offset=0)
    receiver.write(CSV[:3])
    assert uploads.get(ada, upload.id).received_bytes == 0
    receiver.write(CSV[3:6])
    assert uploads.get(ada, upload.id).received_bytes == 6
    receiver.close()


def test_one_writer_at_a_time_until_it_falls_silent(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(ada)
    first = uploads.open_chunk(ada, upload.id, offset=0)
    first.write(CSV[:5])
    with pytest.raises(Conflict, match="already"):
        uploads.open_chunk(ada, upload.id, offset=0)
    monkeypatch.setattr(receiving, "STALLED_SECONDS", 0.0)
    second = uploads.open_chunk(ada, upload.id, offset=0)
    with pytest.raises(Conflict, match="took over"):
        first.write(CSV[5:])
    second.write(CSV)
    first.close()
    second.close()
    assert second.finish().sha256 == hashlib.sha256(CSV).hexdigest()


def test_more_than_was_announced_is_refused(ada: User) -> None:
    upload = begin(ada)
    with pytest.raises(ValidationError, match="announced"):
        uploads.append(ada, upload.id, offset=0, chunk=CSV + b"x")
    assert uploads.append(ada, upload.id, offset=0, chunk=CSV).state == "received"
    with pytest.raises(Conflict, match="arrived already"):
        uploads.append(ada, upload.id, offset=len(CSV), chunk=b"")


def test_announced_hash_is_checked(ada: User) -> None:
    upload = begin(ada, sha256="0" * 64)
    with pytest.raises(ValidationError, match="sha256"):
        uploads.append(ada, upload.id, offset=0, chunk=CSV)
    assert uploads.get(ada, upload.id).received_bytes == 0
    good = begin(ada, sha256=hashlib.sha256(CSV).hexdigest().upper(), fingerprint="f3")
    assert uploads.append(ada, good.id, offset=0, chunk=CSV).state == "received"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"filename": "a.exe"}, UnsupportedMediaType),
        ({"filename": ""}, UnsupportedMediaType),
        ({"size_bytes": 0}, UnreadableFile),
        ({"size_bytes": 10**12}, TooLarge),
        ({"dataset_id": "ds_nobodys"}, NotFound),
    ],
)
def test_what_cannot_be_imported_is_refused_before_it_is_sent(
    ada: User, wrong: dict[str, Any], error: type[LuthierError]
) -> None:
    with pytest.raises(error):
        begin(ada, **wrong)
    assert uploads.list_uploads(ada) == []


def test_cancelled_upload_leaves_nothing(ada: User) -> None:
    upload = begin(ada)
    receiver = uploads.open_chunk(ada, upload.id, offset=0)
    receiver.write(CSV[:5])
    uploads.cancel(ada, upload.id)
    with pytest.raises(NotFound):
        receiver.write(CSV[5:])
    receiver.close()
    assert uploads.list_uploads(ada) == []
    assert not storage.upload_path(upload.id).exists()
    with pytest.raises(NotFound):
        uploads.get(ada, upload.id)


def test_other_users_uploads_do_not_exist(ada: User, bob: User) -> None:
    upload = send(ada)
    for act in (
        lambda: uploads.get(bob, upload.id),
        lambda: uploads.append(bob, upload.id, offset=0, chunk=b"x"),
        lambda: uploads.cancel(bob, upload.id),
        lambda: uploads.choose(bob, upload.id, IngestOptions()),
        lambda: uploads.chosen(bob, upload.id),
        lambda: uploads.look(bob, upload.id),
        lambda: uploads.duplicate(bob, upload.id),
        lambda: uploads.commit(bob, upload.id),
        lambda: begin(bob, dataset_id=uploads.commit(ada, upload.id).id),
    ):
        with pytest.raises(NotFound):
            act()
    assert uploads.list_uploads(bob) == []


def test_review_remembers_what_was_chosen(ada: User) -> None:
    upload = send(ada, b"a;b\n1,5;2\n")
    assert uploads.chosen(ada, upload.id).options == IngestOptions()
    uploads.choose(ada, upload.id, IngestOptions(delimiter=";"))
    assert uploads.chosen(ada, upload.id).options.delimiter == ";"
    assert [column["name"] for column in uploads.look(ada, upload.id).columns] == ["a", "b"]


def test_import_makes_a_dataset_and_the_next_version_is_read_alike(ada: User) -> None:
    made = uploads.commit(
        ada, send(ada, b"a;b\n1,5;2\n").id, name="Numbers", options=IngestOptions(delimiter=";")
    )
    assert isinstance(made, Dataset)
    assert (made.name, made.num_rows, made.status, made.num_columns) == ("Numbers", 1, "ready", 2)
    assert uploads.list_uploads(ada) == []
    later = send(ada, b"a;b\n1,5;2\n3,5;4\n", dataset_id=made.id)
    assert uploads.chosen(ada, later.id) == uploads.Chosen(IngestOptions(delimiter=";"), from_version=1)
    version = uploads.commit(ada, later.id, note="more")
    assert isinstance(version, Version)
    assert (version.version, version.num_rows, version.note) == (2, 2, "more")
    with pytest.raises(NotFound):
        uploads.commit(ada, later.id)


def test_rows_can_be_appended(ada: User) -> None:
    made = uploads.commit(ada, send(ada).id)
    version = uploads.commit(
        ada, send(ada, b"question,answer\nwho?,me\n", dataset_id=made.id).id, append=True
    )
    assert isinstance(version, Version)
    assert (version.version, version.num_rows, version.origin) == (2, 3, "append")


def test_import_that_fails_keeps_the_upload(ada: User) -> None:
    upload = send(ada, b"a,b\n1,2\n3\n4,5,6\n")
    with pytest.raises(UnreadableFile):
        uploads.commit(ada, upload.id)
    waiting = uploads.get(ada, upload.id)
    assert (waiting.state, bool(waiting.error)) == ("received", True)
    made = uploads.commit(ada, upload.id, options=IngestOptions(skip_bad_rows=True))
    assert made.num_rows == 1
    assert not storage.upload_path(upload.id).exists()


def test_unfinished_upload_cannot_be_imported(ada: User) -> None:
    with pytest.raises(Conflict, match="not arrived"):
        uploads.commit(ada, begin(ada).id)


def test_large_import_takes_the_upload_along_when_it_is_ready(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.adding, "SMALL_BYTES", 1)
    threads: list[Any] = []
    monkeypatch.setattr(conversions, "run_in_background", threads.append)
    upload = send(ada)
    made = uploads.commit(ada, upload.id)
    assert isinstance(made, Dataset)
    assert made.status == "processing"
    assert uploads.get(ada, upload.id).is_importing
    assert uploads.list_uploads(ada) == []
    with pytest.raises(Conflict, match="imported already"):
        uploads.commit(ada, upload.id)
    conversions.run_and_wait(threads[0])
    with pytest.raises(NotFound):
        uploads.get(ada, upload.id)
    assert uploads.sweep() == 1
    assert not storage.upload_path(upload.id).exists()


def test_large_import_that_fails_gives_the_upload_back(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.adding, "SMALL_BYTES", 1)
    monkeypatch.setattr(conversions, "run_in_background", conversions.run_and_wait)
    upload = send(ada, b"a,b\n1,2\n3\n4,5,6\n")
    failed = uploads.commit(ada, upload.id)
    [waiting] = uploads.list_uploads(ada)
    assert waiting.error
    made = uploads.commit(ada, upload.id, options=IngestOptions(skip_bad_rows=True))
    assert datasets.get(ada, made.id).num_rows == 1
    with pytest.raises(NotFound):
        datasets.get(ada, failed.id)


def test_duplicate_shares_the_bytes(ada: User) -> None:
    upload = send(ada)
    copy = uploads.duplicate(ada, upload.id)
    assert copy.id != upload.id
    assert storage.upload_path(copy.id).samefile(storage.upload_path(upload.id))
    uploads.cancel(ada, upload.id)
    assert uploads.commit(ada, copy.id).num_rows == 2


def test_full_disk_keeps_what_is_settled(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(ada)
    uploads.append(ada, upload.id, offset=0, chunk=CSV[:7])
    receiver = uploads.open_chunk(ada, upload.id, offset=7)
    monkeypatch.setattr(receiver, "_file", FullDisk(receiver._file))
    with pytest.raises(OSError, match="No space left"):
        receiver.write(CSV[7:])
    receiver.close()
    assert uploads.get(ada, upload.id).received_bytes == 7
    assert uploads.append(ada, upload.id, offset=7, chunk=CSV[7:]).sha256 == hashlib.sha256(CSV).hexdigest()


class FullDisk:
    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: bytes) -> None:
        self.file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_new_dataset_of_known_bytes_shares_the_files(ada: User, bob: User) -> None:
    first = uploads.commit(ada, send(ada).id)
    upload = send(ada)
    assert upload.same_as is not None
    assert upload.same_as["dataset_id"] == first.id
    second = uploads.commit(ada, upload.id, name="Again")
    assert isinstance(second, Dataset)
    assert second.same_as == upload.same_as
    assert (second.num_rows, second.status, second.name) == (2, "ready", "Again")
    one, other = (datasets.version_of(ada, made.id).id for made in (first, second))
    assert storage.parquet_path(one).samefile(storage.parquet_path(other))
    assert storage.original_path(one).samefile(storage.original_path(other))
    datasets.delete(ada, first.id)
    assert datasets.preview(ada, second.id).total == 2
    assert send(bob).same_as is None


def test_next_version_of_the_same_bytes_is_the_one_that_is_there(ada: User) -> None:
    made = uploads.commit(ada, send(ada).id)
    version = uploads.commit(ada, send(ada, dataset_id=made.id).id)
    assert isinstance(version, Version)
    assert version.version == 1
    assert version.same_as is not None
    assert version.same_as["version"] == 1
    other = uploads.commit(ada, send(ada, dataset_id=made.id).id, options=IngestOptions(header=False))
    assert isinstance(other, Version)
    assert (other.version, other.num_rows, other.same_as) == (2, 3, None)
    assert storage.original_path(other.id).samefile(storage.original_path(version.id))


def test_same_bytes_of_another_kind_are_another_file(ada: User) -> None:
    uploads.commit(ada, send(ada, b'{"a": 1}\n', filename="a.jsonl").id)
    other = uploads.commit(
        ada, send(ada, b'{"a": 1}\n', filename="a.txt").id, options=IngestOptions(header=False)
    )
    assert isinstance(other, Dataset)
    assert other.same_as is None


def test_unfinished_uploads_are_swept_in_time(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from core import clock

    old, waiting = begin(ada), send(ada, fingerprint="f2")
    uploads.append(ada, old.id, offset=0, chunk=CSV[:5])
    moment = clock.now()
    with writing() as session:
        session.query(UploadRow).filter_by(id=old.id).update({"updated_at": moment - timedelta(hours=49)})
        session.query(UploadRow).filter_by(id=waiting.id).update({"updated_at": moment - timedelta(hours=47)})
    uploads.recover()
    assert [upload.id for upload in uploads.list_uploads(ada)] == [waiting.id]
    assert not storage.upload_path(old.id).exists()
    assert uploads.sweep() == 0


def test_files_without_row_and_rows_without_file_go_at_start(ada: User) -> None:
    kept, lost = send(ada), send(ada, fingerprint="f2")
    storage.upload_path(lost.id).unlink()
    stray = storage.upload_path("upl_" + "a" * 24)
    stray.write_bytes(b"x")
    uploads.sweep()
    assert stray.exists()  # a moment ago somebody may have been about to add its row
    uploads.recover()
    assert [upload.id for upload in uploads.list_uploads(ada)] == [kept.id]
    assert not stray.exists()
    with reading() as session:
        assert session.get(UploadRow, lost.id) is None


def tables() -> dict[str, Any]:
    from datetime import UTC, datetime

    import duckdb
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame(
        {"id": ["00001", "00002"], "n": [2**62, 1], "when": [datetime(2024, 1, 1, tzinfo=UTC)] * 2}
    )
    arrow = pa.Table.from_pandas(frame)
    return {
        "pandas": frame,
        "arrow": arrow,
        "batch": arrow.to_batches()[0],
        "reader": arrow.to_reader(),
        "duckdb": duckdb.connect().sql(
            "SELECT * FROM (VALUES "
            "('00001', 4611686018427387904::HUGEINT, TIMESTAMPTZ '2024-01-01 00:00:00+00'), ('2', 1, NULL)) "
            'AS t(id, n, "when")'
        ),
    }


@pytest.mark.parametrize("kind", ["pandas", "arrow", "batch", "reader", "duckdb"])
def test_tables_of_python_keep_their_types(ada: User, kind: str) -> None:
    made = datasets.create(ada, NewDataset(name=kind), table=tables()[kind])
    version = datasets.version_of(ada, made.id)
    assert (made.name, made.num_rows, version.origin) == (kind, 2, "python")
    number = "DECIMAL(38,0)" if kind == "duckdb" else "BIGINT"
    assert {column["name"]: column["type"] for column in made.columns} == {
        "id": "VARCHAR",
        "n": number,
        "when": "TIMESTAMP WITH TIME ZONE",
    }
    first = datasets.preview(ada, made.id).items[0]
    assert "4611686018427387904" in str(first)
    assert "00001" in str(first)


def test_unusual_types_of_arrow_stay_true(ada: User) -> None:
    import datetime
    import decimal

    import pyarrow as pa

    table = pa.table(
        {
            "took": pa.array([datetime.timedelta(seconds=90)], pa.duration("ns")),
            "half": pa.array([1.5], pa.float32()).cast(pa.float16()),
            "wide": pa.array([decimal.Decimal("12345678901234567890.50")], pa.decimal256(50, 2)),
            "kind": pa.array(["a"]).dictionary_encode(),
            "big": pa.array([2**64 - 1], pa.uint64()),
            "nested": pa.array([[{"a": 1}]]),
        }
    )
    made = datasets.create(ada, NewDataset(), table=table)
    assert [column["type"] for column in made.columns] == [
        "INTERVAL", "FLOAT", "DECIMAL(38,2)", "VARCHAR", "UBIGINT", "STRUCT(a BIGINT)[]",
    ]  # fmt: skip


@pytest.mark.parametrize("table", [None, [1, 2], "x", {"a": [1]}])
def test_what_is_no_table_is_refused(ada: User, table: Any) -> None:
    with pytest.raises(ValidationError):
        datasets.create(ada, NewDataset(), table=table)
    assert list(storage.staging_dir().iterdir()) == []
