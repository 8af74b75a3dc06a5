"""Estimate the cost of recomputing results from past jobs and trainings in this lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from perennial.backfill.batch import MAX_DATES
from perennial.backfill.estimate import expected_seconds
from perennial.fingerprints.effects import Effect
from perennial.lake.lake import Lake
from perennial.report.costs import SPARK_STAGES
from perennial.train.trainings import read_model

MAX_JOBS = 20
"""Maximum number of past jobs of a stage to read. The newest are read."""

START_SECONDS = 4.0
"""
Seconds until a Spark job runs. Its own clock begins after that, and its CPU seconds include them.

Measured on two cores: 2.8 CPU seconds, and 8 s at a load average of 14.
"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """
    Seconds of wall and CPU time of the Spark jobs and trainings; None: no past job or training to estimate from.

    Judging and releasing take little time in comparison and are not counted.
    """

    seconds: float | None
    cpu_seconds: float | None


def estimate(lake: Lake, effects: Sequence[Effect]) -> Estimate:
    """Estimate the cost of all effects: a Spark job for each stage and MAX_DATES dates, a training for a date and candidate."""
    parts = [_estimate_spark(lake, stage, effects) for stage in SPARK_STAGES]
    parts += [_estimate_training(lake, effect) for effect in effects if effect.stage == "train" and effect.days]
    return Estimate(_add([part.seconds for part in parts]), _add([part.cpu_seconds for part in parts]))


def _estimate_spark(lake: Lake, stage: str, effects: Sequence[Effect]) -> Estimate:
    # The table with the most dates: a lookup of the same date has the name of the next one.
    dates = max((len(effect.changed) for effect in effects if effect.stage == stage), default=0)
    if not dates:
        return Estimate(0.0, 0.0)
    full, rest = divmod(dates, MAX_DATES)
    jobs = [MAX_DATES] * full + [rest] * (rest > 0)
    seconds: dict[int, list[float]] = {}
    cpu: dict[int, list[float]] = {}
    written = sorted(lake.objects.listing(lake.layout.costs(stage)), key=lambda item: item.at)
    for item in written[-MAX_JOBS:]:
        job: dict[str, Any] = lake.objects.read_existing(item.uri).json()
        seconds.setdefault(len(job["dates"]), []).append(job["seconds"])
        if job["cpu_seconds"] is not None:
            cpu.setdefault(len(job["dates"]), []).append(job["cpu_seconds"])
    work = _estimate_jobs(seconds, jobs)
    return Estimate(None if work is None else work + START_SECONDS * len(jobs), _estimate_jobs(cpu, jobs))


def _estimate_jobs(past: dict[int, list[float]], jobs: Sequence[int]) -> float | None:
    return expected_seconds({count: median(values) for count, values in past.items()}, 0.0, jobs, 0, 1)


def _estimate_training(lake: Lake, effect: Effect) -> Estimate:
    """Estimate the trainings of a candidate from its three most recent trainings."""
    prefix = lake.layout.model_manifest(effect.name, date.min, "x").partition(f"/{date.min}/")[0]
    written = sorted(lake.objects.listing(f"{prefix}/"), key=lambda item: item.at)
    manifests = [item.uri for item in written if item.uri.endswith(".json") and item.uri.count("/") == prefix.count("/") + 2]
    measured = [model["measured"] for model in (read_model(lake, uri) for uri in manifests[-3:]) if "skipped" not in model]
    if not measured:
        return Estimate(None, None)
    count = len(effect.days)
    return Estimate(
        _scale_median(count, [item.get("seconds") for item in measured]),
        _scale_median(count, [item.get("cpu_seconds") for item in measured]),
    )


def _scale_median(count: int, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return count * median(known) if known else None


def _add(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
