"""The sandbox on the real path: a zygote, forked and locked children.

Some tests drive a locked process directly, as if the gate and DuckDB's own lock had failed.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from core.sql_sandbox import (
    Limits,
    QueryFailed,
    SandboxResult,
    SandboxUnavailable,
    Stop,
    Stopped,
    client,
    lock,
    protection,
    run,
    shut_down,
)
from tests.waiting import wait_until

LINUX = pytest.mark.skipif(not lock.landlock_version(), reason="this kernel has no Landlock")
ENDLESS = "SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def data_dir() -> None:
    """The sandbox knows no database."""


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    yield
    shut_down()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "private"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture(scope="module")
def seven_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every kind of column."""
    path = tmp_path_factory.mktemp("table") / "t.parquet"
    duckdb.connect().execute(
        f"""COPY (SELECT range AS a, range % 3 AS b, 'x' || range AS s, [range, 2] AS l, {{'x': range}} AS st,
        '{{"name": "n", "tags": ["k"]}}'::JSON AS j,
        TIMESTAMP '2024-01-31 10:00:00' + INTERVAL (range) DAY AS d
        FROM range(7)) TO '{path}' (FORMAT parquet)"""
    ).fetchall()
    return path


@pytest.fixture
def table(tmp_path: Path, seven_rows: Path) -> Path:
    return Path(shutil.copyfile(seven_rows, tmp_path / "t.parquet"))


@pytest.fixture
def ask(table: Path, folder: Path) -> Callable[..., SandboxResult]:
    def ask(
        sql: str,
        *,
        parameters: object = None,
        form: str = "table",
        stop: Stop | None = None,
        **limits: object,
    ) -> SandboxResult:
        allowed = Limits(**{"seconds": 5, "memory_mb": 128, **limits})  # type: ignore[arg-type]
        return run(
            sql,
            tables={"t": table, "u": table, "faq@2": table},
            folder=folder,
            limits=allowed,
            parameters=parameters,
            form=form,
            stop=stop,
        )  # type: ignore[arg-type]

    return ask


def test_query_answers_as_arrow_with_duckdb_types(ask: Callable[..., SandboxResult]) -> None:
    answer = ask('SELECT a, l, st FROM "FAQ@2" WHERE a > 4 ORDER BY a')
    assert answer.columns == [
        {"name": "a", "type": "BIGINT"},
        {"name": "l", "type": "BIGINT[]"},
        {"name": "st", "type": "STRUCT(x BIGINT)"},
    ]
    assert answer.table is not None
    assert answer.table.to_pylist() == [
        {"a": 5, "l": [5, 2], "st": {"x": 5}},
        {"a": 6, "l": [6, 2], "st": {"x": 6}},
    ]
    assert answer.used == ("faq@2",)
    assert not answer.truncated


def test_pivot_finds_its_values(ask: Callable[..., SandboxResult]) -> None:
    answer = ask("PIVOT (SELECT a, b FROM t) ON concat('b', b) USING sum(a) ;")
    assert answer.table is not None
    assert answer.table.to_pylist() == [{"b0": 9, "b1": 5, "b2": 7}]


def test_rows_are_cut_and_it_is_said(ask: Callable[..., SandboxResult]) -> None:
    answer = ask("FROM t", rows=3)
    assert answer.table is not None
    assert (answer.table.num_rows, answer.truncated) == (3, True)


def test_wide_results_are_cut_by_size(ask: Callable[..., SandboxResult]) -> None:
    answer = ask("SELECT repeat('x', 1000000) AS s FROM range(20)", result_bytes=5_000_000)
    assert answer.table is not None
    assert 0 < answer.table.num_rows <= 5
    assert answer.truncated


@pytest.mark.parametrize(
    ("sql", "parameters", "value"),
    [
        ("SELECT ? + 1", [1], 2),
        ("SELECT $2 || $1", ["a", "b"], "ba"),
        ("SELECT count(*) FROM t WHERE s = $name", {"name": "x3"}, 1),
        ("SELECT len(?)", [[1, 2, 3]], 3),
        ("SELECT ? IS NULL", [None], True),
        ("SELECT sum(a) FROM t", None, 21),
    ],
)
def test_parameters_and_values(
    ask: Callable[..., SandboxResult], sql: str, parameters: object, value: object
) -> None:
    answer = ask(sql, parameters=parameters)
    assert answer.table is not None
    assert answer.table.column(0)[0].as_py() == value


