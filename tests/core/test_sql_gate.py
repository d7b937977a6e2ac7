"""The gate by itself: what it lets through and what it refuses. What holds if it failed is test_sql_sandbox.py's business."""

import sys
from collections.abc import Iterator

import duckdb
import pytest

from core.sql_sandbox import child, gate
from core.sql_sandbox.explain import explain

JOB = child.Job("", {"t": "", "u": "", "faq@2": "", "Ünïcode": ""}, None, 10, "", 1, 64, 1, 1, 1)


@pytest.fixture(autouse=True)
def data_dir() -> None:
    """The gate knows no database."""


@pytest.fixture(scope="module")
def connection() -> Iterator["duckdb.DuckDBPyConnection"]:
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(15_000)
    yield duckdb.connect(config={"errors_as_json": "true", "threads": "1", "python_enable_replacements": "false"})
    sys.setrecursionlimit(depth)


def refusal(connection: "duckdb.DuckDBPyConnection", sql: str) -> str | None:
    """Why the text may not run, None when it may."""
    try:
        child.admit(connection, child.Job(**{**vars(JOB), "sql": sql}))
    except gate.Refused as error:
        return error.message
    except child.UnknownTables as error:
        return "unknown table " + error.references[0].name
    except duckdb.Error as error:
        return explain(error).message
    return None


