"""Queries that hide what no query may have, at every place of Spark's grammar that takes an expression or a relation."""

from __future__ import annotations

import random

PLACES = (
    "SELECT {} AS x FROM events e",
    "SELECT DISTINCT {} AS x FROM events e",
    "SELECT e.* EXCEPT (id), {} AS x FROM events e",
    "SELECT e.id FROM events e WHERE {} IS NOT NULL",
    "SELECT e.id FROM events e WHERE e.id BETWEEN 0 AND {}",
    "SELECT e.id FROM events e WHERE e.id IN (1, {})",
    "SELECT e.id FROM events e WHERE string({}) LIKE 'a%'",
    "SELECT e.id FROM events e WHERE string({}) RLIKE 'a'",
    "SELECT e.id FROM events e WHERE e.customer LIKE ANY ('a', string({}))",
    "SELECT e.id FROM events e WHERE NOT ({} IS DISTINCT FROM e.id)",
    "SELECT e.id FROM events e ORDER BY {}",
    "SELECT e.id FROM events e SORT BY {} DESC",
    "SELECT e.id FROM events e CLUSTER BY {}",
    "SELECT e.id FROM events e DISTRIBUTE BY {}",
    "SELECT count(*) AS n FROM events e GROUP BY {}",
    "SELECT count(*) AS n FROM events e GROUP BY CUBE ({}, e.ok)",
    "SELECT count(*) AS n FROM events e GROUP BY GROUPING SETS (({}), ())",
    "SELECT count(*) AS n FROM events e GROUP BY {} WITH ROLLUP",
    "SELECT max(e.id) AS n FROM events e HAVING max({}) IS NOT NULL",
    "SELECT sum(e.id) FILTER (WHERE {} IS NOT NULL) AS n FROM events e",
    "SELECT count(DISTINCT {}) AS n FROM events e",
    "SELECT listagg(e.customer) WITHIN GROUP (ORDER BY string({}), e.customer) AS n FROM events e",
    "SELECT max_by(e.id, {}) AS n FROM events e",
    "SELECT sum(e.id) OVER (PARTITION BY {}) AS n FROM events e",
    "SELECT row_number() OVER (ORDER BY {}) AS n FROM events e",
    "SELECT sum(e.id) OVER w AS n FROM events e WINDOW w AS (PARTITION BY {} ORDER BY e.id)",
    "SELECT sum(e.id) OVER w AS n FROM events e WINDOW v AS (ORDER BY {}), w AS v",
    "SELECT lag(e.id, 1, {}) OVER (ORDER BY e.id) AS n FROM events e",
    "SELECT CASE WHEN e.ok THEN {} ELSE e.id END AS n FROM events e",
    "SELECT CASE {} WHEN 1 THEN 2 END AS n FROM events e",
    "SELECT CAST({} AS STRING) AS n FROM events e",
    "SELECT try_cast({} AS STRING) AS n FROM events e",
    "SELECT {}::STRING AS n FROM events e",
    "SELECT array({}, e.id)[0] AS n FROM events e",
    "SELECT array(1, 2)[int(coalesce({}, 0))] AS n FROM events e",
    "SELECT map('a', {})['a'] AS n FROM events e",
    "SELECT named_struct('a', {}).a AS n FROM events e",
    "SELECT (e.id, {}) AS n FROM events e",
    "SELECT transform(e.tags, t -> {}) AS n FROM events e",
    "SELECT aggregate(e.tags, 0L, (a, t) -> a, a -> coalesce({}, a)) AS n FROM events e",
    "SELECT filter(e.tags, t -> {} IS NULL) AS n FROM events e",
    "SELECT zip_with(e.tags, e.tags, (s, t) -> {}) AS n FROM events e",
    "SELECT trim(BOTH string({}) FROM e.customer) AS n FROM events e",
    "SELECT substring(e.customer FROM int({}) FOR 2) AS n FROM events e",
    "SELECT overlay(e.customer PLACING string({}) FROM 1) AS n FROM events e",
    "SELECT position(string({}) IN e.customer) AS n FROM events e",
    "SELECT extract(DAY FROM date_add(e.date, int({}))) AS n FROM events e",
    "SELECT timestampadd(DAY, int({}), e.ts) AS n FROM events e",
    "SELECT e.customer || {} AS n FROM events e",
    "SELECT - {} AS n FROM events e",
    "SELECT explode(array({}, e.id)) AS n FROM events e",
    "SELECT e.id, x FROM events e LATERAL VIEW explode(array({})) t AS x",
    "SELECT e.id, t.x FROM events e, LATERAL (SELECT {} AS x) t",
    "SELECT e.id, t.x FROM events e, LATERAL explode(array({})) AS t(x)",
    "SELECT e.id FROM events e JOIN customers c ON c.customer = string({})",
    "SELECT e.id FROM events e WHERE EXISTS (SELECT 1 FROM customers c WHERE c.customer = string({}))",
    "SELECT e.id FROM events e WHERE e.id IN (SELECT e.id FROM events e WHERE {} IS NULL)",
    "SELECT (SELECT max({}) FROM events e) AS n",
    "WITH c AS (SELECT {} AS x FROM events e) SELECT x FROM c",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r, events e WHERE n < coalesce({}, 3)) SELECT n FROM r",
    "SELECT 1 AS x UNION ALL SELECT {} FROM events e",
    "SELECT id FROM events EXCEPT SELECT {} FROM events e",
    "SELECT * FROM (SELECT e.customer, {} AS x FROM events e) PIVOT (max(x) FOR customer IN ('a', 'b'))",
    "SELECT * FROM (SELECT {} AS x, e.id AS y FROM events e) UNPIVOT (v FOR k IN (x, y))",
    "FROM events e |> SELECT {} AS x",
    "FROM events e |> EXTEND {} AS x",
    "FROM events |> AS e |> SET ok = {} IS NULL",
    "FROM events |> AS e |> SET price = 1D, ok = {} IS NULL |> DROP price",
    "FROM events e |> WHERE {} IS NOT NULL",
    "FROM events e |> AGGREGATE max({}) AS n GROUP BY e.ok",
    "FROM events e |> AGGREGATE count(*) AS n GROUP BY {} AS x",
    "FROM events e |> ORDER BY {}",
    "FROM events e |> SELECT e.id |> UNION ALL (SELECT {} AS id FROM events e)",
    "FROM events e |> JOIN customers c ON c.customer = string({})",
    "SELECT /*+ REPARTITION(2) */ {} AS x FROM events e",
    "SELECT {} AS x, x AS y FROM events e",
    "SELECT collate(string({}), 'UNICODE') AS x FROM events e",
    "SELECT to_json(named_struct('a', {})) AS x FROM events e",
    "FROM events e SELECT {} AS x",
)
"""Queries with a place for an expression; `e` is a row of the view `events`."""

