"""The decompressed bytes of a gzip file, in blocks of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from perennial.collect.broken import BrokenError

GZIP = b"\x1f\x8b"
MAX_RATIO = 200
"""Ratio of decompressed to compressed size. Real CSV reaches 5 to 30; a gzip bomb comes close to 1,000."""
RATIO_FREE_BYTES = 10_000_000
"""The ratio is not checked below this size: a small file of equal rows compresses extremely well."""

_MIN_BLOCK, _BLOCK = 1 << 16, 1 << 18
_PIECE = 1 << 15
"""Bytes that are given to zlib at once: at the end of each member it copies the rest of them."""


@dataclass(slots=True)
class Gzip:
    """A gzip file. `padding` is the number of zero bytes behind its last member, which gzip ignores (tapes have them)."""

    padding: int = 0

    def unpack(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield blocks of the decompressed members in bounded memory; raise BrokenError if they are a decompression bomb."""
        small = bytearray()  # the text of small members, joined: readers split each block into lines
        for block in self._decompress(chunks):
            small += block
            if len(small) >= _MIN_BLOCK:
                yield bytes(small)
                small.clear()
        if small:
            yield bytes(small)

    def _decompress(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        engine = zlib.decompressobj(wbits=31)
        members, at_start = 0, True
        size = text_bytes = 0
        for chunk in chunks:
            size += len(chunk)
            for start in range(0, len(chunk), _PIECE):
                data = chunk[start : start + _PIECE]
                while data:
                    if engine.eof and not (data := self._skip_padding(data)):
                        break
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
                    text_bytes += len(block)
                    if text_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * size):
                        raise BrokenError(f"a decompression bomb: its text is more than {MAX_RATIO} times as large as the file")
                    yield block
                    members += engine.eof
                    data = engine.unused_data if engine.eof else engine.unconsumed_tail
        while not engine.eof and (block := engine.decompress(b"", _BLOCK)):
            yield block
        if not engine.eof:
            raise BrokenError("truncated: the gzip data ends early")

    def _skip_padding(self, data: bytes) -> bytes:
        """Return what follows the zero bytes at the end of a member: only another member without zeros before it may."""
        rest = data.lstrip(b"\0")
        self.padding += len(data) - len(rest)
        if rest and self.padding:
            raise BrokenError("garbage after the end of the gzip data")
        return rest
