"""What the stages of a date cost: the Spark jobs as they wrote it down, shared by their dates, and the trainings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.stages import STAGES, SparkStage

SPARK_STAGES = tuple(stage.name for stage in STAGES if isinstance(stage, SparkStage))


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU seconds; CPU None: the system did not tell."""

    seconds: float | None
    cpu_seconds: float | None


def spark_costs(lake: Lake, first: date, last: date) -> dict[date, dict[str, Cost]]:
    """Return by date and stage what the latest Spark job of a date cost: an equal share for each of the job's dates."""
    found: dict[date, dict[str, Cost]] = {}
    for stage in SPARK_STAGES:
        prefix = lake.layout.costs(stage)
        for item in sorted(lake.objects.listing(prefix), key=lambda one: one.at):
            begins, ends, _ = item.uri.removeprefix(prefix).split("_")
            if begins > last.isoformat() or ends < first.isoformat():
                continue
            job = lake.objects.read_existing(item.uri).json()
            share = Cost(job["seconds"] / len(job["dates"]), _divided(job["cpu_seconds"], len(job["dates"])))
            for day in map(date.fromisoformat, job["dates"]):
                if first <= day <= last:
                    found.setdefault(day, {})[stage] = share
    return found


def training_cost(manifest: ModelManifest) -> Cost:
    """Return what a training cost."""
    measured = manifest["measured"]
    return Cost(measured.get("seconds"), measured["cpu_seconds"])


def _divided(seconds: float | None, parts: int) -> float | None:
    return None if seconds is None else seconds / parts
