"""A pipeline's results as pandas DataFrames, read from real Iceberg tables."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from lab import LAST, ROWS, START, FixedTables, Lab, features_table
from pyiceberg.io.pyarrow import ArrowScan

from perennial.errors import DateRefusedError, RefusedError
from perennial.evaluate.chain import Intervention, intervene
from perennial.evaluate.chain_store import update_chain
from perennial.evaluate.evaluate import evaluate
from perennial.frames.pipeline_data import PipelineData
from perennial.frames.read import StoredRows
from perennial.lake.lake import Lake
from perennial.lake.sample import SAMPLE
from perennial.lake.tables import Partition, TableState
from perennial.train.trainings import read_model

DAY = LAST - timedelta(days=1)
ZONE = "America/New_York"
TEXT, WHOLE, DAYS = (pd.ArrowDtype(kind) for kind in (pa.string(), pa.int64(), pa.date32()))


@pytest.fixture
def lake(lab: Lab) -> Lake:
    """Return the lab's lake, of a pipeline in a time zone with summer time."""
    return replace(lab.lake, pipeline=lab.lake.pipeline.model_copy(update={"time_zone": ZONE}))


@pytest.fixture
def data(lake: Lake) -> PipelineData:
    return PipelineData(lake)


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Return the data files that are read, each with the columns, as it happens."""
    files: list[tuple[str, list[str]]] = []
    read = ArrowScan.to_table

    def spy(scan: ArrowScan, tasks: Any) -> pa.Table:
        listed = list(tasks)
        files.extend((task.file.file_path, scan._projected_schema.column_names) for task in listed)
        return read(scan, listed)

    monkeypatch.setattr(ArrowScan, "to_table", spy)
    return files


def write_by_date(lab: Lab, name: str, rows: pa.Table) -> None:
    """Write a table as Spark does: partitioned by date, a file for each."""
    table = lab.catalog.create_table(f"lab.{name}", rows.schema)
    with table.update_spec() as spec:
        spec.add_identity("date")
    table.append(rows)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    held = {day.isoformat(): Partition("key", "digest", 1) for day in set(rows["date"].to_pylist())}
    assert isinstance(lab.lake.tables, FixedTables)
    lab.lake.tables.states[name] = TableState(name, table.metadata_location, snapshot.snapshot_id, held)


def readings(*days: date) -> pa.Table:
    """Return two readings of each date, the second one first, at instants one hour apart across a change of clocks."""
    change = datetime(2026, 3, 8, 6, 30, tzinfo=UTC)  # 01:30 in New York; an hour later it is 03:30 there
    rows = [
        {"date": day, "reading_id": number, "machine": f"M{number}", "measured_at": change + timedelta(hours=number)}
        for day in days
        for number in (1, 0)
    ]
    return pa.Table.from_pylist(rows)


def test_features_have_arrows_types_and_the_order_of_the_row_key(data: PipelineData) -> None:
    frame = data.features("2026-03-02", date(2026, 3, 3))
    assert frame["date"].tolist() == [START + timedelta(days=1)] * ROWS + [START + timedelta(days=2)] * ROWS
    assert frame["reading_id"].is_monotonic_increasing
    assert frame.dtypes[["date", "reading_id", "machine"]].to_dict() == {"date": DAYS, "reading_id": WHOLE, "machine": TEXT}
    assert frame["pressure"].isna().sum() == 2 * -(-ROWS // 7)
    shown = features_table().drop_columns([SAMPLE])
    expected = shown.filter(pa.compute.is_in(shown["date"], pa.array([date(2026, 3, 2), date(2026, 3, 3)])))
    assert pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None).to_pylist() == expected.to_pylist()


def test_only_files_of_the_dates_and_columns_that_were_asked_for_are_read(
    lab: Lab, data: PipelineData, files_read: list[tuple[str, list[str]]]
) -> None:
    write_by_date(lab, "clean_readings", readings(*(START + timedelta(days=n) for n in range(10))))
    frame = data.table("clean_readings", "2026-03-03", "2026-03-04", columns=["machine", "date"])
    assert frame.columns.tolist() == ["machine", "date"]
    assert sorted(frame["date"].unique().tolist()) == [date(2026, 3, 3), date(2026, 3, 4)]
    assert len(files_read) == 2, files_read
    assert [columns for _, columns in files_read] == [["date", "machine"]] * 2


def test_timestamps_keep_their_instants_and_show_the_clock_of_the_pipeline(lab: Lab, data: PipelineData) -> None:
    write_by_date(lab, "clean_readings", readings(START))
    frame = data.table("clean_readings", START)
    assert frame["measured_at"].dtype == pd.ArrowDtype(pa.timestamp("us", tz=ZONE))
    assert [moment.isoformat() for moment in frame["measured_at"]] == ["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"]
    assert frame["reading_id"].tolist() == [0, 1], "ordered by the source's key"


def test_rows_that_do_not_fit_into_memory_are_refused_with_numbers_before_they_are_read(
    lab: Lab, data: PipelineData, files_read: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commits record ten million rows a date; a row takes 13 bytes here, three times."""
    days = [START + timedelta(days=n) for n in range(4)]
    write_by_date(lab, "clean_readings", readings(*days))
    state = lab.lake.tables.state("clean_readings")
    big = replace(state, partitions={day: replace(held, rows=10_000_000) for day, held in state.partitions.items()})
    lab.lake.tables.states["clean_readings"] = big  # type: ignore[attr-defined]
    monkeypatch.setattr("perennial.frames.read.find_memory", lambda: 1_000_000_000)
    columns = ["date", "reading_id"]
    text = (
        r"30,000,000 rows of 3 dates would take about 1\.2 GB of memory, and this machine has 1\.0 GB. Choose fewer dates or col"
    )
    with pytest.raises(RefusedError, match=text):
        data.table("clean_readings", days[0], days[2], columns=columns)
    assert len(files_read) <= 3, "a few rows show what a row takes"
    assert len(data.table("clean_readings", days[0], days[1], columns=columns)) == 4
    assert len(data.table("clean_readings", days[0], days[2], columns=["date"])) == 6


