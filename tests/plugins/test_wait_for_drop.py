"""The operator that waits for upstream, against a real object store."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.exceptions import TaskDeferred

from perennial.config.pipeline import Pipeline
from perennial.errors import DateRefusedError, DropMissingError
from perennial_airflow.operators.wait_for_drop import WaitForDropOperator

DAY = date(2026, 3, 5)


@pytest.fixture
def pipeline(pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    def two_sources_in_new_york(document: dict[str, Any]) -> None:
        readings = deepcopy(document["sources"]["readings"])  # PyYAML would write an alias for the same object
        document["time_zone"] = "America/New_York"
        document["sources"]["shifts"] = {**readings, "uri": readings["uri"].replace("readings", "shifts"), "deadline_hours": 2}

    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    return pipeline_factory(two_sources_in_new_york)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    return lambda instant: monkeypatch.setattr(timezone, "utcnow", lambda: instant)


def wait(pipeline: Pipeline) -> WaitForDropOperator:
    return WaitForDropOperator(task_id="wait_for_drop", pipeline=pipeline.name, day=DAY.isoformat())


def manifest(pipeline: Pipeline, source: str) -> str:
    return pipeline.sources[source].drop_uri(DAY) + "_MANIFEST.json"


def test_landed_drop_is_found_without_deferring(s3, pipeline: Pipeline) -> None:
    s3.put(manifest(pipeline, "readings"), b"{}")
    s3.put(manifest(pipeline, "shifts"), b"{}")

    assert wait(pipeline).execute({}) == {"outcome": "done", "date": "2026-03-05"}


def test_defers_for_what_is_missing_alone(s3, pipeline: Pipeline, at) -> None:
    at(datetime(2026, 3, 6, 6, 59, tzinfo=UTC))
    s3.put(manifest(pipeline, "readings"), b"{}")

    with pytest.raises(TaskDeferred) as deferred:
        wait(pipeline).execute({})

    assert deferred.value.trigger.deadlines == {manifest(pipeline, "shifts"): "2026-03-06T07:00:00+00:00"}
    assert deferred.value.method_name == "execute_complete"


def test_missing_past_drop_fails_at_once(s3, pipeline: Pipeline, at) -> None:
    at(datetime(2026, 3, 6, 7, 0, tzinfo=UTC))

    with pytest.raises(DropMissingError, match="had not landed by the deadline") as error:
        wait(pipeline).execute({})

    assert manifest(pipeline, "readings") in str(error.value)
    assert manifest(pipeline, "shifts") in str(error.value)


def test_drop_that_landed_late_is_taken(s3, pipeline: Pipeline, at) -> None:
    at(datetime(2026, 3, 6, 7, 0, tzinfo=UTC) + timedelta(days=300))
    s3.put(manifest(pipeline, "readings"), b"{}")
    s3.put(manifest(pipeline, "shifts"), b"{}")

    assert wait(pipeline).execute({})["outcome"] == "done"


def test_event_of_the_deadline_names_what_is_missing_and_why(s3, pipeline: Pipeline) -> None:
    event = {"missing": [manifest(pipeline, "shifts")], "problem": "EndpointConnectionError: no route"}

    with pytest.raises(DropMissingError, match=r"shifts.*no route.*clear this task"):
        wait(pipeline).execute_complete({}, event)


def test_event_that_all_landed_ends_the_task(s3, pipeline: Pipeline) -> None:
    assert wait(pipeline).execute_complete({}, {"missing": [], "problem": None})["outcome"] == "done"


def test_a_rest_date_is_not_waited_for(s3, pipeline_factory: Callable[..., Pipeline], pipeline: Pipeline) -> None:
    """A run that was made before its date became a holiday says so when it is cleared."""
    resting = pipeline_factory(lambda document: document.update(calendar={"holidays": [DAY.isoformat()]}))

    with pytest.raises(DateRefusedError, match=r"2026-03-05 is a rest date \(a holiday\)"):
        wait(resting).execute({})
