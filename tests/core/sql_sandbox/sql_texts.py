"""SQL texts for the tests of the sandbox:
attacks that nothing may let through, and queries that everything must.

One per line; ``t`` (a, b, s, l, st, j, d), ``u``, ``"faq@2"`` and ``"Ünïcode"`` are the tables that there
are.
"""

ATTACKS = r"""
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
COPY/**/t/**/TO/**/'/tmp/x.csv'
cOpY (SELECT 1) tO '/tmp/x.json'
/* SELECT */ COPY t TO '/tmp/x'
(COPY t TO '/tmp/x')
WITH c AS (COPY t TO '/tmp/x') SELECT * FROM c
SELECT * FROM (COPY t TO '/tmp/x')
COPY (SELECT * FROM t) TO '/dev/stdout'
COPY t TO 'x.parquet' (FORMAT parquet, PARTITION_BY (b), OVERWRITE_OR_IGNORE)
COPY (SELECT 1) TO '/tmp/x' WITH (FORMAT csv, HEADER)
COPY DATABASE memory TO x
ATTACH DATABASE '/tmp/x.db' AS x (READ_ONLY)
ATTACH IF NOT EXISTS '/tmp/x.db'
ATTACH 'sqlite:/tmp/x.db' AS x (TYPE sqlite)
ATTACH 'host=localhost' AS p (TYPE postgres)
/**/ATTACH/**/'/tmp/x'/**/AS/**/y
aTtAcH '/tmp/x' AS y
SELECT 1 UNION ALL ATTACH '/tmp/x'
WITH x AS (ATTACH '/tmp/x') SELECT 1
USE '/tmp/x'
CREATE PERSISTENT SECRET s (TYPE http, EXTRA_HTTP_HEADERS MAP {'a': 'b'})
DROP SECRET s
CREATE TABLE x AS FROM 'x.csv'
CREATE VIEW x AS SELECT * FROM '/etc/passwd'
CREATE TEMP MACRO m(a) AS TABLE SELECT * FROM query(a)
INSERT INTO t BY NAME SELECT * FROM t
INSERT OR REPLACE INTO t VALUES (1)
UPDATE t SET a = a RETURNING *
DELETE FROM t USING u WHERE t.a = u.a RETURNING *
WITH x AS (UPDATE t SET a = 1 RETURNING a) SELECT sum(a) FROM x
WITH x AS MATERIALIZED (DELETE FROM t RETURNING *) SELECT count(*) FROM x
WITH RECURSIVE x AS (INSERT INTO t VALUES (1) RETURNING * UNION ALL SELECT * FROM x) SELECT * FROM x
WITH x AS (MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE RETURNING *) SELECT * FROM x
WITH x AS (SELECT 1) DELETE FROM t WHERE a IN (SELECT * FROM x)
WITH x AS (SELECT 1) UPDATE t SET a = 1
SELECT * FROM (INSERT INTO t VALUES (1) RETURNING *)
SELECT (DELETE FROM t RETURNING a)
SELECT * FROM t WHERE a IN (DELETE FROM t RETURNING a)
SELECT json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM ''/etc/passwd'''))
FROM json_execute_serialized_sql('{"error":false,"statements":[{"node":{"type":"SELECT_NODE"}}]}')
PRAGMA json_execute_serialized_sql('{}')
SELECT json_serialize_plan('SELECT 1', optimize := true)
SELECT * FROM query('FROM ' || '''/etc/passwd''')
SELECT * FROM query_table(['t', '/etc/passwd'])
SELECT * FROM query_table('/etc/passwd', true)
SELECT * FROM sql_auto_complete('SEL')
SELECT * FROM check_peg_parser('SELECT 1')
SELECT * FROM duckdb_constraints()
SELECT * FROM duckdb_indexes()
SELECT * FROM duckdb_schemas()
SELECT * FROM duckdb_sequences()
SELECT * FROM duckdb_types()
SELECT * FROM duckdb_dependencies()
SELECT * FROM duckdb_optimizers()
SELECT * FROM duckdb_secret_types()
SELECT * FROM duckdb_log_contexts()
SELECT * FROM duckdb_table_sample('t')
SELECT * FROM duckdb_profiling_settings()
SELECT * FROM pragma_metadata_info()
SELECT * FROM pragma_collations()
SELECT * FROM pragma_last_profiling_output()
SELECT * FROM storage_info('t')
SELECT * FROM summary('t')
SELECT * FROM index_scan('t')
SELECT * FROM arrow_scan_dumb(1, 2, 3)
SELECT * FROM parquet_scan(['/etc/passwd'])
SELECT * FROM read_parquet('/proc/self/fd/0')
SELECT * FROM read_parquet('data.parquet', filename = true)
SELECT * FROM read_csv('/dev/stdin')
SELECT * FROM read_csv(['a.csv', '/etc/passwd'], union_by_name = true)
SELECT * FROM read_json('https://example.com/x.json')
SELECT * FROM read_text('~/.ssh/id_rsa')
SELECT * FROM read_text('/proc/1/environ')
SELECT * FROM read_blob('/proc/self/maps')
SELECT * FROM iceberg_scan('/x')
SELECT * FROM sqlite_scan('/x.db', 't')
SELECT * FROM postgres_query('db', 'SELECT 1')
SELECT * FROM glob('/proc/*/environ')
SELECT * FROM 'link-to-another.parquet'
SELECT * FROM '/proc/self/root/etc/passwd'
SELECT * FROM '/proc/self/cwd/data.parquet'
SELECT * FROM '/dev/fd/3'
SELECT * FROM 'file:///etc/passwd'
SELECT * FROM 'FILE:/etc/passwd'
SELECT * FROM '\\server\share\x.csv'
SELECT * FROM E'/etc/passwd'
SELECT * FROM $$/etc/passwd$$
SELECT * FROM "/etc/passwd" AS t
SELECT * FROM t NATURAL JOIN '/etc/passwd'
SELECT * FROM t, '/etc/passwd' AS p
SELECT * FROM t WHERE a = (SELECT a FROM "/etc/passwd" LIMIT 1)
SELECT * FROM t ORDER BY (SELECT 1 FROM '/etc/passwd')
SELECT sum(a) OVER (ORDER BY (SELECT 1 FROM '/etc/passwd')) FROM t
SELECT * FROM t QUALIFY row_number() OVER () = (SELECT 1 FROM '/etc/passwd')
SELECT list_transform([1], lambda x: (SELECT count(*) FROM '/etc/passwd'))
SELECT {'a': (SELECT 1 FROM '/etc/passwd')}
SELECT CASE WHEN true THEN (SELECT 1 FROM '/etc/passwd') END
SELECT * FROM unnest((SELECT [a] FROM '/etc/passwd'))
SELECT * FROM generate_series(1, (SELECT count(*) FROM '/etc/passwd'))
SELECT * FROM json_each((SELECT a FROM '/etc/passwd'))
FROM t SELECT * EXCLUDE (a) REPLACE ((SELECT 1 FROM '/x') AS b)
UNPIVOT (FROM '/etc/passwd') ON COLUMNS(*) INTO NAME n VALUE v
SUMMARIZE (FROM '/etc/passwd')
DESCRIBE (SELECT * FROM read_csv('/etc/passwd'))
SELECT * FROM (DESCRIBE '/etc/passwd')
SELECT * FROM (SUMMARIZE duckdb_settings())
SELECT * FROM (SHOW TABLES)
SELECT * FROM (SHOW ALL TABLES)
SELECT * FROM (SHOW DATABASES)
SHOW SCHEMAS
SHOW VARIABLES
SHOW memory_limit
SHOW TABLES FROM main
DESCRIBE TABLES
DESCRIBE information_schema.tables
SET SESSION memory_limit = '100GB'
SET temp_directory = '/tmp'
SET allowed_paths = ['/']
SET allowed_directories = ['/']
SET home_directory = '/'
SET extension_directory = '/tmp'
SET profiling_output = '/tmp/x'
SET VARIABLE x = (SELECT content FROM read_text('/etc/passwd'))
SET s3_access_key_id = 'x'
RESET ALL
RESET enable_external_access
PRAGMA enable_profiling = 'json'
PRAGMA profiling_output = '/tmp/x'
PRAGMA disable_optimizer
PRAGMA force_checkpoint
PRAGMA import_database('/tmp')
PRAGMA database_size
PRAGMA functions
PRAGMA storage_info('t')
CALL pragma_version()
CALL query('SELECT 1')
CALL read_csv('/etc/passwd')
EXPLAIN COPY t TO '/tmp/x'
EXPLAIN ANALYZE DELETE FROM t
EXPLAIN (FORMAT json) SELECT 1
EXPLAIN ANALYZE SELECT * FROM '/etc/passwd'
PREPARE p AS COPY t TO '/tmp/x'
EXECUTE p('/tmp/x')
BEGIN; COPY t TO '/tmp/x'; COMMIT
SELECT 1;;SELECT 2
SELECT * FROM t; SET threads = 1
;;;DROP TABLE t
SELECT current_setting('allowed_paths')
SELECT current_setting('temp_' || 'directory')
SELECT getenv('LUTHIER_JWT_SECRET')
SELECT "getenv"('HOME')
SELECT GETENV('HOME')
SELECT getenv ('HOME')
SELECT main."getenv"('HOME')
SELECT system.main.getenv('HOME')
SELECT getvariable('x') + 1
SELECT current_user
SELECT session_user
SELECT current_user FROM t WHERE session_user IS NOT NULL
SELECT current_role
SELECT current_catalog
SELECT current_schema
SELECT current_schema()
SELECT pg_size_pretty(pg_database_size('memory'))
SELECT pg_get_expr('a', 1)
SELECT pg_conf_load_time()
SELECT pg_postmaster_start_time()
SELECT obj_description(1, 'pg_class')
SELECT col_description(1, 1)
SELECT get_block_size('memory')
SELECT has_schema_privilege('main', 'usage')
SELECT inet_client_addr()
SELECT pg_is_other_temp_schema(1)
SELECT add_parquet_key('k', 'v')
SELECT parse_duckdb_log_message('Query', 'x')
SELECT lastval()
SELECT invoke(lambda x: getenv(x), 'HOME')
SELECT __internal_decompress_string('x')
SELECT vector_type(a) FROM t
SELECT stats(a) FROM t
SELECT finalize(a) FROM t
SELECT sum(a) EXPORT_STATE FROM t
SELECT query('SELECT 1')
SELECT read_csv('/etc/passwd')
SELECT glob('/*')
SELECT * FROM main.read_csv('/etc/passwd')
SELECT * FROM system.main.read_text('/etc/passwd')
SELECT * FROM "read_text"('/etc/passwd')
SELECT * FROM READ_TEXT('/etc/passwd')
SELECT * FROM t AT (VERSION => 1) JOIN u USING (a)
SELECT * FROM memory.t
SELECT * FROM "memory"."main"."t"
SELECT * FROM system.information_schema.tables
SELECT * FROM pg_catalog.pg_settings
SELECT * FROM pg_settings
SELECT * FROM pg_proc
SELECT * FROM pg_class
SELECT * FROM main.sqlite_master
SELECT * FROM sqlite_temp_master
SELECT * FROM duckdb_tables
SELECT * FROM duckdb_logs
SELECT * FROM "duckdb_tables()"
SELECT * FROM temp.information_schema.columns
LOAD 'httpfs'
LOAD '/tmp/../tmp/x.duckdb_extension'
INSTALL 'https://example.com/x.duckdb_extension'
INSTALL httpfs FROM community
KILL 1
GRANT SELECT ON t TO u
LISTEN x
LOCK TABLE t
REINDEX t
DECLARE c CURSOR FOR SELECT 1
DO $$ BEGIN END $$
VACUUM ANALYZE t
CHECKPOINT memory
FORCE CHECKPOINT
EXPORT DATABASE '/tmp/x' (FORMAT parquet)
SELECT * INTO x FROM t
SELECT * FROM t FOR UPDATE; DELETE FROM t
VALUES (1); ATTACH '/tmp/x'
TABLE "/etc/passwd"
FROM read_text('/etc/passwd') SELECT content
FROM (FROM read_csv('/etc/passwd'))
FROM t, read_text('/etc/passwd')
FROM t JOIN glob('/*') ON true
PIVOT read_text('/etc/passwd') ON filename
PIVOT (FROM duckdb_settings()) ON name
PIVOT t ON (SELECT a FROM '/etc/passwd') USING count(*)
PIVOT t ON a USING count(*) GROUP BY getenv('HOME')
SELECT
SELECT FROM
)
;
-- only a comment
'
""".strip().splitlines()

