"""The sandbox on the real path: a zygote, forked and locked children.

Some tests drive a locked process directly, as if the gate and DuckDB's own lock had failed.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from core.sql_sandbox import Answer, Limits, QueryFailed, SandboxUnavailable, client, lock, protection, run, shut_down

LINUX = pytest.mark.skipif(not lock.landlock_version(), reason="this kernel has no Landlock")
ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Seven rows of every kind of column."""
    path = tmp_path / "t.parquet"
    duckdb.connect().execute(
        f"""COPY (SELECT range AS a, range % 3 AS b, 'x' || range AS s, [range, 2] AS l, {{'x': range}} AS st,
        '{{"name": "n", "tags": ["k"]}}'::JSON AS j, TIMESTAMP '2024-01-31 10:00:00' + INTERVAL (range) DAY AS d
        FROM range(7)) TO '{path}' (FORMAT parquet)"""
    ).fetchall()
    return path


@pytest.fixture
def ask(table: Path, folder: Path) -> Callable[..., Answer]:
    def ask(sql: str, *, parameters: object = None, form: str = "table", **limits: object) -> Answer:
        allowed = Limits(**{"seconds": 5, "memory_mb": 128, **limits})  # type: ignore[arg-type]
        return run(
            sql, tables={"t": table, "u": table, "faq@2": table}, folder=folder, limits=allowed, parameters=parameters, form=form
        )  # type: ignore[arg-type]

    return ask


def test_query_answers_as_arrow_with_duckdb_types(ask: Callable[..., Answer]) -> None:
    answer = ask('SELECT a, l, st FROM "FAQ@2" WHERE a > 4 ORDER BY a')
    assert answer.columns == [
        {"name": "a", "type": "BIGINT"},
        {"name": "l", "type": "BIGINT[]"},
        {"name": "st", "type": "STRUCT(x BIGINT)"},
    ]
    assert answer.table is not None
    assert answer.table.to_pylist() == [{"a": 5, "l": [5, 2], "st": {"x": 5}}, {"a": 6, "l": [6, 2], "st": {"x": 6}}]
    assert answer.used == ("faq@2",)
    assert not answer.truncated


def test_pivot_finds_its_values(ask: Callable[..., Answer]) -> None:
    answer = ask("PIVOT (SELECT a, b FROM t) ON concat('b', b) USING sum(a) ;")
    assert answer.table is not None
    assert answer.table.to_pylist() == [{"b0": 9, "b1": 5, "b2": 7}]


def test_rows_are_cut_and_it_is_said(ask: Callable[..., Answer]) -> None:
    answer = ask("FROM t", rows=3)
    assert answer.table is not None
    assert (answer.table.num_rows, answer.truncated) == (3, True)


def test_wide_results_are_cut_by_size(ask: Callable[..., Answer]) -> None:
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
def test_parameters_and_values(ask: Callable[..., Answer], sql: str, parameters: object, value: object) -> None:
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
        ("SELECT $1", "parameters", None),
        ("SELECT st.y FROM t", 'key "y"', None),
    ],
)
def test_errors_say_what_and_where(ask: Callable[..., Answer], sql: str, words: str, position: int | None) -> None:
    with pytest.raises(QueryFailed) as failed:
        ask(sql)
    assert words in failed.value.failure.message
    assert failed.value.failure.position == position
    assert "parquet" not in failed.value.failure.message.lower()


def test_unknown_tables_are_named(ask: Callable[..., Answer]) -> None:
    with pytest.raises(QueryFailed) as failed:
        ask("SELECT * FROM t JOIN nope USING (a)")
    assert [(u.parts, u.position) for u in failed.value.unknown] == [(("nope",), 21)]