@pytest.mark.parametrize(
    ("sql", "words", "position"),
    [
        ("SELECT sx FROM t", 'Did you mean "s"', 7),
        ("SELECT 'é', nope FROM t", 'Unknown column "nope"', 13),
        ("SELECT * FROM t WHERE", "Syntax error", 16),
        ("SELECT b, a FROM t GROUP BY b", "GROUP BY", 10),
        ("SELECT s::INT FROM t", "Could not convert", 8),
        ("  SELECT s::INT -- why; not\n FROM t ; -- x", "Could not convert", 10),
        ("SELECT $1", "for the parameter 1", None),
        ("SELECT st.y FROM t", 'key "y"', None),
    ],
)
def test_errors_say_what_and_where(
    ask: Callable[..., SandboxResult], sql: str, words: str, position: int | None
) -> None:
    with pytest.raises(QueryFailed) as failed:
        ask(sql)
    assert words in failed.value.failure.message
    assert failed.value.failure.position == position
    assert "parquet" not in failed.value.failure.message.lower()


def test_unknown_tables_are_named(ask: Callable[..., SandboxResult]) -> None:
    with pytest.raises(QueryFailed) as failed:
        ask("SELECT * FROM t JOIN nope USING (a)")
    assert [(u.parts, u.position) for u in failed.value.unknown] == [(("nope",), 21)]


def test_saved_result_is_a_parquet_file_in_the_private_folder(
    ask: Callable[..., SandboxResult], folder: Path
) -> None:
    answer = ask("SELECT b, sum(a) AS total FROM t GROUP BY b ORDER BY b -- the end", form="parquet")
    assert answer.file == folder / "result.parquet"
    saved = parquet.read_table(answer.file)
    assert saved.schema.field("total").type == pa.int64()  # not the double that DuckDB makes of a sum
    assert saved.to_pylist() == [{"b": 0, "total": 9}, {"b": 1, "total": 5}, {"b": 2, "total": 7}]


def test_saved_sum_beyond_64_bits_stays_exact(ask: Callable[..., SandboxResult]) -> None:
    answer = ask("SELECT sum(9223372036854775807::HUGEINT) AS total FROM t", form="parquet")
    assert answer.file is not None
    assert int(parquet.read_table(answer.file).column("total")[0].as_py()) == 7 * (2**63 - 1)


def test_result_larger_than_allowed_is_not_saved(ask: Callable[..., SandboxResult], folder: Path) -> None:
    with pytest.raises(QueryFailed) as failed:
        ask("SELECT hash(range) AS h, uuid() AS u FROM range(2000000)", form="parquet", file_bytes=2**20)
    assert failed.value.failure.kind == "size"
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 2**20


def test_a_query_can_be_stopped_from_another_thread(ask: Callable[..., SandboxResult], folder: Path) -> None:
    stop = Stop()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped):
        ask(ENDLESS, seconds=20, stop=stop)
    with pytest.raises(Stopped):
        ask("SELECT 1", stop=stop)
    assert ask("SELECT 1").table is not None


def test_an_arrow_file_is_cut_and_says_what_it_scanned(ask: Callable[..., SandboxResult]) -> None:
    answer = ask("SELECT a, sum(a) OVER () AS total FROM t WHERE a > 1 ORDER BY a", form="arrow", rows=3)
    assert answer.file is not None
    table = pa.ipc.open_stream(answer.file.read_bytes()).read_all()
    assert table.to_pydict() == {"a": [2, 3, 4], "total": [20, 20, 20]}
    assert (answer.rows, answer.truncated) == (3, True)
    [scan] = answer.scanned["tables"]
    assert (scan["table"], scan["rows"], scan["filtered"]) == ("t", 5, True)
    assert answer.scanned["bytes"] > 0


