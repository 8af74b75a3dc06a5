"""
Writes the file of a large lookup. The bytes depend only on the rows, not on their order.

Rows stay in Arrow and numpy: as Python objects, ten million keys would take gigabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import reduce
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from perennial.errors import RefusedError
from perennial.serve.lookup_file import FORMAT, HASH_BITS, HEAD, LENGTH_BYTES, SEPARATOR, VALUE_BYTES, digest_of
from perennial.store.content_name import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 200_000
"""Rows that are copied at once."""

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def write_lookup(file: BinaryIO, what: str, rows: pa.Table, key: Sequence[str], values: Sequence[str]) -> tuple[str, int]:
    """
    Write rows without null keys into a file, and return its SHA-256 and its size.

    :raises RefusedError: a key occurs twice
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    # A record's null is the empty text, so an empty text is no key.
    full = reduce(pc.and_, (pc.not_equal(rows[name], "") for name in key))
    rows = rows if pc.all(full, min_count=0).as_py() else rows.filter(full)
    texts = [_binary(rows[name]) for name in key]
    joined = texts[0] if len(key) == 1 else pc.binary_join_element_wise(*texts, pa.scalar(SEPARATOR, pa.large_binary()))
    matrix = np.empty((rows.num_rows, len(values)), dtype="<f8")
    for at, name in enumerate(values):
        column = rows[name].to_numpy()
        matrix[:, at] = np.where(np.isfinite(column), column, np.nan)
    digest, size = sha256(), 0
    line = canonical_json({"format": FORMAT, "key": list(key), "values": list(values)}) + b"\n"
    tables = [(joined, matrix)]
    if len(key) > 1:
        tables += [(text.unique(), np.empty((0, 0))) for text in texts]
    for part in _chain(line, tables, what):
        file.write(part)
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def _chain(line: bytes, tables: Sequence[tuple[pa.Array, Numbers]], what: str) -> Iterator[bytes | memoryview]:
    yield line
    for keys, values in tables:
        yield from _table(keys, values, what)


def _table(keys: pa.Array, values: Numbers, what: str) -> Iterator[bytes | memoryview]:
    """Yield head, index and entries of a hash table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bits = max(1, len(keys).bit_length() - 1)  # one to two keys a bucket
    hashes = _hash(keys)
    order = np.argsort(hashes, kind="stable")
    _order_ties(order, hashes, keys, what)
    lengths = pc.binary_length(keys).to_numpy(zero_copy_only=False).astype("<u4")
    ends = np.zeros(len(keys) + 1, dtype="<i8")
    np.cumsum(lengths[order] + np.int64(LENGTH_BYTES + VALUE_BYTES * values.shape[1]), out=ends[1:])
    buckets = hashes[order] >> np.uint64(HASH_BITS - bits)
    yield struct.pack(HEAD, bits, len(keys), int(ends[-1]))
    yield ends[np.searchsorted(buckets, np.arange(2**bits + 1, dtype=np.uint64))].tobytes()
    for first in range(0, len(keys), _ROWS):
        some = order[first : first + _ROWS]
        parts = [_fixed(lengths[some, None]), keys.take(pa.array(some))]
        parts += [_fixed(values[some])] if values.shape[1] else []
        entries = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
        yield memoryview(entries.buffers()[2])[: ends[first + len(some)] - ends[first]]


def _hash(keys: pa.Array) -> Hashes:
    parts = (keys[first : first + _ROWS].to_pylist() for first in range(0, len(keys), _ROWS))
    hashes = [np.frombuffer(b"".join(map(digest_of, part)), dtype="<u8") for part in parts]
    return np.concatenate([np.empty(0, np.uint64), *hashes])


def _order_ties(order: Integers, hashes: Hashes, keys: pa.Array, what: str) -> None:
    """Bring keys with the same hash into the order of their bytes. Refuse a key that occurs twice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tied = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    if not len(tied):
        return
    before, after = (keys.take(pa.array(order[places])) for places in (tied, tied + 1))
    if (doubled := pc.index(pc.equal(before, after), True).as_py()) >= 0:
        _refuse_doubled(what, before[doubled].as_py())
    places = np.union1d(tied, tied + 1)
    ranked = sorted((int(hashes[at]), keys[at].as_py(), at) for at in order[places].tolist())
    for (_, text, _), (_, following, _) in pairwise(ranked):
        if text == following:
            _refuse_doubled(what, text)
    order[places] = [at for _, _, at in ranked]


def _refuse_doubled(what: str, key: bytes) -> None:
    raise RefusedError(f"{what}: the key {tuple(part.decode() for part in key.split(SEPARATOR))} occurs twice")


def _binary(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    return column.cast(pa.large_string()).combine_chunks().cast(pa.large_binary())


def _fixed(cells: NDArray[np.generic]) -> pa.Array:
    """Return each row of a matrix as bytes."""
    import pyarrow as pa

    width = cells.dtype.itemsize * cells.shape[1]
    offsets = np.arange(len(cells) + 1, dtype=np.int64) * width
    return pa.Array.from_buffers(
        pa.large_binary(), len(cells), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(cells))]
    )
