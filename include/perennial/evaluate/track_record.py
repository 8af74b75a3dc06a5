"""The track record of each candidate: what its trainings cost, and what the gate made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import mean, median
from typing import Any

from perennial.config.label import read_label
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.decision import StoredDecision
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.tasks.task import task_of

MAX_DATES = 28
"""The newest decisions that a track record covers."""


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """
    The newest dates of one candidate.

    :param dates: the number of decisions that judged it
    :param passed: on how many of them the gate would promote it
    :param best: on how many of them it had the lowest loss
    :param metrics: the loss and another metric by name, each the mean over the dates on which it is defined; None: there is none
    :param cpu_seconds: the median of its trainings
    """

    dates: int
    passed: int
    best: int
    metrics: Mapping[str, float | None]
    cpu_seconds: float | None


def newest_decisions(lake: Lake) -> list[date]:
    """Return the dates that track records cover, in order."""
    return [date.fromisoformat(day) for day in sorted(read_chain(lake).entries)[-MAX_DATES:]]


def track_records(lake: Lake, names: Sequence[str]) -> dict[str, TrackRecord]:
    """Return the track record of some candidates over the newest decisions."""
    entries = sorted(read_chain(lake).entries.items(), reverse=True)[:MAX_DATES]
    decisions: list[StoredDecision] = [lake.objects.read_existing(entry.uri).json() for _, entry in entries]
    return {name: _track_record(lake, name, decisions) for name in names}


def _track_record(lake: Lake, name: str, decisions: Sequence[StoredDecision]) -> TrackRecord:
    found: list[Any] = []
    best = 0
    costs = []
    task = task_of(lake.pipeline.label)
    for decision in decisions:
        # A decision on another label, before a change of the task, is left out.
        losses = {item["name"]: value for item in decision["candidates"] if (value := _value(item, task.loss_name)) is not None}
        for candidate in decision["candidates"]:
            if candidate["name"] != name or name not in losses:
                continue
            manifest = _read_training(lake, name, decision["date"], candidate.get("training"))
            if manifest is not None and read_label(manifest["label"]).settings != lake.pipeline.label.settings:
                continue
            found.append(candidate)
            best += losses[name] == min(losses.values())
            costs.append(None if manifest is None else manifest["measured"]["cpu_seconds"])
    metrics = {key: [value for item in found if (value := _value(item, key)) is not None] for key in task.shown}
    known = [cost for cost in costs if cost is not None]
    return TrackRecord(
        dates=len(found),
        passed=sum(candidate.get("decision") == "PROMOTE" for candidate in found),
        best=best,
        metrics={key: mean(values) if values else None for key, values in metrics.items()},
        cpu_seconds=median(known) if known else None,
    )


def _value(candidate: Any, name: str) -> float | None:
    value: float | None = candidate.get(name)
    return value


def _read_training(lake: Lake, name: str, day: str, key: str | None) -> ModelManifest | None:
    """Return the manifest of a training; None: its decision is of an earlier version, or it has been removed."""
    if key is None:
        return None
    stored = lake.objects.read(lake.layout.model_manifest(name, date.fromisoformat(day), key))
    if stored is None:
        return None
    manifest: ModelManifest = stored.json()
    return manifest
