"""Predictions are read in the parts in which they were written, and every row must be there once."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.config.pipeline import BinaryLabel
from perennial.errors import RefusedError
from perennial.evaluate.predictions import Predictions
from perennial.tasks.task import task_of

FIRST = date(2026, 3, 1)
SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)


def rows(day: date, *numbers: int) -> pa.Table:
    return pa.table({"date": pa.array([day] * len(numbers), pa.date32()), "n": pa.array(numbers, pa.int64())})


def predicted(day: date, *numbers: int) -> pa.Table:
    p = [number / 100 for number in numbers]
    return rows(day, *numbers).append_column("y", pa.array([0] * len(p), pa.int8())).append_column("p", pa.array(p, pa.float64()))


def written(*parts: pa.Table) -> Predictions:
    file = io.BytesIO()
    with pq.ParquetWriter(file, parts[0].schema) as writer:
        for part in parts:
            writer.write_table(part)
    return Predictions(file, ["n"], "mlp", task_of(BinaryLabel(column="y")))


def p_of(found: Predictions, part: pa.Table, days: Sequence[date], *, is_range: bool = False) -> list[float]:
    return found.match(part, days, is_range=is_range)[1].tolist()


def test_dates_of_one_part_and_parts_of_one_date() -> None:
    several = pa.concat_tables([predicted(SECOND, 3), predicted(FIRST, 2, 1)])
    found = written(several, predicted(THIRD, 5, 9), predicted(THIRD, 4))
    assert p_of(found, pa.concat_tables([rows(FIRST, 1, 2), rows(SECOND, 3)]), [FIRST, SECOND]) == [0.01, 0.02, 0.03]
    assert p_of(found, rows(THIRD, 5, 9), [THIRD], is_range=True) == [0.05, 0.09]
    assert p_of(found, rows(THIRD, 4), [THIRD], is_range=True) == [0.04]
    found.finish()


def test_dates_that_were_written_apart_are_read_together() -> None:
    found = written(predicted(FIRST, 1), predicted(SECOND, 2), predicted(THIRD, 3))
    assert p_of(found, pa.concat_tables([rows(FIRST, 1), rows(SECOND, 2)]), [FIRST, SECOND]) == [0.01, 0.02]
    assert p_of(found, rows(THIRD, 3), [THIRD]) == [0.03]


def test_a_range_without_rows_has_no_part() -> None:
    found = written(predicted(FIRST, 1), predicted(FIRST, 2))
    assert p_of(found, rows(FIRST), [FIRST], is_range=True) == []
    assert p_of(found, rows(FIRST, 1), [FIRST], is_range=True) == [0.01]
    assert p_of(found, rows(FIRST), [FIRST], is_range=True) == []
    assert p_of(found, rows(FIRST, 2), [FIRST], is_range=True) == [0.02]
    found.finish()


def test_a_range_without_its_part_is_refused() -> None:
    found = written(predicted(FIRST, 1), predicted(SECOND, 2))
    p_of(found, rows(FIRST, 1), [FIRST], is_range=True)
    with pytest.raises(RefusedError, match="not predicted: date=2026-03-01, n=7"):
        found.match(rows(FIRST, 7), [FIRST], is_range=True)


@pytest.mark.parametrize("is_last", [True, False], ids=["in a part of its own", "among other rows"])
def test_a_prediction_of_a_date_outside_the_holdout_is_refused(is_last: bool) -> None:
    parts = [predicted(FIRST, 1), predicted(THIRD, 8)]
    found = written(*(parts if is_last else [pa.concat_tables(parts)]))
    assert p_of(found, rows(FIRST, 1), [FIRST]) == [0.01]
    with pytest.raises(RefusedError, match="1 rows more than the holdout has") as refusal:
        found.finish()
    assert "not in the holdout: date=2026-03-03, n=8" in str(refusal.value)