ATTACKS = """
INSERT INTO t VALUES (1)
UPDATE t SET a = 1
DELETE FROM t
TRUNCATE t
MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE
CREATE TABLE x AS SELECT 1
CREATE OR REPLACE VIEW t AS SELECT 1
CREATE TEMP TABLE x (a INT)
CREATE MACRO f(x) AS x + 1
CREATE MACRO f() AS TABLE SELECT * FROM read_csv('/etc/passwd')
CREATE FUNCTION f(x) AS x
CREATE SCHEMA s
CREATE SEQUENCE s
CREATE TYPE mood AS ENUM ('a')
CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')
CREATE INDEX i ON t (a)
DROP TABLE t
DROP VIEW IF EXISTS t
ALTER TABLE t ADD COLUMN b INT
ALTER VIEW t RENAME TO u
COMMENT ON TABLE t IS 'x'
COPY t TO '/tmp/x.csv'
COPY (SELECT * FROM t) TO '/tmp/x.parquet' (FORMAT parquet, use_tmp_file false)
COPY t FROM '/etc/passwd'
COPY FROM DATABASE memory TO x
EXPORT DATABASE '/tmp/x'
IMPORT DATABASE '/tmp/x'
ATTACH '/tmp/x.db' AS x
ATTACH ':memory:' AS x
ATTACH 'https://example.com/x.db'
DETACH memory
USE memory
USE x.y
INSTALL httpfs
LOAD httpfs
FORCE INSTALL httpfs
LOAD '/tmp/x.duckdb_extension'
UPDATE EXTENSIONS
SET memory_limit = '100GB'
SET GLOBAL threads = 64
SET VARIABLE x = 1
RESET memory_limit
SET enable_external_access = true
SET lock_configuration = false
PRAGMA database_list
PRAGMA table_info('t')
PRAGMA show_tables
PRAGMA version
PRAGMA enable_profiling
PRAGMA memory_limit = '1TB'
CALL pragma_table_info('t')
CALL duckdb_settings()
CALL force_checkpoint()
CHECKPOINT
VACUUM
ANALYZE t
BEGIN TRANSACTION
COMMIT
ROLLBACK
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
EXPLAIN SELECT * FROM t
EXPLAIN ANALYZE SELECT * FROM t
SHOW TABLES
SHOW ALL TABLES
SHOW DATABASES
SHOW t
DESCRIBE
SELECT 1; SELECT 2
SELECT 1; DROP TABLE t
SELECT * FROM t; COPY t TO '/tmp/x'
/* x */ SELECT 1 /* ; */ ; ATTACH '/tmp/x'
WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x
WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x
WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM x
WITH x AS (SELECT 1), y AS (INSERT INTO t SELECT 1 RETURNING *) SELECT * FROM x, y
SELECT * FROM (WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x)
WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x
SELECT * FROM 'file.csv'
SELECT * FROM '/etc/passwd'
SELECT * FROM "/etc/passwd"
SELECT * FROM 'https://example.com/x.parquet'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM '../other/data.parquet'
SELECT * FROM '/proc/self/environ'
SELECT * FROM '*.parquet'
FROM 'x.json'
SELECT * FROM "x.parquet" WHERE a IN (SELECT 1)
SELECT (SELECT count(*) FROM 'x.csv')
SELECT * FROM t JOIN 'x.csv' USING (a)
SELECT * FROM t WHERE EXISTS (FROM 'x.csv')
SELECT * FROM t UNION ALL SELECT * FROM 'x.csv'
SUMMARIZE 'x.csv'
DESCRIBE '/etc/passwd'
DESCRIBE SELECT * FROM 'x.csv'
SUMMARIZE SELECT * FROM read_csv('x.csv')
PIVOT 'x.csv' ON a IN (1) USING count(*)
UNPIVOT 'x.csv' ON a INTO NAME n VALUE v
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM read_parquet('/x.parquet')
SELECT * FROM parquet_scan('/x.parquet')
SELECT * FROM parquet_metadata('/x.parquet')
SELECT * FROM parquet_schema('/x.parquet')
SELECT * FROM parquet_kv_metadata('/x.parquet')
SELECT * FROM parquet_file_metadata('/x.parquet')
SELECT * FROM parquet_full_metadata('/x.parquet')
SELECT * FROM parquet_bloom_probe('/x.parquet', 'a', 1)
SELECT * FROM read_json('/x.json')
SELECT * FROM read_json_auto('/x.json')
SELECT * FROM read_ndjson('/x.json')
SELECT * FROM read_json_objects('/x.json')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_duckdb('/x.db')
SELECT * FROM glob('/*')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('t')
SELECT * FROM histogram('t', a)
SELECT * FROM histogram_values('t', a)
SELECT * FROM json_execute_serialized_sql('{}')
SELECT * FROM pragma_table_info('t')
SELECT * FROM pragma_show('t')
SELECT * FROM pragma_storage_info('t')
SELECT * FROM pragma_database_size()
SELECT * FROM pragma_version()
SELECT * FROM pragma_platform()
SELECT * FROM pragma_user_agent()
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_views()
SELECT * FROM duckdb_tables()
SELECT * FROM duckdb_columns()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_functions()
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_extensions()
SELECT * FROM duckdb_memory()
SELECT * FROM duckdb_logs()
SELECT * FROM duckdb_temporary_files()
SELECT * FROM duckdb_variables()
SELECT * FROM duckdb_external_file_cache()
SELECT * FROM duckdb_prepared_statements()
SELECT * FROM which_secret('x', 's3')
SELECT * FROM test_all_types()
SELECT * FROM repeat_row(1, num_rows = 1000000)
SELECT * FROM seq_scan('t')
SELECT * FROM pandas_scan(1)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM python_map_function(1)
SELECT * FROM enable_logging()
SELECT * FROM truncate_duckdb_logs()
SELECT * FROM checkpoint()
SELECT * FROM information_schema.tables
SELECT * FROM information_schema.columns
SELECT * FROM INFORMATION_SCHEMA.schemata
SELECT * FROM pg_catalog.pg_tables
SELECT * FROM pg_tables
SELECT * FROM pg_views
SELECT * FROM sqlite_master
SELECT * FROM sqlite_schema
SELECT * FROM duckdb_views
SELECT * FROM duckdb_settings
SELECT * FROM pragma_database_list
SELECT * FROM main.t
SELECT * FROM memory.main.t
SELECT * FROM system.main.duckdb_views
SELECT * FROM temp.t
SELECT * FROM other_table
SELECT * FROM "faq@3"
SELECT getenv('HOME')
SELECT getvariable('x')
SELECT current_setting('memory_limit')
SELECT set_config('x', 'y', false)
SELECT current_database()
SELECT current_schemas(true)
SELECT current_query()
SELECT in_search_path('main', 'x')
SELECT txid_current()
SELECT nextval('s')
SELECT currval('s')
SELECT pg_sleep(10)
SELECT sleep_ms(10000)
SELECT write_log('x')
SELECT json_serialize_sql('SELECT 1')
SELECT json_deserialize_sql('{}')
SELECT json_serialize_plan('SELECT * FROM read_csv(''x'')')
SELECT json_execute_serialized_sql('{}')
SELECT read_text('/etc/passwd')
SELECT system.main.current_setting('threads')
SELECT main.getenv('HOME')
SELECT pg_catalog.pg_get_viewdef(1)
SELECT pg_get_viewdef(1)
SELECT has_table_privilege('t', 'select')
SELECT version()
SELECT create_sort_key(a, 'ASC') FROM t
SELECT __internal_compress_string_utinyint('x')
SELECT error('x')
SELECT list_transform([1], lambda x: getenv('HOME'))
SELECT list_transform([1], x -> current_setting('threads'))
SELECT [getenv(x) for x in ['HOME']]
SELECT list_filter([1], lambda x: (SELECT count(*) FROM 'x.csv') > 0)
SELECT a FROM t ORDER BY getenv('HOME')
SELECT a FROM t GROUP BY getenv('HOME')
SELECT a FROM t HAVING current_setting('threads') = '1'
SELECT a FROM t QUALIFY getvariable('x') = 1
SELECT a FROM t LIMIT (SELECT count(*) FROM 'x.csv')
SELECT a FROM t WHERE a = CASE WHEN getenv('HOME') = '/root' THEN 1 END
SELECT sum(a) OVER (PARTITION BY getenv('HOME')) FROM t
SELECT count(*) FILTER (getenv('HOME') = 'x') FROM t
SELECT * REPLACE (getenv('HOME') AS a) FROM t
SELECT COLUMNS(c -> getenv(c) = 'x') FROM t
VALUES (getenv('HOME'))
SELECT * FROM (VALUES (current_setting('threads')))
SELECT * FROM unnest([getenv('HOME')])
SELECT * FROM range((SELECT count(*)::INT FROM 'x.csv'))
SELECT * FROM t, LATERAL (SELECT * FROM read_text(t.a))
SELECT * FROM t ASOF JOIN 'x.csv' v ON t.a >= v.a
SELECT getenv('HOME').upper()
SELECT 'HOME'.getenv()
PIVOT t ON a IN (1) USING first(getenv('HOME'))
SELECT * FROM t AT (VERSION => 1)
SELECT * FROM t AT (TIMESTAMP => now())
SELECT default
WITH x AS (SELECT * FROM 'x.csv') SELECT 1
WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x
SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x), x
WITH RECURSIVE r AS (SELECT * FROM 'x.csv' UNION ALL SELECT * FROM r) SELECT * FROM r
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT length(getenv('HOME')) FROM r) SELECT * FROM r
WITH RECURSIVE r AS (SELECT * FROM r) SELECT * FROM r
PIVOT t ON getenv('HOME') USING sum(b)
PIVOT t ON a USING first(getenv('HOME'))
PIVOT 'x.csv' ON a USING sum(b)
PIVOT (SELECT * FROM 'x.csv') ON a USING sum(b)
SELECT * FROM (PIVOT read_csv('x.csv') ON a)
WITH x AS (DELETE FROM t RETURNING *) PIVOT x ON a USING count(*)
PIVOT t ON a USING sum(b); DROP TABLE t
PIVOT t ON a IN (SELECT a FROM 'x.csv') USING sum(b)
SELECT
SELECT FROM
)
;
-- only a comment
'
""".strip().splitlines()

