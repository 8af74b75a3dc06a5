"""The limits of a query: what exceeds them, and how a setting that is no limit is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perennial.errors import RefusedError
from perennial.settings import get_settings
from perennial.spark.limits import SETTING, Limits
from perennial.spark.submit import limits_of

LIMITS = Limits("Pipeline 'orders', 2026-03-01", dates=1, minutes=60, rows=100, gb=1, disk_gb=1)


def test_limits_return_from_a_setting_of_the_session_as_they_were() -> None:
    assert Limits.from_setting(LIMITS.to_conf()[SETTING]) == LIMITS


def test_rows_and_bytes_are_allowed_for_each_date() -> None:
    limits = replace(LIMITS, dates=3)

    assert (limits.max_rows, limits.max_bytes) == (300, 3e9)


def test_limits_of_a_job_name_its_pipeline_and_dates() -> None:
    assert limits_of("orders", ["2026-03-02", "2026-03-01"]).work == "Pipeline 'orders', 2026-03-01 to 2026-03-02"
    assert limits_of("orders", ["2026-03-01"]).work == "Pipeline 'orders', 2026-03-01"
    assert limits_of("orders", []).dates == 1


@pytest.mark.parametrize("name", ["MINUTES", "ROWS", "GB", "DISK_GB"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "-inf", "1e300", "many"])
def test_a_limit_that_limits_nothing_or_everything_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"PERENNIAL_QUERY_{name}"
    monkeypatch.setenv(variable, value)

    with pytest.raises(RefusedError, match=f"{variable} is '{value}'"):
        get_settings()