QUERIES = (
    r"""
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
SELECT a, sum(a) OVER w, lag(a, 1, 0) OVER w FROM t WINDOW w AS (ORDER BY a ROWS BETWEEN 2 PRECEDING AND
    CURRENT ROW)
SELECT ntile(4) OVER (ORDER BY a), percent_rank() OVER (ORDER BY a), first_value(a IGNORE NULLS) OVER ()
    FROM t
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
SELECT list_transform(l, lambda x: x * 2), list_filter(l, lambda x: x > 1), list_reduce(l, lambda x, y: x +
    y) FROM t
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
SELECT date_trunc('month', d), extract(year FROM d), d + INTERVAL 1 DAY, date_diff('day', d, current_date)
    FROM t
SELECT strftime(d, '%Y-%m'), strptime('2020-01-02', '%Y-%m-%d'), dayname(d), d::DATE - DATE '2020-01-01'
    FROM t
SELECT d AT TIME ZONE 'Europe/Berlin', epoch_ms(d), time_bucket(INTERVAL '1 week', d), now(), today(),
    current_timestamp FROM t
SELECT generate_series FROM generate_series(DATE '2020-01-01', DATE '2020-01-05', INTERVAL 1 DAY)
SELECT regexp_matches(s, '^x'), regexp_extract(s, '([0-9]+)', 1), regexp_replace(s, '[aeiou]', '', 'g'), s ~
    'x.*' FROM t
SELECT s ILIKE '%X%', s LIKE 'x\_%' ESCAPE '\', s SIMILAR TO 'x[0-9]+', s GLOB 'x*', starts_with(s, 'x')
    FROM t
SELECT upper(s), s || '!', concat_ws('-', s, a), substring(s FROM 1 FOR 2), trim(BOTH ' ' FROM s) FROM t
SELECT s[1:2], format('{} {}', s, a) FROM t
SELECT split_part(s, '1', 1), string_split(s, ''), replace(s, 'x', 'y'), lpad(s, 8, '0'), md5(s), length(s),
    reverse(s) FROM t
SELECT s.upper().lower(), 'abc'.length() FROM t
SELECT CASE WHEN a > 3 THEN 'big' WHEN a IS NULL THEN '?' ELSE 'small' END FROM t
SELECT coalesce(s, ''), nullif(a, 0), if(a > 1, 1, 0), ifnull(a, 0) FROM t
SELECT a::VARCHAR, CAST(a AS DECIMAL(10, 2)), TRY_CAST(s AS INT), -a FROM t
SELECT a // 2, a % 2, a ** 2, a BETWEEN 1 AND 3, a IS DISTINCT FROM b FROM t
SELECT round(avg(a), 2), stddev(a), median(a), quantile_cont(a, [0.1, 0.9]), mode(b),
    approx_count_distinct(s), corr(a, b) FROM t
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
SELECT user, current_role.x FROM (SELECT 1 AS user, {'x': 1} AS current_role)
SELECT x.current_role FROM (SELECT 1 AS current_role) x
SELECT array_value(1, 2), list_cosine_similarity([1.0, 2.0], [2.0, 1.0]), greatest(1, 2), least(1, 2),
    random() < 2
""".strip()
    .replace("\n    ", " ")
    .splitlines()
)