QUERIES = """
SELECT * FROM t
FROM t
TABLE t
SELECT * FROM T
SELECT * FROM "t"
SELECT * FROM "faq@2"
SELECT * FROM "FAQ@2" LIMIT 5
SELECT * FROM "Ünïcode"
SELECT * FROM t;
SELECT 1 -- done; really
/* why */ SELECT count(*) FROM t WHERE s LIKE '%;%' /* ; */
SELECT DISTINCT b FROM t ORDER BY b DESC NULLS LAST LIMIT 10 OFFSET 2
SELECT DISTINCT ON (b) * FROM t ORDER BY b, a
SELECT b, count(*) AS n, avg(a) FROM t GROUP BY ALL HAVING n > 1 ORDER BY ALL
SELECT b, count(*) FILTER (a > 3) FROM t GROUP BY GROUPING SETS ((b), ())
SELECT b, grouping(b), sum(a) FROM t GROUP BY ROLLUP (b)
SELECT b, s, sum(a) FROM t GROUP BY CUBE (b, s)
SELECT * EXCLUDE (s) FROM t
SELECT * REPLACE (a * 2 AS a) FROM t
SELECT * RENAME (a AS number) FROM t
SELECT COLUMNS('^[ab]$') FROM t
SELECT min(COLUMNS(* EXCLUDE (l, st, j, d))) FROM t
SELECT t.a, u.c FROM t JOIN u USING (a)
SELECT * FROM t LEFT JOIN u ON t.a = u.a AND u.c > 3 WHERE u.c IS NULL
SELECT * FROM t ANTI JOIN u USING (a)
SELECT * FROM t SEMI JOIN u USING (a)
SELECT * FROM t ASOF JOIN u ON t.a >= u.a
SELECT * FROM t POSITIONAL JOIN u
SELECT * FROM t, LATERAL (SELECT t.a * 2 AS double)
SELECT a FROM t WHERE a IN (SELECT a FROM u) AND b NOT IN (1, 2)
SELECT a FROM t WHERE a > ALL (SELECT 0) OR a = ANY (SELECT c FROM u)
SELECT a, (SELECT max(c) FROM u WHERE u.a = t.a) AS top FROM t
SELECT a FROM t UNION SELECT a FROM u
SELECT a FROM t UNION ALL BY NAME SELECT c FROM u
SELECT a FROM t EXCEPT SELECT a FROM u
SELECT a FROM t INTERSECT ALL SELECT a FROM u
WITH x AS (SELECT a FROM t), y AS (SELECT * FROM x WHERE a > 2) SELECT * FROM y JOIN x USING (a)
WITH x(k) AS MATERIALIZED (SELECT a FROM t) SELECT k FROM x
WITH t AS (SELECT 1 AS one) SELECT one FROM t
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT sum(n) FROM r
SELECT a, row_number() OVER (PARTITION BY b ORDER BY a DESC) AS place FROM t QUALIFY place <= 2
SELECT a, sum(a) OVER w, lag(a, 1, 0) OVER w FROM t WINDOW w AS (ORDER BY a ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)
SELECT ntile(4) OVER (ORDER BY a), percent_rank() OVER (ORDER BY a), first_value(a IGNORE NULLS) OVER () FROM t
PIVOT t ON b IN (0, 1, 2) USING sum(a) GROUP BY s
SELECT * FROM t PIVOT (count(a) FOR b IN (0, 1))
PIVOT t ON b USING sum(a)
PIVOT t ON b, s USING sum(a), count(*) GROUP BY a ORDER BY a LIMIT 5
PIVOT (SELECT a, b FROM t WHERE s IN ('x')) ON b, a IN (1, 2) USING max(a) -- why
SELECT * FROM (PIVOT t ON upper(s || 'in') USING count(*) GROUP BY b) WHERE b > 0
WITH x AS (SELECT a, b FROM t) SELECT * FROM (PIVOT x ON b USING sum(a)) p JOIN u ON p."1" = u.a
FROM (PIVOT t ON b) LIMIT 3
UNPIVOT (SELECT a, b FROM t) ON a, b INTO NAME n VALUE v
SELECT unnest(l) FROM t
SELECT * FROM t, unnest(t.l) AS x(item)
SELECT unnest(st) FROM t
SELECT list_transform(l, lambda x: x * 2), list_filter(l, lambda x: x > 1), list_reduce(l, lambda x, y: x + y) FROM t
SELECT list_transform([1, 2], lambda x: x + 1)
SELECT [x * 2 FOR x IN l IF x > 1] FROM t
SELECT l[1], l[1:2], len(l), list_sort(l), list_aggregate(l, 'sum'), list_contains(l, 2) FROM t
SELECT st.x, struct_extract(st, 'x'), {'k': 1}.k, map {'a': 1}['a'] FROM t
SELECT j->>'$.name', json_extract(j, '$.tags[0]'), j->'tags'->>0, json_array_length(j->'tags') FROM t
SELECT json_object('a', 1), to_json(st), CAST('{"a": 1}' AS JSON) FROM t
SELECT key, value FROM t, json_each(t.j)
SUMMARIZE t
DESCRIBE t
DESCRIBE SELECT a, b FROM t
SELECT column_name FROM (DESCRIBE t)
SELECT column_name, approx_unique FROM (SUMMARIZE t)
SELECT date_trunc('month', d), extract(year FROM d), d + INTERVAL 1 DAY, date_diff('day', d, current_date) FROM t
SELECT strftime(d, '%Y-%m'), strptime('2020-01-02', '%Y-%m-%d'), dayname(d), d::DATE - DATE '2020-01-01' FROM t
SELECT d AT TIME ZONE 'Europe/Berlin', epoch_ms(d), time_bucket(INTERVAL '1 week', d), now(), today(), current_timestamp FROM t
SELECT generate_series FROM generate_series(DATE '2020-01-01', DATE '2020-01-05', INTERVAL 1 DAY)
SELECT regexp_matches(s, '^x'), regexp_extract(s, '([0-9]+)', 1), regexp_replace(s, '[aeiou]', '', 'g'), s ~ 'x.*' FROM t
SELECT s ILIKE '%X%', s LIKE 'x\\_%' ESCAPE '\\', s SIMILAR TO 'x[0-9]+', s GLOB 'x*', starts_with(s, 'x') FROM t
SELECT upper(s), s || '!', concat_ws('-', s, a), substring(s FROM 1 FOR 2), trim(BOTH ' ' FROM s) FROM t
SELECT s[1:2], format('{} {}', s, a) FROM t
SELECT split_part(s, '1', 1), string_split(s, ''), replace(s, 'x', 'y'), lpad(s, 8, '0'), md5(s), length(s), reverse(s) FROM t
SELECT s.upper().lower(), 'abc'.length() FROM t
SELECT CASE WHEN a > 3 THEN 'big' WHEN a IS NULL THEN '?' ELSE 'small' END FROM t
SELECT coalesce(s, ''), nullif(a, 0), if(a > 1, 1, 0), ifnull(a, 0) FROM t
SELECT a::VARCHAR, CAST(a AS DECIMAL(10, 2)), TRY_CAST(s AS INT), -a FROM t
SELECT a // 2, a % 2, a ** 2, a BETWEEN 1 AND 3, a IS DISTINCT FROM b FROM t
SELECT round(avg(a), 2), stddev(a), median(a), quantile_cont(a, [0.1, 0.9]), mode(b), approx_count_distinct(s), corr(a, b) FROM t
SELECT string_agg(s, ', ' ORDER BY a), list(a ORDER BY a DESC), array_agg(DISTINCT b) FROM t
SELECT arg_max(s, a), histogram(b), max_by(s, a) FROM t
SELECT * FROM t USING SAMPLE 2 ROWS
SELECT * FROM t USING SAMPLE 50 PERCENT (bernoulli, 42)
SELECT * FROM t TABLESAMPLE reservoir(3)
SELECT * FROM t LIMIT 50%
SELECT ? + 1, $2
SELECT * FROM t WHERE a = $wanted
SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS v(n, c)
SELECT range, hash(range) FROM range(5)
SELECT #1 FROM t
SELECT a AS x, x + 1 AS y FROM t
SELECT TRY(a / 0) FROM t
SELECT s COLLATE NOCASE FROM t ORDER BY s COLLATE DE
SELECT exists(FROM u WHERE u.a = t.a) FROM t
FROM (FROM t SELECT a) SELECT a + 1
SELECT array_value(1, 2), list_cosine_similarity([1.0, 2.0], [2.0, 1.0]), greatest(1, 2), least(1, 2), random() < 2
""".strip().splitlines()


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
def test_refusal_says_what_and_where(connection: "duckdb.DuckDBPyConnection", sql: str, words: str, at: int) -> None:
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
