"""The features of the demo count flights by minute before they join: the rows are those of the same query flight by flight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from spark_job import run_job

from stack.config import REPO

JOB = '''
import json, sys
from pyspark.sql import SparkSession
from perennial.spark.digest import partition_contents
from perennial.spark.sql import run_query

spark = SparkSession.builder.config("spark.log.level", "OFF").getOrCreate()
spark.sql("""
    SELECT DATE '2013-02-01' + CAST(n % 3 AS INT) AS date, concat('C', n % 5) AS carrier, CAST(n AS STRING) AS flight,
      element_at(array('EWR', 'JFK', 'LGA'), CAST(pmod(hash(n), 3) AS INT) + 1) AS origin, 'X' AS dest,
      CASE WHEN n % 9 > 0 THEN concat('N', n % 50) END AS tailnum, pmod(hash(n, 1), 1440) AS sched_dep_time,
      pmod(hash(n, 2), 1440) AS sched_arr_time,
      CASE WHEN n % 11 > 0 THEN CAST(pmod(hash(n, 3), 90) - 20 AS DOUBLE) END AS dep_delay,
      CASE WHEN n % 13 > 0 THEN n % 4 = 0 END AS is_late, 700.0D AS distance,
      timestampadd(HOUR, pmod(hash(n, 4), 24), TIMESTAMP '2013-02-01 00:00:00') AS time_hour
    FROM range(900) AS r(n)
""").createOrReplaceTempView("flights")
spark.sql("""
    SELECT origin, timestampadd(HOUR, CAST(h AS INT), TIMESTAMP '2013-01-31 20:00:00') AS time_hour, CAST(h AS DOUBLE) AS temp,
      1.0D AS humid, 2.0D AS wind_speed, CAST(NULL AS DOUBLE) AS wind_gust, 3.0D AS precip, 4.0D AS pressure, 5.0D AS visib
    FROM VALUES ('EWR'), ('JFK') AS o(origin) CROSS JOIN range(24) AS r(h)
""").createOrReplaceTempView("weather")
spark.sql("SELECT * FROM VALUES (DATE '2013-02-01'), (DATE '2013-02-02') AS dates(date)").createOrReplaceTempView("dates")
rows = [run_query(spark, "features.sql", text, ("flights", "weather", "dates")) for text in json.loads(sys.argv[1])]
found = [{day: [made.digest, made.rows] for day, made in partition_contents(each, "date").items()} for each in rows]
known = rows[0].selectExpr("count(recent_late_share) AS n", "count(DISTINCT recent_late_share) AS shares", "count(temp) AS temps")
print("SAID " + json.dumps([found, known.first().asDict()]))
'''
FLIGHT_BY_FLIGHT = """
WITH scheduled AS (
  SELECT
    f.*,
    COUNT(*) OVER (PARTITION BY f.date, f.origin, f.sched_dep_time DIV 60) AS flights_same_hour,
    COUNT(*) OVER (PARTITION BY f.date, f.origin) AS flights_same_day
  FROM flights f
  JOIN dates d ON f.date = d.date
),
slots AS (SELECT DISTINCT date, origin, sched_dep_time FROM scheduled),
punctuality AS (
  SELECT s.date, s.origin, s.sched_dep_time,
    CASE WHEN COUNT(*) >= 5 THEN AVG(IF(e.dep_delay >= 15, 1, 0)) END AS recent_late_share
  FROM slots s
  JOIN scheduled e
    ON e.date = s.date
    AND e.origin = s.origin
    AND e.sched_dep_time + e.dep_delay > s.sched_dep_time - 360
    AND e.sched_dep_time + e.dep_delay <= s.sched_dep_time - 180
  GROUP BY s.date, s.origin, s.sched_dep_time
)
SELECT s.date, s.sched_dep_time, s.sched_arr_time, s.distance, CAST(s.flights_same_hour AS DOUBLE) AS flights_same_hour,
  CAST(s.flights_same_day AS DOUBLE) AS flights_same_day, w.temp, w.humid, w.wind_speed, w.wind_gust, w.precip, w.pressure,
  w.visib, p.recent_late_share, s.carrier, s.origin, s.dest, s.flight, s.tailnum, s.is_late
FROM scheduled s
LEFT JOIN weather w ON w.origin = s.origin AND w.time_hour = s.time_hour - INTERVAL 3 HOURS
LEFT JOIN punctuality p ON p.date = s.date AND p.origin = s.origin AND p.sched_dep_time = s.sched_dep_time
WHERE s.is_late IS NOT NULL
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    counted = (REPO / "include" / "pipelines" / "flight_delays" / "features.sql").read_text(encoding="utf-8")
    folder: Path = tmp_path_factory.mktemp("demo")
    return run_job(folder, JOB, ["--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN"], [json.dumps([counted, FLIGHT_BY_FLIGHT])])


def test_the_demos_features_are_those_of_a_count_flight_by_flight(said: Any) -> None:
    (counted, flight_by_flight), known = said
    assert counted == flight_by_flight
    assert set(counted) == {"2013-02-01", "2013-02-02"}
    # Otherwise the counts have nothing to differ in.
    assert known["n"] > 300
    assert known["shares"] > 50
    assert known["temps"] > 50