TABLE_PLACES = (
    "SELECT 1 AS n FROM {}",
    "TABLE {}",
    "FROM {} SELECT 1 AS n",
    "SELECT 1 AS n FROM {} AS t",
    "SELECT 1 AS n FROM events, {} t",
    "SELECT 1 AS n FROM events CROSS JOIN {} t",
    "SELECT e.id FROM events e LEFT ANTI JOIN {} t ON true",
    "SELECT e.id FROM events e WHERE EXISTS (SELECT 1 FROM {})",
    "SELECT e.id FROM events e WHERE 1 IN (SELECT 1 FROM {})",
    "SELECT (SELECT count(*) FROM {}) AS n",
    "SELECT e.id FROM events e, LATERAL (SELECT 1 FROM {}) t",
    "WITH c AS (SELECT 1 AS n FROM {}) SELECT n FROM c",
    "WITH c AS (WITH d AS (SELECT 1 AS n FROM {}) SELECT n FROM d) SELECT n FROM c",
    "WITH unused AS (SELECT 1 AS n FROM {}) SELECT 1 AS n",
    "SELECT 1 AS n UNION ALL SELECT 1 FROM {}",
    "SELECT 1 AS n INTERSECT SELECT 1 FROM {}",
    "SELECT sum(e.id) OVER w AS n FROM events e WINDOW w AS (PARTITION BY EXISTS (SELECT 1 FROM {}))",
    "SELECT * FROM (SELECT 1 AS a, 2 AS b FROM {}) PIVOT (max(a) FOR b IN (1, 2))",
    "FROM {} |> SELECT 1 AS n",
    "FROM events |> SET ok = EXISTS (SELECT 1 FROM {})",
    "FROM events |> SET price = 1D, ok = true |> SET ok = (SELECT count(*) FROM {}) > 0",
    "FROM events |> CROSS JOIN {} AS t",
    "FROM events |> SELECT 1 AS n |> UNION ALL (SELECT 1 AS n FROM {})",
    "FROM events |> WHERE id IN (SELECT 1 FROM {})",
    "FROM events |> AGGREGATE max((SELECT count(*) FROM {})) AS n",
    "SELECT transform(e.tags, t -> 1) AS n FROM events e WHERE EXISTS (SELECT 1 FROM {})",
    "SELECT e.id FROM events e ORDER BY (SELECT count(*) FROM {})",
)
"""Queries with a place for a relation."""

