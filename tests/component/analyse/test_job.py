"""The job of analyse in Spark: what it computes for a table is computed once."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from spark_job import run_jobs

from stack.spark_archive import hadoop_catalog

JOB = """
import json
from pyspark.sql import SparkSession
from perennial.analyse import partitions
from perennial.analyse.job import analyse
from perennial.analyse.job_file import AnalyseJob
from perennial.spark.tables import open_database

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
open_database(spark, "lab")
spark.sql(
    "SELECT DATE '2026-03-01' + CAST(id % 4 AS INT) AS date, concat('k', id % 5) AS k, CAST(id AS DOUBLE) AS x, "
    "id % 3 = 0 AS late FROM range(200)"
).writeTo("ice.lab.clean_visits").using("iceberg").create()
snapshot = spark.sql("SELECT snapshot_id FROM ice.lab.clean_visits.snapshots").first()[0]
DAYS = {day: "key" for day in ("2026-03-03", "2026-03-04")}
LOOKUP = '''SELECT d.as_of, v.k, AVG(v.x) AS %s FROM dates d JOIN visits v ON v.date >= d.as_of - 1 AND v.date < d.as_of
            GROUP BY d.as_of, v.k'''
FEATURES = "SELECT v.date, v.k, v.x, v.late FROM visits v JOIN dates d ON v.date = d.date"
ANALYSIS = "SELECT v.date, COUNT(*) AS n FROM visits v JOIN dates d ON v.date = d.date GROUP BY v.date"


def item(table, sql, **more):
    return {"table": table, "file": f"{table}.sql", "sql": sql, "days": DAYS, "held": {}, **more}


ALONE = {"has_stored_labels": False}
K = {"name": "k", "type": "category", "nullable": False}
lookups = [{"name": n, "table": f"lookup_{n}", "key": ["k"], "values": [n], "days": DAYS} for n in ("a", "b", "c")]
job = {
    "database": "lab", "time_zone": "UTC", "lookback_days": 1, "withdraw": {},
    "tables": {"visits": {"table": "clean_visits", "snapshot_id": snapshot, "dated": True}},
    "lookups": [item(sql=LOOKUP % one["name"], **one) for one in lookups],
    "features": [
        item("features", FEATURES, request=[K], row_key=["x"], label="late", later_label=None, lookups=lookups, **ALONE),
    ],
    "labels": [],
    "analysis": [item("analysis_day", ANALYSIS), item("analysis_again", ANALYSIS)],
    "profile": [{"table": "profile", "file": "the profile", "days": DAYS, "held": {}, "sources": ["visits"]}],
}
"""

CACHED = """
cached, commit = {}, partitions.commit


def watched(rows, name, **facts):
    cached[name] = rows.storageLevel.useMemory
    commit(rows, name, **facts)


partitions.commit = watched
analyse(spark, AnalyseJob.from_json(job))
print("SAID " + json.dumps(cached))
partitions.commit = commit
"""


FAILING = """
from perennial.errors import RefusedError

fails = ANALYSIS.replace("COUNT(*)", "SUM(1 / (v.x - v.x))"), ANALYSIS.replace("COUNT(*)", "CAST(MAX(v.k) AS INT)"), ANALYSIS
job["analysis"] = [item(f"analysis_{index}", sql) for index, sql in enumerate(fails)]
said = []
unresolved = ANALYSIS.replace("v.x", "v.y").replace("*", "v.y")
for changes in ({}, {"analysis": [item(f"analysis_{index}", unresolved) for index in (3, 4)]}):
    try:
        analyse(spark, AnalyseJob.from_json(job | changes))
    except RefusedError as error:
        said.append([error.what, *error.problems])
tables = [row.tableName for row in spark.sql("SHOW TABLES IN ice.lab").collect()]
def snapshots(table):
    return spark.sql(f"SELECT snapshot_id FROM ice.lab.{table}.snapshots").count()


named = job["lookups"]
other = FEATURES.replace("v.k, v.x", "v.late AS k, v.date AS x")
wrong = {
    "lookups": [
        named[0] | {"values": ["b", "c"]},
        named[1] | {"sql": named[1]["sql"].replace("AVG(v.x)", "MAX(v.k)")},
        named[2] | {"sql": named[2]["sql"].replace("v.k", "v.y")},
    ],
    "features": [job["features"][0] | {"sql": other, "request": [K, K | {"name": "x", "type": "time"}]}],
    "analysis": [item("analysis_day", ANALYSIS.replace("v.date,", "CAST(v.date AS STRING) AS date,"))],
}
before = [snapshots(table) for table in ("lookup_a", "features", "analysis_day")]
try:
    analyse(spark, AnalyseJob.from_json(job | wrong))
