"""Attacks on the real path: a user's query, through ownership, gate and locked child.

Nothing gets through, nothing changes.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core import query, sql_sandbox, storage
from core.errors import LuthierError, SqlError
from core.people.users import User
from core.query import NewArrowQuery, NewQuery
from tests.core.sql_sandbox.sql_texts import ATTACKS
from tests.hostile.sql_data import add_table, users

SECRET = "sk-ants-and-bees"
TABLES = {
    "t": (
        f"SELECT range AS a, range % 3 AS b, 'x' || range AS s, [range] AS l, '{SECRET[:3]}' AS j "
        f"FROM range(7)"
    ),
    "u": "SELECT range AS a, range AS c FROM range(3)",
    "faq@2": "SELECT 1 AS a",
}


@pytest.fixture(autouse=True)
def no_zygote_left() -> Iterator[None]:
    yield
    sql_sandbox.shut_down()


def test_no_attack_gets_through(ada: User, data_dir: Path) -> None:
    for name, sql in TABLES.items():
        add_table(ada, name, sql)
    assert query.run(ada, NewQuery(sql="SELECT count(*) FROM t")).rows == [[7]]
    before, outside = _everything(data_dir), _outside()
    with ThreadPoolExecutor(3) as pool:
        errors = list(pool.map(lambda sql: _error_of(ada, sql), ATTACKS))
    through = [sql for sql, error in zip(ATTACKS, errors, strict=True) if error is None]
    assert through == []
    told = [
        error
        for error in errors
        if error and ("root:" in error or str(data_dir) in error or "parquet" in error.lower())
    ]
    assert [
        error
        for error in told
        if "parquet_" not in error and ".parquet" not in error and "_parquet" not in error
    ] == []
    assert _everything(data_dir) == before
    assert list(storage.staging_dir().iterdir()) == []
    assert _outside() == outside


def test_others_tables_do_not_exist_under_any_name(ada: User) -> None:
    bob, eve = users(ada, 2)
    theirs = add_table(bob, "plans", f"SELECT '{SECRET}' AS secret")
    add_table(eve, "own", "SELECT 1 AS a")
    path = storage.parquet_path(theirs.id)
    names = [
        "plans",
        "PLANS",
        "plans@1",
        theirs.id,
        theirs.dataset_id,
        f"{theirs.dataset_id}@1",
        str(path),
        f"{path.parent.name}/{path.name}",
    ]
    disguises = [
        'SELECT * FROM "{0}"',
        "SELECT * FROM '{0}'",
        'SELECT * FROM main."{0}"',
        'SELECT * FROM memory.main."{0}"',
        'SELECT (SELECT max(secret) FROM "{0}")',
        'WITH own AS (SELECT * FROM "{0}") SELECT * FROM own',
        'WITH RECURSIVE r AS (SELECT secret FROM "{0}" UNION ALL SELECT * FROM r) SELECT * FROM r',
        'SELECT * FROM own, LATERAL (SELECT * FROM "{0}")',
        'SELECT * FROM own WHERE EXISTS (FROM "{0}")',
        'DESCRIBE "{0}"',
        'SUMMARIZE "{0}"',
        'PIVOT "{0}" ON secret',
        "SELECT * FROM read_parquet('{0}')",
        "SELECT * FROM query_table('{0}')",
        'SELECT list_transform([1], lambda x: (SELECT max(secret) FROM "{0}"))',
    ]
    for name in names:
        for disguise in disguises:
            error = _error_of(eve, disguise.format(name))
            assert error, disguise.format(name)
            assert SECRET not in error
    for call in (query.describe, lambda user, dataset: query.run_on(user, dataset, "SELECT * FROM data")):
        with pytest.raises(LuthierError, match="no such object"):
            call(eve, theirs.dataset_id)


def test_a_link_laid_beside_the_data_leads_nowhere(ada: User, data_dir: Path) -> None:
    """Even if somebody could plant one: a name is looked up among datasets,
    and the child may open only the named files."""
    row = add_table(ada, "t", "SELECT 1 AS a")
    folder = storage.parquet_path(row.id).parent
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "link.parquet").symlink_to("/etc/passwd")
    for name in ("link", "link.parquet", f"{folder}/link", f"{folder}/link.parquet"):
        error = _error_of(ada, f"SELECT * FROM '{name}'")
        assert error
        assert "root:" not in error


def test_a_dataset_whose_file_became_a_link_is_not_followed_to_anything_readable(
    ada: User, tmp_path: Path
) -> None:
    row = add_table(ada, "t", "SELECT 1 AS a")
    path = storage.parquet_path(row.id)
    path.unlink()
    path.symlink_to("/etc/passwd")
    error = _error_of(ada, "SELECT * FROM t")
    assert error
    assert "root:" not in error


FORMS: dict[str, Callable[[User, str], object]] = {
    "plan": lambda user, sql: query.plan(user, NewQuery(sql=sql)),
    "arrow": lambda user, sql: query.arrow(user, NewArrowQuery(sql=sql)).stream.close(),
    "save": lambda user, sql: query.save(user, sql=sql, name="x"),
}
BREAKOUTS = (
    "COPY t TO '/tmp/x'",
    "SELECT getenv('HOME')",
    "SELECT * FROM '/etc/passwd'",
    "DELETE FROM t",
    "SELECT 1; SELECT 2",
    "SELECT * FROM t) TO '/tmp/x' (FORMAT csv",
    "SELECT 1) ; COPY (SELECT 1",
    "ANALYZE SELECT 1",
    "(FORMAT text) SELECT 1",
    "/* SELECT 1",
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_answer_passes_the_same_gate(ada: User, form: str) -> None:
    add_table(ada, "t", "SELECT 1 AS a")
    for sql in BREAKOUTS:
        with pytest.raises(SqlError):
            FORMS[form](ada, sql)


def _error_of(user: User, sql: str) -> str | None:
    try:
        query.run(user, NewQuery(sql=sql))
    except LuthierError as error:
        return error.message
    return None


def _everything(folder: Path) -> dict[str, int]:
    """Every file but the database, with its size and time."""
    files = (path for path in folder.rglob("*") if path.is_file() and "luthier.db" not in path.name)
    return {str(path): hash((path.stat().st_size, path.stat().st_mtime_ns)) for path in files}


def _outside() -> dict[str, int]:
    """What the attacks aim at; another program of this machine may have files of such names."""
    return {str(path): path.stat().st_mtime_ns for path in Path("/tmp").glob("x*") if path.is_file()}
