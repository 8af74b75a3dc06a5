"""Reading the dates of a table one after the other, on real Iceberg files."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest
from lab import LAST, Lab

from perennial.errors import RefusedError
from perennial.lake import tables
from perennial.lake.parts import MAX_READ
from perennial.lake.tables import Partition, RowsReader, read_rows


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[date]]:
    """Return the dates of each reading of the table itself, as it happens."""
    found: list[list[date]] = []

    def spy(location: str, snapshot: int, wanted: set[date], columns: list[str]) -> pa.Table:
        found.append(sorted(wanted))
        return read_rows(location, snapshot, wanted, columns)

    monkeypatch.setattr(tables, "read_rows", spy)
    return found


def test_it_reads_only_dates_that_it_does_not_hold_and_gives_what_reading_all_would(lab: Lab, asked: list[list[date]]) -> None:
    state, reader = lab.lake.tables.state("features"), RowsReader()
    location, snapshot = str(state.metadata_location), int(state.snapshot_id or 0)
    one, two, three, four = (LAST - timedelta(days=back) for back in (3, 2, 1, 0))
    columns, order = ["date", "reading_id"], [("date", "ascending"), ("reading_id", "ascending")]
    for wanted in ([one, two], [two, three], [two, three], [three, four]):
        found = reader.read(location, snapshot, wanted, columns)
        assert found.sort_by(order).to_pylist() == read_rows(location, snapshot, wanted, columns).sort_by(order).to_pylist()
    assert asked == [[one, two], [three], [four]]
    reader.read(location, snapshot, [three, four], ["date"])
    assert asked[-1] == [three, four]


def test_it_reads_dates_along_where_many_follow(lab: Lab, asked: list[list[date]]) -> None:
    state, reader = lab.lake.tables.state("features"), RowsReader(2)
    location, snapshot = str(state.metadata_location), int(state.snapshot_id or 0)
    days = [LAST + timedelta(days=after) for after in range(-4, 3)]  # the table ends with LAST
    for wanted in ([days[0], days[1]], [days[1], days[2]], [days[2], days[3]], [days[3], days[4]], [days[4]]):
        found = reader.read(location, snapshot, wanted, ["date", "reading_id"])
        expected = read_rows(location, snapshot, wanted, ["date", "reading_id"])
        assert sorted(map(str, found.to_pylist())) == sorted(map(str, expected.to_pylist()))
        assert found.num_rows
    assert asked == [days[0:4], days[4:7]]


def test_it_does_not_read_big_dates_along(lab: Lab, asked: list[list[date]]) -> None:
    """The commits of two dates record as many rows as are read at once."""
    days = [LAST + timedelta(days=after) for after in range(6)]
    sizes = dict(zip(days, (5, 5, MAX_READ - 5, MAX_READ, 5, 5), strict=True))
    properties = dict(Partition("key", "digest", rows).property(day.isoformat()) for day, rows in sizes.items())
    rows = pa.table({"date": pa.array(days, pa.date32())})
    table = lab.catalog.create_table("lab.sizes", rows.schema)
    table.append(rows, snapshot_properties=properties)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    reader = RowsReader(3)
    for day in days:
        assert reader.read(table.metadata_location, snapshot.snapshot_id, [day], ["date"])["date"].to_pylist() == [day]
    assert asked == [days[0:3], [*days[3:6], days[5] + timedelta(days=1)]]


def test_texts_have_one_type_whatever_the_files_and_the_dates_hold(lab: Lab) -> None:
    """pyiceberg gives another one where there are no rows, and where a file is older than the column."""
    state = lab.lake.tables.state("features")
    location, snapshot = str(state.metadata_location), int(state.snapshot_id or 0)
    reader, text = RowsReader(), lab.pipeline.inputs.texts[0]
    for day in (LAST, LAST + timedelta(days=30), LAST):
        assert reader.read(location, snapshot, [day], ["date", text]).schema.field(text).type == pa.string()


def test_columns_that_the_table_does_not_have_yet_are_named(lab: Lab) -> None:
    """As after an edit of the pipeline that no run has brought in."""
    state = lab.lake.tables.state("features")
    with pytest.raises(
        RefusedError, match=r"features: its rows lack columns of the present pipeline\.yaml: channel\. Run a date"
    ):
        read_rows(str(state.metadata_location), int(state.snapshot_id or 0), [LAST], ["date", "channel"])