except RefusedError as error:
    all_at_once = [error.what, *error.problems]
untouched = before == [snapshots(table) for table in ("lookup_a", "features", "analysis_day")]
LABELS = "SELECT v.date, v.x, v.late FROM visits v JOIN dates d ON v.date = d.date"
kept = FEATURES.replace(", v.late", "")
labels = []
for features, query in (
    (FEATURES, LABELS),
    (kept, LABELS.replace("v.x", "CAST(v.x AS INT) AS x")),
    (kept, f"{LABELS} UNION ALL {LABELS}"),
):
    rows = [item("features", features, request=[K], row_key=["x"], label=None, later_label="late", lookups=[], **ALONE)]
    late = [item("labels", query, request=[K], row_key=["x"], label="late", known_after_days=1)]
    try:
        changes = {"lookups": [], "features": rows, "labels": late, "analysis": [], "profile": []}
        analyse(spark, AnalyseJob.from_json(job | changes))
    except RefusedError as error:
        labels.append(str(error))
print("SAID " + json.dumps([said, tables, labels, all_at_once, untouched]))
"""


SMALL_KEY = """
small = LABELS.replace("v.x", "CAST(v.x AS SMALLINT) AS x")
key_only = small.replace(", v.late", "")
rows = [item("features", key_only, request=[], row_key=["x"], label=None, later_label="late", lookups=[], **ALONE)]
late = [item("labels", small, request=[], row_key=["x"], label="late", known_after_days=1)]
for features, labels in ((rows, []), ([], late)):  # in one run, and in the next
    changes = {"lookups": [], "features": features, "labels": labels, "analysis": [], "profile": []}
    analyse(spark, AnalyseJob.from_json(job | changes))
later = []
for key in ("CAST(v.x AS INT) AS x", "CAST(v.x AS STRING) AS x"):
    again = [rows[0] | {"sql": key_only.replace("CAST(v.x AS SMALLINT) AS x", key), "has_stored_labels": True}]
    made = snapshots("features")
    try:
        analyse(spark, AnalyseJob.from_json(job | changes | {"features": again, "labels": []}))
        later.append(snapshots("features") - made)
    except RefusedError as error:
        later += [error.what, *error.problems, snapshots("features") - made]
print("SAID " + json.dumps([spark.table("ice.lab.labels").count(), later]))
"""


ZONES = """
spark.sql(
    "SELECT DATE '2026-03-28' + CAST(id % 3 AS INT) AS date, id, TIMESTAMP '2026-03-28 22:30:00Z' + "
    "MAKE_DT_INTERVAL(CAST(id % 3 AS INT), 0, CAST(id AS INT)) AS at FROM range(60)"
).writeTo("ice.lab.clean_clicks").using("iceberg").create()
snapshot = spark.sql("SELECT snapshot_id FROM ice.lab.clean_clicks.snapshots").first()[0]
clicks = {"clicks": {"table": "clean_clicks", "snapshot_id": snapshot, "dated": True}}
MOMENTS = "SELECT v.date, v.id, v.at FROM clicks v JOIN dates d ON v.date = d.date"
LOCAL = '''SELECT v.date, MIN(HOUR(v.at)) AS hour, CAST(MAX(CAST(v.at AS DATE)) AS STRING) AS day,
           MIN(unix_micros(DATE_TRUNC('day', v.at))) AS midnight, COUNT_IF(v.at < d.as_of) AS before
           FROM clicks v JOIN dates d ON v.date = d.date GROUP BY v.date'''
found = {}


def keep(rows, name, *, partitions, **facts):
    digests = {day: partition.digest for day, partition in partitions.items()}
    shown = {str(row["date"]): list(row)[1:] for row in rows.collect()} if "local" in name else {}
    found.setdefault(zone, []).append([digests, shown])
    commit(rows, name, partitions=partitions, **facts)


partitions.commit = keep
for zone in ("UTC", "Europe/Berlin"):
    for days in (["2026-03-28", "2026-03-29", "2026-03-30"], ["2026-03-28"]):
        for name, sql in (("moments", MOMENTS), ("local", LOCAL)):
            query = {**item(name, sql), "days": dict.fromkeys(days, "key")}
            changes = {"lookups": [], "features": [], "labels": [], "analysis": [query], "profile": [], "tables": clicks}
            analyse(spark, AnalyseJob.from_json(job | changes | {"time_zone": zone}))
