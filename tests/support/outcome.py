"""All that a backfill left, to compare two of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from perennial.evaluate.chain_store import read_chain
from perennial.lake.files import open_table
from perennial.lake.lake import Lake
from perennial.store.content_name import sha256
from perennial.train.plan import plan_training
from perennial.train.trainings import read_model


def contents(lake: Lake, decided: Iterable[date]) -> dict[str, Any]:
    """Return every partition's digest and rows, the weights and the decision of every date, by name."""
    pipeline, dates = lake.pipeline, list(decided)
    found: dict[str, Any] = {}
    tables = ["features", "profile", *(f"analysis_{name}" for name in pipeline.sql_files("analysis"))]
    for table in [*(f"clean_{name}" for name in pipeline.sources), *tables]:
        state = lake.tables.state(table)
        rows = rows_by_day(state)
        for text, partition in state.partitions.items():
            found[f"{table} {text}"] = (partition.digest, partition.rows, sha256("\n".join(sorted(rows.get(text, []))).encode()))
    for candidate in pipeline.training.candidates:
        for day in dates:
            manifest = read_model(lake, plan_training(lake, day, candidate).manifest_uri or "")
            found[f"{candidate} {day}"] = manifest["files"]["weights.safetensors"]["sha256"]
    for text, entry in read_chain(lake).entries.items():
        found[f"decision {text}"] = entry.uri.rpartition("/")[2]
    return found


def scores_of(lake: Lake) -> dict[str, Any]:
    """
    Return the digest and the rows of the scores of every date and release, by name.

    :raises AssertionError: a date and release has other rows than its commit records, or the scores of a row twice
    """
    state = lake.tables.state("scores")
    if state.metadata_location is None:
        return {}
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in open_table(state.metadata_location).scan(snapshot_id=state.snapshot_id).to_arrow().to_pylist():
        rows.setdefault(f"{row['date']}/{row['release']}", []).append(row)
    assert rows.keys() == state.partitions.keys(), (sorted(rows), sorted(state.partitions))
    found: dict[str, Any] = {}
    for place, some in rows.items():
        partition, keys = state.partitions[place], {tuple(row[name] for name in lake.pipeline.row_key) for row in some}
        assert len(some) == len(keys) == partition.rows, f"{place}: {len(some)} rows, {len(keys)} keys, {partition.rows} recorded"
        texts = "\n".join(sorted(repr(sorted(row.items())) for row in some))
        found[f"scores {place}"] = (partition.digest, partition.rows, sha256(texts.encode()))
    return found


def rows_by_day(state: Any) -> dict[str, list[str]]:
    """Return the rows of each date as text, as they are read back."""
    table = open_table(state.metadata_location)
    rows: dict[str, list[str]] = {}
    for row in table.scan(snapshot_id=state.snapshot_id).to_arrow().to_pylist():
        rows.setdefault(row["date"].isoformat(), []).append(repr(sorted(row.items())))
    return rows
