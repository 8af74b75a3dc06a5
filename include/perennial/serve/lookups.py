"""The lookups of a release: values by key, frozen with the model."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

from perennial.config.pipeline import Inputs
from perennial.config.pipeline import Lookup as LookupSpec
from perennial.errors import RefusedError
from perennial.serve.lookup_file import open_tables
from perennial.store.json_value import JsonValue

Key = str | tuple[str, ...]
"""The values of a record's key fields: a text for a single field, a tuple for several."""


class Rows(Protocol):
    """Values by key: a dictionary, or a table of a mapped file."""

    def get(self, key: Key, /) -> list[float] | None:
        """Return the values of a key, or None."""

    def __contains__(self, key: Key, /) -> bool:
        """Return whether there is such a key."""


class Texts(Protocol):
    """The texts of one column of a key: a set, or a table of a mapped file."""

    def __contains__(self, text: str, /) -> bool:
        """Return whether there is such a text."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """
    One frozen table. `key_of` maps a record's texts to its key; an unseen key gives NaN for every value.

    If the key has several columns, `seen` holds the values of each one.
    """

    fields: tuple[str, ...]
    key_of: Callable[[list[str]], Key]
    rows: Rows
    unseen: list[float]
    seen: tuple[Texts, ...] = ()

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
    seen = tuple(map(frozenset, zip(*rows, strict=True))) if width > 1 and rows else ()
    return _lookup(spec, inputs, rows, seen)


def read_large_lookup(name: str, file: mmap.mmap, spec: LookupSpec, inputs: Inputs) -> Lookup:
    """Open the mapped file of a large lookup. Raise RefusedError if it is not the table that the inputs declare."""
    rows, *seen = open_tables(file, f"lookup {name!r}", spec.key, spec.values)
    return _lookup(spec, inputs, rows, tuple(seen))


def closed_lookup(spec: LookupSpec, inputs: Inputs) -> Lookup:
    """Return a large lookup whose file another process will open: it has no keys."""
    return _lookup(spec, inputs, {}, ())


def _lookup(spec: LookupSpec, inputs: Inputs, rows: Rows, seen: tuple[Texts, ...]) -> Lookup:
    key_of = itemgetter(*(inputs.texts.index(column) for column in spec.key))
    return Lookup(tuple(spec.key), key_of, rows, [math.nan] * len(spec.values), seen)
