"""Files that corrupt silently elsewhere, bombs, lies, and converters
that are killed: each ends with a sentence and leaves nothing.

The small ones are in tests/core/ingest/test_ingest.py; here is what takes size, a password, or a process of
its own.
"""

import gzip
import io
import json
import os
import signal
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet
from sqlalchemy import func, select

from core import datasets, storage
from core.db import reading, writing
from core.errors import LuthierError, TooLarge, UnreadableFile, UnsupportedMediaType, ValidationError
from core.ingest import converter
from core.ingest import queue as conversions
from core.people.users import User
from core.processes import children
from core.processes.children import Program
from core.processes.claimed import Key, Work
from core.readers import IngestOptions
from core.tables import DatasetRow, DatasetVersionRow
from tests.core.uploads.shared import in_process, left_on_disk, rows, stage, types, upload
from tests.waiting import wait_until

__all__ = ["in_process"]
FIELD = 5 * 2**20
LATE = 200_001
NO_WORDS_OF = ("duckdb", "pyarrow", "calamine", "/tmp", "select ", "exception", "traceback", "errno")


class SmallCap:
    max_expanded_mb = 32


def csv_of(count: int, header: bytes = b"n,word\n", row: bytes = b"%d,x\n") -> bytes:
    return header + b"".join(row % i for i in range(count))


def late(row: bytes, header: bytes = b"n,word\n") -> bytes:
    """``row`` stands in line 200,001."""
    return csv_of(LATE - 2, header) + row + b"7,y\n"


