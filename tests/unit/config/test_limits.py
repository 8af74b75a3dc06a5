"""The limits of a request have one place, and they agree with each other."""

from __future__ import annotations

import json

from perennial.config.limits import MAX_BODY, MAX_FIELDS, MAX_RECORDS, MAX_TEXT
from perennial.config.tables import ColumnContract
from perennial.serve.limits import Limits


def test_a_column_without_max_length_fits_into_a_request() -> None:
    limits = Limits()
    assert ColumnContract(type="string").max_length == MAX_TEXT == limits.text_characters
    assert (limits.body_bytes, limits.records) == (MAX_BODY, MAX_RECORDS)


def test_a_record_of_the_largest_texts_fits_into_a_body() -> None:
    for widest in ("\x00", "😀"):
        record = {f"{index:063}": widest * MAX_TEXT for index in range(MAX_FIELDS)}
        assert len(json.dumps([record], ensure_ascii=False).encode()) <= MAX_BODY
