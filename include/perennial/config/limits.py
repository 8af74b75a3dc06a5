"""
The limits of a request, and so of the rows that a model is trained on.

The contract, the checks of analyse and the model server read them here. Spark jobs read them too, so this module imports little.
"""

from __future__ import annotations

from datetime import date

MAX_TEXT = 1000
"""Characters of a category. It is also the default `max_length` of a column, so such a column always fits."""

MAX_NUMBER = 3.4028234663852886e38
"""The largest 32-bit float: the graph of a model computes with these."""

MAX_MINUTE = 24 * 60 - 1
"""A time is a number of minutes since midnight."""

MIN_DATE, MAX_DATE = date.min, date.max

MAX_FIELDS = 1000
"""Fields of a record."""

MAX_RECORDS = 10_000
"""Records of a request."""

MAX_BODY = 8 * 2**20
"""Bytes of a request. A record always fits: even in control characters, its texts take six bytes a character."""
