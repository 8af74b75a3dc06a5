"""What a training leaves behind: files named by their content, then the manifest, once."""

from __future__ import annotations

import io
import logging

from perennial.errors import RefusedError
from perennial.lake.labelled import Labelled
from perennial.models.scoring import Probabilities
from perennial.store.json_value import JsonValue
from perennial.store.objects import Objects, canonical_json, sha256
from perennial.train.job import TrainingJob
from perennial.train.prepare import Rows

log = logging.getLogger(__name__)


def predictions_parquet(holdout: Rows, row_key: list[str], p: Probabilities) -> bytes:
    """Return the predictions of the holdout: date, row key, y, p, in the order of the rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = holdout.table.select(list(dict.fromkeys(["date", *row_key])))
    table = table.append_column("y", pa.array(holdout.y, pa.int8())).append_column("p", pa.array(p, pa.float64()))
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), buffer, compression="zstd")
    return buffer.getvalue()


def build_manifest(
    job: TrainingJob,
    files: dict[str, bytes],
    columns: str,
    window: Rows,
    holdout: Rows,
    metrics: dict[str, float | None],
    examples: Labelled,
) -> dict[str, JsonValue]:
    """Return the manifest of a model: everything here is a function of the job."""
    echoed = job.model_dump(
        mode="json", include={"candidate", "date", "key", "pipeline", "inputs", "label", "row_key", "seed", "begins", "versions"}
    )
    features = job.features.model_dump(mode="json")
    return {
        "format": 1,
        "version": f"{job.candidate}-{job.date}-{job.key[:8]}",
        **echoed,
        "files": {name: {"sha256": sha256(body), "size": len(body)} for name, body in files.items()},
        "columns": columns,
        "window": features["window"],
        "holdout": features["holdout"],
        "digests": features["digests"],
        **_label_facts(job, examples),
        "rows": {"window": len(window.y), "holdout": len(holdout.y)},
        "base_rate": float(window.y.mean()),
        "metrics": metrics,
    }


def _label_facts(job: TrainingJob, examples: Labelled) -> dict[str, JsonValue]:
    """Return what a model rests on beside the features, where labels have a table of their own."""
    if job.labels is None:
        return {}
    digests = job.labels.model_dump(mode="json", include={"digests"})["digests"]
    return {"label_digests": digests, "unlabelled_rows": examples.unlabelled, "unmatched_labels": examples.unmatched}


def publish(
    objects: Objects, job: TrainingJob, files: dict[str, bytes], manifest: dict[str, JsonValue], measured: dict[str, float]
) -> bool:
    """
    Write the files, then the manifest; return False when the same model stood there already.

    A crash leaves blobs that nobody refers to. Two trainings of one key must agree in everything but what was measured.
    """
    for body in files.values():
        objects.create(f"{job.output.blobs}{sha256(body)}", body)
    if objects.create(job.output.manifest, canonical_json({**manifest, "measured": measured})):
        return True
    found = objects.read_existing(job.output.manifest).json()
    found.pop("measured", None)
    differing = [name for name in sorted({*manifest, *found}) if manifest.get(name) != found.get(name)]
    if differing:
        raise RefusedError(
            f"Model {manifest['version']}: {job.output.manifest} exists and differs in {', '.join(differing)}",
            remedy="Training of one key must give one result. It stays as it is; compare the builds and CPUs of the two trainers.",
        )
    log.info("%s was trained before, with the same result", manifest["version"])
    return False