def test_saved_result_is_a_parquet_file_in_the_private_folder(ask: Callable[..., Answer], folder: Path) -> None:
    answer = ask("SELECT b, sum(a) AS total FROM t GROUP BY b ORDER BY b -- the end", form="parquet")
    assert answer.file == folder / "result.parquet"
    saved = parquet.read_table(answer.file)
    assert saved.schema.field("total").type == pa.int64()  # not the double that DuckDB makes of a sum
    assert saved.to_pylist() == [{"b": 0, "total": 9}, {"b": 1, "total": 5}, {"b": 2, "total": 7}]


def test_saved_sum_beyond_64_bits_stays_exact(ask: Callable[..., Answer]) -> None:
    answer = ask("SELECT sum(9223372036854775807::HUGEINT) AS total FROM t", form="parquet")
    assert answer.file is not None
    assert int(parquet.read_table(answer.file).column("total")[0].as_py()) == 7 * (2**63 - 1)


def test_result_larger_than_allowed_is_not_saved(ask: Callable[..., Answer], folder: Path) -> None:
    with pytest.raises(QueryFailed) as failed:
        ask("SELECT hash(range) AS h, uuid() AS u FROM range(2000000)", form="parquet", file_bytes=2**20)
    assert failed.value.failure.kind == "size"
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 2**20


BOMBS = {
    "repeat": "SELECT repeat('x', 2000000000) || repeat('y', 2000000000)",
    "lpad": "SELECT lpad('x', 2000000000, 'y')",
    "format": "SELECT format('{:>2000000000}', 'x')",
    "printf": "SELECT printf('%2000000000d', 1)",
    "list of strings": "SELECT list(repeat('x', 1000000)) FROM range(100000)",
    "string_agg": "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
    "range": "SELECT range(1000000000)",
    "lambda": "SELECT list_transform(range(100000000), lambda x: repeat('x', 100))",
    "nested lambda": "SELECT list_transform(range(9999), lambda x: list_transform(range(9999), lambda y: list_sum(range(9999))))",
    "list_resize": "SELECT list_resize([1], 2000000000)",
    "levenshtein": "SELECT levenshtein(repeat('ab', 500000), repeat('ba', 500000))",
    "cross join": "SELECT count(*) FROM range(10000000000) a, range(10000000000) b WHERE a.range * b.range = 7",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "wide recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r, range(10)) SELECT count(*) FROM r",
    "sort": "SELECT * FROM range(3000000000) ORDER BY hash(range)",
    "group": "SELECT count(*) FROM (SELECT md5(range::VARCHAR) FROM range(3000000000) GROUP BY ALL)",
    "IN list": "SELECT 1 WHERE 5 IN (" + ",".join(map(str, range(14_000))) + ")",
    "unions": " UNION ".join(["SELECT 1"] * 8_000),
    "joins": "SELECT count(*) FROM t " + " ".join(f"JOIN t t{i} USING (b)" for i in range(60)),
    "regexp": "SELECT regexp_matches(repeat('a', 10000000), '(a*)*(a*)*(a*)*b{1000}')",
    "generate_series": "SELECT count(*) FROM generate_series(1, 100000000000)",
    "json": "SELECT to_json(range(100000000))",
    "columns": "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(8_000)),
    "case": "SELECT " + "CASE WHEN a = 1 THEN " * 900 + "1" + " END" * 900 + " FROM t",
}


@pytest.mark.parametrize("sql", BOMBS.values(), ids=BOMBS)
def test_bomb_ends_by_the_deadline(ask: Callable[..., Answer], sql: str) -> None:
    started = time.monotonic()
    with suppress(QueryFailed):  # a machine fast and large enough may answer some
        ask(sql, seconds=1.0)
    assert time.monotonic() - started < 2.0


def test_bombs_do_not_grow_this_process(ask: Callable[..., Answer]) -> None:
    me = psutil.Process()
    ask("SELECT 1")
    before = me.memory_info().rss
    for name in ("list of strings", "lambda", "string_agg", "range"):
        with pytest.raises(QueryFailed):
            ask(BOMBS[name], seconds=1.0)
    assert me.memory_info().rss - before < 30 * 2**20