print("SAID " + json.dumps(found))
"""
UNSENDABLE = """
KINDS = {"wind": "number", "promo": "category", "at": "time", "day": "date", "wet": "boolean"}
NAMES = [*KINDS, *(f"{name}_or_null" for name in KINDS)]
fields = [{"name": name, "type": KINDS[name.removesuffix("_or_null")], "nullable": name not in KINDS} for name in NAMES]
FIT = {
    "wind": "3.4028234663852886e38D", "promo": "repeat('ä', 1000)", "at": "1439", "day": "DATE '9999-12-31'", "wet": "TRUE",
    **{f"{name}_or_null": f"CAST(NULL AS {kind})" for name, kind in zip(KINDS, ("DOUBLE", "STRING", "INT", "DATE", "BOOLEAN"))},
    "key": "k", "late": "TRUE",
}


def refusal(wrong, table="features", condition="x >= 190"):
    # The refusal of a query whose rows of some x have these values.
    faults = {**FIT, **{name: f"CASE WHEN {condition} THEN {value} ELSE {FIT[name]} END" for name, value in wrong.items()}}
    listed = ", ".join(f"{sql} AS {name}" for name, sql in faults.items() if table == "features" or name in ("key", "late"))
    query = f"SELECT v.date, v.x, {listed} FROM visits v JOIN dates d ON v.date = d.date"
    key = {"row_key": ["key", "x"], "label": "late"}
    if table == "features":
        changes = {"features": [item(table, query, request=fields, lookups=[], later_label=None, **key, **ALONE)], "labels": []}
    else:
        changes = {"features": [], "labels": [item(table, query, request=fields, known_after_days=1, **key)]}
    try:
        analyse(spark, AnalyseJob.from_json(job | {"lookups": [], "analysis": [], "profile": []} | changes))
    except RefusedError as error:
        return [error.what, *error.problems]
    return spark.table(f"ice.lab.{table}").count()


def merged(**wind):
    # What the record of each day says of values that become one.
    assert refusal(wind, condition="TRUE") == 100
    properties = spark.sql("SELECT summary FROM ice.lab.features.snapshots ORDER BY committed_at DESC").first()[0]
    return {day: json.loads(properties[f"perennial.{day}"]).get("merged") for day in DAYS}


nulls = {name: "NULL" for name in KINDS}
beyond = {"wind": "3.5e38D", "promo": "repeat('ä', 1001)", "at": "1440", "day": "DATE '+10000-01-01'"}
also = {f"{name}_or_null": value for name, value in beyond.items()}
print("SAID " + json.dumps({
    "fit": refusal({}),
    "empty in nullable": refusal({"promo_or_null": "''", "wind_or_null": "double('NaN')"}),
    "null": refusal(nulls),
    "empty": refusal({"promo": "''", "wind": "double('NaN')"}),
    "beyond": refusal(beyond),
    "beyond in nullable": refusal(also),
    "below": refusal({"wind": "double('-inf')", "at": "-1", "day": "DATE '-0001-12-31'"}),
    "key and label": refusal({"key": "NULL", "late": "NULL"}, condition="x = 198"),
    "in labels": refusal({"key": "NULL", "late": "NULL"}, "labels"),
    "milliseconds": merged(wind="1772500000000 + v.x * 20000", wind_or_null="CASE WHEN v.x < 100 THEN 2e9D + v.x END"),
    "far apart": merged(wind="1772500000000 + v.x * 60000", wind_or_null="v.x"),
    "whole": merged(wind="16777216 + v.x * 2", wind_or_null="16777216 - v.x"),
    "close": merged(wind="1 + v.x * 1e-12D"),
}))
"""

WHOLE_CATEGORY = """
number = "mod(CAST(v.x AS INT), 5) AS k"
by_number = LOOKUP.replace("v.k, AVG", f"{number}, AVG").replace("BY d.as_of, v.k", "BY ALL")
keyed = lookups[0] | item(sql=by_number % "a", **lookups[0])
features = job["features"][0] | {"sql": FEATURES.replace("v.k", number), "lookups": [lookups[0]]}
changes = {"lookups": [keyed], "features": [features], "labels": [], "analysis": [], "profile": []}
analyse(spark, AnalyseJob.from_json(job | changes))
made = spark.table("ice.lab.features")
joined = made.where("a__a IS NOT NULL").count()
types = [dict(made.dtypes)["k"], dict(spark.table("ice.lab.lookup_a").dtypes)["k"]]
print("SAID " + json.dumps([types, sorted({row.k for row in made.collect()}), joined, made.count()]))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("job")
    return run_jobs(folder, JOB + CACHED + FAILING + SMALL_KEY + ZONES + UNSENDABLE + WHOLE_CATEGORY, hadoop_catalog(folder))


