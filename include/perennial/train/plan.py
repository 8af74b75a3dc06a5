"""What a training of date D is: its inputs, its key, its job file; and reading back what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from perennial.calendar import DAY, Split, days
from perennial.errors import PerennialError
from perennial.lake.keys import code_digest, make_key
from perennial.lake.lake import Lake
from perennial.lake.objects import sha256
from perennial.train.candidates import seed_for, versions_for
from perennial.train.job import Features, Output, TrainingJob

CODE = ("train", "lake/scoring.py", "derived.py", "evaluate/metrics.py")
"""The modules that decide what a training writes."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What to do for one candidate: nothing (skipped says why, or unchanged), or the job at job_uri."""

    candidate: str
    skipped: str | None
    job_uri: str | None
    manifest_uri: str | None
    unchanged: bool
    key: str | None = None


def split_of(lake: Lake, day: date) -> Split:
    """Return the window and the holdout of a date, among the dates that have features."""
    state, calendar = lake.tables.state("features"), lake.pipeline.calendar
    return calendar.split(day, (d for d in calendar.feature_dates(day) if state.get(d) is not None))


def plan_training(lake: Lake, day: date, candidate: str, *, recompute: bool = False) -> TrainingPlan:
    """
    Plan the training of one candidate of date D and write its job file; too little history is a reason to skip.

    With `recompute` a finished training is planned again: it must come out the same.
    """
    pipeline, layout = lake.pipeline, lake.layout
    state = lake.tables.state("features")
    split = split_of(lake, day)
    if split.too_little:
        return TrainingPlan(candidate, split.too_little, None, None, unchanged=False)
    if state.get(day) is None or state.metadata_location is None or state.snapshot_id is None:
        raise PerennialError(f"Pipeline {pipeline.name!r}: {state.name} has no features of {day}. Run analyse of {day} first.")
    partitions = {d: state.partitions[d.isoformat()] for d in (*split.window, *split.holdout)}
    digests = {d: partition.digest for d, partition in partitions.items()}
    seed = seed_for(pipeline.name, day.isoformat(), candidate)
    key = make_key(
        "train",
        date=day.isoformat(),
        candidate=candidate,
        window=[[d.isoformat(), digests[d]] for d in split.window],
        holdout=[[d.isoformat(), digests[d]] for d in split.holdout],
        inputs=pipeline.inputs.model_dump(mode="json"),
        label=pipeline.label.model_dump(mode="json"),
        row_key=pipeline.row_key,
        seed=seed,
        versions=versions_for(candidate),
        code=code_digest(*CODE),
    )
    manifest_uri = layout.model_manifest(candidate, day, key)
    if not recompute and lake.objects.exists(manifest_uri):
        return TrainingPlan(candidate, None, None, manifest_uri, unchanged=True, key=key)
    job = TrainingJob(
        pipeline=pipeline.name,
        space=layout.space,
        candidate=candidate,
        date=day,
        key=key,
        seed=seed,
        features=Features(
            metadata_location=state.metadata_location,
            snapshot_id=state.snapshot_id,
            window=list(split.window),
            holdout=list(split.holdout),
            digests=digests,
            rows={d: partition.rows for d, partition in partitions.items()},
        ),
        inputs=pipeline.inputs,
        label=pipeline.label,
        row_key=pipeline.row_key,
        versions=versions_for(candidate),
        code=code_digest(*CODE),
        output=Output(manifest=manifest_uri, blobs=layout.blob("")),
    )
    body = job.encode()
    job_uri = layout.job(sha256(body))
    lake.objects.create(job_uri, body)
    return TrainingPlan(candidate, None, job_uri, manifest_uri, unchanged=False, key=key)


def plan_ahead(lake: Lake, day: date, until: date, candidate: str) -> list[str]:
    """Return the jobs of one candidate for the dates after `day` up to `until` that are not trained yet; too little history: none."""
    lake = replace(lake, tables=lake.tables.at_one_moment())
    known = lake.tables.state("features").partitions
    later = [d for d in days(day + DAY, until) if d.isoformat() in known]
    return [plan.job_uri for d in later if (plan := plan_training(lake, d, candidate)).job_uri is not None]


def read_model(lake: Lake, manifest_uri: str) -> dict[str, Any]:
    """Return the manifest of a trained model."""
    manifest: dict[str, Any] = lake.objects.read_existing(manifest_uri).json()
    return manifest


def finish_training(lake: Lake, plan: TrainingPlan) -> dict[str, Any]:
    """Return the facts of a training that ended: what stands at its manifest."""
    if plan.manifest_uri is None:
        return {"outcome": "skipped", "candidate": plan.candidate, "reason": plan.skipped}
    manifest = read_model(lake, plan.manifest_uri)
    return {
        "outcome": "unchanged" if plan.unchanged else "done",
        "candidate": plan.candidate,
        "version": manifest["version"],
        "manifest": plan.manifest_uri,
        "rows": manifest["rows"],
        **manifest["metrics"],
    }
