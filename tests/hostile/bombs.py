"""SQL that asks for too much: time, memory, disk, plans without end. ``t`` has the columns a, b, s."""

DEEP_LAMBDA = "lambda x: list_transform(range(9999), lambda y: list_sum(range(9999)))"

BOMBS = {
    # strings
    "repeat": "SELECT repeat('x', 2000000000) || repeat('y', 2000000000)",
    "repeat doubled": "SELECT length(repeat(repeat(repeat('x', 100000), 100000), 10))",
    "lpad": "SELECT lpad('x', 2000000000, 'y')",
    "rpad of rows": "SELECT max(rpad(range::VARCHAR, 100000000, 'z')) FROM range(100)",
    "format": "SELECT format('{:>2000000000}', 'x')",
    "printf": "SELECT printf('%2000000000d', 1)",
    "bar": "SELECT bar(1, 0, 1, 2000000000)",
    "replace": "SELECT length(replace(repeat('a', 10000000), 'a', repeat('b', 1000)))",
    "concat of a list": (
        "SELECT length(array_to_string(list_transform(range(1000000), lambda x: repeat('x', 10000)), ''))"
    ),
    "string_agg": "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
    "levenshtein": "SELECT levenshtein(repeat('ab', 500000), repeat('ba', 500000))",
    "damerau": "SELECT damerau_levenshtein(repeat('ab', 200000), repeat('ba', 200000))",
    "jaccard": (
        "SELECT count(*) FROM range(1000000) a, range(1000000) b "
        "WHERE jaccard(a.range::VARCHAR, b.range::VARCHAR) > 2"
    ),
    "regexp": "SELECT regexp_matches(repeat('a', 10000000), '(a*)*(a*)*(a*)*b{1000}')",
    "regexp replace": "SELECT length(regexp_replace(repeat('a', 10000000), '', 'xxxxxxxxxxxxxxxxxxxx', 'g'))",
    "regexp extract all": "SELECT len(regexp_extract_all(repeat('a', 100000000), '.'))",
    "split": "SELECT len(string_split(repeat('a,', 100000000), ','))",
    "hashes": "SELECT count(*) FROM range(100000000000) WHERE sha256(range::VARCHAR) = 'x'",
    # lists and nested values
    "list of strings": "SELECT list(repeat('x', 1000000)) FROM range(100000)",
    "range": "SELECT range(1000000000)",
    "list_resize": "SELECT list_resize([1], 2000000000)",
    "lambda": "SELECT list_transform(range(100000000), lambda x: repeat('x', 100))",
    "nested lambda": f"SELECT list_transform(range(9999), {DEEP_LAMBDA})",
    "reduce": "SELECT list_reduce(range(100000000)::VARCHAR[], lambda x, y: x || y)",
    "flatten": "SELECT len(flatten(list_transform(range(100000), lambda x: range(100000))))",
    "sorted lists": "SELECT sum(list_sort(range(10000000))[1]) FROM range(1000)",
    "cosine": (
        "SELECT sum(list_cosine_similarity(range(1000000)::DOUBLE[], range(1000000)::DOUBLE[])) "
        "FROM range(100000)"
    ),
    "json": "SELECT to_json(range(100000000))",
    "json groups": "SELECT json_group_array(repeat('x', 100000)) FROM range(1000000)",
    "unnest": "SELECT count(DISTINCT u) FROM (SELECT unnest(range(1000000000)) AS u)",
    "histogram": "SELECT histogram(range) FROM range(1000000000)",
    # rows
    "cross join": (
        "SELECT count(*) FROM range(10000000000) a, range(10000000000) b WHERE a.range * b.range = 7"
    ),
    "cross join of a table": "SELECT count(*) FROM "
    + ", ".join(f"t t{i}" for i in range(12))
    + " WHERE t1.a + t2.a + t3.a > 1",
    "generate_series": "SELECT count(*) FROM generate_series(1, 100000000000)",
    "sort": "SELECT * FROM range(3000000000) ORDER BY hash(range)",
    "group": "SELECT count(*) FROM (SELECT md5(range::VARCHAR) FROM range(3000000000) GROUP BY ALL)",
    "distinct": "SELECT count(DISTINCT range) FROM range(100000000000)",
    "window": (
        "SELECT max(n) FROM (SELECT sum(range) OVER (ORDER BY hash(range)) AS n FROM range(1000000000))"
    ),
    "window frames": (
        "SELECT median(range) OVER (ROWS BETWEEN 1000000 PRECEDING AND 1000000 FOLLOWING) "
        "FROM range(100000000)"
    ),
    "quantiles": "SELECT quantile_cont(range, [0.1, 0.5, 0.9]) FROM range(10000000000)",
    "like join": (
        "SELECT count(*) FROM range(1000000) a "
        "JOIN range(1000000) b ON b.range::VARCHAR LIKE '%' || a.range || '%'"
    ),
    "correlated": (
        "SELECT sum((SELECT count(*) FROM range(100000000) b WHERE b.range > a.range)) "
        "FROM range(100000000) a"
    ),
    "pivot": "PIVOT (SELECT range AS r FROM range(90000)) ON r USING count(*)",
    "except": "SELECT * FROM range(10000000000) EXCEPT SELECT * FROM range(5000000000)",
    # recursion
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    "wide recursion": (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r, range(10)) SELECT count(*) FROM r"
    ),
    "long recursion": (
        "WITH RECURSIVE r AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM r) SELECT max(length(s)) FROM r"
    ),
    "distinct recursion": (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT n + 1 FROM r) SELECT count(*) FROM r"
    ),
    # parser, binder and planner
    "IN list": "SELECT 1 WHERE 5 IN (" + ",".join(map(str, range(14_000))) + ")",
    "unions": " UNION ".join(["SELECT 1"] * 6_500),
    "joins": "SELECT count(*) FROM t " + " ".join(f"JOIN t t{i} USING (b)" for i in range(60)),
    "outer joins": "SELECT count(*) FROM t "
    + " ".join(f"FULL JOIN t t{i} ON t.a < t{i}.b" for i in range(40)),
    "columns": "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(6_500)),
    "case": "SELECT " + "CASE WHEN a = 1 THEN " * 900 + "1" + " END" * 900 + " FROM t",
    "parentheses": "SELECT " + "(" * 40_000 + "1" + ")" * 40_000,
    "sum of ones": "SELECT 1" + " + 1" * 24_000,
    "nots": "SELECT " + "NOT " * 24_000 + "true",
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 6_000 + "t" + ")" * 6_000,
    "common tables": "WITH c0 AS (SELECT 1 AS x), "
    + ", ".join(f"c{i} AS (SELECT a.x FROM c{i - 1} a, c{i - 1} b)" for i in range(1, 40))
    + " SELECT count(*) FROM c39",
    "cubes": "SELECT count(*) FROM t GROUP BY CUBE (" + ", ".join(f"a + {i}" for i in range(24)) + ")",
    "casts": "SELECT " + "CAST(" * 3_000 + "1" + " AS INT)" * 3_000,
    "lists in lists": "SELECT " + "[" * 30_000 + "]" * 30_000,
    "comments": "/*" * 20_000 + "SELECT 1" + "*/" * 20_000,
    "quotes": "SELECT '" + "''" * 45_000,
    "semicolons": "SELECT 1" + ";" * 90_000,
    "ors": "SELECT count(*) FROM t WHERE " + " OR ".join(f"(a = {i} AND b = {i})" for i in range(3_000)),
    "sample": "SELECT * FROM range(100000000000) USING SAMPLE 50%",
}
