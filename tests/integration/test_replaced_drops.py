"""A drop of the past that is replaced by a bad one: what it brought before is taken away, and comes back with a good one."""

from __future__ import annotations

import shutil
from datetime import date

import pytest
import yaml

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.calendar import days
from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect.collect import collect
from perennial.config.load import FILE, read_pipeline
from perennial.lake.lake import Lake, open_lake
from perennial.lake.tables import read_rows
from perennial.spark.submit import submit
from stack.config import REPO

NAME = "machine_faults_replaced"
FIRST, DAY = date(2026, 3, 1), date(2026, 3, 4)
TORN, BROKEN = date(2026, 3, 2), date(2026, 3, 3)


@pytest.fixture(scope="module")
def lake(stack, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake of a pipeline that only this module knows."""
    folder = tmp_path_factory.mktemp("pipelines") / NAME
    shutil.copytree(REPO / "tests/pipelines/machine_faults", folder)
    text = (folder / FILE).read_text().replace("s3://landing/machine_faults/", f"s3://landing/{NAME}/")
    (folder / FILE).write_text(yaml.safe_dump({**yaml.safe_load(text), "name": NAME}, sort_keys=False))
    return open_lake(read_pipeline(folder / FILE))


def _land(stack, lake: Lake, day: date, files: dict[str, bytes]) -> None:
    drop_uri = lake.pipeline.sources["readings"].drop_uri(day)
    for name, body in {**files, "_MANIFEST.json": stack.generator.manifest(day, files)}.items():
        stack.put(lake, drop_uri + name, body)


def _run(lake: Lake) -> tuple[dict[str, str], dict[str, str]]:
    """Collect, clean and analyse the last date; return the digests of the features by date and the gaps."""
    gaps = collect(lake, DAY).gaps
    submit(plan_clean(lake, DAY))
    gaps |= finish_clean(lake, DAY).gaps
    submit(plan_analyse(lake, DAY))
    finish_analyse(lake, DAY)
    assert plan_clean(lake, DAY).todo == plan_analyse(lake, DAY).todo == 0
    return {day: found.digest for day, found in lake.tables.state("features").partitions.items()}, gaps


def test_what_a_replaced_drop_brought_is_withdrawn_and_comes_back(stack, lake: Lake) -> None:
    for day in days(FIRST, DAY):
        _land(stack, lake, day, stack.generator.files(day))
    whole, gaps = _run(lake)
    assert (sorted(whole), gaps) == ([day.isoformat() for day in days(FIRST, DAY)], {})

    # One that collect refuses, and one whose rows break the contract.
    torn, broken = stack.generator.files(TORN), stack.generator.files(BROKEN)
    _land(stack, lake, TORN, {**torn, "readings-1.csv": b""})
    _land(stack, lake, BROKEN, {**broken, "readings-1.csv": broken["readings-1.csv"].replace(b",boost,", b",turbo,")})
    without, gaps = _run(lake)
    assert sorted(gaps) == [TORN.isoformat(), BROKEN.isoformat()]
    assert without == {day: digest for day, digest in whole.items() if day not in gaps}
    for table in ("clean_readings", "features", "profile"):
        state = lake.tables.state(table)
        assert sorted(state.partitions) == sorted(without), table
        assert state.metadata_location is not None
        assert state.snapshot_id is not None
        assert read_rows(state.metadata_location, state.snapshot_id, [TORN, BROKEN], ["date"]).num_rows == 0, table

    for day, files in ((TORN, torn), (BROKEN, broken)):
        _land(stack, lake, day, files)
    assert _run(lake) == (whole, {})


def test_a_drop_that_left_the_landing_zone_leaves_what_it_brought(stack, lake: Lake) -> None:
    before, _ = _run(lake)
    for uri in list(lake.objects.list(lake.pipeline.sources["readings"].drop_uri(FIRST))):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        lake.objects.client.delete_object(Bucket=bucket, Key=key)
    assert _run(lake) == (before, {FIRST.isoformat(): "readings: not landed"})
    assert finish_clean(lake, DAY).kept == [FIRST.isoformat()]