EXPRESSIONS = (
    "reflect('java.lang.System', 'getenv', 'HOME')",
    "java_method('java.util.UUID', 'randomUUID')",
    "try_reflect('java.lang.System', 'lineSeparator')",
    "uuid()", "rand()", "randn(3)", "random()", "randstr(3, 1)", "uniform(1, 2, 3)", "shuffle(array(1, 2))[0]",
    "current_date()", "current_timestamp()", "now()", "localtimestamp()", "unix_timestamp()", "current_time()",
    "current_date", "current_timestamp", "user", "current_user", "session_user",
    "input_file_name()", "monotonically_increasing_id()", "spark_partition_id()", "version()", "current_timezone()",
    "xpath_string('<a/>', 'a')", "xpath('<a/>', 'a')[0]", "from_xml('<a>1</a>', 'a INT').a", "schema_of_xml('<a/>')",
    "aes_encrypt('a', '0000111122223333')", "kll_sketch_to_string_bigint(X'00')",
    "default.secret(1)", "spark_catalog.default.secret(1)", "secret(1)", "ice.system.bucket(4, 1)", "system.builtin.abs(1)",
    "IDENTIFIER('uu' || 'id')()", "IDENTIFIER('abs')(1)",
    "(SELECT max(value) FROM text.`file:///etc/hostname`)", "(SELECT count(*) FROM spark_catalog.main__p.features)",
    "(SELECT max(id) FROM foreign)", "(SELECT max(id) FROM IDENTIFIER('for' || 'eign'))",
    "(SELECT count(*) FROM events TABLESAMPLE (50 PERCENT))", "(SELECT count(*) FROM collations())",
    "(SELECT max(x) FROM (SELECT TRANSFORM(id) USING 'id' AS (x STRING) FROM events))",
)  # fmt: skip
"""Expressions that are refused."""

RELATIONS = (
    "foreign", "default.foreign", "spark_catalog.default.foreign", "ice.main__p.features", "global_temp.foreign",
    "text.`file:///etc/hostname`", "csv.`s3a://bucket/x`", "binaryFile.`/etc/hostname`", "IDENTIFIER('foreign')",
    "IDENTIFIER('for' || 'eign')", "ice.main__p.features.snapshots", "collations()", "sql_keywords()",
    "(SELECT * FROM foreign)", "(FROM foreign)", "(TABLE foreign)", "events TABLESAMPLE (1 PERCENT)",
)  # fmt: skip
"""Relations that are refused."""

_AROUND = ("{}", "coalesce({}, {})", "if({} IS NULL, {}, {})", "nvl2({}, 1, 2)", "string({})", "(SELECT max({}) FROM events e)")


def hidden(chance: random.Random) -> str:
    """Return a query that hides an expression or a relation, perhaps within others."""
    if chance.random() < 0.7:
        around = chance.choice(_AROUND)
        return chance.choice(PLACES).format(around.format(*[chance.choice(EXPRESSIONS) for _ in range(around.count("{}"))]))
    place, relation = chance.choice(TABLE_PLACES), chance.choice(RELATIONS)
    for _ in range(chance.randrange(3)):
        if not place.startswith(("TABLE", "WITH")):
            relation = f"({chance.choice(TABLE_PLACES[3:11]).format(relation)})"
    return place.format(relation)