def late_json(row: bytes) -> bytes:
    return (
        b"".join(b'{"n": %d, "word": "x"}\n' % i for i in range(LATE - 1))
        + row
        + b'\n{"n": 7, "word": "y"}\n'
    )


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def locked_zip() -> bytes:
    """A zip whose member says that it is encrypted."""
    content = bytearray(zipped({"a.csv": csv_of(50)}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = content.index(signature) + at
        content[where] |= 1
    return bytes(content)


def lying_zip() -> bytes:
    """A zip of 48 MiB whose directory says 10 bytes."""
    honest = zipped({"a.csv": b"0" * (48 * 2**20)})
    return honest.replace(struct.pack("<I", 48 * 2**20), struct.pack("<I", 10))


def broken_parquet(at: float) -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table({"n": list(range(50_000)), "s": [f"word {i}" for i in range(50_000)]}), out)
    content = bytearray(out.getvalue())
    start = int(len(content) * at)
    content[start : start + 200] = os.urandom(200)
    return bytes(content)


ZEROS = b"0" * (40 * 2**20)
MEND = "skip bad rows"
HOSTILE: list[tuple[str, str, Callable[[], bytes], type[LuthierError], str, str]] = [
    # what it is, its name, its bytes, the error, what is said, what to do
    (
        "bad byte at row 200,001",
        "late.csv",
        lambda: late(b"8,caf\xe9\n"),
        UnreadableFile,
        "Line 200,001: a byte that is not UTF-8 at character 6",
        "choose another encoding, or skip bad rows",
    ),
    (
        "bad byte in JSON lines",
        "late.jsonl",
        lambda: late_json(b'{"n": 8, "word": "\xff"}'),
        UnreadableFile,
        "Line 200,001",
        MEND,
    ),
    (
        "NUL at row 200,001",
        "late.csv",
        lambda: late(b"8,\0\n"),
        UnreadableFile,
        "Line 200,001: a NUL byte at character 3",
        "Export it",
    ),
    (
        "ragged row 200,001",
        "late.csv",
        lambda: late(b"8\n"),
        UnreadableFile,
        "Line 200,001: 1 value where the first row has 2",
        MEND,
    ),
    ("wide row 200,001", "late.csv", lambda: late(b"8,x,y\n"), UnreadableFile, "(from column 3)", MEND),
    (
        "quote opened at row 200,001",
        "late.csv",
        lambda: late(b'8,"x\n'),
        UnreadableFile,
        "Line 200,001: a quote is opened and never closed",
        MEND,
    ),
    (
        "text behind a quote",
        "late.csv",
        lambda: late(b'8,"x"y\n'),
        UnreadableFile,
        "Line 200,001: a quote ends in the middle",
        MEND,
    ),
    (
        "bad JSON at row 200,001",
        "late.jsonl",
        lambda: late_json(b'{"n": 8, "word"}'),
        UnreadableFile,
        "Line 200,001: not valid JSON: expecting ':' delimiter",
        MEND,
    ),
    (
        "a comma too many at row 200,001",
        "late.jsonl",
        lambda: late_json(b'{"n": 8,}'),
        UnreadableFile,
        "Line 200,001",
        MEND,
    ),
    (
        "twin keys at row 200,001",
        "late.jsonl",
        lambda: late_json(b'{"n": 8, "n": 9}'),
        UnreadableFile,
        "the key 'n' stands twice",
        MEND,
    ),
    (
        "a list among objects",
        "late.jsonl",
        lambda: late_json(b"[8]"),
        UnreadableFile,
        "Line 200,001: must be an object",
        MEND,
    ),
    (
        "10,001 columns",
        "wide.csv",
        lambda: b",".join(b"c%d" % i for i in range(10_001)) + b"\n" + b",".join([b"1"] * 10_001) + b"\n",
        UnreadableFile,
        "It has 10,001 columns; at most 10,000",
        "Cut the table",
    ),
    (
        "deep nesting",
        "deep.json",
        lambda: b'[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        UnreadableFile,
        "levels deep",
        "",
    ),
    (
        "array cut off",
        "cut.json",
        lambda: b"[" + b'{"a": 1},\n' * 50_000 + b'{"a": ',
        UnreadableFile,
        "it is cut off",
        "",
    ),
    (
        "no comma in an array",
        "comma.json",
        lambda: b'[{"a": 1}\n {"a": 2}]',
        UnreadableFile,
        "Line 2: not valid JSON: expecting ','",
        MEND,
    ),
    (
        "gzip bomb",
        "bomb.csv.gz",
        lambda: gzip.compress(ZEROS, 1),
        TooLarge,
        "expands to more than the 32 MiB",
        "",
    ),
    (
        "zstd bomb",
        "bomb.csv.zst",
        lambda: zstandard.compress(ZEROS),
        TooLarge,
        "expands to more than the 32 MiB",
        "",
    ),
    (
        "zip bomb",
        "bomb.zip",
        lambda: zipped({"a.csv": ZEROS}),
        TooLarge,
        "expands to more than the 32 MiB",
        "",
    ),
    (
        "workbook bomb",
        "bomb.xlsx",
        lambda: zipped({"xl/worksheets/sheet1.xml": ZEROS}),
        TooLarge,
        "expands to more than",
        "",
    ),
    ("zip that lies", "lie.zip", lying_zip, UnreadableFile, "cut off or damaged", "Make it again"),
    ("zip with a password", "locked.zip", locked_zip, UnreadableFile, "locked with a password", ""),
    (
        "zip of several tables",
        "two.zip",
        lambda: zipped({"a.csv": b"a\n1\n", "b.csv": b"a\n1\n"}),
        UnsupportedMediaType,
        "2 files (a.csv, b.csv)",
        "Say which one to read",
    ),
    (
        "gzip cut off",
        "cut.csv.gz",
        lambda: gzip.compress(csv_of(99_999))[:-9],
        UnreadableFile,
        "cut off or damaged",
        "Make it again",
    ),
    (
        "gzip cut in half",
        "cut.csv.gz",
        lambda: (b := gzip.compress(csv_of(99_999)))[: len(b) // 2],
        UnreadableFile,
        "cut off",
        "Make it again",
    ),
    (
        "zstd cut in half",
        "cut.csv.zst",
        lambda: (b := zstandard.compress(csv_of(200_000)))[: len(b) // 2],
        UnreadableFile,
        "cut off",
        "Make it",
    ),
    (
        "zip cut in half",
        "cut.zip",
        lambda: (b := zipped({"a.csv": csv_of(99_999)}))[: len(b) // 2],
        UnreadableFile,
        "cut off",
        "Make it again",
    ),
    (
        "gzip with a flipped byte",
        "bad.csv.gz",
        lambda: (b := gzip.compress(csv_of(99_999)))[:-8] + b"\1\2\3\4" + b[-4:],
        UnreadableFile,
        "cut off or damaged",
        "Make it again",
    ),
    (
        "Parquet damaged inside",
        "bad.parquet",
        lambda: broken_parquet(0.4),
        UnreadableFile,
        "The Parquet file cannot be read to its end",
        "",
    ),
    (
        "UTF-16 cut in a letter",
        "odd.csv",
        lambda: "a,b\n1,é\n".encode("utf-16")[:-1],
        UnreadableFile,
        "not utf-16 text",
        "",
    ),
]


LATE_ONES = {case[0] for case in HOSTILE if f"{LATE:,}" in case[0]} | {
    "text behind a quote",
    "a list among objects",
}


def cases(fields: slice, *, short: set[str]) -> list[Any]:
    """All of them. Those with 200,000 good rows before the bad one take seconds each: of these only ``short``
    are among the short tests."""
    return [
        pytest.param(
            *case[fields], id=case[0], marks=[pytest.mark.long] if case[0] in LATE_ONES - short else []
        )
        for case in HOSTILE
    ]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("filename", "make", "kind", "message", "advice"),
    cases(
        slice(1, None),
        short={
            "bad byte at row 200,001",
            "ragged row 200,001",
            "wide row 200,001",
            "bad JSON at row 200,001",
        },
    ),
)
def test_a_hostile_file_is_refused_with_a_sentence_and_leaves_nothing(
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    filename: str,
    make: Callable[[], bytes],
    kind: type[LuthierError],
    message: str,
    advice: str,
) -> None:
    if issubclass(kind, TooLarge):
        monkeypatch.setattr("core.readers.unpack.settings", SmallCap)
    monkeypatch.setattr("core.datasets.adding.SMALL_BYTES", 2**30)
    with pytest.raises(kind) as caught:
        upload(ada, filename, make())
    assert message in caught.value.message
    assert advice in caught.value.message
    assert not any(word in caught.value.message.lower() for word in NO_WORDS_OF)
    assert left_on_disk() == []
    with reading() as session:
        assert not session.scalar(select(func.count()).select_from(DatasetRow))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("filename", "content", "bad", "kept"),
    [
        ("ragged.csv", b"a,b\n1,2\n3\n4,5,6\n7,8\n", [[3, "3"], [4, "4,5,6"]], [[1, 2], [7, 8]]),
        ("open.csv", b'a,b\n1,x\n2,"y\n3,z\n4,w\n', [[3, '2,"y']], [[1, "x"], [3, "z"], [4, "w"]]),
        ("middle.csv", b'a,b\n1,x\n2,"y"z\n4,w\n', [[3, '2,"y"z']], [[1, "x"], [4, "w"]]),
        (
            "bytes.csv",
            "a,b\n1,é\n".encode() + b"2,\xe9\n3,\xc3\xa9\n",
            [[3, "2,\\xe9"]],
            [[1, "é"], [3, "é"]],
        ),
        ("nul.csv", b"a,b\n1,x\n2,\0\n3,y\n", [[3, "2,\0"]], [[1, "x"], [3, "y"]]),
        ("bad.jsonl", b'{"a":1}\n{"a":2,}\n[3]\n{"a":4}\n', [[2, '{"a":2,}'], [3, "[3]"]], [[1], [4]]),
        (
            "bytes.jsonl",
            '{"a":"é"}\n'.encode() + b'{"a":"\xff"}\n{"a":"x"}\n',
            [[2, '{"a":"\\xff"}']],
            [["é"], ["x"]],
        ),
        (
            "bad.json",
            b'[{"a":1},\n {"a":2,},\n {"a":"x},\n 5,\n {"a":3}]',
            [[2, '{"a":2,}'], [3, '{"a":"x},\n 5,']],
            [[1], [3]],
        ),
        ("cut.json", b'[{"a":1},\n {"a":2},\n {"a":', [[3, '{"a":']], [[1], [2]]),
        ("objects.json", b'{\n "a": 1\n}\n{\n "a" 2\n}\n{\n "a": 3\n}\n', [[4, '{\n "a" 2\n}']], [[1], [3]]),
    ],
)
def test_skipped_rows_are_kept_with_their_text(
    ada: User, filename: str, content: bytes, bad: list[Any], kept: list[Any]
) -> None:
    dataset = upload(ada, filename, content, skip_bad_rows=True)
    assert [list(row.values()) for row in rows(ada, dataset)] == kept
    assert dataset.skipped_rows == len(bad)
    path = storage.version_dir(dataset.latest_version_id or "") / "rejects.jsonl"
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [[entry["line"], entry["raw"]] for entry in found] == bad
    assert all(entry["message"] for entry in found)


@pytest.mark.usefixtures("in_process")
def test_skipped_rows_are_listed_by_line_whoever_found_them(ada: User) -> None:
    dataset = upload(
        ada, "mixed.csv", b"a,b\n1,x\nsix,y\n3\n4,z\n", skip_bad_rows=True, types={"a": "BIGINT"}
    )
    path = storage.version_dir(dataset.latest_version_id or "") / "rejects.jsonl"
    assert [json.loads(line)["line"] for line in path.read_text(encoding="utf-8").splitlines()] == [3, 4]
    assert [entry["line"] for entry in dataset.errors] == [3, 4]


@pytest.mark.usefixtures("in_process")
def test_a_late_row_is_skipped_and_named_alone(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.datasets.adding.SMALL_BYTES", 2**30)
    dataset = upload(ada, "late.csv", late(b"8,caf\xe9\n"), skip_bad_rows=True)
    assert (dataset.num_rows, dataset.skipped_rows) == (LATE - 1, 1)
    assert dataset.errors[0]["line"] == LATE


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (b"007,y\n", "VARCHAR"),
        (b"1.5,y\n", "DOUBLE"),
        (b"n/a,y\n", "VARCHAR"),
        (b"12345678901234567890,y\n", "DECIMAL(38,0)"),
        (b"%s,y\n" % (b"9" * 45), "VARCHAR"),
        pytest.param(b"1e5,y\n", "VARCHAR", marks=pytest.mark.long),
        pytest.param(b" 12 ,y\n", "BIGINT", marks=pytest.mark.long),
        (b'"",y\n', "BIGINT"),
    ],
)
def test_one_late_value_decides_the_type(ada: User, row: bytes, expected: str) -> None:
    """Beyond every sample: nothing is rounded, cut or nulled because the first rows looked otherwise."""
    dataset = upload(ada, "late.csv", late(row) + csv_of(100_000, b""))
    assert types(dataset)["n"] == expected
    last = datasets.preview(ada, dataset.id, limit=1, offset=LATE - 2).items[0]["data"]["n"]
    expected_value = {"BIGINT": None if b'""' in row else 12, "DOUBLE": 1.5}.get(
        expected, row.split(b",")[0].decode()
    )
    assert str(last) == str(expected_value)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [(b"%02d/01/2024,%d\n", "2024-01-02"), (b"01/%02d/2024,%d\n", "2024-01-02")],
    ids=["the day comes first", "the month comes first"],
)
def test_a_late_date_tells_the_order(ada: User, lines: bytes, expected: str) -> None:
    body = b"".join(lines % (i % 12 + 1, i) for i in range(120_000)) + lines % (31, 1)
    dataset = upload(ada, "dates.csv", b"day,n\n" + body)
    assert types(dataset)["day"] == "DATE"
    assert rows(ada, dataset, limit=2)[1]["day"] == expected
    assert "Both orders fit" not in str(datasets.version_of(ada, dataset.id).detected["notes"])


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("columns", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_wide_files_come_in(ada: User, columns: int) -> None:
    names = ",".join(f"c{i}" for i in range(columns))
    wide = upload(ada, "wide.csv", f"{names}\n" + f"{','.join(['1'] * (columns - 1))},007\n" * 3)
    last = f"c{columns - 1}"
    assert (wide.num_columns, types(wide)["c0"], types(wide)[last]) == (columns, "BIGINT", "VARCHAR")


@pytest.mark.usefixtures("in_process")
def test_long_and_mixed_files_come_in(ada: User) -> None:
    long = upload(ada, "long.csv", f'a,b\n1,"{"x" * FIELD}"\n2,y\n'.encode())
    assert (long.num_rows, len(rows(ada, long)[0]["b"])) == (2, FIELD)
    mixed = upload(ada, "mixed.csv", b"a,b\r\n1,x\n2,y\r3,z\r\n")
    assert [row["a"] for row in rows(ada, mixed)] == [1, 2, 3]


@pytest.mark.usefixtures("in_process")
def test_big_integers_stay_exact_in_an_array(ada: User) -> None:
    big = 123456789012345678901234567890
    body = ",\n".join(f'{{"id": {i}, "word": "{"x" * 100}"}}' for i in range(60_000))
    dataset = upload(ada, "ids.json", f'[{body},\n{{"id": {big}, "word": "last"}}]')
    assert types(dataset)["id"] == "VARCHAR"
    assert datasets.preview(ada, dataset.id, limit=1, offset=60_000).items[0]["data"]["id"] == str(big)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "member", ["../../../../tmp/evil.csv", "/etc/evil.csv", "..\\..\\evil.csv", "C:\\evil.csv"]
)
def test_a_zip_slip_ends_in_our_own_folder(ada: User, data_dir: Path, member: str) -> None:
    dataset = upload(ada, "slip.zip", zipped({member: b"a,b\n1,2\n"}))
    assert rows(ada, dataset) == [{"a": 1, "b": 2}]
    assert not list(data_dir.parent.rglob("*evil*"))
    assert not Path("/tmp/evil.csv").exists()


