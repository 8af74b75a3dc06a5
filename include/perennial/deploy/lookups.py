"""Lookups frozen into a release: the rows of as_of(D), in a file whose bytes depend only on its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

from perennial.config.pipeline import Inputs, Lookup
from perennial.deploy.lookup_writer import write_lookup
from perennial.errors import PerennialError, RefusedError
from perennial.lake.lake import Lake
from perennial.lake.manifests import StoredFile
from perennial.lake.tables import TableState, read_rows
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import JsonValue
from perennial.store.scratch import scratch_file

if TYPE_CHECKING:
    import pyarrow as pa

MAX_JSON_KEYS = 100_000
"""The keys of a lookup up to which its file is JSON, which a server keeps as a dictionary: some 30 MB. It maps larger files."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrozenLookup:
    """
    One lookup of a release: its columns and its rows, which stay in Arrow.

    :param what: the lookup in errors
    :param rows: the key columns, none of them null, and the values as doubles; a value that is not finite is null
    """

    what: str
    spec: Lookup
    rows: pa.Table

    def find(self, keys: Iterable[Key]) -> dict[Key, list[float | None]]:
        """Return the values of the keys that the lookup has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = {key for key in keys if len(key) == len(self.spec.key)}
        columns = zip(self.spec.key, zip(*wanted, strict=True), strict=False)
        masks = [pc.is_in(self.rows[name], value_set=pa.array(sorted({*texts}), pa.string())) for name, texts in columns]
        rows = _by_key(self.rows.filter(reduce(pc.and_, masks)), len(self.spec.key)) if masks else []
        return {key: values for key, values in rows if key in wanted}

    def document(self) -> dict[str, JsonValue]:
        """Return the content of the JSON file, sorted by key."""
        rows = sorted(_by_key(self.rows, len(self.spec.key)), key=lambda row: row[0])
        for (key, _), (following, _) in pairwise(rows):
            if key == following:
                raise RefusedError(f"{self.what}: the key {key} occurs twice")
        return {"key": self.spec.key, "values": self.spec.values, "rows": [[*key, *values] for key, values in rows]}


def store_lookup(lake: Lake, name: str, lookup: FrozenLookup) -> tuple[str, StoredFile]:
    """Store the file of a lookup, and return its name in the release. Its number of keys decides its form."""
    if lookup.rows.num_rows <= MAX_JSON_KEYS:
        body = canonical_json(lookup.document())
        lake.objects.create(lake.layout.blob(sha256(body)), body)
        return f"lookups/{name}.json", {"sha256": sha256(body), "size": len(body)}
    with scratch_file() as file:
        digest, size = write_lookup(file, lookup.what, lookup.rows, lookup.spec.key, lookup.spec.values)
        lake.objects.create_file(lake.layout.blob(digest), file, size)
    return f"lookups/{name}.table", {"sha256": digest, "size": size}


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
    """Read the rows of one lookup at one as_of. A null key never joins in SQL, so its row is left out."""
    import pyarrow.compute as pc

    if state.metadata_location is None or state.snapshot_id is None:
        raise PerennialError(f"{state.name}: no snapshot to read as_of {as_of}. Run analyse first.")
    names = [*spec.key, *spec.values]
    rows = read_rows(state.metadata_location, state.snapshot_id, [as_of], names, day_column="as_of").select(names)
    rows = rows.filter(reduce(pc.and_, (pc.is_valid(rows[name]) for name in spec.key)))
    for name in spec.values:
        value = rows[name].cast("double")
        rows = rows.set_column(names.index(name), name, pc.if_else(pc.is_finite(value), value, None))
    return FrozenLookup(f"{state.name}, as_of {as_of}", spec, rows)


def _by_key(rows: pa.Table, width: int) -> list[tuple[Key, list[float | None]]]:
    cells = zip(*(column.to_pylist() for column in rows.columns), strict=True)
    return [(tuple(row[:width]), list(row[width:])) for row in cells]
