"""Thousands of broken, spliced and twisted statements against the gate.

Whatever it admits is looked at by others: DuckDB's own list of the tables in a text, its own kind of
statement, and a walk over the parsed tree that knows nothing of the gate's. Seeded, so that a failure can be
repeated.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.sql_sandbox import Limits, QueryFailed, child, gate, run, shut_down
from core.sql_sandbox.functions import FUNCTIONS, TABLE_FUNCTIONS
from tests.core.sql_sandbox.sql_texts import ATTACKS, QUERIES

SEED, MUTATIONS, ON_THE_REAL_PATH = 20_261_123, 6_000, 100
KNOWN = {"t", "u", "faq@2", "ünïcode"}
JOB = child.SandboxJob("", {"t": "", "u": "", "faq@2": "", "Ünïcode": ""}, None, 10, "", 1, 64, 1, 1, 1)
TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|\s+|[^\w\s]""")
SPLICES = (
    """
read_csv('/etc/passwd') | '/etc/passwd' | "x.parquet" | getenv('HOME') | COPY t TO '/tmp/x' | ATTACH '/tmp/x'
| ; | ; SELECT 2 | -- | /* | */ | ( | ) | [ | ] | { | } | , | . | :: | -> | ->> | => | := | ? | $1 | #1 | @
| * | ** | COLUMNS(*) | lambda x: | x -> x | (DELETE FROM t RETURNING *) | WITH x AS (SELECT 1)
| WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) | SELECT | FROM | FROM t | UNION ALL SELECT | INTO
| TABLE | VALUES (1) | DESCRIBE | SUMMARIZE | SHOW TABLES | EXPLAIN | PRAGMA | SET | CALL | PIVOT t ON a
| UNPIVOT | information_schema.tables | main.t | memory.main.t | system. | pg_catalog. | AT (VERSION => 1)
| duckdb_settings() | query('SELECT 1') | json_execute_serialized_sql('x') | current_user
| current_setting('threads') | E'x' | $$x$$ | U&"t" | LATERAL | ASOF JOIN u USING (a) | POSITIONAL JOIN
| TABLESAMPLE 1% | QUALIFY | FILTER (a > 1) | OVER () | EXCLUDE (a) | REPLACE (1 AS a) | EXPORT_STATE
| COLLATE NOCASE | INTERVAL 1 DAY | CAST(a AS BLOB) | TRY(1) | "t" | "faq@2" | faq@2 | nope | Ünïcode | NULL
| DEFAULT | 1e999 | 0x1F
""".strip()
    .replace("\n", " ")
    .split(" | ")
)
BYTES = [
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\xae",
    b"\xc2\xa0",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"\t",
    b"'",
    b'"',
    b"\\",
    b";",
    b"`",
]


@pytest.fixture(autouse=True)
def data_dir() -> None:
    """The gate knows no database."""


@pytest.fixture(scope="module")
def connection() -> Iterator["duckdb.DuckDBPyConnection"]:
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(15_000)
    made = duckdb.connect(
        config={"errors_as_json": "true", "threads": "1", "python_enable_replacements": "false"}
    )
    yield made
    sys.setrecursionlimit(depth)
    shut_down()


def test_what_the_gate_admits_is_harmless(connection: "duckdb.DuckDBPyConnection") -> None:
    admitted = 0
    for sql in mutations(MUTATIONS):
        if _is_admitted(connection, sql):
            admitted += 1
            _require_harmless(connection, sql)
    assert admitted > MUTATIONS // 50, "the mutations are too wild to test what is let in"


def test_mutations_never_hurt_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    duckdb.execute(f"COPY (SELECT range AS a, range % 3 AS b, 'x' || range AS s FROM range(7)) TO '{path}'")
    for number, sql in enumerate(mutations(ON_THE_REAL_PATH, seed=SEED + 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            run(
                sql,
                tables={"t": path, "u": path, "faq@2": path},
                folder=folder,
                limits=Limits(seconds=2, memory_mb=128),
            )
        except QueryFailed as failed:
            words = failed.failure.message
            assert str(tmp_path) not in words, sql
            assert "root:" not in words, sql
        assert {p.name for p in folder.iterdir()} <= {"spill"}, sql


def mutations(count: int, *, seed: int = SEED) -> Iterator[str]:
    """Texts made from queries and attacks, token by token and byte by byte."""
    chance = random.Random(seed)
    corpus = QUERIES * 3 + ATTACKS
    for _ in range(count):
        sql = chance.choice(corpus)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            sql = (
                _mutate_bytes(sql, chance) if chance.random() < 0.25 else _mutate_tokens(sql, chance, corpus)
            )
        yield sql[:20_000]


def _mutate_tokens(sql: str, chance: random.Random, corpus: list[str]) -> str:
    tokens = TOKEN.findall(sql)
    if not tokens:
        return chance.choice(SPLICES)
    at = chance.randrange(len(tokens))
    match chance.randrange(7):
        case 0:
            tokens.insert(at, f" {chance.choice(SPLICES)} ")
        case 1:
            tokens[at] = f" {chance.choice(SPLICES)} "
        case 2:
            del tokens[at]
        case 3:
            other = chance.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 4:
            tokens[at:at] = tokens[at : at + chance.randrange(1, 6)]
        case 5:
            tokens[at:] = TOKEN.findall(chance.choice(corpus))[-chance.randrange(1, 12) :]
        case _:
            tokens[at] = f"({chance.choice(corpus)})"
    return "".join(tokens)


def _mutate_bytes(sql: str, chance: random.Random) -> str:
    data = bytearray(sql.encode("utf-8", "surrogatepass"))
    at = chance.randrange(len(data) + 1)
    match chance.randrange(3):
        case 0:
            data[at:at] = chance.choice(BYTES)
        case 1:
            data[at : at + 1] = bytes([chance.randrange(1, 256)])
        case _:
            del data[at : at + chance.randrange(1, 8)]
    return data.decode("utf-8", "replace")


def _is_admitted(connection: "duckdb.DuckDBPyConnection", sql: str) -> bool:
    try:
        text = gate.without_end(connection, sql)
        child.admit(connection, child.SandboxJob(**{**vars(JOB), "sql": text}))
    except (gate.Refused, child.UnknownTables, duckdb.Error):
        return False
    return True


def _require_harmless(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    statements = connection.extract_statements(gate.without_end(connection, sql))
    assert len(statements) == 1, sql
    kind = str(statements[0].type.name)
    assert kind in ("SELECT", "MULTI"), sql
    if kind == "MULTI":  # a PIVOT without its values has no tree
        return
    with suppress(duckdb.Error):  # it binds, too: not every admitted text has a meaning
        assert {name.casefold() for name in connection.get_table_names(sql)} <= KNOWN, sql
    [[serialised]] = connection.execute(
        "SELECT json_serialize_sql(?::VARCHAR)", [gate.without_end(connection, sql)]
    ).fetchall()
    defined: set[str] = set()
    for node in _dicts(json.loads(serialised)):
        defined |= {entry["key"].casefold() for entry in (node.get("cte_map") or {}).get("map", ())}
    for node in _dicts(json.loads(serialised)):
        if "function_name" in node:
            assert gate.fold(node["function_name"]) in FUNCTIONS | TABLE_FUNCTIONS, sql
            assert not node.get("catalog"), sql
        if node.get("type") == "BASE_TABLE":
            assert node["table_name"].casefold() in KNOWN | defined, sql
            assert not node["schema_name"], sql
            assert not node["catalog_name"], sql
            assert node.get("at_clause") is None, sql


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
