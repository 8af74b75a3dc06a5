"""A lake of the test pipeline, and a way to land its drops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from perennial.lake.lake import Lake


@pytest.fixture
def lake(s3, pipeline_factory) -> Lake:
    return s3.open_lake(pipeline_factory())


@pytest.fixture
def land(lake: Lake, s3, land_drops) -> Callable[[date, date], None]:
    return lambda first, last: land_drops(s3.put, lake.pipeline, first, last)
