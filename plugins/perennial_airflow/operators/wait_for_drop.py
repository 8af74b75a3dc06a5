"""The operator that waits until upstream has landed a date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from airflow.sdk import BaseOperator, Context, timezone

from perennial.config.load import load_pipeline
from perennial.errors import DropMissingError
from perennial_airflow.triggers.manifests import ManifestsTrigger


class WaitForDropOperator(BaseOperator):
    """
    Wait, deferred, for the manifest of every source of one date.

    The deadline of a source is the end of the local day plus its `deadline_hours`. If the deadline has passed already, the
    task looks once: it succeeds if the drop has landed, and fails if not.

    :param pipeline: name of the pipeline
    :param day: the date, YYYY-MM-DD (templated)
    """

    template_fields: Sequence[str] = ("day",)

    def __init__(self, *, pipeline: str, day: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.day = day

    def execute(self, context: Context) -> dict[str, str]:
        from perennial.collect.deadline import deadlines
        from perennial.lake.lake import open_lake

        pipeline = load_pipeline(self.pipeline)
        objects, day = open_lake(pipeline).objects, pipeline.calendar.check_data(date.fromisoformat(self.day))
        missing = {uri: until.isoformat() for uri, until in deadlines(pipeline, day).items() if not objects.exists(uri)}
        if not missing:
            return self._landed()
        if min(missing.values()) <= timezone.utcnow().isoformat():
            raise self._missing(sorted(missing), None)
        for uri, until in missing.items():
            self.log.info("Waiting until %s for %s", until, uri)
        self.defer(trigger=ManifestsTrigger(deadlines=missing), method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        if event["missing"]:
            raise self._missing(event["missing"], event["problem"])
        return self._landed()

    def _landed(self) -> dict[str, str]:
        self.log.info("Every source of %s has landed", self.day)
        return {"outcome": "done", "date": self.day}

    def _missing(self, uris: list[str], problem: str | None) -> DropMissingError:
        return DropMissingError(
            f"Pipeline {self.pipeline!r}, {self.day}: these manifests had not landed by the deadline: {', '.join(uris)}."
            + (f" The store could not be reached ({problem})." if problem else "")
            + " Ask upstream to land the drop (its manifest last), then clear this task. Or trigger a run of a landed date."
        )
