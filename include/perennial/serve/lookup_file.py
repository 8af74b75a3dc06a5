"""
The file of a large lookup: hash tables that are searched where they lie, so that a server reads only the pages it needs.

The first line is a JSON object that names the columns. The table of keys and values follows and, if the key has several columns,
a table of the distinct texts of each one. A table has a head, an index and entries, all integers little-endian:

- the head: bits, number of keys, bytes of the entries, as 64-bit integers;
- the index: for each of the 2^bits buckets the 64-bit offset of its first entry, and the end of the last bucket;
- an entry: 32-bit length of the key, the key in UTF-8 (its columns are joined by SEPARATOR), each value as a 64-bit float.

The highest bits of a key's hash name its bucket. The key itself is compared, so keys with one hash cannot be confused.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Sequence
from typing import BinaryIO

from perennial.errors import RefusedError

SEPARATOR = b"\xff"
"""A byte that UTF-8 never has."""

FORMAT = 1
HASH_BITS = 64
MAX_BITS = 40
HEAD, LENGTH, OFFSET, VALUE = "<QQQ", "<I", "<Q", "<d"
"""Formats of struct. They are texts because the objects of struct cannot be sent to the workers of Spark."""

HEAD_BYTES, LENGTH_BYTES, OFFSET_BYTES, VALUE_BYTES = map(struct.calcsize, (HEAD, LENGTH, OFFSET, VALUE))
_MAX_LINE = 2**20


def digest_of(key: bytes) -> bytes:
    """Return the hash of a key, as bytes of a little-endian integer. It also decides the order of the entries."""
    return hashlib.blake2b(key, digest_size=HASH_BITS // 8).digest()


class MappedRows:
    """One hash table of a mapped file: values by key."""

    __slots__ = ("_entries", "_file", "_index", "_shift", "_values")

    def __init__(self, file: mmap.mmap, begin: int, bits: int, values: int) -> None:
        self._file = file
        self._index = begin
        self._entries = begin + OFFSET_BYTES * (2**bits + 1)
        self._shift = HASH_BITS - bits
        self._values = struct.Struct(f"<{values}d")

    def get(self, key: str | tuple[str, ...], /) -> list[float] | None:
        """Return the values of a key, or None."""
        text = key.encode() if type(key) is str else SEPARATOR.join([part.encode() for part in key])
        bucket = int.from_bytes(digest_of(text), "little") >> self._shift
        begin, end = struct.unpack_from("<QQ", self._file, self._index + OFFSET_BYTES * bucket)
        entries = self._file[self._entries + begin : self._entries + end]
        at, size = 0, len(text)
        while at < len(entries):
            (length,) = struct.unpack_from(LENGTH, entries, at)
            at += LENGTH_BYTES
            if length == size and entries[at : at + size] == text:
                return list(self._values.unpack_from(entries, at + size))
            at += length + self._values.size
        return None

    def __contains__(self, key: str | tuple[str, ...], /) -> bool:
        """Return whether the table has a key."""
        return self.get(key) is not None


def map_file(file: BinaryIO) -> mmap.mmap:
    """Map a whole file for reading at random. The mapping outlives the open file."""
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    mapped.madvise(mmap.MADV_RANDOM)  # otherwise the kernel reads 128 KiB of the disk for each entry
    return mapped


def open_tables(file: mmap.mmap, what: str, key: Sequence[str], values: Sequence[str]) -> list[MappedRows]:
    """
    Return the table of the keys, then the table of each of several key columns.

    :raises RefusedError: the file is not a lookup with these columns
    """
    end = file.find(b"\n", 0, _MAX_LINE)
    try:
        columns = json.loads(file[: max(end, 0)])
    except (ValueError, RecursionError):
        columns = None
    expected = {"format": FORMAT, "key": list(key), "values": list(values)}
    if columns != expected:
        raise RefusedError(f"{what}: expected key {list(key)} and values {list(values)} in format {FORMAT}, found other columns")
    at, tables = end + 1, []
    for width in (len(values), *((0,) * len(key) if len(key) > 1 else ())):
        if at + HEAD_BYTES > len(file):
            raise RefusedError(f"{what}: the file ends within its tables")
        bits, _, size = struct.unpack_from(HEAD, file, at)
        begin = at + HEAD_BYTES
        entries = begin + OFFSET_BYTES * (2 ** min(bits, MAX_BITS) + 1)
        at = entries + size
        last = file[entries - OFFSET_BYTES : entries]
        if not 0 < bits <= MAX_BITS or at > len(file) or int.from_bytes(last, "little") != size:
            raise RefusedError(f"{what}: the file ends within its tables")
        tables.append(MappedRows(file, begin, bits, width))
    if at != len(file):
        raise RefusedError(f"{what}: the file has {len(file) - at} bytes after its tables")
    return tables
