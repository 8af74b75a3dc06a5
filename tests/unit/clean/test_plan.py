"""The plan of clean: a reference that is refused for its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from clean_keys import clean_keys
from lab import FixedTables

from perennial.clean.plan import finish_clean, plan_clean, uncleaned_days
from perennial.clean.verdict import Refusal
from perennial.collect.collect import collect
from perennial.config.pipeline import Pipeline
from perennial.errors import DropRefusedError
from perennial.lake.tables import Partition, TableState
from perennial.store.content_name import canonical_json

DAY = date(2026, 3, 1)


def test_a_reference_that_is_refused_again_is_not_withdrawn(
    s3: Any, pipeline_factory: Callable[..., Pipeline], land_drops: Callable[..., None]
) -> None:
    """The rows of the earlier reference stay, and the run ends with the refusal, however often it is made."""

    def edit(document: dict[str, Any]) -> None:
        columns = {"code": {"type": "string", "required": True}}
        document["references"] = {"regions": {"uri": f"{s3.landing}/regions.csv", "key": ["code"], "columns": columns}}

    pipeline = pipeline_factory(edit)
    s3.put(pipeline.references["regions"].uri, b"code\nA\nA\n")
    land_drops(s3.put, pipeline, DAY, DAY)
    lake = replace(s3.open_lake(pipeline), tables=FixedTables())
    collect(lake, DAY)
    made = {DAY.isoformat(): Partition(clean_keys(lake, "readings", DAY, DAY)[DAY], "of the day", 200)}
    lake.tables.states["clean_readings"] = TableState("clean_readings", "s3://x/meta", 1, made)
    earlier = {"reference": Partition("the key of another file", "of the earlier reference", 1)}
    lake.tables.states["clean_regions"] = TableState("clean_regions", "s3://x/meta", 1, earlier)
    key = clean_keys(lake, "regions", DAY, DAY)[None]
    verdict = Refusal(2, 2, 1, 0.0, {"row unique": 1})
    lake.objects.create(lake.layout.refusal("regions", None, key), canonical_json(verdict.to_json()))

    assert plan_clean(lake, DAY).job_uri is None
    assert uncleaned_days(lake, "regions", DAY, DAY) == set()
    with pytest.raises(DropRefusedError, match="regions"):
        finish_clean(lake, DAY)