def test_rows_are_still_cached_when_they_are_written(said: list[Any]) -> None:
    """Spark drops from its cache what was read through a view that is replaced, and computes it again without a word."""
    names = ("lookup_a", "lookup_b", "lookup_c", "features", "analysis_day", "analysis_again", "profile")
    assert said[0] == {f"ice.`lab`.`{name}`": True for name in names}


def test_queries_that_fail_are_all_named_with_what_failed(said: list[Any]) -> None:
    (on_rows, in_planning), tables, labels, _, _ = said[1]
    assert [line.split("\n")[0] for line in on_rows] == [
        "The pipeline's SQL is refused",
        "analysis_0.sql, line 1: division by zero in `1 / (v.x - v.x)`. Define the result for such rows, for example with "
        "try_divide, NULLIF or CASE.",
        "analysis_1.sql, line 1: the STRING 'k4' cannot be cast to INT in `CAST(MAX(v.k) AS INT)`. Define the result for such "
        "rows, for example with try_cast, which gives null.",
    ]
    assert "analysis_2" in tables  # what works is kept
    what, *problems = in_planning
    assert what == "The pipeline's SQL is refused"
    assert [problem.partition(":")[0] for problem in problems] == ["analysis_3.sql, line 1", "analysis_4.sql, line 1"]
    assert all("unknown column v.y. Did you mean v." in problem for problem in problems)
    selected, typed, doubled = labels
    assert selected.startswith("features.sql: it selects the label 'late', which is known only after its date")
    assert "column 'x' has type int, but type double in features.sql" in typed
    assert "labels.sql: several rows with the same (x) on a date" in doubled
    assert re.search(r"2026-03-0[34]: \d+\.0, 2 times", doubled)


def test_problems_of_types_and_columns_of_all_queries_come_at_once_before_any_work(said: list[Any]) -> None:
    """One a run would cost a Spark job each."""
    _, _, _, (what, *problems), untouched = said[1]
    assert what == "The pipeline's SQL is refused"
    assert [problem.partition("\n")[0] for problem in problems] == [
        "lookup_a.sql: column 'b' is missing",
        "lookup_a.sql: column 'c' is missing",
        "lookup_a.sql: column 'a' is not one that pipeline.yaml declares for this file",
        "lookup_b.sql: column 'b': expected double, found string. Change lookup_b.sql or pipeline.yaml "
        "(docs/reference/sql-types.md).",
        "lookup_c.sql, line 1: unknown column v.y. Did you mean v.k, v.x, v.date, v.late, d.date?",
        "features.sql: column 'x': expected int, found date",
        "features.sql: column 'k': expected string, found boolean",
        "analysis_day.sql: expected a column date of type date, found string. Select date from the view dates.",
    ]
    assert untouched


def test_a_row_key_of_small_integers_is_that_of_its_table(said: list[Any]) -> None:
    """Iceberg stores them as int: labels that are made in another run than the features meet the type of the table."""
    assert said[2][0] == 100


def test_features_whose_labels_are_not_computed_again_meet_the_types_of_the_stored_labels(said: list[Any]) -> None:
    """Labels of another row key match no features. The training would refuse them; analyse does so before it stores any."""
    as_before, what, problem, stored = said[2][1]
    assert as_before > 0
    assert what == "features.sql: the row key has other types than in labels.sql"
    assert problem == "column 'x' has type string, but type int in labels.sql"
    assert stored == 0


def test_sql_runs_in_the_time_zone_of_the_pipeline_and_moments_stay_what_they_are(said: list[Any]) -> None:
    moments, local, moments_alone, local_alone = said[3]["Europe/Berlin"]
    in_utc, local_in_utc, *_ = said[3]["UTC"]

    assert moments[0] == in_utc[0]  # a digest knows moments, not how a zone shows them
    assert local_in_utc[1]["2026-03-28"] == [22, "2026-03-28", _micros("2026-03-28T00:00:00Z"), 20]
    assert local[1] == {
        "2026-03-28": [0, "2026-03-29", _micros("2026-03-27T23:00:00Z"), 10],
        "2026-03-29": [0, "2026-03-30", _micros("2026-03-29T22:00:00Z"), 0],  # the day has 23 hours
        "2026-03-30": [0, "2026-03-31", _micros("2026-03-30T22:00:00Z"), 0],
    }
    assert moments_alone[0] == {"2026-03-28": moments[0]["2026-03-28"]}
    assert local_alone == [{"2026-03-28": local[0]["2026-03-28"]}, {"2026-03-28": local[1]["2026-03-28"]}]


