"""The holdout of a date: its rows as the features table holds them, and every model's predictions matched to them by key."""

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
    """The features of the holdout, ordered by (date, row key), each row once."""

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
    Read the rows that all candidates were to predict, at the very content that they were trained with.

    Where labels have a table of their own, these are the rows that have one.
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
    """Return the rows of a table that all candidates were trained with; raise when a day of it is no longer the same."""
    state = lake.tables.state(table)
    for name, expected in digests.items():
        for day in days:
            found, known = state.get(day), expected[day.isoformat()]
            if found is None or found.digest != known:
                raise PerennialError(
                    f"Candidate {name!r}: the {table} of {day} changed since it was trained "
                    f"(digest {found.digest[:12] if found else 'none'}, expected {known[:12]}). Run the date again from analyse."
                )
    if state.metadata_location is None or state.snapshot_id is None:
        raise PerennialError(f"{state.name}: the table of {table} is empty. Run the date again from analyse.")
    return reader.read(state.metadata_location, state.snapshot_id, days, columns)


def order_rows(table: pa.Table, row_key: Sequence[str]) -> HoldoutRows:
    """Order rows by (date, row key); refuse a key that stands there twice."""
    import pyarrow.compute as pc

    ordered = in_order(table, row_key)
    if doubled := _doubled(ordered, row_key):
        raise RefusedError(f"Holdout: {len(doubled)} rows of the features stand there twice", [_show(doubled[0], row_key)])
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
        raise RefusedError(f"{manifest['version']}: {name} has digest {sha256(body)[:12]}, its manifest says {expected[:12]}")
    return body


def match(rows: HoldoutRows, predictions: pa.Table, row_key: Sequence[str], who: str) -> tuple[NDArray[np.int_], Floats]:
    """Return (y, p) of the predictions in the order of the holdout rows; each row must be there exactly once."""
    ordered = in_order(predictions, row_key)
    if not all(_is_equal(ordered[name], rows.table[name]) for name in _names(row_key)):
        raise RefusedError(
            f"Candidate {who!r}: its predictions do not fit the {rows.table.num_rows} holdout rows",
            _misfits(rows.table, ordered, row_key),
        )
    y = ordered["y"].to_numpy().astype(np.int_)
    p = ordered["p"].to_numpy().astype(np.float64)
    if not (np.isin(y, (0, 1)).all() and np.isfinite(p).all() and ((p >= 0) & (p <= 1)).all()):
        raise RefusedError(f"Candidate {who!r}: a label other than 0 and 1, or a probability outside 0..1")
    return y, p


def _is_equal(column: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Tell whether two columns hold the same values: builds of the trainer may write another type for them."""
    import pyarrow as pa

    try:
        return bool(column.cast(other.type).equals(other))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False


def _misfits(rows: pa.Table, predictions: pa.Table, row_key: Sequence[str]) -> list[str]:
    found, wanted = _keys(predictions, row_key), _keys(rows, row_key)
    there, expected = set(found), set(wanted)
    problems = [f"predicted twice: {_show(key, row_key)}" for key in _doubled(predictions, row_key)]
    problems += [f"not predicted: {_show(key, row_key)}" for key in wanted if key not in there]
    problems += [f"not in the holdout: {_show(key, row_key)}" for key in dict.fromkeys(found) if key not in expected]
    types = [(name, predictions[name].type, rows[name].type) for name in _names(row_key)]
    return problems or [f"{name}: of type {theirs}, expected {ours}" for name, theirs, ours in types if theirs != ours]


def _names(row_key: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(["date", *row_key]))


def _doubled(ordered: pa.Table, row_key: Sequence[str]) -> list[Key]:
    """Return the keys of the rows that have the key of the row before them."""
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
    """Return the dates that all candidates hold out; refuse a candidate that was trained on one of them."""
    first = next(iter(manifests.values()))["holdout"]
    for name, manifest in manifests.items():
        if manifest["holdout"] != first:
            raise PerennialError(
                f"Candidate {name!r}: holdout {manifest['holdout']}, others have {first}. Train all candidates again."
            )
        leaked = sorted(set(manifest["window"]) & set(first))
        if leaked:
            raise RefusedError(
                f"Pipeline {lake.pipeline.name!r}, candidate {manifest['version']}: trained on {len(leaked)} days of its own holdout",
                leaked,
                "A score on rows that the model has seen says nothing. Train it again.",
            )
    return [date.fromisoformat(day) for day in first]


def _show(key: Key, row_key: Sequence[str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(_names(row_key), key, strict=True))
