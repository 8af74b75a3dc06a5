"""The column of the features and of the labels that places a row in samples and in buckets: a hash of its date and row key."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = "__sample"
"""Its name. Spark computes it, so texts are hashed alike everywhere, and sorts each date by it."""

SAMPLE_BITS = 31
"""The number of its bits: it is an integer of 32 bits that is never negative."""


def below(table: pa.Table, limit: int) -> pa.Table:
    """Return the rows whose hash is lower than a limit."""
    import pyarrow.compute as pc

    return table.filter(pc.less(table[SAMPLE], limit))