def test_the_rows_of_one_release_are_counted(lab: Lab) -> None:
    places = {"2026-03-01/a": 5, "2026-03-01/b": 7, "2026-03-02/a": 11}
    partitions = {place: Partition("key", "digest", rows) for place, rows in places.items()}
    stored = StoredRows(TableState("scores", None, None, partitions), "date")
    assert stored.count_rows([START]) == 12
    assert stored.count_rows([START], "a") == 5
    assert stored.count_rows(None) == 23


@pytest.mark.parametrize("day", ["2026-03-05", date(2026, 3, 5), datetime(2026, 3, 5), pd.Timestamp("2026-03-05")], ids=repr)
def test_a_date_may_be_text_or_a_date(data: PipelineData, day: Any) -> None:
    assert data.features(day, columns=["date"])["date"].unique().tolist() == [date(2026, 3, 5)]


@pytest.mark.parametrize("day", ["2026-3-5", 20260305, datetime(2026, 3, 5, 12), pd.NaT, None], ids=repr)
def test_anything_else_is_no_date(data: PipelineData, day: Any) -> None:
    with pytest.raises(DateRefusedError, match="is not a date"):
        data.features(day)


def test_dates_without_rows_are_refused_with_those_that_have_some(data: PipelineData) -> None:
    with pytest.raises(RefusedError, match=r"no rows of 2025-03-01 to 2025-03-09\. .*2026-03-01 to 2026-03-14"):
        data.features("2025-03-01", "2025-03-09")
    with pytest.raises(DateRefusedError, match="2026-03-01 is before the first date 2026-03-02"):
        data.features("2026-03-02", "2026-03-01")
    with pytest.raises(RefusedError, match="'lookup_machine_rates' has dates, and the first is missing"):
        data.table("lookup_machine_rates")


def test_wrong_names_are_refused_with_the_right_ones(data: PipelineData) -> None:
    with pytest.raises(RefusedError, match=r"no table 'clean_reading'\. Did you mean 'clean_readings'"):
        data.table("clean_reading", START)
    with pytest.raises(RefusedError, match="'clean_readings' has no rows yet"):
        data.table("clean_readings", START)
    with pytest.raises(RefusedError, match=r"unknown columns: 'presure'\. Did you mean 'pressure'"):
        data.features(START, columns=["presure"])


def test_a_lookup_is_read_by_its_midnights(data: PipelineData) -> None:
    frame = data.table("lookup_machine_rates", "2026-03-02")
    assert frame["as_of"].unique().tolist() == [date(2026, 3, 2)]
    assert frame["machine"].tolist() == sorted(frame["machine"])


def with_references(lake: Lake) -> Lake:
    table = lake.pipeline.sources["readings"].model_copy(update={"uri": "s3://landing/machines.csv", "key": ["machine"]})
    return replace(lake, pipeline=lake.pipeline.model_copy(update={"references": {"machines": table}}))


def test_a_reference_has_no_dates(lab: Lab, lake: Lake) -> None:
    lab.write_table("clean_machines", pa.table({"machine": ["M2", "M1"], "date_built": [START, START]}), "date_built")
    data = PipelineData(with_references(lake))
    assert data.table("clean_machines", columns=["machine"])["machine"].tolist() == ["M1", "M2"]
    with pytest.raises(RefusedError, match="'clean_machines' is of a reference, which has no dates"):
        data.table("clean_machines", START)