def _micros(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) * 1_000_000


def test_values_at_the_limits_of_a_request_are_features(said: list[Any]) -> None:
    assert (said[4]["fit"], said[4]["empty in nullable"]) == (100, 100)


def test_null_in_a_field_that_no_caller_may_leave_null_is_refused_with_the_text_to_write(said: list[Any]) -> None:
    what, *problems = said[4]["null"]
    assert what == "features.sql: rows that do not fit pipeline.yaml"
    found = "in 6 rows of 2026-03-03, 2026-03-04, for example null where key='k0', x=190.0"
    kinds = {"wind": "number", "promo": "category", "at": "time", "day": "date", "wet": "boolean"}
    words = {"wind": "null or NaN", "promo": "null or ''"}
    values = {"wind": "…, 0", "promo": "NULLIF(…, ''), 'none'", "at": "…, 0", "day": "…, DATE '1970-01-01'", "wet": "…, FALSE"}
    assert problems == [
        f"request field {name!r} ({kind}) is {words.get(name, 'null')} {found}. Write `{name}: {kind}?` in pipeline.yaml "
        f"if a caller may send null; otherwise COALESCE({values[name]}) AS {name} in features.sql"
        for name, kind in kinds.items()
    ]


def test_null_in_labels_sql_is_an_unknown_label_and_no_fault(said: list[Any]) -> None:
    assert said[4]["in labels"] == 100


def test_empty_text_and_nan_are_null_to_a_caller(said: list[Any]) -> None:
    _, wind, promo = said[4]["empty"]
    assert "request field 'wind' (number) is null or NaN in 6 rows" in wind
    assert "request field 'promo' (category) is null or '' in 6 rows" in promo
    assert "for example '' where" in promo


@pytest.mark.parametrize(("case", "suffix"), [("beyond", ""), ("beyond in nullable", "_or_null")])
def test_values_that_no_request_can_hold_are_refused_by_name(said: list[Any], case: str, suffix: str) -> None:
    _, *problems = said[4][case]
    assert [problem.partition(" in 6 rows")[0] for problem in problems] == [
        f"request field 'wind{suffix}' (number) is beyond a 32-bit float",
        f"request field 'promo{suffix}' (category) is longer than 1000 characters, the limit of a request,",
        f"request field 'at{suffix}' (time) is not a minute of a day, 0 to 1439,",
        f"request field 'day{suffix}' (date) is not a date from 0001-01-01 to 9999-12-31",
    ]
    assert f"for example {'ä' * 40!r}… of 1001 characters where" in problems[1]
    assert f"SUBSTRING(…, 1, 1000) AS promo{suffix} in features.sql" in problems[1]
    _, *below = said[4]["below"]
    assert [problem.split()[2] for problem in below] == ["'wind'", "'at'", "'day'"]


def test_null_in_the_row_key_or_the_label_is_refused(said: list[Any]) -> None:
    _, label, key = said[4]["key and label"]
    assert "the label 'late' is null in 1 row of 2026-03-03, for example null where key=null, x=198.0" in label
    assert "Leave these rows out in features.sql: WHERE late IS NOT NULL. If the label is known on a later date" in label
    assert "column 'key' of row_key is null in 1 row" in key
    assert "write COALESCE(…) AS key in features.sql" in key


def test_timestamps_as_numbers_that_become_one_are_recorded_with_an_example(said: list[Any]) -> None:
    found = said[4]["milliseconds"]
    assert [list(fields) for fields in found.values()] == [["wind", "wind_or_null"]] * 2
    times = [1772500000000.0 + x * 20000 for x in range(2, 200, 4)]
    pairs = [[low, high] for low, high in pairwise(times) if np.float32(low) == np.float32(high)]
    assert found["2026-03-03"]["wind"] == pairs[0]
    assert found["2026-03-04"]["wind_or_null"] == [2000000003.0, 2000000007.0]


@pytest.mark.parametrize("case", ["far apart", "whole", "close"])
def test_numbers_that_a_model_tells_apart_are_not_recorded(said: list[Any], case: str) -> None:
    """Averages that differ by a trillionth are one value too, and no one minds."""
    assert said[4][case] == dict.fromkeys(("2026-03-03", "2026-03-04"))


def test_a_whole_number_is_stored_as_the_text_of_a_category_and_joins_its_lookup(said: list[Any]) -> None:
    types, values, joined, rows = said[5]
    assert types == ["string", "string"]
    assert values == ["0", "1", "2", "3", "4"]
    assert joined == rows > 0
