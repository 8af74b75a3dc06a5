"""The trainer: `python -m perennial.train --job <address>`. It needs only the object store."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from perennial.config.candidates import search_of
from perennial.config.label import Constant, NumberLabel
from perennial.display.metrics import format_constant, format_metric, label_of
from perennial.display.printed_error import mark_error
from perennial.display.showable import make_logs_showable
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.lake.manifests import ModelManifest, constant_of
from perennial.lake.tables import DATES_AT_ONCE, RowsReader
from perennial.models.constant import constant_forecast
from perennial.models.metrics import Floats, Labels
from perennial.models.scoring import Numbers, Texts
from perennial.models.sums import mean
from perennial.settings import get_settings, load_environment
from perennial.store.objects import Objects
from perennial.tasks.task import LearningTask, task_of
from perennial.train.artefacts import FACTS, build_manifest, build_skipped, facts_of, publish
from perennial.train.author import Author
from perennial.train.blend import answerer, blend
from perennial.train.calibration import QUANTILES, interval_metrics, set_shift
from perennial.train.candidates import SEARCH_LIBRARIES, code_for, installed_for, search_code_for
from perennial.train.checkpoints import Checkpoints
from perennial.train.compare import compare, rows_to_compare
from perennial.train.graph import with_output
from perennial.train.holdout import StoredHoldout, calibrate_interval, predict
from perennial.train.job import TrainingJob, read_job
from perennial.train.model import Begin, train_model
from perennial.train.prepare import read_examples, read_holdout, why_untrainable
from perennial.train.scratch import Scratch, delete_open, open_scratch
from perennial.train.servable import check_size, check_speed
from perennial.train.window import Window

if TYPE_CHECKING:
    from perennial.train.interval import Quantiles

log = logging.getLogger("perennial.train")

_EQUAL = 1e-6
"""Relative difference below which two losses are equal."""


def run_job(
    objects: Objects,
    uri: str,
    reader: RowsReader | None = None,
    *,
    max_scratch: int | None = None,
    max_row_ms: float | None = None,
) -> str:
    """
    Run one training job and return the version of the model. A job may also be a search for parameters: it has no model.

    A training from whose rows nothing can be learned is skipped: its manifest holds the reason, and no model.

    :param reader: it may still hold rows of the previous job; None: keep no rows for a next job
    :param max_scratch: bytes that the training may hold on scratch disk
    :param max_row_ms: the time that the model may take for a row; None: no limit
    """
    started, began = time.process_time(), time.monotonic()
    job = read_job(objects, uri)
    _check_build(job)

    def measure() -> dict[str, float]:
        return {"cpu_seconds": round(time.process_time() - started, 2), "seconds": round(time.monotonic() - began, 2)}

    with open_scratch(max_scratch) as scratch:
        if (search := search_of(job.settings)) is not None:
            from perennial.train.search import run_search

            run_search(objects, job, search, scratch, reader)
            return ""
        work = _Work(objects, job, scratch, reader, measure, max_row_ms)
        return work.blend() if job.parts else work.train()


@dataclass(frozen=True, slots=True)
class _Work:
    """
    The work of one job.

    :param measure: returns what the job has cost so far
    :param max_row_ms: the time that the model may take for a row; None: no limit
    """

    objects: Objects
    job: TrainingJob
    scratch: Scratch
    reader: RowsReader | None
    measure: Callable[[], dict[str, float]]
    max_row_ms: float | None

    def train(self) -> str:
        """Train a model on the rows of the window and return its version."""
        job, examples = self.job, read_examples(self.job, self.scratch, self.reader)
        window, facts = examples.window, facts_of(job, examples)
        if reason := why_untrainable(examples):
            return self._skip(reason, facts)
        log.info("Training %s of %s: %s rows of %s days", job.candidate, job.date, window.rows, len(job.features.window))
        if job.labels is not None:
            message = "%s rows of window and holdout have no label and are left out; %s labels match no row"
            log.info(message, examples.unlabelled, examples.unmatched)
        checkpoints = Checkpoints(self.objects, f"{job.output.manifest.removesuffix('.json')}.checkpoints/")
        author = None if job.source is None else Author(f"candidates/{job.candidate}.py", job.source)
        model = train_model(job.settings, window, job.seed, checkpoints, _begin(self.objects, job), author)
        files = {"model.onnx": model.onnx}
        if model.weights is not None:
            files["weights.safetensors"] = model.weights
        facts = {**facts, "columns": model.columns, "warnings": model.warnings}
        version = self._finish(files, facts, examples.holdout, window, model.answerer(), model.quantiles)
        checkpoints.clear()
        return version

    def blend(self) -> str:
        """Blend models that are trained and return the version of the result."""
        job = self.job
        parts: list[ModelManifest] = [self.objects.read_existing(uri).json() for uri in job.parts]
        facts = {name: value for name, value in parts[0].items() if name in FACTS}
        if reason := next((part["skipped"] for part in parts if "skipped" in part), None):
            return self._skip(reason, facts)
        log.info("Blending %s of %s", ", ".join(part["version"] for part in parts), job.date)
        addresses = [f"{job.output.blobs}{part['files']['model.onnx']['sha256']}" for part in parts]
        models = [self.objects.read_existing(address).body for address in addresses]
        blended = blend(models, job.inputs.numbers, job.inputs.texts, job.label)
        holdout = read_holdout(job, self.scratch, self.reader)
        return self._finish(
            {"model.onnx": blended}, {**facts, "columns": "", "warnings": []}, holdout, None, answerer(models, job.label)
        )

    def _skip(self, reason: str, facts: Mapping[str, Any]) -> str:
        log.warning("Skipped %s of %s: %s", self.job.candidate, self.job.date, reason)
        skipped = build_skipped(self.job, reason, facts)
        publish(self.objects, self.job, {}, skipped, self.measure())
        return str(skipped["version"])

    def _finish(
        self,
        files: dict[str, bytes],
        facts: Mapping[str, Any],
        holdout: StoredHoldout,
        window: Window | None,
        answer: Callable[[Numbers, Texts], Floats],
        quantiles: Quantiles | None = None,
    ) -> str:
        """
        Predict the holdout, compare the graph with the library, publish the model and return its version.

        :param answer: the library
        :param quantiles: those of an interval; a blend has those of its parts, which are compared with theirs
        """
        job, graph = self.job, files["model.onnx"]
        check_size(graph, job.candidate)
        check_speed(graph, job.candidate, holdout, job.inputs, self.max_row_ms)
        bounds = None
        if isinstance(job.label, NumberLabel) and (level := job.label.interval) is not None:
            calibrated = calibrate_interval(graph, holdout, job.inputs, level)
            files["model.onnx"] = graph = set_shift(graph, calibrated.shift)
            bounds = partial(calibrated.bounds, label_range=job.label.range)
        predicted = predict(graph, holdout, job.inputs, job.row_key, self.scratch, bounds)
        rows = rows_to_compare(job.inputs, window, holdout, job.row_key, predicted.p)
        task, constant = task_of(job.label), facts["constant"]
        difference = compare(graph, answer, job.candidate, rows, facts["spread"])
        if quantiles is not None:
            rows = rows_to_compare(job.inputs, window, holdout, job.row_key)
            asked = with_output(graph, QUANTILES)
            of_quantiles = compare(asked, quantiles.answer, job.candidate, rows, facts["spread"], QUANTILES)
            difference = max(difference, of_quantiles)
        metrics = task.metrics(predicted.y, predicted.p, constant)
        if predicted.bounds is not None:
            metrics |= interval_metrics(predicted.y, predicted.bounds)
        warnings = [*facts["warnings"], *warn_of_constant(task, metrics[task.loss_name], predicted.y, constant)]
        files = {**files, "predictions.parquet": predicted.path.read_bytes()}
        manifest = build_manifest(job, files, {**facts, "warnings": warnings}, metrics)
        publish(self.objects, job, files, manifest, {**self.measure(), "difference": difference})
        values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if value is not None)
        log.info("%s on %s rows of the holdout: %s", manifest["version"], holdout.rows, values)
        return str(manifest["version"])


def warn_of_constant(task: LearningTask, loss: float | None, y: Labels, constant: Constant) -> list[str]:
    """
    Return a warning if the constant forecast has a lower loss on the holdout.

    :param loss: the loss of the model
    :param constant: the constant forecast of the window
    """
    of_constant = mean(lambda part: task.losses(y[part], constant_forecast(constant, len(y[part]))), len(y))
    if loss is None or loss <= of_constant * (1 + _EQUAL):
        return []
    metric = label_of(task.loss_name)
    text = (
        f"its {metric} on the holdout is {format_metric(loss)}, and that of the constant forecast of the window, "
        f"{format_constant(constant)}, is {format_metric(of_constant)}: the model is worse than the constant"
    )
    log.warning("%s", text)
    return [text]


def _begin(objects: Objects, job: TrainingJob) -> Begin | None:
    """Return the model whose weights the job starts from, or None."""
    if job.begins is None:
        return None
    manifest: ModelManifest = objects.read_existing(job.begins).json()
    if "skipped" in manifest:
        log.info("Starting from random weights: the training of %s was skipped", manifest["date"])
        return None
    weights = objects.read_existing(f"{job.output.blobs}{manifest['files']['weights.safetensors']['sha256']}").body
    # The constant forecast of numbers is their center; classes have none to move to.
    center, spread = constant_of(manifest), manifest.get("spread", 1.0)
    return Begin(manifest["version"], manifest["columns"], weights, center if isinstance(center, float) else 0.0, spread)


def main(argv: list[str] | None = None) -> int:
    """Run the given jobs one after another in one process, so that the libraries start only once."""
    parser = argparse.ArgumentParser(prog="python -m perennial.train", description="Train models from job files.")
    parser.add_argument(
        "--job", action="append", required=True, metavar="ADDRESS", help="s3:// address of a job file; may be repeated"
    )
    jobs = parser.parse_args(argv).job
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    make_logs_showable()
    shown = logging.StreamHandler(sys.stdout)
    for name in ("botocore", "pyiceberg"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The first process of a container ignores SIGTERM by default and would hold its GPU until it is killed.
    # Exiting at once is safe: a checkpoint is always complete.
    signal.signal(signal.SIGTERM, lambda number, _: _exit(128 + number))
    load_environment()
    settings = get_settings()
    objects, reader = Objects(), RowsReader(DATES_AT_ONCE) if len(jobs) > 1 else None
    try:
        for job in jobs:
            run_job(objects, job, reader, max_scratch=settings.max_scratch, max_row_ms=settings.max_row_ms)
    except PerennialError as error:
        # Its own handler shows it: an author's file may have changed those of the process, or turned logging off.
        shown.emit(logging.makeLogRecord({"msg": mark_error(str(error)), "levelno": logging.ERROR}))
        return REFUSED_EXIT_CODE if isinstance(error, RefusedError) else 1
    return 0


def _exit(code: int) -> NoReturn:
    delete_open()
    os._exit(code)


def _check_build(job: TrainingJob) -> None:
    """Refuse a job whose fingerprint was computed for other libraries or other code than this trainer has."""
    is_search = search_of(job.settings) is not None
    installed = installed_for(job.settings.family, job.label, *SEARCH_LIBRARIES * is_search)
    differing = [
        f"{name}: {installed.get(name, 'no version')} is installed, the job needs {version}"
        for name, version in job.versions.items()
        if installed.get(name) != version
    ]
    code = search_code_for(job.settings.family) if is_search else code_for(job.settings.family, job.label)
    if code != job.code:
        differing.append("the code of the trainer differs")
    if differing:
        raise RefusedError(
            "This trainer does not match the job",
            differing,
            "Use the trainer image of the Perennial version that planned the job; on one machine, run `make setup`.",
        )


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    logging.shutdown()
    with suppress(ValueError, OSError):  # an author's file may have closed it
        sys.stdout.flush()
    _exit(code)  # a thread that an author's file has left would keep the process
