"""The lookups of a release: values by key, frozen with the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

from perennial.config.pipeline import Inputs
from perennial.config.pipeline import Lookup as LookupSpec
from perennial.errors import RefusedError
from perennial.store.json_value import JsonValue

Key = str | tuple[str, ...]
"""The values of a record's key fields: a text for a single field, a tuple for several."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """
    One frozen table. `key_of` maps a record's texts to its key; an unseen key gives NaN for every value.

    If the key has several columns, `seen` holds the values of each one.
    """

    fields: tuple[str, ...]
    key_of: Callable[[list[str]], Key]
    rows: dict[Key, list[float]]
    unseen: list[float]
    seen: tuple[frozenset[str], ...] = ()

    def unseen_fields(self, key: Key) -> tuple[str, ...]:
        """Return the fields of an unseen key whose value was never seen, or all fields if only their combination is new."""
        if not self.seen:
            return self.fields
        never = [field for field, value, seen in zip(self.fields, key, self.seen, strict=True) if value not in seen]
        return tuple(never) or self.fields


def read_lookup(name: str, document: JsonValue, spec: LookupSpec, inputs: Inputs) -> Lookup:
    """Read a lookup file of a release. Raise RefusedError if it is not the table that the inputs declare."""
    if not isinstance(document, dict) or document.get("key") != spec.key or document.get("values") != spec.values:
        raise RefusedError(f"lookup {name!r}: expected key {spec.key} and values {spec.values}, found other columns")
    width = len(spec.key)
    rows: dict[Key, list[float]] = {}
    for row in document["rows"]:
        if len(row) != width + len(spec.values) or not all(isinstance(part, str | None) for part in row[:width]):
            raise RefusedError(f"lookup {name!r}: row {len(rows)} does not fit its columns")
        if not all(row[:width]):
            continue  # null never joins in SQL, and a record's null is the empty text here
        key = row[0] if width == 1 else tuple(row[:width])
        if key in rows:
            raise RefusedError(f"lookup {name!r}: the key {key!r} is listed twice")
        rows[key] = [math.nan if value is None else float(value) for value in row[width:]]
    texts = inputs.texts
    key_of = itemgetter(*(texts.index(column) for column in spec.key))
    seen = tuple(map(frozenset, zip(*rows, strict=True))) if width > 1 and rows else ()
    return Lookup(tuple(spec.key), key_of, rows, [math.nan] * len(spec.values), seen)
