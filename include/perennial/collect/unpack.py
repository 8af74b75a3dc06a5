"""The decompressed bytes of a gzip file, in blocks of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from perennial.collect.broken import BrokenError

GZIP = b"\x1f\x8b"
_BLOCK = 1 << 18


def unpack_gzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield blocks of the decompressed members; memory stays bounded at any compression ratio."""
    engine = zlib.decompressobj(wbits=31)
    members, at_start = 0, True
    for chunk in chunks:
        data = chunk
        while data:
            if engine.eof:
                engine, at_start = zlib.decompressobj(wbits=31), True
            try:
                block = engine.decompress(data, _BLOCK)
            except zlib.error as error:
                if not at_start or data.startswith(GZIP):
                    raise BrokenError(f"damaged gzip data ({error})") from error
                what = "garbage after the end of the gzip data" if members else "not gzip, though its name ends in .gz"
                raise BrokenError(what) from error
            at_start = False
            if block:
                yield block
            members += engine.eof
            data = engine.unused_data if engine.eof else engine.unconsumed_tail
    while not engine.eof and (block := engine.decompress(b"", _BLOCK)):
        yield block
    if not engine.eof:
        raise BrokenError("truncated: the gzip data ends early")
