"""A pipeline that is edited again and again holds, after each run, what a lake that was made so from the start holds."""

from __future__ import annotations

import copy
import logging
import os
import random
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from edits import DAY, FIRST, START, Draft, draw_draft, draw_edit
from pyiceberg.table import StaticTable
from spark_server import spark_with_metastore

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.calendar import days
from perennial.clean.plan import finish_clean, plan_clean
from perennial.collect.collect import collect
from perennial.config.load import read_pipeline
from perennial.errors import PerennialError
from perennial.lake.files import file_io_properties
from perennial.lake.lake import Lake, open_lake
from perennial.lake.result import Outcome
from perennial.lake.tables import TableState
from perennial.spark.submit import SparkPlan, submit
from perennial.store.content_name import canonical_json, sha256
from perennial.store.objects import Objects, split_uri
from perennial.train.plan import plan_training

SEQUENCES = int(os.environ.get("EDIT_SEQUENCES", "10"))
FIRST_SEED = int(os.environ.get("EDIT_FIRST_SEED", "0"))
EDITS = 3


@pytest.fixture(scope="module")
def spark(s3_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the module one Spark and one Hive metastore, which has its defaults, and the settings that lead to them."""
    with spark_with_metastore(tmp_path_factory.mktemp("spark"), "s3://perennial/edits", s3_server):
        yield


@dataclass
class Trial:
    """One pipeline's folder, its landing zone, and lakes made of it."""

    folder: Path
    landing: str
    objects: Objects

    def write(self, draft: Draft) -> None:
        draft.write(self.folder, self.landing)

    def land(self, draft: Draft) -> None:
        """Land today's drop, and the reference as it is now."""
        objects = {f"date={draft.today}/{name}": body for name, body in draft.drop().items()}
        if (regions := draft.regions()) is not None:
            objects["regions.csv"] = regions
        for name, body in objects.items():
            bucket, key = split_uri(f"{self.landing}/{name}")
            self.objects.client.put_object(Bucket=bucket, Key=key, Body=body)

    def lake(self, space: str) -> Lake:
        return replace(open_lake(read_pipeline(self.folder / "pipeline.yaml"), space), objects=self.objects)

    def begin(self, draft: Draft, space: str) -> Lake:
        """Write the pipeline, land its first dates and run the last of them."""
        self.write(draft)
        for day in days(START, FIRST):
            draft.today = day
            self.land(draft)
        lake = self.lake(space)
        run(lake, FIRST)
        return lake


@pytest.fixture
def trial(spark: None, s3_objects: Objects, tmp_path: Path) -> Trial:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Trial(folder, f"s3://landing/{uuid.uuid4().hex[:12]}", s3_objects)


def run(lake: Lake, day: date) -> dict[str, Any]:
    """Collect, clean, analyse and plan the training of a date; return all that the stages say of it."""
    collected = collect(lake, day)
    submit(plan_clean(lake, day))
    cleaned = finish_clean(lake, day)
    submit(plan_analyse(lake, day))
    analysed = finish_analyse(lake, day)
    training = plan_training(lake, day, "logistic")
    assert plan_clean(lake, day).job_uri is None, "a second run would clean again"
    assert plan_analyse(lake, day).job_uri is None, "a second run would analyse again"
    # What an edited lake holds beside what the run needs is its own.
    stages = {
        "collect": replace(collected, outcome=Outcome.DONE, new=0),
        "clean": replace(cleaned, earlier_columns={}),
        "analyse": replace(analysed, earlier_columns={}),
    }
    return {**{name: result.to_json() for name, result in stages.items()}, "training": [training.skipped, training.key]}


def tables(lake: Lake) -> list[str]:
    pipeline = lake.pipeline
    return [
        *(f"clean_{name}" for name in pipeline.tables),
        "features",
        "profile",
        *(f"lookup_{name}" for name in pipeline.inputs.lookups),
        *(f"analysis_{name}" for name in pipeline.sql_files("analysis")),
    ]


def content(state: TableState, wanted: set[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Return columns and rows of some partitions as the table shows them, in an order of their own."""
    table = StaticTable.from_metadata(str(state.metadata_location), properties=file_io_properties(Session()))
    rows = table.scan(snapshot_id=state.snapshot_id).to_arrow()
    day = next((name for name in ("date", "as_of") if name in rows.column_names), None)
    shown = [row for row in rows.to_pylist() if day is None or row[day].isoformat() in wanted]
    columns = [(field.name, str(field.field_type)) for field in table.schema().fields]
    return columns, sorted(map(repr, shown))


def differences(edited: Lake, fresh: Lake) -> list[str]:
    """Return where the tables of an edited lake are not those of a fresh one, which holds just what a run needs."""
    found = []
    for table in tables(fresh):
        ours, theirs = edited.tables.state(table), fresh.tables.state(table)
        for day, partition in theirs.partitions.items():
            held = ours.partitions.get(day)
            if held is None or (held.key, held.digest, held.rows) != (partition.key, partition.digest, partition.rows):
                found.append(f"{table} {day}: {held}, expected {partition}")
        if content(ours, set(theirs.partitions)) != content(theirs, set(theirs.partitions)):
            found.append(f"{table}: other rows or columns")
    return found


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEQUENCES))
def test_edits_leave_what_a_lake_made_so_from_the_start_holds(trial: Trial, seed: int) -> None:
    """Case 1: whatever is added, removed, renamed, retyped, reordered or made nullable."""
    chance = random.Random(f"edits {seed}")
    draft, earlier, said = draw_draft(chance), [], []
    edited = trial.begin(draft, f"edited{seed}")
    before = edited.tables.state("features")
    shown = content(before, set(before.partitions))
    for step in range(EDITS):
        earlier.append(copy.deepcopy(draft))
        said.append(draw_edit(draft, earlier, chance))
        trial.write(draft)
        trial.land(draft)
        edited, fresh = trial.lake(f"edited{seed}"), trial.lake(f"fresh{seed}x{step}")
        assert run(edited, draft.today) == run(fresh, draft.today), said
        assert differences(edited, fresh) == [], said
    assert content(before, set(before.partitions)) == shown, "an old snapshot is not what it was"


def test_dates_that_an_edit_passed_over_are_made_again_when_it_is_taken_back(
    trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    """A column that was dropped and comes back is another column: old rows have null in it, though their inputs are the same."""
    draft = Draft()
    trial.begin(draft, "passed")
    first = copy.deepcopy(draft)
    for _ in range(4):
        draft.today += DAY
        trial.land(draft)
    draft.columns["amount"]["type"] = "string"
    draft.request["amount"] = ("category?", "s.amount")
    draft.label = ("sold", 1, "CAST(s.sold AS INT)")
    trial.write(draft)
    changed = trial.lake("passed")
    run(changed, draft.today)
    assert finish_clean(changed, draft.today).earlier_columns == {"sales": 3}
    with caplog.at_level(logging.INFO, "perennial.analyse.plan"):
        assert finish_analyse(changed, draft.today).earlier_columns["features"] == 3
    assert re.search(r"Dates that keep their earlier columns: .*\b3 of features\b.*No action is needed", caplog.text)
    trial.write(first)
    edited, fresh = trial.lake("passed"), trial.lake("unpassed")
    assert run(edited, FIRST) == run(fresh, FIRST)
    assert differences(edited, fresh) == []


def test_an_analysis_follows_the_order_of_columns_that_it_copies(trial: Trial) -> None:
    """No digest of rows changes, and no new date lands."""
    draft = Draft()
    trial.begin(draft, "ordered")
    draft.columns = dict(reversed(draft.columns.items()))
    trial.write(draft)
    edited, fresh = trial.lake("ordered"), trial.lake("disordered")
    assert run(edited, FIRST) == run(fresh, FIRST)
    assert differences(edited, fresh) == []


def part(lake: Lake, plan: SparkPlan, *kinds: str) -> SparkPlan:
    """Return a job with some kinds of tables of a planned one: the part of its work before or after a moment."""
    stored = lake.objects.read_existing(str(plan.job_uri)).json()
    others = {kind: [] for kind in ("lookups", "features", "labels", "analysis", "profile") if kind not in kinds}
    body = canonical_json({**stored, **others})
    uri = lake.layout.job(sha256(body))
    lake.objects.create(uri, body)
    return replace(plan, job_uri=uri)


@pytest.mark.parametrize("values", [{"sales": "SUM(s.id) + 100"}, {"returns": "COUNT(*)"}], ids=["values", "columns"])
def test_features_never_join_the_lookups_of_another_version(trial: Trial, values: dict[str, str]) -> None:
    """Another version of the pipeline runs after the job has stored its lookups and before it joins them."""
    draft, space = Draft(), f"versions_{next(iter(values))}"
    trial.begin(draft, space)
    draft.today += DAY
    trial.land(draft)
    draft.lookups = {"rates": {"sales": "COUNT(*) + 1"}}
    trial.write(draft)
    ours = trial.lake(space)
    collect(ours, draft.today)
    submit(plan_clean(ours, draft.today))
    plan = plan_analyse(ours, draft.today)
    submit(part(ours, plan, "lookups"))

    theirs = copy.deepcopy(draft)
    theirs.lookups = {"rates": values}
    trial.write(theirs)
    run(trial.lake(space), draft.today)

    before = ours.tables.state("features")
    with pytest.raises(PerennialError, match="Two versions of the pipeline are running") as caught:
        submit(part(ours, plan, "features", "analysis", "profile"))
    assert "another job replaced days that this job joins" in str(caught.value)
    assert draft.today.isoformat() in str(caught.value)
    assert ours.tables.state("features") == before
    trial.write(draft)
    fresh = trial.lake(f"{space}fresh")
    assert run(ours, draft.today) == run(fresh, draft.today)
    assert differences(ours, fresh) == []