@pytest.mark.usefixtures("in_process")
def test_a_member_of_a_zip_is_chosen_by_its_name(ada: User) -> None:
    content = zipped({"a.csv": b"a\n1\n", "sub/b.jsonl": b'{"b": 2}\n', "read.me": b"hi"})
    assert rows(ada, upload(ada, "two.zip", content, member="sub/b.jsonl")) == [{"b": 2}]
    with pytest.raises(ValidationError, match=r"holds a\.csv, sub/b\.jsonl"):
        upload(ada, "two.zip", content, member="c.csv")


@pytest.mark.parametrize(("filename", "make"), cases(slice(1, 3), short={"bad byte at row 200,001"}))
def test_a_look_never_raises(
    tmp_path: Path, filename: str, make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.readers.look import look_at

    monkeypatch.setattr("core.readers.unpack.settings", SmallCap)
    path = tmp_path / "staged"
    path.write_bytes(make())
    work = tmp_path / "work"
    work.mkdir()
    look = look_at(path, filename, IngestOptions(), work=work)
    assert look.error or look.columns
    json.dumps(look.__dict__)


@pytest.mark.usefixtures("as_servers_do")
@pytest.mark.parametrize("moment", [pytest.param(0.0, marks=pytest.mark.long), 0.3])
def test_a_killed_converter_leaves_nothing_and_says_so(ada: User, moment: float) -> None:
    staged = stage(csv_of(3_000_000, b"n,word\n", b"%d,a word that takes some room in the file\n"))
    dataset = _begin(ada, staged)
    row = wait_until(
        lambda: _row(dataset) if (_row(dataset).worker_pid and _row(dataset).progress >= moment) else None
    )
    os.kill(row.worker_pid, signal.SIGSTOP)
    assert _row(dataset).status == "processing"
    os.kill(row.worker_pid, signal.SIGKILL)
    failed = wait_until(lambda: _row(dataset) if _row(dataset).status == "failed" else None)
    assert "was stopped before its end" in failed.errors[0]["message"]
    assert "Upload the file again" in failed.errors[0]["message"]
    wait_until(lambda: not left_on_disk())
    assert not psutil.pid_exists(row.worker_pid)


@pytest.mark.usefixtures("as_servers_do")
def test_a_converter_killed_with_its_server_is_settled_at_the_next_start(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to notice: the start of the next server does."""
    monkeypatch.setattr(conversions, "run_in_background", lambda version_id: None)
    staged = stage(csv_of(2_000_000, b"n,word\n", b"%d,a word that takes some room in the file\n"))
    dataset = _begin(ada, staged)
    conversions.QUEUE.tick()
    child = conversions.QUEUE.children[(_row(dataset).id,)]
    wait_until(lambda: list(storage.version_dir(_row(dataset).id).parent.glob(".dsv_*")))
    child.kill()
    child.wait()
    with writing() as session:
        session.get_one(DatasetVersionRow, _row(dataset).id).heartbeat_at = None
    conversions.recover()
    assert _row(dataset).status == "failed"
    assert left_on_disk() == []


@pytest.mark.usefixtures("in_process")
def test_progress_moves_while_a_large_file_is_converted(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    beat = Work.beat

    def record(work: Any, key: Key, *guards: Any, progress: float) -> bool:
        told.append(progress)
        return beat(work, key, *guards, progress=progress)

    monkeypatch.setattr(converter, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(Work, "beat", record)
    monkeypatch.setattr("core.datasets.adding.SMALL_BYTES", 2**30)
    upload(ada, "big.csv", csv_of(1_300_000, row=b"%d,a word that takes some room in the file\n"))
    assert told == sorted(told)
    assert len({share for share in told if 0.15 < share < 0.85}) > 1


@pytest.mark.usefixtures("as_servers_do")
def test_a_converter_that_died_before_it_claimed_its_version_costs_nobody_an_upload(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, start = [0], children.start

    def die_first(program: Program, version_id: str, **options: Any) -> Any:
        starts[0] += 1
        return start(program, version_id if starts[0] > 1 else "dsv_of_nobody", **options)

    monkeypatch.setattr(children, "start", die_first)
    assert upload(ada, "small.csv", csv_of(10)).status == "ready"
    assert starts == [2]
    conversions.QUEUE.tick()
    assert not [path for path in left_on_disk() if "logs" in path]


def _begin(user: User, staged: Path) -> str:
    return datasets.create(user, datasets.NewDataset(name="killed"), file=staged, filename="big.csv").id


def _row(dataset_id: str) -> DatasetVersionRow:
    with reading() as session:
        return session.scalars(
            select(DatasetVersionRow).where(DatasetVersionRow.dataset_id == dataset_id)
        ).one()
