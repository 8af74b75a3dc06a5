"""The track record of each candidate: what its trainings cost, and what the gate made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import mean, median
from typing import Any

from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.decision import StoredDecision
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest

MAX_DATES = 28
"""The newest decisions that a track record covers."""


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """
    The newest dates of one candidate.

    :param dates: the number of decisions that judged it
    :param passed: on how many of them the gate would promote it
    :param best: on how many of them it had the lowest log loss
    :param log_loss: its mean over the dates; None: there is no date
    :param roc_auc: its mean over the dates on which it is defined
    :param cpu_seconds: the median of its trainings
    """

    dates: int
    passed: int
    best: int
    log_loss: float | None
    roc_auc: float | None
    cpu_seconds: float | None


def track_records(lake: Lake, names: Sequence[str]) -> dict[str, TrackRecord]:
    """Return the track record of some candidates over the newest decisions."""
    entries = sorted(read_chain(lake).entries.items(), reverse=True)[:MAX_DATES]
    decisions: list[StoredDecision] = [lake.objects.read_existing(entry.uri).json() for _, entry in entries]
    return {name: _track_record(lake, name, decisions) for name in names}


def _track_record(lake: Lake, name: str, decisions: Sequence[StoredDecision]) -> TrackRecord:
    found: list[Any] = []
    best = 0
    costs = []
    for decision in decisions:
        losses = {candidate["name"]: _log_loss(candidate) for candidate in decision["candidates"]}
        for candidate in decision["candidates"]:
            if candidate["name"] == name:
                found.append(candidate)
                best += losses[name] == min(losses.values())
                costs.append(_cpu_seconds(lake, name, decision["date"], candidate.get("training")))
    aucs = [candidate["roc_auc"] for candidate in found if candidate.get("roc_auc") is not None]
    known = [cost for cost in costs if cost is not None]
    return TrackRecord(
        dates=len(found),
        passed=sum(candidate.get("decision") == "PROMOTE" for candidate in found),
        best=best,
        log_loss=mean(map(_log_loss, found)) if found else None,
        roc_auc=mean(aucs) if aucs else None,
        cpu_seconds=median(known) if known else None,
    )


def _log_loss(candidate: Any) -> float:
    return float(candidate["log_loss"])


def _cpu_seconds(lake: Lake, name: str, day: str, key: str | None) -> float | None:
    """Return what a training cost; None: its decision or its manifest is of an earlier version, or has been removed."""
    if key is None:
        return None
    stored = lake.objects.read(lake.layout.model_manifest(name, date.fromisoformat(day), key))
    if stored is None:
        return None
    manifest: ModelManifest = stored.json()
    return manifest["measured"]["cpu_seconds"]
