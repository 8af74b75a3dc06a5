"""Lookups frozen into a release: the rows of as_of(D), in a file whose bytes depend only on its content."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from perennial.config.pipeline import Inputs, Lookup
from perennial.errors import PerennialError, RefusedError
from perennial.lake.lake import Lake
from perennial.lake.tables import TableState, read_rows
from perennial.store.json_value import JsonValue

Rows = Mapping[tuple[str, ...], list[float | None]]


@dataclass(frozen=True, slots=True)
class FrozenLookup:
    """One lookup of a release: its columns, and its values by key."""

    spec: Lookup
    rows: Rows

    def document(self) -> dict[str, JsonValue]:
        """Return the file's content, sorted by key."""
        rows = [[*key, *self.rows[key]] for key in sorted(self.rows)]
        return {"key": self.spec.key, "values": self.spec.values, "rows": rows}


def lookup_states(lake: Lake, day: date, as_of: date, inputs: Inputs) -> dict[str, TableState]:
    """Return the lookup tables that a model needs for a release of `day`. Each must hold the rows of that as_of."""
    states = {}
    for name, spec in inputs.lookups.items():
        present = lake.pipeline.inputs.lookups.get(name)
        if present is None or present.key != spec.key or not set(spec.values) <= set(present.values):
            raise RefusedError(
                f"Pipeline {lake.pipeline.name!r}, {day}: the champion needs lookup {name!r} with key {spec.key} and values "
                f"{spec.values}, "
                f"pipeline.yaml has {'none' if present is None else f'key {present.key} and values {present.values}'}",
                remedy="Keep the lookup until a model without it is champion.",
            )
        states[name] = lake.tables.state(f"lookup_{name}")
        if states[name].get_complete(as_of) is None:
            raise PerennialError(f"Lookup {name!r} has no rows as_of {as_of}. Run analyse of {day} first.")
    return states


def freeze(state: TableState, as_of: date, spec: Lookup) -> FrozenLookup:
    """Read the rows of one lookup at one as_of. A null key never joins in SQL, so the file leaves it out."""
    if state.metadata_location is None or state.snapshot_id is None:
        raise PerennialError(f"{state.name}: no snapshot to read as_of {as_of}. Run analyse first.")
    table = read_rows(state.metadata_location, state.snapshot_id, [as_of], [*spec.key, *spec.values], day_column="as_of")
    columns = [table[name].to_pylist() for name in (*spec.key, *spec.values)]
    width = len(spec.key)
    rows: dict[tuple[str, ...], list[float | None]] = {}
    for row in zip(*columns, strict=True):
        key = row[:width]
        if None in key:
            continue
        if key in rows:
            raise RefusedError(f"{state.name}, as_of {as_of}: the key {key} occurs twice")
        rows[key] = [_number(value) for value in row[width:]]
    return FrozenLookup(spec, rows)


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