@LINUX
def test_child_stays_below_its_memory(ask: Callable[..., Answer]) -> None:
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            for process in psutil.Process().children(recursive=True):
                try:
                    peak = max(peak, process.memory_info().rss)
                except psutil.Error:
                    continue
            time.sleep(0.01)

    ask("SELECT 1")
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for name in ("list of strings", "lambda", "repeat"):
            with pytest.raises(QueryFailed):
                ask(BOMBS[name], seconds=2.0, memory_mb=256)
    finally:
        done.set()
        watcher.join()
    assert peak < (2 * 256 + 300) * 2**20


def test_killed_zygote_is_replaced(ask: Callable[..., Answer]) -> None:
    ask("SELECT 1")
    process = _zygote_process()
    process.kill()
    process.wait()
    assert ask("SELECT 1").table is not None
    assert _zygote_process() is not process


def test_query_survives_a_zygote_killed_meanwhile(ask: Callable[..., Answer]) -> None:
    ask("SELECT 1")
    process = _zygote_process()
    threading.Timer(0.3, process.kill).start()
    answer = ask("SELECT count(*) FROM range(20000000) a WHERE hash(a.range) % 7 = 1", seconds=20)
    assert answer.table is not None


def test_shut_down_ends_running_queries_and_starts_no_new_zygote(table: Path, folder: Path) -> None:
    threading.Timer(0.5, shut_down).start()
    with pytest.raises(SandboxUnavailable):
        run(BOMBS["cross join"], tables={}, folder=folder, limits=Limits(seconds=20))
    _wait_until(lambda: client._zygote is None)


def test_killed_child_is_one_failed_query(ask: Callable[..., Answer]) -> None:
    ask("SELECT 1")
    zygote = psutil.Process(_zygote_process().pid)

    def kill_first_child() -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not zygote.children():
            time.sleep(0.01)
        time.sleep(0.2)
        for child in zygote.children():
            child.kill()

    threading.Thread(target=kill_first_child).start()
    with pytest.raises(QueryFailed):
        ask("SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) % 7 = 1", seconds=10)
    assert ask("SELECT 1").table is not None


def test_normal_queries_answer_beside_bombs(ask: Callable[..., Answer], table: Path, tmp_path: Path) -> None:
    def bomb(number: int) -> None:
        own = tmp_path / f"bomb{number}"
        own.mkdir()
        with pytest.raises(QueryFailed):
            run(BOMBS["cross join"], tables={}, folder=own, limits=Limits(seconds=2, memory_mb=128))

    bombs = [threading.Thread(target=bomb, args=(n,)) for n in range(2)]
    for thread in bombs:
        thread.start()
    answers = [ask("SELECT sum(a) FROM t").table for _ in range(5)]
    for thread in bombs:
        thread.join()
    assert all(answer is not None and answer.column(0)[0].as_py() == 21 for answer in answers)


def test_zygote_ends_when_its_caller_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys, time\n"
        "from core.sql_sandbox import Limits, client, run\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "run('SELECT 1', tables={}, folder=folder, limits=Limits())\n"
        "print(client._zygote.process.pid, flush=True)\n"
        "run('SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) = 1', tables={}, folder=folder, limits=Limits())\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert caller.stdout is not None
    zygote = psutil.Process(int(caller.stdout.readline()))
    _wait_until(lambda: len(zygote.children()) > 1)  # the query and the spare
    family = [zygote, *zygote.children()]
    caller.kill()
    caller.wait()
    caller.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


def test_zygote_inherits_nothing_of_ours(ask: Callable[..., Answer], tmp_path: Path) -> None:
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


def test_protection_is_said_in_words() -> None:
    assert protection().startswith(("Full", "Reduced"))


