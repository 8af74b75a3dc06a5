"""Both forms of a lookup's file give the same answers, for any keys and values, whatever their hashes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from perennial.config.pipeline import Inputs
from perennial.deploy import lookup_writer, lookups
from perennial.deploy.lookups import FrozenLookup, freeze
from perennial.errors import RefusedError
from perennial.lake.tables import TableState
from perennial.serve import lookup_file
from perennial.serve.lookup_file import digest_of, map_file
from perennial.serve.lookups import Lookup, read_large_lookup, read_lookup
from perennial.store.content_name import canonical_json

AS_OF = date(2026, 3, 1)
STATE = TableState("lab.lookup_rates", "s3://none/metadata.json", 1, {})
TEXTS = st.sampled_from(["", "a", "b", "ab", "A", "é", "e\u0301", "ÿ", "\x00", "a\x00", "🛫", "x" * 300, "\uffff", ",", "\n"])
NUMBERS = st.one_of(st.none(), st.floats(), st.integers(-5, 5).map(float))
HASHES: dict[str, Callable[[bytes], bytes]] = {
    "its own": digest_of,
    "one for all": lambda key: bytes(8),
    "one of two": lambda key: bytes(7) + bytes([len(key) % 2 * 255]),
}


def inputs_of(width: int, values: int) -> Inputs:
    key = [f"k{at}" for at in range(width)]
    lookup = {"key": key, "values": [f"v{at}" for at in range(values)]}
    return Inputs.model_validate({"request": {"n": "number", **dict.fromkeys(key, "category?")}, "lookups": {"rates": lookup}})


def freeze_rows(inputs: Inputs, rows: list[list[Any]]) -> FrozenLookup:
    """Freeze rows that the table holds; keys may be null."""
    spec = inputs.lookups["rates"]
    columns = list(zip(*rows, strict=True)) or [[] for _ in [*spec.key, *spec.values]]
    types = [*(pa.string() for _ in spec.key), *(pa.float64() for _ in spec.values)]
    names = [*spec.key, *spec.values]
    table = pa.table({name: pa.array(cells, kind) for name, cells, kind in zip(names, columns, types, strict=True)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookups, "read_rows", lambda *_, **__: table)
        return freeze(STATE, AS_OF, spec)


def open_small(inputs: Inputs, lookup: FrozenLookup) -> Lookup:
    return read_lookup("rates", json.loads(canonical_json(lookup.document())), inputs.lookups["rates"], inputs)


def write_large(folder: Path, lookup: FrozenLookup) -> bytes:
    with (folder / "rates.table").open("wb") as file:
        _, size = lookup_writer.write_lookup(file, lookup.what, lookup.rows, lookup.spec.key, lookup.spec.values)
    assert size == (folder / "rates.table").stat().st_size
    return (folder / "rates.table").read_bytes()


def open_large(folder: Path, inputs: Inputs, lookup: FrozenLookup) -> Lookup:
    write_large(folder, lookup)
    with (folder / "rates.table").open("rb") as file:
        return read_large_lookup("rates", map_file(file), inputs.lookups["rates"], inputs)


def answers(lookup: Lookup, asked: list[list[str | None]]) -> list[Any]:
    """Return the values or the unseen fields of keys, as the model server does: a null is the empty text."""
    keys = [lookup.key_of([text or "" for text in key]) for key in asked]
    found = [lookup.rows.get(key) for key in keys]
    assert [key in lookup.rows for key in keys] == [values is not None for values in found]
    return [
        lookup.unseen_fields(key) if values is None else np.array(values).tobytes()
        for key, values in zip(keys, found, strict=True)
    ]


@st.composite
def drawn_tables(draw: Any) -> tuple[Inputs, list[list[Any]], list[list[str | None]]]:
    width, values = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    texts = st.one_of(st.none(), TEXTS)
    key, cells = st.tuples(*[texts] * width), st.tuples(*[NUMBERS] * values)
    rows = draw(st.lists(st.tuples(key, cells), max_size=30, unique_by=lambda row: row[0] if draw(st.booleans()) else object()))
    asked = draw(st.lists(key, max_size=10))
    return inputs_of(width, values), [[*some, *numbers] for some, numbers in rows], [*asked, *(some for some, _ in rows)]


@pytest.mark.parametrize("name", HASHES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=drawn_tables())
@example(drawn=(inputs_of(2, 1), [["a", "bc", 1.0], ["ab", "c", 2.0]], [["a", "bc"], ["abc", "a"], ["", "c"], ["x", "c"]]))
@example(drawn=(inputs_of(1, 1), [["a", 1.0], [None, 2.0], [None, 3.0], ["a", 4.0]], []))
@example(drawn=(inputs_of(1, 2), [["a", math.nan, -0.0], ["", math.inf, None]], [["a"], [None]]))
def test_both_forms_give_the_same_answers(name: str, drawn: Any, tmp_path: Path) -> None:
    inputs, rows, asked = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup_writer, "digest_of", HASHES[name])
        patch.setattr(lookup_file, "digest_of", HASHES[name])
        frozen = freeze_rows(inputs, rows)
        keys = [tuple(row[: len(inputs.texts)]) for row in rows if None not in row[: len(inputs.texts)]]
        if len(set(keys)) < len(keys):
            for open_form in (open_small, lambda *of: open_large(tmp_path, *of)):
                with pytest.raises(RefusedError, match="occurs twice"):
                    open_form(inputs, frozen)
            return
        small = open_small(inputs, frozen)
        large = open_large(tmp_path, inputs, frozen)
        assert answers(large, asked) == answers(small, asked)
        assert write_large(tmp_path, freeze_rows(inputs, rows[::-1])) == write_large(tmp_path, frozen)


def test_a_doubled_key_is_named(tmp_path: Path) -> None:
    frozen = freeze_rows(inputs_of(2, 1), [["a", "b", 1.0], ["c", "d", 2.0], ["a", "b", 3.0]])
    with pytest.raises(RefusedError, match=r"lab.lookup_rates, as_of 2026-03-01: the key \('a', 'b'\) occurs twice"):
        write_large(tmp_path, frozen)


def test_golden_requests_find_their_keys_in_rows_that_stay_in_arrow() -> None:
    frozen = freeze_rows(inputs_of(2, 1), [["a", "b", 1.0], ["a", "c", math.nan], ["d", "b", 3.0], [None, "b", 4.0]])
    assert frozen.find([("a", "b"), ("a", "c"), ("d", "c"), ("b",)]) == {("a", "b"): [1.0], ("a", "c"): [None]}
    assert frozen.find([]) == frozen.find([("b",)]) == {}


def test_the_bytes_of_a_small_lookup_stay() -> None:
    """Its digest is part of the names of releases."""
    frozen = freeze_rows(inputs_of(1, 2), [["b", 1.0, -0.0], ["a", math.nan, 0.1], [None, 1.0, 1.0]])
    assert canonical_json(frozen.document()) == b'{"key":["k0"],"rows":[["a",null,0.1],["b",1.0,-0.0]],"values":["v0","v1"]}'


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty line": lambda body: b"\n" + body,
    "no line": lambda body: body.replace(b"\n", b" "),
    "other columns": lambda body: body.replace(b'"k0"', b'"k9"', 1),
    "other format": lambda body: body.replace(b'"format":1', b'"format":2', 1),
    "nested deeply": lambda body: b"[" * 100_000 + b"\n" + body,
    "a byte more": lambda body: body + b"\0",
    "a byte less": lambda body: body[:-1],
    "line only": lambda body: body[: body.index(b"\n") + 1],
    "bits beyond the file": lambda body: set_number(body, 0, 39),
    "no bits": lambda body: set_number(body, 0, 0),
    "many bits": lambda body: set_number(body, 0, 2**63),
    "other size": lambda body: set_number(body, 2, 7),
}


def set_number(body: bytes, place: int, number: int) -> bytes:
    """Replace a number of the first head."""
    at = body.index(b"\n") + 1 + 8 * place
    return body[:at] + number.to_bytes(8, "little") + body[at + 8 :]


@pytest.mark.parametrize("case", DAMAGE)
def test_a_file_that_is_no_such_lookup_is_refused(case: str, tmp_path: Path) -> None:
    inputs = inputs_of(2, 1)
    body = write_large(tmp_path, freeze_rows(inputs, [["a", "b", 1.0], ["c", "d", 2.0], ["e", "f", 3.0]]))
    file = tmp_path / "damaged"
    file.write_bytes(DAMAGE[case](body))
    with file.open("rb") as opened, pytest.raises(RefusedError, match="lookup 'rates': "):
        read_large_lookup("rates", map_file(opened), inputs.lookups["rates"], inputs)
