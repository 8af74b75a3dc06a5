"""The cost of the stages of a date: recorded Spark jobs, divided among their dates, and trainings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.stages import STAGES, SparkStage

SPARK_STAGES = tuple(stage.name for stage in STAGES if isinstance(stage, SparkStage))


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU seconds; None: the system did not report them."""

    seconds: float | None
    cpu_seconds: float | None


def spark_costs(lake: Lake, first: date, last: date) -> dict[date, dict[str, Cost]]:
    """Return the cost of the latest Spark job by date and stage. Each date of a job has an equal share."""
    costs: dict[date, dict[str, Cost]] = {}
    for stage in SPARK_STAGES:
        prefix = lake.layout.costs(stage)
        for item in sorted(lake.objects.listing(prefix), key=lambda item: item.at):
            begins, ends, _ = item.uri.removeprefix(prefix).split("_")
            if begins > last.isoformat() or ends < first.isoformat():
                continue
            job = lake.objects.read_existing(item.uri).json()
            share = Cost(job["seconds"] / len(job["dates"]), _divide(job["cpu_seconds"], len(job["dates"])))
            for day in map(date.fromisoformat, job["dates"]):
                if first <= day <= last:
                    costs.setdefault(day, {})[stage] = share
    return costs


def training_cost(manifest: ModelManifest) -> Cost:
    """Return the cost of a training."""
    measured = manifest["measured"]
    return Cost(measured.get("seconds"), measured["cpu_seconds"])


def _divide(seconds: float | None, parts: int) -> float | None:
    return None if seconds is None else seconds / parts
