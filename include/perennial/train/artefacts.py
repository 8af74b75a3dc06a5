"""The results of a training: files named by their content, then the manifest, each written once."""

from __future__ import annotations

import logging

from perennial.errors import RefusedError
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json, JsonValue
from perennial.store.objects import Objects
from perennial.train.job import TrainingJob
from perennial.train.prepare import Examples

log = logging.getLogger(__name__)


FACTS = ("rows", "constant", "spread", "unlabelled_rows", "unmatched_labels")
"""The fields of a manifest about the rows of a training. A blend has those of the models that it is made of."""


def facts_of(job: TrainingJob, examples: Examples) -> dict[str, JsonValue]:
    """Return the fields of a manifest about the rows of a training."""
    window, holdout = examples.window.rows, examples.holdout.rows
    facts: dict[str, JsonValue] = {"rows": {"window": window, "holdout": holdout}, "constant": examples.constant}
    facts["spread"] = examples.window.target.spread
    if job.labels is not None:
        facts |= {"unlabelled_rows": examples.unlabelled, "unmatched_labels": examples.unmatched}
    return facts


def build_manifest(
    job: TrainingJob, files: dict[str, bytes], facts: Json, metrics: dict[str, float | None]
) -> dict[str, JsonValue]:
    """
    Return the manifest of a model. All of it is a function of the job.

    :param facts: those of FACTS, the warnings, and the digest of the columns
    """
    features = job.features.model_dump(mode="json")
    return {
        **_identity(job, "settings", "inputs", "label", "row_key", "seed", "begins", "versions", *_optional(job)),
        "files": {name: {"sha256": sha256(body), "size": len(body)} for name, body in files.items()},
        "window": features["window"],
        "holdout": features["holdout"],
        "digests": features["digests"],
        **({} if job.labels is None else {"label_digests": job.labels.model_dump(mode="json")["digests"]}),
        **facts,
        "metrics": metrics,
    }


def build_skipped(job: TrainingJob, reason: str, facts: Json) -> dict[str, JsonValue]:
    """Return the manifest of a skipped training: it has the reason in place of a model."""
    return {**_identity(job), "skipped": reason, "rows": facts["rows"]}


def _identity(job: TrainingJob, *more: str) -> dict[str, JsonValue]:
    echoed = job.model_dump(mode="json", include={"candidate", "date", "key", "pipeline", *more})
    return {"format": 1, "version": f"{job.candidate}-{job.date}-{job.key[:8]}", **echoed}


def _optional(job: TrainingJob) -> list[str]:
    """Return the fields of a job that only some jobs have: the rows that it leaves out, and the models that it blends."""
    return [name for name in ("sample", "judged_below", "parts") if getattr(job, name)]


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
            remedy="Trainings with one fingerprint must give one result. The existing model is kept. "
            + (
                f"Look for random numbers without a seed in candidates/{job.candidate}.py."
                if job.source
                else "Compare the builds and CPUs of the two trainers."
            ),
        )
    log.info("%s was already trained, with the same result", manifest["version"])
    return False
