"""The arrays that a model is given."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import to_arrays

INPUTS = Inputs.model_validate(
    {
        "request": {"date": "date", "begun": "time", "open": "boolean?", "size": "number?", "kind": "category?"},
        "lookups": {"kinds": {"key": ["kind"], "values": ["rate"]}},
    }
)


def table(**replaced: pa.Array) -> pa.Table:
    columns = {
        "kind": pa.array(["a", None], pa.large_string()),
        "date": pa.array([date(1970, 1, 2), date(1969, 12, 31)]),
        "begun": pa.array([0, 1439], pa.int32()),
        "open": pa.array([True, None]),
        "size": pa.array([None, 2**53 + 1], pa.int64()),
        "kinds__rate": pa.array([0.5, None], pa.float64()),
    }
    return pa.table({**columns, **replaced})


def test_order_types_and_nulls() -> None:
    numbers, texts = to_arrays(table(size=pa.array([None, 2.5])), INPUTS)
    assert INPUTS.numbers == ["begun", "date", "open", "size", "kinds__rate"]
    nan = np.nan
    np.testing.assert_array_equal(numbers, np.array([[0, 1, 1, nan, 0.5], [1439, -1, nan, 2.5, nan]], dtype=np.float32))
    assert texts.tolist() == [["a"], [""]]
    assert numbers.dtype == np.float32


def test_no_rows_are_fine() -> None:
    numbers, texts = to_arrays(table().slice(0, 0), INPUTS)
    assert (numbers.shape, texts.shape) == ((0, 5), (0, 1))


def test_missing_columns_are_named() -> None:
    with pytest.raises(RefusedError, match="kinds__rate"):
        to_arrays(table().drop_columns(["kinds__rate"]), INPUTS)
