"""A date without clean rows is explained: by `perennial quarantine`, and by `quarantine` and `table` in Python."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from lab import FixedTables

from perennial.calendar import days
from perennial.clean.plan import prepare_fingerprints
from perennial.clean.unclean import unclean_sources
from perennial.clean.verdict import Refusal
from perennial.cli import run_command
from perennial.collect.accept import accept_drop
from perennial.collect.collect import collect
from perennial.collect.drops import landed_drops
from perennial.errors import DropRefusedError, RefusedError
from perennial.frames.pipeline_data import PipelineData
from perennial.lake.lake import Lake
from perennial.lake.tables import Partition, TableState
from perennial.store.content_name import canonical_json

FIRST, DAY, LAST = date(2026, 3, 1), date(2026, 3, 3), date(2026, 3, 5)
NAME = "machine_faults"
RUN = f"`perennial run {NAME} --date {DAY}`"
CAUSE = "clean refused its drop: 30 of 120 rows break the contract (25.0 %, allowed 5.0 %)"
TRY = f"`perennial try {NAME} readings --date {DAY}` shows its rows."


@pytest.fixture
def lake(s3, pipeline_factory) -> Lake:
    """Return a lake whose tables hold every date but DAY."""
    tables = FixedTables()
    for table in ("clean_readings", "features"):
        held = {str(day): Partition("key", "digest", 120) for day in days(FIRST, LAST) if day != DAY}
        tables.states[table] = TableState(table, "s3://none/metadata.json", 1, held)
    return replace(s3.open_lake(pipeline_factory()), tables=tables)


def land(lake: Lake, s3: Any, land_drops: Any, state: str) -> None:
    """Bring the drop of DAY into a state."""
    if state != "not landed":
        land_drops(s3.put, lake.pipeline, DAY, DAY)
    if state == "refused by collect":
        s3.put(lake.pipeline.sources["readings"].drop_uri(DAY) + "more.csv", b"x")
        with pytest.raises(DropRefusedError):
            accept_drop(lake, "readings", DAY, landed_drops(lake, "readings", [DAY])[DAY].found)
    if state in ("not cleaned", "refused by clean"):
        collect(lake, DAY)
    if state == "refused by clean":
        drop = landed_drops(lake, "readings", [DAY])[DAY].drop
        assert drop is not None
        refusal = Refusal(120, 120, 30, 0.05, {"pressure range": 30})
        uri = lake.layout.refusal("readings", DAY, prepare_fingerprints(lake, "readings")(DAY, drop))
        lake.objects.create(uri, canonical_json(refusal.to_json()))


STATES = {
    "not landed": ("its drop has not landed", "Land it (docs/how-to/land-a-drop.md)."),
    "not collected": ("its drop has not been collected yet", f"{RUN} collects and cleans it."),
    "refused by collect": (
        "its drop is refused: extra file 'more.csv': it is not in _MANIFEST.json",
        "Land the drop of readings again, or correct the contract in pipeline.yaml.",
    ),
    "not cleaned": ("its drop has not been cleaned yet", f"{RUN} cleans it."),
    "refused by clean": (CAUSE, TRY),
}


@pytest.mark.parametrize("state", STATES)
def test_a_date_without_clean_rows_is_explained(lake: Lake, s3: Any, land_drops: Any, state: str) -> None:
    land(lake, s3, land_drops, state)
    (found,) = unclean_sources(lake, DAY)
    assert (found.source, found.reason, found.remedy) == ("readings", *STATES[state])
    assert unclean_sources(lake, LAST) == []


def test_the_command_and_python_give_the_same_facts(
    lake: Lake, s3: Any, land_drops: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    land(lake, s3, land_drops, "refused by clean")
    monkeypatch.setattr("perennial.commands.quarantine.chosen_lake", lambda _: lake)
    assert run_command(["quarantine", NAME, "--date", str(DAY)]) == 0
    assert capsys.readouterr().out == f"No row of {DAY} is in quarantine.\n  ! readings: {CAUSE}. {TRY}\n"
    assert run_command(["quarantine", NAME, "--date", str(LAST)]) == 0
    assert capsys.readouterr().out == f"No row of {LAST} is in quarantine.\n"
    with pytest.raises(RefusedError) as error:
        PipelineData(lake).quarantine(DAY)
    assert str(error.value).endswith(f"readings: {CAUSE}. {TRY}")


@pytest.mark.parametrize("table", ["clean_readings", "features"])
def test_a_gap_of_a_table_is_named_with_its_reason(lake: Lake, s3: Any, land_drops: Any, table: str) -> None:
    land(lake, s3, land_drops, "refused by clean")
    with pytest.raises(RefusedError) as error:
        PipelineData(lake).table(table, DAY)
    assert str(error.value) == (
        f"Table {table!r} has no rows of {DAY}: readings: {CAUSE}. {TRY} "
        f"Choose dates that it has: 4 dates from {FIRST} to {LAST}."
    )
