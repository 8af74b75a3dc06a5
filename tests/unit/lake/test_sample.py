"""The rows of a holdout that are judged: about the same share of each date, and no date is left out."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from perennial.lake.sample import ALL, MIN_JUDGED, SAMPLE, filter_below, judged_below, judged_limits

BIG, SMALL, TINY = (date(2026, 3, day) for day in (1, 2, 3))
ROWS = {BIG: 60_000, SMALL: 2_000, TINY: 100}


def table() -> pa.Table:
    days = [day for day, rows in ROWS.items() for _ in range(rows)]
    hashes = np.random.default_rng(1).integers(0, ALL, len(days))
    return pa.table({"date": pa.array(days, pa.date32()), SAMPLE: pa.array(hashes, pa.int32())})


def judged(below: int | None) -> dict[date, int]:
    kept = filter_below(table(), judged_limits(below, ROWS))["date"].to_pylist()
    return {day: kept.count(day) for day in ROWS}


def test_a_small_date_keeps_more_than_its_share() -> None:
    below = judged_below(3_000, sum(ROWS.values()))
    found = judged(below)
    assert 2_500 < found[BIG] < 3_400
    assert 0.9 * MIN_JUDGED < found[SMALL] < 1.1 * MIN_JUDGED
    assert found[TINY] == ROWS[TINY]


def test_all_rows_are_judged_without_a_bound_or_below_it() -> None:
    assert judged_below(None, 10**9) is None
    assert judged_below(10, 10) is None
    assert judged(None) == ROWS


def test_only_rows_of_dates_with_a_limit_are_kept() -> None:
    chunks = pa.concat_tables([table(), table()])
    assert filter_below(chunks, {TINY: ALL})["date"].to_pylist() == [TINY] * 2 * ROWS[TINY]
