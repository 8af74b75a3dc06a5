"""The demo's features are the request records that a caller makes from the same drops, flight by flight."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from spark_job import run_job

from perennial.calendar import DAY
from perennial.config.load import load_pipeline
from perennial.demo.feed import drop_rows
from stack.config import REPO
from stack.demo_flight import WEATHER_OF_NETWORK, flight_records

FOLDER = REPO / "include" / "pipelines" / "flight_delays"
DATES = (date(2013, 1, 1), date(2013, 12, 1), date(2013, 12, 2))
"""The first date, which has no day before it, and two busy ones. Their drops have no row that the contract refuses."""

SOURCES = ("flights", "weather")
JOB = """
import json, sys
from pyspark.sql import SparkSession
from perennial.spark.sql import run_query

texts, types, days = json.loads(sys.argv[1])
spark = SparkSession.builder.config("spark.log.level", "OFF").config("spark.sql.session.timeZone", "UTC").getOrCreate()
for source in ("flights", "weather"):
    columns = [f"CAST({name} AS {kind}) AS {name}" for name, kind in types[source].items()]
    read = spark.read.csv(f"{source}.csv", header=True, nullValue="NA")
    read.selectExpr(*columns, "make_date(year, month, day) AS date").createOrReplaceTempView("drop")
    run_query(spark, source, texts[source], ("drop",)).createOrReplaceTempView(source)
spark.createDataFrame([(day,) for day in days], "text STRING").selectExpr("DATE(text) AS date").createOrReplaceTempView("dates")
run_query(spark, "features.sql", texts["features"], ("flights", "weather", "dates")).coalesce(1).write.parquet("features")
print("SAID " + json.dumps("done"))
"""
SPARK_TYPES = {"integer": "INT", "double": "DOUBLE", "string": "STRING", "timestamp": "TIMESTAMP"}

Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    folder: Path = tmp_path_factory.mktemp("demo")
    sources = load_pipeline("flight_delays", FOLDER.parent).sources
    types = {name: {column: SPARK_TYPES[spec.type] for column, spec in sources[name].columns.items()} for name in SOURCES}
    texts = {name: (FOLDER / "sources" / f"{name}.sql").read_text(encoding="utf-8") for name in SOURCES}
    texts["features"] = (FOLDER / "features.sql").read_text(encoding="utf-8")
    landed = sorted({day - DAY * before for day in DATES for before in (0, 1)})
    for name in SOURCES:
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(types[name]))
            writer.writeheader()
            writer.writerows(row for day in landed for row in drop_rows(name, day))
    days = [day.isoformat() for day in DATES]
    run_job(folder, JOB, arguments=[json.dumps([texts, types, days])])
    return pq.read_table(folder / "features").to_pylist()


def test_features_are_the_records_of_a_caller(rows: list[Row]) -> None:
    request = load_pipeline("flight_delays", FOLDER.parent).inputs.request
    records = [(row, record) for day in DATES for row, record in flight_records(day)]
    expected = [{**record, "is_late": float(row["arr_delay"]) >= 30} for row, record in records if row["arr_delay"] != "NA"]
    assert len(expected) > 2500
    assert all(set(record) == {*request, "is_late"} for record in expected)
    assert sorted(map(_as_record, rows), key=_key) == sorted(expected, key=_key)


def test_each_mean_of_the_weather_differs_from_that_of_the_airport(rows: list[Row]) -> None:
    """Otherwise the comparison would prove little about it."""
    for name in WEATHER_OF_NETWORK:
        assert sum(row[f"network_{name}"] not in (None, row[name]) for row in rows) > 20, name


def test_each_field_of_earlier_departures_is_known_for_some_flights_only(rows: list[Row]) -> None:
    """Otherwise the comparison would prove little about it."""
    fields = load_pipeline("flight_delays", FOLDER.parent).inputs.request.items()
    names = [name for name, field in fields if field.nullable and name.endswith(("_delay", "_share", "_today"))]
    assert len(names) == 7
    for name in names:
        values = [row[name] for row in rows]
        assert None in values, name
        assert len(set(values)) > 5, name


def _as_record(row: Row) -> Row:
    """Return a row of features as a request record with its label."""
    times = {name: f"{row[name] // 60:02d}:{row[name] % 60:02d}" for name in ("sched_dep_time", "sched_arr_time")}
    return {**row, **times, "date": row["date"].isoformat()}


def _key(record: Row) -> tuple[str, ...]:
    return tuple(str(record[name]) for name in ("date", "carrier", "flight", "origin", "sched_dep_time"))
