"""The column of the features and of the labels that places a row in samples and in buckets: a hash of its date and row key."""

from __future__ import annotations

SAMPLE = "__sample"
"""Its name. Spark computes it, so texts are hashed alike everywhere, and sorts each date by it."""

SAMPLE_BITS = 31
"""The number of its bits: it is an integer of 32 bits that is never negative."""