def test_a_plan_names_tables_and_no_file(ask: Callable[..., SandboxResult], table: Path) -> None:
    answer = ask(
        'SELECT x.b, count(*) AS n FROM t x JOIN "faq@2" y USING (a) GROUP BY x.b ORDER BY n', form="plan"
    )
    steps = [answer.plan[0]]
    for step in steps:
        steps += step["children"]
    assert {"Hash join", "Table scan", "Order by"} <= {step["operator"] for step in steps}
    assert {dict(step["details"]).get("Table") for step in steps if step["operator"] == "Table scan"} <= {
        "t",
        "faq@2",
    }
    assert str(table.parent) not in str(answer.plan)
    assert "parquet" not in str(answer.plan).lower()
    assert ask("SELECT count(*) FROM t", form="plan").plan == []


@pytest.mark.parametrize(
    "sql", ["SELECT a + s FROM t", "SELECT nope FROM t", "SELECT s::INT FROM t", "DELETE FROM t"]
)
def test_a_plan_fails_where_the_query_does(ask: Callable[..., SandboxResult], sql: str) -> None:
    failures = []
    for form in ("table", "plan"):
        with pytest.raises(QueryFailed) as failed:
            ask(sql, form=form)
        failures.append(failed.value.failure)
    assert failures[0] == failures[1]


def test_shut_down_ends_running_queries_and_starts_no_new_zygote(table: Path, folder: Path) -> None:
    threading.Timer(0.3, shut_down).start()
    with pytest.raises(SandboxUnavailable):
        run(ENDLESS, tables={}, folder=folder, limits=Limits(seconds=20))
    wait_until(lambda: client._zygote is None)


def test_zygote_inherits_nothing_of_ours(ask: Callable[..., SandboxResult], tmp_path: Path) -> None:
    shut_down()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.set_inheritable(True)
    secret = tmp_path / "secret"
    secret.write_text("x")
    os.environ["LUTHIER_JWT_SECRET"] = "not for children"
    try:
        with secret.open() as held:
            os.set_inheritable(held.fileno(), True)
            ask("SELECT 1")
            zygote = psutil.Process(_zygote_process().pid)
            assert not [c for c in zygote.net_connections() if c.status == psutil.CONN_LISTEN]
            assert str(secret) not in [f.path for f in zygote.open_files()]
            assert not set(zygote.environ().values()) & {"not for children"}
            assert "HOME" not in zygote.environ()
    finally:
        del os.environ["LUTHIER_JWT_SECRET"]
        listening.close()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_zygote_has_one_thread(ask: Callable[..., SandboxResult]) -> None:
    """A process of several must not fork, and ends only with its last one:
    its children's callers heard of its death before it."""
    ask("SELECT 1")
    assert psutil.Process(_zygote_process().pid).num_threads() == 1


def test_protection_is_said_in_words() -> None:
    assert protection().startswith(("Full", "Reduced"))


Try = Callable[..., str]


