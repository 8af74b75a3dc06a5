"""The holdout of a date: its rows from the features table, and the predictions of each model, matched by row key."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import PerennialError, RefusedError
from perennial.lake.labelled import join_labels, label_columns
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest, ReleaseManifest
from perennial.lake.tables import RowsReader
from perennial.models.scoring import in_order
from perennial.store.objects import sha256

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from perennial.evaluate.bootstrap import Floats

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class HoldoutRows:
    """The features of the holdout, ordered by (date, row key), each row key once."""

    table: pa.Table
    days: list[date]

    @property
    def day_index(self) -> NDArray[np.int_]:
        """Return the index of each row's day in `days`."""
        return np.asarray(
            np.searchsorted(np.array(self.days, dtype="datetime64[D]"), self.table["date"].to_numpy()), dtype=np.int_
        )


def read_holdout(lake: Lake, manifests: Mapping[str, ModelManifest], reader: RowsReader) -> HoldoutRows:
    """
    Read the holdout rows that all candidates predicted, with the same content as in their trainings.

    If labels have their own table, rows without a label are left out.
    """
    days, pipeline = _common_holdout(lake, manifests), lake.pipeline
    inputs, row_key, label = pipeline.inputs, pipeline.row_key, pipeline.label
    columns = sorted({"date", *row_key, *inputs.numbers, *inputs.texts})
    digests = {name: manifest["digests"] for name, manifest in manifests.items()}
    rows = _read_unchanged(lake, "features", digests, days, columns, reader)
    if label.known_after_days:
        digests = {name: manifest["label_digests"] for name, manifest in manifests.items()}
        labels = _read_unchanged(lake, "labels", digests, days, label_columns(row_key, label.column), reader)
        rows = join_labels(rows, labels, row_key, label.column).table
    return order_rows(rows, row_key)


def _read_unchanged(
    lake: Lake,
    table: str,
    digests: Mapping[str, Mapping[str, str]],
    days: Sequence[date],
    columns: Sequence[str],
    reader: RowsReader,
) -> pa.Table:
    """Return the rows of a table that all candidates were trained with. Raise an error if a day of it has changed."""
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
    if state.metadata_location is None or state.snapshot_id is None:
        raise PerennialError(f"{state.name}: the table of {table} is empty. Run the date again from analyse.")
    return reader.read(state.metadata_location, state.snapshot_id, days, columns)


def order_rows(table: pa.Table, row_key: Sequence[str]) -> HoldoutRows:
    """Order rows by (date, row key), and refuse a row key that occurs twice."""
    import pyarrow.compute as pc

    ordered = in_order(table, row_key)
    if duplicates := _find_duplicates(ordered, row_key):
        raise RefusedError(f"Holdout: {len(duplicates)} rows of the features occur twice", [_format_key(duplicates[0], row_key)])
    return HoldoutRows(ordered, sorted(pc.unique(ordered["date"]).to_pylist()))


def read_predictions(lake: Lake, manifest: ModelManifest) -> pa.Table:
    """Return the recorded holdout predictions of a candidate, verified against its manifest."""
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(read_file(lake, manifest, "predictions.parquet")))


def read_file(lake: Lake, manifest: ModelManifest | ReleaseManifest, name: str) -> bytes:
    """Return one file of a model or release, verified against the manifest that names it."""
    expected = manifest["files"][name]["sha256"]
    body = lake.objects.read_existing(lake.layout.blob(expected)).body
    if sha256(body) != expected:
        raise RefusedError(
            f"{manifest['version']}: {name} has digest {sha256(body)[:12]}, expected {expected[:12]} from its manifest"
        )
    return body


def match(rows: HoldoutRows, predictions: pa.Table, row_key: Sequence[str], who: str) -> tuple[NDArray[np.int_], Floats]:
    """Return (y, p) of the predictions in the order of the holdout rows. Each row must be predicted exactly once."""
    ordered = in_order(predictions, row_key)
    if not all(_is_equal(ordered[name], rows.table[name]) for name in _names(row_key)):
        raise RefusedError(
            f"Candidate {who!r}: its predictions do not match the {rows.table.num_rows} holdout rows",
            _find_mismatches(rows.table, ordered, row_key),
        )
    y = ordered["y"].to_numpy().astype(np.int_)
    p = ordered["p"].to_numpy().astype(np.float64)
    if not (np.isin(y, (0, 1)).all() and np.isfinite(p).all() and ((p >= 0) & (p <= 1)).all()):
        raise RefusedError(f"Candidate {who!r}: its predictions hold a label other than 0 and 1, or a probability outside 0..1")
    return y, p


def _is_equal(column: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Return whether two columns hold the same values. Builds of the trainer may write them with different types."""
    import pyarrow as pa

    try:
        return bool(column.cast(other.type).equals(other))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def _find_mismatches(rows: pa.Table, predictions: pa.Table, row_key: Sequence[str]) -> list[str]:
    predicted, expected = dict.fromkeys(_keys(predictions, row_key)), dict.fromkeys(_keys(rows, row_key))
    problems = [f"predicted twice: {_format_key(key, row_key)}" for key in _find_duplicates(predictions, row_key)]
    problems += [f"not predicted: {_format_key(key, row_key)}" for key in expected if key not in predicted]
    problems += [f"not in the holdout: {_format_key(key, row_key)}" for key in predicted if key not in expected]
    types = [(name, predictions[name].type, rows[name].type) for name in _names(row_key)]
    return problems or [f"{name}: type {theirs}, expected {ours}" for name, theirs, ours in types if theirs != ours]


def _names(row_key: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(["date", *row_key]))


def _find_duplicates(ordered: pa.Table, row_key: Sequence[str]) -> list[Key]:
    """Return the keys of the rows whose key equals that of the row before."""
    import pyarrow.compute as pc

    before, after = ordered.slice(0, ordered.num_rows - 1), ordered.slice(1)
    same = np.ones(before.num_rows, dtype=bool)
    for name in _names(row_key):
        equal = pc.fill_null(pc.equal(before[name], after[name]), False)
        same &= pc.or_(equal, pc.and_(pc.is_null(before[name]), pc.is_null(after[name]))).to_numpy()
    return _keys(after.filter(same), row_key) if same.any() else []


def _keys(table: pa.Table, row_key: Sequence[str]) -> list[Key]:
    """Return (date, row key) of every row."""
    return list(zip(*(table[name].to_pylist() for name in _names(row_key)), strict=True))


def _common_holdout(lake: Lake, manifests: Mapping[str, ModelManifest]) -> list[date]:
    """Return the holdout dates, which must be the same for all candidates. Refuse a candidate trained on one of them."""
    first = next(iter(manifests.values()))["holdout"]
    for name, manifest in manifests.items():
        if manifest["holdout"] != first:
            raise PerennialError(
                f"Candidate {name!r}: holdout {manifest['holdout']}, but other candidates have {first}. "
                "Train all candidates again."
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


def _format_key(key: Key, row_key: Sequence[str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(_names(row_key), key, strict=True))
