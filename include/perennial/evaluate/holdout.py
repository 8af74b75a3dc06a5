"""The rows of a date's holdout from the features table, in parts: memory holds a part of one date, or a few small dates."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, BinaryIO

from perennial.errors import PerennialError, RefusedError
from perennial.evaluate.row_keys import find_duplicates, format_key
from perennial.lake.labelled import join_labels, label_columns
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest, ReleaseManifest
from perennial.lake.parts import divide
from perennial.lake.sample import SAMPLE, filter_below, judged_limits
from perennial.lake.tables import RowsReader, TableState, read_rows
from perennial.models.scoring import in_order
from perennial.store.content_name import sha256
from perennial.store.scratch import scratch_file

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some rows of the holdout, ordered by (date, row key), each row key once.

    :param is_range: they are a part of one date
    """

    table: pa.Table
    days: Sequence[date]
    is_range: bool


def read_holdout(lake: Lake, manifests: Mapping[str, ModelManifest], reader: RowsReader) -> Iterator[Part]:
    """
    Read the holdout rows that all candidates predicted, with the same content as in their trainings.

    If labels have their own table, rows without a label are left out.
    """
    days, pipeline = common_holdout(lake, manifests), lake.pipeline
    inputs, row_key, label = pipeline.inputs, pipeline.row_key, pipeline.label
    columns = sorted({"date", *row_key, *inputs.numbers, *inputs.texts})
    features = _unchanged_state(lake, "features", {name: manifest["digests"] for name, manifest in manifests.items()}, days)
    labels = None
    if label.known_after_days:
        digests = {name: manifest["label_digests"] for name, manifest in manifests.items()}
        labels = _unchanged_state(lake, "labels", digests, days)
    bound = next(iter(manifests.values())).get("judged_below")
    recorded = {day: features.partitions[day.isoformat()].rows for day in days}
    limits = judged_limits(bound, recorded)
    columns = columns if bound is None else [*columns, SAMPLE]
    for some, among in divide(recorded, limits):
        rows = _read(features, some, columns, among, reader)
        rows = rows if bound is None else filter_below(rows, limits)
        if labels is not None:
            known = _read(labels, some, label_columns(row_key, label.column), among, reader)
            rows = join_labels(rows, known, row_key, label.column).table
        yield Part(order_rows(rows, row_key), some, is_range=among is not None)


def _read(
    state: TableState, days: Sequence[date], columns: Sequence[str], among: tuple[int, int] | None, reader: RowsReader
) -> pa.Table:
    if state.metadata_location is None or state.snapshot_id is None:
        raise PerennialError(f"{state.name}: the table is empty. Run the date again from analyse.")
    if among is None:
        return reader.read(state.metadata_location, state.snapshot_id, days, columns)
    return read_rows(state.metadata_location, state.snapshot_id, days, columns, among=among)


def _unchanged_state(lake: Lake, table: str, digests: Mapping[str, Mapping[str, str]], days: Sequence[date]) -> TableState:
    """Return the state of a table that all candidates were trained with. Raise an error if a day of it has changed."""
    state = lake.tables.state(table)
    for name, expected in digests.items():
        for day in days:
            partition, known = state.get(day), expected[day.isoformat()]
            if partition is None or partition.digest != known:
                raise PerennialError(
                    f"Candidate {name!r}: the {table} of {day} changed since it was trained "
                    f"(digest {partition.digest[:12] if partition else 'none'}, expected {known[:12]}). "
                    "Run the date again from analyse."
                )
    return state


def order_rows(table: pa.Table, row_key: Sequence[str]) -> pa.Table:
    """Order rows by (date, row key), and refuse a row key that occurs twice."""
    ordered = in_order(table, row_key)
    if duplicates := find_duplicates(ordered, row_key):
        raise RefusedError(f"Holdout: {len(duplicates)} rows of the features occur twice", [format_key(duplicates[0], row_key)])
    return ordered


def common_holdout(lake: Lake, manifests: Mapping[str, ModelManifest]) -> list[date]:
    """Return the holdout dates, which must be the same for all candidates. Refuse a candidate trained on one of them."""
    of_first = next(iter(manifests.values()))
    first, limit = of_first["holdout"], of_first.get("judged_below")
    for name, manifest in manifests.items():
        if (manifest["holdout"], manifest.get("judged_below")) != (first, limit):
            raise PerennialError(
                f"Candidate {name!r}: holdout {manifest['holdout']}, rows below {manifest.get('judged_below')}, "
                f"but other candidates have {first}, rows below {limit}. Train all candidates again."
            )
        leaked = sorted(set(manifest["window"]) & set(first))
        if leaked:
            raise RefusedError(
                f"Pipeline {lake.pipeline.name!r}, candidate {manifest['version']}: "
                f"trained on {len(leaked)} days of its own holdout",
                leaked,
                "A score on rows that the model has seen is meaningless. Train it again.",
            )
    return [date.fromisoformat(day) for day in first]


def read_predictions(lake: Lake, manifest: ModelManifest) -> pa.Table:
    """Return all recorded holdout predictions of a candidate, verified against its manifest."""
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(read_file(lake, manifest, "predictions.parquet")))


@contextmanager
def open_predictions(lake: Lake, manifest: ModelManifest) -> Iterator[BinaryIO]:
    """Yield the recorded holdout predictions of a candidate in a file without a name, verified against its manifest."""
    expected = manifest["files"]["predictions.parquet"]["sha256"]
    with scratch_file() as file:
        _check_digest(manifest, "predictions.parquet", lake.objects.download(lake.layout.blob(expected), file))
        yield file


def read_file(lake: Lake, manifest: ModelManifest | ReleaseManifest, name: str) -> bytes:
    """Return one file of a model or release, verified against the manifest that names it."""
    body = lake.objects.read_existing(lake.layout.blob(manifest["files"][name]["sha256"])).body
    _check_digest(manifest, name, sha256(body))
    return body


def _check_digest(manifest: ModelManifest | ReleaseManifest, name: str, found: str) -> None:
    expected = manifest["files"][name]["sha256"]
    if found != expected:
        raise RefusedError(f"{manifest['version']}: {name} has digest {found[:12]}, expected {expected[:12]} from its manifest")