@pytest.fixture(scope="module")
def try_locked() -> Iterator[Try]:
    """``try_locked(code, folder=…, read=[…])`` runs ``code`` in a process locked like a child, after the gate
    and DuckDB's own lock failed us; what it printed."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.core.sql_sandbox.locked_program"],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert program.stdin is not None
    assert program.stdout is not None
    to_program, from_program = program.stdin, program.stdout

    def run(code: str, *, folder: Path, read: list[Path]) -> str:
        said = folder.parent / "said"
        request = {"code": code, "folder": str(folder), "read": [str(p) for p in read], "said": str(said)}
        to_program.write(json.dumps(request) + "\n")
        to_program.flush()
        assert from_program.readline() == "tried\n"
        return said.read_text()

    yield run
    to_program.close()
    assert program.wait(timeout=60) == 0


ESCAPES = {
    "read a file": "open('/etc/passwd').read()",
    "read a neighbour": "open(folder.parent / 'other.parquet', 'rb').read()",
    "read by DuckDB": "duckdb.connect().execute(\"SELECT * FROM read_text('/etc/passwd')\").fetchall()",
    "read a neighbour by DuckDB": (
        "duckdb.connect().execute(f\"SELECT * FROM '{folder.parent}/other.parquet'\").fetchall()"
    ),
    "read through a link": "os.symlink('/etc/passwd', folder / 'link'); open(folder / 'link').read()",
    "read another process": "open(f'/proc/{parent}/environ').read()",
    "list a folder": "os.listdir('/')",
    "write elsewhere": "open(folder.parent / 'new', 'w')",
    "overwrite a table": "open(read[0], 'r+b').write(b'x')",
    "overwrite by DuckDB": (
        "duckdb.connect().execute(f\"COPY (SELECT 1) TO '{read[0]}' (use_tmp_file false)\").fetchall()"
    ),
    "delete a table": "os.remove(read[0])",
    "rename a table": "os.rename(read[0], folder / 'mine')",
    "write too much": "open(folder / 'big', 'wb').write(bytes(2**21))",
    "open a socket": "socket.socket()",
    "connect": "socket.create_connection(('127.0.0.1', 80), 1)",
    "open a local socket": "socket.socket(socket.AF_UNIX)",
    "run a program": "subprocess.run(['/bin/true'], check=True)",
    "become a program": "os.execv('/bin/true', ['true'])",
    "signal the parent": "os.kill(parent, 0)",
    "trace the parent": (
        "(ctypes.CDLL(None).ptrace(16, parent, 0, 0) == 0) or (_ for _ in ()).throw(OSError())"
    ),
    "take too much memory": "bytearray(4 * 2**30)",
    "from a thread": (
        "t = threading.Thread(target=lambda: print(open('/etc/passwd').read())); t.start(); t.join(); "
        "raise OSError"
    ),
}


@LINUX
@pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES)
def test_locked_process_cannot(code: str, tmp_path: Path, folder: Path, table: Path, try_locked: Try) -> None:
    other = tmp_path / "other.parquet"
    other.write_bytes(table.read_bytes())
    before = table.read_bytes()
    said = try_locked(code, folder=folder, read=[table])
    assert "DONE" not in said
    assert "REFUSED" in said
    assert "root:" not in said
    assert table.read_bytes() == before
    assert not (tmp_path / "new").exists()


@LINUX
def test_duckdb_opened_before_the_lock_is_locked_too(folder: Path, table: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from core.sql_sandbox import child, lock\n"
        "if os.fork():\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
        "early = child.prepare()\n"
        f"read, write = [pathlib.Path({str(table)!r})], pathlib.Path({str(folder)!r})\n"
        "lock.lock(read=read, write=write, memory_mb=256, cpu_seconds=20, file_bytes=2**20)\n"
        "early.execute('SET threads = 4').fetchall()\n"
        f"print(early.execute(\"SELECT sum(a) FROM '{table}'\").fetchall())\n"
        "for path in ('/etc/passwd', '/etc/hostname', '/etc/hosts'):\n"
        "    try:\n"
        "        print(early.execute('SELECT content FROM read_text(?), range(5000)', [path]).fetchall())\n"
        "    except Exception as error:\n"
        "        print('REFUSED', type(error).__name__)\n"
        "sys.stdout.flush()\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "(21,)" in done.stdout, done.stderr
    assert done.stdout.count("REFUSED") == 3
    assert "root:" not in done.stdout


@LINUX
def test_locked_process_can_do_its_work(folder: Path, table: Path, try_locked: Try) -> None:
    code = (
        "open(folder / 'x', 'w').write('x'); print(duckdb.connect().execute(f\"SELECT sum(a) "
        "FROM '{read[0]}'\").fetchall())"
    )
    said = try_locked(code, folder=folder, read=[table])
    assert "DONE" in said
    assert "21" in said


def _zygote_process() -> "subprocess.Popen[bytes]":
    assert client._zygote is not None
    return client._zygote.process


def test_spawned_process_per_query_works_where_there_is_no_fork(
    ask: Callable[..., SandboxResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CAN_FORK", False)
    answer = ask("SELECT sum(a) FROM t")
    assert answer.table is not None
    assert answer.table.column(0)[0].as_py() == 21
    started = time.monotonic()
    with pytest.raises(QueryFailed) as failed:
        ask(ENDLESS, seconds=1.0)
    assert failed.value.failure.kind == "timeout"
    assert time.monotonic() - started < 30
