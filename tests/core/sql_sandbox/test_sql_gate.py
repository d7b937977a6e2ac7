"""The gate by itself: what it lets through and what it refuses.

What holds if it failed is test_sql_sandbox.py's business.
"""

import sys
from collections.abc import Iterator

import duckdb
import pytest

from core.sql_sandbox import child, gate
from core.sql_sandbox.explain import explain
from tests.core.sql_sandbox.sql_texts import ATTACKS, QUERIES

JOB = child.SandboxJob("", {"t": "", "u": "", "faq@2": "", "Ünïcode": ""}, None, 10, "", 1, 64, 1, 1, 1)


@pytest.fixture(autouse=True)
def data_dir() -> None:
    """The gate knows no database."""


@pytest.fixture(scope="module")
def connection() -> Iterator["duckdb.DuckDBPyConnection"]:
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(15_000)
    yield duckdb.connect(
        config={"errors_as_json": "true", "threads": "1", "python_enable_replacements": "false"}
    )
    sys.setrecursionlimit(depth)


def refusal(connection: "duckdb.DuckDBPyConnection", sql: str) -> str | None:
    """Why the text may not run, None when it may."""
    try:
        child.admit(connection, child.SandboxJob(**{**vars(JOB), "sql": sql}))
    except gate.Refused as error:
        return error.message
    except child.UnknownTables as error:
        return "unknown table " + error.references[0].name
    except duckdb.Error as error:
        return explain(error).message
    return None


@pytest.mark.parametrize("sql", ATTACKS)
def test_attack_is_refused(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    assert refusal(connection, sql)


@pytest.mark.parametrize("sql", QUERIES)
def test_query_is_admitted(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    assert refusal(connection, sql) is None


def test_the_lists_are_as_long_as_promised() -> None:
    assert len(set(ATTACKS)) >= 150
    assert len(set(QUERIES)) >= 40


@pytest.mark.parametrize(
    ("sql", "words", "at"),
    [
        ("SELECT 1; SELECT 2", "One statement", 10),
        ("SELECT getenv('x')", "no function", 7),
        ("SELECT lowr('x')", 'Did you mean "lower"', 7),
        ("DROP TABLE t", "not DROP", 0),
        ("SELECT 'é' || version()", "no function", 15),
        ("SELECT \0", "NUL", 7),
        ("   ", "Write a SELECT", 0),
        ("SELECT * FROM t AT (VERSION => 1)", '"name@2"', 14),
    ],
)
def test_refusal_says_what_and_where(
    connection: "duckdb.DuckDBPyConnection", sql: str, words: str, at: int
) -> None:
    with pytest.raises(gate.Refused) as refused:
        gate.check(connection, sql)
    assert words in refused.value.message
    assert refused.value.position == at


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
        "SELECT 1" + " + 1" * 20_000,
        "SELECT " + "[" * 20_000 + "]" * 20_000,
        "SELECT * FROM " + "(SELECT * FROM " * 4_000 + "t" + ")" * 4_000,
        "SELECT " + "NOT " * 20_000 + "true",
        "SELECT " + "x" * 100_001,
    ],
    ids=["parentheses", "sums", "lists", "subqueries", "nots", "length"],
)
def test_deep_or_long_text_is_refused_quickly(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    assert refusal(connection, sql)


def test_references_carry_their_place(connection: "duckdb.DuckDBPyConnection") -> None:
    found = gate.check(connection, "SELECT * FROM t JOIN nope USING (a)")
    assert [(r.name, r.position) for r in found] == [("t", 14), ("nope", 21)]


def test_names_compare_like_duckdb() -> None:
    assert gate.fold("FAQ Ü") == "faq Ü"
