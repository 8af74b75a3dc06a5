"""The trainer: `python -m perennial.train --job <address>`. It needs only the object store."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from perennial.display.showable import make_logs_showable
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.lake.manifests import ModelManifest
from perennial.lake.tables import DATES_AT_ONCE, RowsReader
from perennial.models.metrics import all_metrics
from perennial.settings import get_settings, load_environment
from perennial.store.json_value import Json
from perennial.store.objects import Objects
from perennial.train.artefacts import FACTS, build_manifest, build_skipped, facts_of, publish
from perennial.train.blend import answerer, blend
from perennial.train.candidates import code_for, versions_for
from perennial.train.checkpoints import Checkpoints
from perennial.train.compare import compare, rows_to_compare
from perennial.train.holdout import StoredHoldout, predict
from perennial.train.job import TrainingJob, read_job
from perennial.train.model import Begin, train_model
from perennial.train.prepare import read_examples, read_holdout, why_untrainable
from perennial.train.scratch import Scratch, delete_open, open_scratch

log = logging.getLogger("perennial.train")


def run_job(objects: Objects, uri: str, reader: RowsReader | None = None, max_scratch: int | None = None) -> str:
    """
    Run one training job and return the version of the model.

    A training from whose rows nothing can be learned is skipped: its manifest holds the reason, and no model.

    :param reader: it may still hold rows of the previous job; None: keep no rows for a next job
    :param max_scratch: bytes that the training may hold on scratch disk
    """
    started, began = time.process_time(), time.monotonic()
    job = read_job(objects, uri)
    _check_build(job)
    with open_scratch(max_scratch) as scratch:
        run = _blend if job.parts else _train
        return run(objects, job, scratch, reader, lambda: _measure(started, began))


def _train(
    objects: Objects, job: TrainingJob, scratch: Scratch, reader: RowsReader | None, measure: Callable[[], dict[str, float]]
) -> str:
    examples = read_examples(job, scratch, reader)
    window, facts = examples.window, facts_of(job, examples)
    if reason := why_untrainable(examples):
        return _skip(objects, job, reason, facts, measure)
    log.info("Training %s of %s: %s rows of %s days", job.candidate, job.date, window.rows, len(job.features.window))
    if job.labels is not None:
        message = "%s rows of window and holdout have no label and are left out; %s labels match no row"
        log.info(message, examples.unlabelled, examples.unmatched)
    checkpoints = Checkpoints(objects, f"{job.output.manifest.removesuffix('.json')}.checkpoints/")
    model = train_model(job.settings, window, job.seed, checkpoints, _begin(objects, job))
    rows = rows_to_compare(job.inputs, window, examples.holdout, job.row_key)
    difference = compare(model.onnx, model.answerer(), job.candidate, rows)
    files = {"model.onnx": model.onnx, **({"weights.safetensors": model.weights} if model.weights is not None else {})}
    facts |= {"columns": model.columns, "warnings": model.warnings}
    version = _finish(objects, job, files, facts, examples.holdout, scratch, lambda: {**measure(), "difference": difference})
    checkpoints.clear()
    return version


def _blend(
    objects: Objects, job: TrainingJob, scratch: Scratch, reader: RowsReader | None, measure: Callable[[], dict[str, float]]
) -> str:
    parts: list[ModelManifest] = [objects.read_existing(uri).json() for uri in job.parts]
    facts = {name: parts[0][name] for name in FACTS if name in parts[0]}  # type: ignore[literal-required]
    if reason := next((part["skipped"] for part in parts if "skipped" in part), None):
        return _skip(objects, job, reason, facts, measure)
    models = [objects.read_existing(f"{job.output.blobs}{part['files']['model.onnx']['sha256']}").body for part in parts]
    onnx, holdout = blend(models, job.inputs.numbers, job.inputs.texts), read_holdout(job, scratch, reader)
    log.info("Blending %s of %s", ", ".join(part["version"] for part in parts), job.date)
    difference = compare(onnx, answerer(models), job.candidate, rows_to_compare(job.inputs, None, holdout, job.row_key))
    files, facts = {"model.onnx": onnx}, {**facts, "columns": "", "warnings": []}
    return _finish(objects, job, files, facts, holdout, scratch, lambda: {**measure(), "difference": difference})


def _skip(objects: Objects, job: TrainingJob, reason: str, facts: Json, measure: Callable[[], dict[str, float]]) -> str:
    log.warning("Skipped %s of %s: %s", job.candidate, job.date, reason)
    skipped = build_skipped(job, reason, facts)
    publish(objects, job, {}, skipped, measure())
    return str(skipped["version"])


def _finish(
    objects: Objects,
    job: TrainingJob,
    files: dict[str, bytes],
    facts: Json,
    holdout: StoredHoldout,
    scratch: Scratch,
    measure: Callable[[], dict[str, float]],
) -> str:
    """Predict the holdout, publish the model and return its version."""
    predicted = predict(files["model.onnx"], holdout, job.inputs, job.row_key, scratch)
    metrics = all_metrics(predicted.y, predicted.p)
    files = {**files, "predictions.parquet": predicted.path.read_bytes()}
    manifest = build_manifest(job, files, facts, metrics)
    publish(objects, job, files, manifest, measure())
    values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if value is not None)
    log.info("%s on %s rows of the holdout: %s", manifest["version"], holdout.rows, values)
    return str(manifest["version"])


def _measure(started: float, began: float) -> dict[str, float]:
    return {"cpu_seconds": round(time.process_time() - started, 2), "seconds": round(time.monotonic() - began, 2)}


def _begin(objects: Objects, job: TrainingJob) -> Begin | None:
    """Return the model whose weights the job starts from, or None."""
    if job.begins is None:
        return None
    manifest: ModelManifest = objects.read_existing(job.begins).json()
    if "skipped" in manifest:
        log.info("Starting from random weights: the training of %s was skipped", manifest["date"])
        return None
    weights = objects.read_existing(f"{job.output.blobs}{manifest['files']['weights.safetensors']['sha256']}").body
    return Begin(manifest["version"], manifest["columns"], weights)


def main(argv: list[str] | None = None) -> int:
    """Run the given jobs one after another in one process, so that the libraries start only once."""
    parser = argparse.ArgumentParser(prog="python -m perennial.train", description="Train models from job files.")
    parser.add_argument(
        "--job", action="append", required=True, metavar="ADDRESS", help="s3:// address of a job file; may be repeated"
    )
    jobs = parser.parse_args(argv).job
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    make_logs_showable()
    for name in ("botocore", "pyiceberg"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The first process of a container ignores SIGTERM by default and would hold its GPU until it is killed.
    # Exiting at once is safe: a checkpoint is always complete.
    signal.signal(signal.SIGTERM, lambda number, _: _exit(128 + number))
    load_environment()
    objects, reader = Objects(), RowsReader(DATES_AT_ONCE) if len(jobs) > 1 else None
    try:
        for job in jobs:
            run_job(objects, job, reader, get_settings().max_scratch)
    except RefusedError as error:
        log.error("%s", error)
        return REFUSED_EXIT_CODE
    except PerennialError as error:
        log.error("%s", error)
        return 1
    return 0


def _exit(code: int) -> NoReturn:
    delete_open()
    os._exit(code)


def _check_build(job: TrainingJob) -> None:
    """Refuse a job whose fingerprint was computed for other libraries or other code than this trainer has."""
    installed = versions_for(job.settings.family)
    differing = [
        f"{name}: {installed.get(name)} is installed, the job needs {version}"
        for name, version in job.versions.items()
        if installed.get(name) != version
    ]
    if code_for(job.settings.family) != job.code:
        differing.append("the code of the trainer differs")
    if differing:
        raise RefusedError(
            "This trainer does not match the job",
            differing,
            "Use the trainer image of the Perennial version that planned the job.",
        )


if __name__ == "__main__":
    sys.exit(main())
