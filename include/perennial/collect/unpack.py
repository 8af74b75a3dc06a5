"""The decompressed bytes of a gzip file, in blocks of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from perennial.collect.broken import BrokenError

GZIP = b"\x1f\x8b"
_BLOCK = 1 << 18


@dataclass(slots=True)
class Gzip:
    """A gzip file. `padding` is the number of zero bytes behind its last member, which gzip ignores (tapes have them)."""

    padding: int = 0

    def unpack(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield blocks of the decompressed members; memory stays bounded at any compression ratio."""
        engine = zlib.decompressobj(wbits=31)
        members, at_start = 0, True
        for chunk in chunks:
            data = chunk
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
                if block:
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
