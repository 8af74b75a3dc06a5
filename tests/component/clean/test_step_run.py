"""A pipeline whose cleaning step is Python, from drops to features, beside the same pipeline with SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from spark_loop import FolderTables, SparkLoop, spark_loop

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect.collect import collect
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.lake.lake import Lake

FIRST, LAST = date(2026, 3, 7), date(2026, 3, 9)
"""Summer time begins in New York on the date between."""

SQL = "SELECT *, hour(measured_at) AS hour, upper(mode) AS kind, temperature / 2 AS half, pressure > 8 AS is_high FROM drop"
STEP = """
def clean(df):
    return df.assign(
        hour=df["measured_at"].dt.hour.astype("int32[pyarrow]"),
        kind=df["mode"].str.upper(),
        half=df["temperature"] / 2,
        is_high=df["pressure"] > 8,
    ).sort_values("temperature")
"""


@pytest.fixture
def session(s3: Any, tmp_path: Path) -> Iterator[SparkLoop]:
    with spark_loop(tmp_path) as loop:
        yield loop


def test_the_same_step_in_sql_and_in_python_gives_the_same_partitions(
    s3: Any,
    session: SparkLoop,
    pipeline_factory: Callable[..., Pipeline],
    land_drops: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERENNIAL_TRUSTED_PIPELINES", "machine_faults")
    plain = pipeline_factory(lambda document: document.update(start="2026-03-07", time_zone="America/New_York"))
    land_drops(s3.put, plain, FIRST, LAST)
    sources, digests = plain.folder / "sources", {}
    sources.mkdir()
    for name, text in (("sql", SQL), ("py", STEP)):
        (sources / f"readings.{name}").write_text(text)
        lake = s3.open_lake(read_pipeline(plain.folder / "pipeline.yaml"))
        layout = replace(lake.layout, space=name)
        lake = replace(lake, layout=layout, tables=FolderTables(session.folder, layout.database))
        run(session, lake)
        tables = [lake.tables.state(table).partitions for table in ("clean_readings", "features")]
        digests[name] = [{day: partition.digest for day, partition in partitions.items()} for partitions in tables]
        assert plan_clean(lake, FIRST, until=LAST).job_uri is None, "nothing is left to do"
        session.run(plan_clean(lake, LAST, recompute=True))  # refused if the result differs
        (sources / f"readings.{name}").unlink()
    assert len(digests["py"][0]) == 3
    assert digests["py"] == digests["sql"]


def run(session: SparkLoop, lake: Lake) -> None:
    collect(lake, FIRST, LAST)
    session.run(plan_clean(lake, FIRST, until=LAST))
    finish_clean(lake, LAST)
    session.run(plan_analyse(lake, FIRST, until=LAST))
    finish_analyse(lake, LAST)
