"""
Golden requests: raw records with the answers that a release must give, computed in the same way as in training.

The lookups are joined here with Arrow and plain dictionaries, and without the server's code, so that the check does not compare
the server with itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from perennial.config.pipeline import Inputs, RequestField
from perennial.deploy.lookups import FrozenLookup
from perennial.store.json_value import JsonValue

if TYPE_CHECKING:
    import pyarrow as pa

Record = dict[str, JsonValue]
Row = Mapping[str, str | float | date | None]
"""A row of features. A time is a number of minutes, a boolean is a bool."""

ROWS = 20
UNSEEN = "~never seen~"
"""A category that occurs in no data set: it is too long for most, and has characters that codes do not use."""


def spread(rows: int) -> range:
    """Return the positions of about twenty rows, spread over all."""
    return range(0, rows, max(1, rows // ROWS))[:ROWS]


def golden_records(rows: Sequence[Row], inputs: Inputs, day: date) -> list[Record]:
    """
    Return a record for each row, and records that never occur in the holdout: unseen keys, and nulls if allowed.

    If today's rows lack a field that an older champion needs, the record has a default value of its type.

    :param rows: about twenty rows of the holdout, see `spread`
    """
    records = [_record(row, inputs, day) for row in rows]
    plain = records[0] if records else _record({}, inputs, day)
    texts = inputs.texts
    records += [{**plain, name: UNSEEN} for name in texts]
    records.append({**plain, **dict.fromkeys(texts, UNSEEN)})
    records.append({name: None if field.nullable else plain[name] for name, field in inputs.request.items()})
    return records


def model_table(records: Sequence[Record], inputs: Inputs, lookups: Mapping[str, FrozenLookup]) -> pa.Table:
    """Return records as rows of a features table: fields in their column types, lookup values joined."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    types = {"number": pa.float64(), "category": pa.string(), "time": pa.int32(), "date": pa.date32(), "boolean": pa.bool_()}
    for name, field in inputs.request.items():
        columns[name] = pa.array([_column_value(record[name], field) for record in records], types[field.type])
    for name, lookup in lookups.items():
        keys = [_key(record, lookup) for record in records]
        found = lookup.find(keys)
        rows = [found.get(key) for key in keys]
        for index, value in enumerate(lookup.spec.values):
            columns[f"{name}__{value}"] = pa.array([row[index] if row else None for row in rows], pa.float64())
    return pa.table(columns)


def _key(record: Record, lookup: FrozenLookup) -> tuple[str, ...]:
    """Return the lookup key of a record. A key with a null is shorter, so it matches no row."""
    return tuple(value for column in lookup.spec.key if isinstance(value := record[column], str))


def _record(row: Row, inputs: Inputs, day: date) -> Record:
    return {name: _raw(row.get(name), field, day) for name, field in inputs.request.items()}


def _raw(value: Any, field: RequestField, day: date) -> Any:
    """Return a value of the features as a caller would send it."""
    missing = value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))
    if missing:
        plain = {"number": 0.0, "category": UNSEEN, "time": "00:00", "date": day.isoformat(), "boolean": False}
        return None if field.nullable else plain[field.type]
    if field.type == "time":
        return f"{value // 60:02d}:{value % 60:02d}"
    return value.isoformat() if field.type == "date" else value


def _column_value(value: Any, field: RequestField) -> Any:
    if value is None:
        return None
    if field.type == "time":
        hours, minutes = value.split(":")
        return int(hours) * 60 + int(minutes)
    return date.fromisoformat(value) if field.type == "date" else value