def test_labels_of_a_table_of_their_own_are_joined_and_null_where_they_are_not_known(lab: Lab, lake: Lake) -> None:
    label = lake.pipeline.label.model_copy(update={"column": "late_fault", "known_after_days": 2})
    late = PipelineData(replace(lake, pipeline=lake.pipeline.model_copy(update={"label": label})))
    assert late.features(START)["late_fault"].isna().all(), "no label is known yet"
    known = features_table().filter(pa.compute.equal(features_table()["date"], START)).select(["date", "reading_id", "fault"])
    lab.write_table("labels", known.rename_columns(["date", "reading_id", "late_fault"]).slice(1), "date")
    frame = late.features(START, START + timedelta(days=1))
    assert len(frame) == 2 * ROWS
    assert frame["late_fault"].isna().tolist() == [True] + [False] * (ROWS - 1) + [True] * ROWS
    assert frame["late_fault"][1:ROWS].tolist() == known["fault"].to_pylist()[1:]
    assert late.features(START, columns=["late_fault", "machine"]).columns.tolist() == ["late_fault", "machine"]
    assert late.table("labels", START).shape == (ROWS - 1, 3)


def test_quarantine_is_empty_only_for_a_date_that_was_checked(lab: Lab, data: PipelineData) -> None:
    with pytest.raises(RefusedError, match="2026-03-01 has no clean rows, so none are in quarantine"):
        data.quarantine(START)
    write_by_date(lab, "clean_readings", readings(START, LAST))
    empty = data.quarantine(START)
    columns = ["date", "source", "file", "position", "column", "rule", "value", "row"]
    assert empty.empty
    assert empty.columns.tolist() == columns
    rows = [
        {"date": START, "source": "readings", "file": "a.csv", "position": position, "column": "mode", "rule": "enum"}
        | {"value": "fast", "row": "{}"}
        for position in (9, 2)
    ]
    lab.write_table("quarantine", pa.Table.from_pylist(rows), "date")
    assert data.quarantine(START)["position"].tolist() == [2, 9]
    assert data.quarantine(LAST).dtypes.to_dict() == empty.dtypes.to_dict() == data.quarantine(START).dtypes.to_dict()


def test_decisions_champion_and_predictions_are_those_of_the_decision_log(lab: Lab, lake: Lake, data: PipelineData) -> None:
    with pytest.raises(RefusedError, match="has no champion: no version has passed the gate yet"):
        data.champion()
    assert data.decisions().empty
    mlp = lab.train("mlp", DAY, 0.1)
    lab.train("logistic", DAY, 0.06)
    decided = evaluate(lab.lake, DAY, run_id="run-1")
    decisions = data.decisions()
    assert decisions.iloc[0][["date", "decision", "champion", "is_stale", "run_id"]].tolist() == [
        DAY, "PROMOTE", mlp, False, "run-1"
    ]  # fmt: skip
    assert decisions["at"].dtype == pd.ArrowDtype(pa.timestamp("us", tz=ZONE))
    champion = data.champion()
    assert champion[["version", "candidate", "since", "holdout_rows"]].values.tolist() == [[mlp, "mlp", DAY, 7 * ROWS]]
    assert champion["roc_auc"][0] == pytest.approx(decided.candidates[0]["roc_auc"])
    predictions = data.predictions(DAY, "mlp")
    assert predictions.columns.tolist() == ["date", "reading_id", "y", "p"]
    assert len(predictions) == 7 * ROWS
    manifest = read_model(lake, lake.layout.model_manifest("mlp", DAY, decided.candidates[0]["training"]))
    loss = -predictions["p"].where(predictions["y"] == 1, 1 - predictions["p"]).astype(float).map(math.log).mean()
    assert loss == pytest.approx(manifest["metrics"]["log_loss"])
    update_chain(
        lab.lake, lambda chain: intervene(chain, Intervention(str(DAY), None, mlp, "ann", "slow", "2026-03-14T00:00:00"))
    )
    assert data.decisions()["is_barred"].tolist() == [True]
    with pytest.raises(RefusedError, match="every version that passed the gate is barred"):
        data.champion()


def test_predictions_are_refused_without_a_decision_or_a_candidate(lab: Lab, data: PipelineData) -> None:
    with pytest.raises(RefusedError, match=f"no decision for {DAY}. There is none yet."):
        data.predictions(DAY, "mlp")
    lab.train("mlp", DAY, 0.1)
    lab.train("logistic", DAY, 0.06)
    evaluate(lab.lake, DAY, run_id="run-1")
    with pytest.raises(RefusedError, match=r"no candidate 'logistics'\. Did you mean 'logistic'"):
        data.predictions(DAY, "logistics")
    with pytest.raises(RefusedError, match=f"Decisions exist for {DAY} to {DAY}"):
        data.predictions(LAST, "mlp")