def _in_locked_process(code: str, *, folder: Path, read: list[Path]) -> str:
    """Run ``code`` in a process locked like a child, after the gate and DuckDB's own lock failed us; what it printed."""
    script = (
        "import ctypes, os, pathlib, signal, socket, subprocess, sys, threading\n"
        "import duckdb\n"
        "from core.sql_sandbox import lock\n"
        f"folder, read = pathlib.Path({str(folder)!r}), [pathlib.Path(p) for p in {[str(p) for p in read]!r}]\n"
        "parent = os.getppid()\n"
        "lock.lock(read=read, write=folder, memory_mb=256, cpu_seconds=20, file_bytes=2**20)\n"
        "def go():\n"
        "    try:\n"
        f"        {code}\n"
        "        print('DONE')\n"
        "    except BaseException as error:\n"
        "        print('REFUSED', type(error).__name__)\n"
        "go()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


ESCAPES = {
    "read a file": "open('/etc/passwd').read()",
    "read a neighbour": "open(folder.parent / 'other.parquet', 'rb').read()",
    "read by DuckDB": "duckdb.connect().execute(\"SELECT * FROM read_text('/etc/passwd')\").fetchall()",
    "read a neighbour by DuckDB": "duckdb.connect().execute(f\"SELECT * FROM '{folder.parent}/other.parquet'\").fetchall()",
    "read through a link": "os.symlink('/etc/passwd', folder / 'link'); open(folder / 'link').read()",
    "read another process": "open(f'/proc/{parent}/environ').read()",
    "list a folder": "os.listdir('/')",
    "write elsewhere": "open(folder.parent / 'new', 'w')",
    "overwrite a table": "open(read[0], 'r+b').write(b'x')",
    "overwrite by DuckDB": "duckdb.connect().execute(f\"COPY (SELECT 1) TO '{read[0]}' (use_tmp_file false)\").fetchall()",
    "delete a table": "os.remove(read[0])",
    "rename a table": "os.rename(read[0], folder / 'mine')",
    "write too much": "open(folder / 'big', 'wb').write(bytes(2**21))",
    "open a socket": "socket.socket()",
    "connect": "socket.create_connection(('127.0.0.1', 80), 1)",
    "open a local socket": "socket.socket(socket.AF_UNIX)",
    "run a program": "subprocess.run(['/bin/true'], check=True)",
    "become a program": "os.execv('/bin/true', ['true'])",
    "signal the parent": "os.kill(parent, 0)",
    "trace the parent": "(ctypes.CDLL(None).ptrace(16, parent, 0, 0) == 0) or (_ for _ in ()).throw(OSError())",
    "take too much memory": "bytearray(4 * 2**30)",
    "from a thread": "t = threading.Thread(target=lambda: print(open('/etc/passwd').read())); t.start(); t.join(); raise OSError",
}


@LINUX
@pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES)
def test_locked_process_cannot(code: str, tmp_path: Path, folder: Path, table: Path) -> None:
    other = tmp_path / "other.parquet"
    other.write_bytes(table.read_bytes())
    before = table.read_bytes()
    said = _in_locked_process(code, folder=folder, read=[table])
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
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "(21,)" in done.stdout, done.stderr
    assert done.stdout.count("REFUSED") == 3
    assert "root:" not in done.stdout


@LINUX
def test_locked_process_can_do_its_work(tmp_path: Path, folder: Path, table: Path) -> None:
    code = "open(folder / 'x', 'w').write('x'); print(duckdb.connect().execute(f\"SELECT sum(a) FROM '{read[0]}'\").fetchall())"
    said = _in_locked_process(code, folder=folder, read=[table])
    assert "DONE" in said
    assert "21" in said


def _zygote_process() -> "subprocess.Popen[bytes]":
    assert client._zygote is not None
    return client._zygote.process


def _wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_spawned_process_per_query_works_where_there_is_no_fork(
    ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CAN_FORK", False)
    answer = ask("SELECT sum(a) FROM t")
    assert answer.table is not None
    assert answer.table.column(0)[0].as_py() == 21
    started = time.monotonic()
    with pytest.raises(QueryFailed) as failed:
        ask(BOMBS["cross join"], seconds=1.0)
    assert failed.value.failure.kind == "timeout"
    assert time.monotonic() - started < 30
