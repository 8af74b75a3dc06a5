"""The results of a training: files named by their content, then the manifest, each written once."""

from __future__ import annotations

import logging

from perennial.errors import RefusedError
from perennial.store.json_value import JsonValue
from perennial.store.objects import Objects, canonical_json, sha256
from perennial.train.job import TrainingJob
from perennial.train.model import Model
from perennial.train.prepare import Examples

log = logging.getLogger(__name__)


def build_manifest(
    job: TrainingJob,
    model: Model,
    files: dict[str, bytes],
    examples: Examples,
    metrics: dict[str, float | None],
) -> dict[str, JsonValue]:
    """Return the manifest of a model. All of it is a function of the job."""
    features = job.features.model_dump(mode="json")
    return {
        **_identity(job, "inputs", "label", "row_key", "seed", "begins", "versions", *_samples(job)),
        "files": {name: {"sha256": sha256(body), "size": len(body)} for name, body in files.items()},
        "columns": model.columns,
        "warnings": model.warnings,
        "window": features["window"],
        "holdout": features["holdout"],
        "digests": features["digests"],
        **_label_facts(job, examples),
        "rows": _count_rows(examples),
        "base_rate": examples.base_rate,
        "metrics": metrics,
    }


def build_skipped(job: TrainingJob, reason: str, examples: Examples) -> dict[str, JsonValue]:
    """Return the manifest of a skipped training: it has the reason in place of a model."""
    return {**_identity(job), "skipped": reason, "rows": _count_rows(examples)}


def _identity(job: TrainingJob, *more: str) -> dict[str, JsonValue]:
    echoed = job.model_dump(mode="json", include={"candidate", "date", "key", "pipeline", *more})
    return {"format": 1, "version": f"{job.candidate}-{job.date}-{job.key[:8]}", **echoed}


def _samples(job: TrainingJob) -> list[str]:
    """Return the fields of a job that say which rows it leaves out, if it does."""
    return [name for name in ("sample", "judged_below") if getattr(job, name) is not None]


def _count_rows(examples: Examples) -> dict[str, JsonValue]:
    return {"window": examples.window.rows, "holdout": examples.holdout.rows}


def _label_facts(job: TrainingJob, examples: Examples) -> dict[str, JsonValue]:
    """Return the label digests and the counts of unmatched rows, if labels have their own table."""
    if job.labels is None:
        return {}
    digests = job.labels.model_dump(mode="json", include={"digests"})["digests"]
    return {"label_digests": digests, "unlabelled_rows": examples.unlabelled, "unmatched_labels": examples.unmatched}


def publish(
    objects: Objects, job: TrainingJob, files: dict[str, bytes], manifest: dict[str, JsonValue], measured: dict[str, float]
) -> bool:
    """
    Write the files, then the manifest. Return False if the same model already exists.

    A crash leaves blobs that no manifest refers to. Two trainings with one fingerprint must agree in all but the measurements.
    """
    for body in files.values():
        objects.create(f"{job.output.blobs}{sha256(body)}", body)
    if objects.create(job.output.manifest, canonical_json({**manifest, "measured": measured})):
        return True
    existing = objects.read_existing(job.output.manifest).json()
    existing.pop("measured", None)
    differing = [name for name in sorted({*manifest, *existing}) if manifest.get(name) != existing.get(name)]
    if differing:
        raise RefusedError(
            f"Model {manifest['version']}: {job.output.manifest} exists and differs in {', '.join(differing)}",
            remedy="Trainings with one fingerprint must give one result. The existing model is kept; "
            "compare the builds and CPUs of the two trainers.",
        )
    log.info("%s was already trained, with the same result", manifest["version"])
    return False
