"""The plan of a training of date D (inputs, fingerprint, job file), and its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

from perennial.calendar import DAY, Split
from perennial.config.candidates import Family, search_of
from perennial.errors import PerennialError, RefusedError
from perennial.fingerprints.fingerprint import Fingerprint
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result, Skipped
from perennial.store.json_value import JsonValue
from perennial.train.history import explain_skip, whole_splits
from perennial.train.job import TrainingJob
from perennial.train.search_plan import PlannedSearch
from perennial.train.trainings import Trainings, read_model


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """
    The work for one candidate of one date. There is none if `skipped` or `searches_on` is set, or `unchanged` is True.

    :param skipped: the reason to skip the training, or None
    :param job_uri: the address of the job file; None: there is no work
    :param manifest_uri: the address of the model's manifest, which the work creates; None: the training is skipped
    :param before: the jobs of earlier dates that must run first, because the training starts from the weights of the last of them
    :param rows: by date of window and holdout, the rows that its commit records; empty: there is nothing to train
    :param window: the dates of the window
    :param searches_on: the date of the search that must run first, because it chooses the parameters; None: they are known
    """

    candidate: str
    skipped: str | None
    job_uri: str | None
    manifest_uri: str | None
    unchanged: bool
    key: str | None = None
    before: tuple[str, ...] = ()
    rows: Mapping[date, int] = field(default_factory=dict)
    window: Sequence[date] = ()
    searches_on: date | None = None

    @property
    def jobs(self) -> list[str]:
        """Return all jobs in order."""
        return [] if self.job_uri is None else [*self.before, self.job_uri]


def skipped_before(lake: Lake, day: date) -> str | None:
    """Return the reason for which a training of a date on its present rows was skipped, or None."""
    reasons = (Trainings(lake, name).skipped(day) for name in lake.pipeline.training.candidates)
    return next((reason for reason in reasons if reason), None)


def plan_training(lake: Lake, day: date, candidate: str, *, recompute: bool = False) -> TrainingPlan:
    """
    Plan the training of one candidate of date D and write its job file. Insufficient history is a reason to skip.

    With `recompute`, a finished training is planned again; its result must be identical.
    """
    return _plan(Trainings(lake, candidate), day, recompute=recompute)


def plan_ahead(lake: Lake, day: date, until: date, candidate: str) -> list[str]:
    """
    Return the jobs of one candidate for the dates after `day` up to `until` that are not trained yet.

    A date with insufficient history has no job.
    """
    trainings = Trainings(lake, candidate)
    dates = lake.pipeline.calendar.dates(day + DAY, until)
    later = [
        d
        for d in dates
        if trainings.features.get_complete(d) is not None
        and not trainings.unlabelled(d)
        and all(part.is_done(d) for part in trainings.parts)
    ]
    return list(dict.fromkeys(job for d in later for job in _plan(trainings, d).jobs))


def plan_searches(lake: Lake, dates: Iterable[date], candidate: str) -> list[PlannedSearch]:
    """Return the searches whose results decide the parameters of some dates and do not exist yet, and write their job files."""
    if search_of(lake.pipeline.training.candidates[candidate]) is None:
        return []
    trainings = Trainings(lake, candidate)
    trainable = [
        d
        for d in dates
        if trainings.features.get_complete(d) is not None
        and not trainings.split(d).too_little
        and not trainings.unlabelled(d)
        and trainings.settings_on(d) is None
    ]
    return [] if trainings.search is None else trainings.search.plan(trainable)


def plan_comparisons(lake: Lake, day: date, until: date, candidate: str) -> list[str]:
    """
    Return the jobs of the trainings with the parameters of the YAML, on the dates of searches that chose others.

    Both models of such a date are judged on its holdout, which no search has seen.
    """
    if search_of(lake.pipeline.training.candidates[candidate]) is None:
        return []
    searched, plain = Trainings(lake, candidate), Trainings(lake, candidate, is_searched=False)
    dates = [
        d
        for d in lake.pipeline.calendar.dates(day, until)
        if searched.is_compared(d) and searched.features.get_complete(d) is not None and not searched.unlabelled(d)
    ]
    return [job for d in dates for job in _plan(plain, d).jobs]


def _plan(trainings: Trainings, day: date, *, recompute: bool = False) -> TrainingPlan:
    candidate = trainings.candidate
    if reason := trainings.split(day).too_little:
        return TrainingPlan(candidate, explain_skip(trainings.lake, day, reason), None, None, unchanged=False)
    _require_analysed(trainings, day)
    manifest_uri, key = trainings.manifest(day), trainings.key(day)
    if trainings.search is not None and trainings.settings_on(day) is None:
        return TrainingPlan(
            candidate,
            None,
            None,
            None,
            unchanged=False,
            key=key,
            rows=trainings.rows(day),
            window=trainings.split(day).window,
            searches_on=trainings.search.date_for(day),
        )
    if not recompute and (reason := trainings.skipped(day)):
        return TrainingPlan(candidate, reason, None, None, unchanged=False, key=key)
    if not recompute and trainings.is_done(day):
        return TrainingPlan(candidate, None, None, manifest_uri, unchanged=True, key=key)
    *before, job_uri = [trainings.store_job(d) for d in (*trainings.untrained_before(day), day)]
    return TrainingPlan(
        candidate,
        None,
        job_uri,
        manifest_uri,
        unchanged=False,
        key=key,
        before=tuple(before),
        rows=trainings.rows(day),
        window=[] if trainings.parts else trainings.split(day).window,
    )


def plan_rows(lake: Lake, day: date, settings: Family) -> TrainingJob:
    """
    Return a job that has the rows of the trainings of a date. It is not stored.

    :param settings: the family for which the rows must fit into memory and on the disk
    :raises RefusedError: the date has no training, no run has analysed its dates yet, or its rows do not fit
    """
    from perennial.train.needs import Limits, check_needs, estimate_needs

    pipeline = lake.pipeline
    pipeline.calendar.check_data(day)
    trainings = Trainings(lake, next(iter(pipeline.training.candidates)))
    split, whole = trainings.split(day), whole_splits(lake, [day])[day]
    missing = sorted({*whole.window, *whole.holdout} - {*split.window, *split.holdout}) or trainings.unlabelled(day)
    if not whole.too_little and (missing or trainings.features.get_complete(day) is None):
        dates = f"{missing[0]} to {missing[-1]}" if len(missing) > 1 else f"{(missing or [day])[0]}"
        raise RefusedError(
            f"Pipeline {pipeline.name!r}: training {day} needs {dates}, which no run has analysed with its present columns",
            remedy=f"Run `perennial run {pipeline.name} --date {day}`, or `perennial backfill … --as NAME`: it releases nothing.",
        )
    if split.too_little:
        remedy = f"training.min_days is {pipeline.training.min_days}: choose a later date, or land earlier ones."
        reason = explain_skip(lake, day, split.too_little)
        raise RefusedError(f"Pipeline {pipeline.name!r}: {day} has insufficient history", [reason], remedy)
    limits = pipeline.training.max_rows, pipeline.gate.max_rows
    needs = estimate_needs("rows", settings, pipeline.inputs, pipeline.label, trainings.rows(day), split.window, *limits)
    check_needs(needs.with_holdout(pipeline.inputs), Limits.of_machine(), f"Pipeline {pipeline.name!r}: the training of {day}")
    return trainings.make_job(day)


def rows_to_train(lake: Lake, last: date) -> tuple[Mapping[date, int], Sequence[date]] | None:
    """
    Return the rows by date, and the window, of the newest training up to a date for which the lake has all rows.

    None: there is no such training.
    """
    trainings = Trainings(lake, next(iter(lake.pipeline.training.candidates)))
    for day in sorted((date.fromisoformat(text) for text in trainings.features.partitions), reverse=True):
        if day <= last and trainings.features.get_complete(day) is not None and not trainings.unlabelled(day):
            return None if trainings.split(day).too_little else (trainings.rows(day), trainings.split(day).window)
    return None


def _require_analysed(trainings: Trainings, day: date) -> None:
    """Raise if the features of a date, or labels that its training reads, are missing."""
    pipeline, features = trainings.lake.pipeline.name, trainings.features
    if features.get_complete(day) is None or features.metadata_location is None or features.snapshot_id is None:
        raise PerennialError(f"Pipeline {pipeline!r}: {features.name} has no features of {day}. Run analyse of {day} first.")
    if unlabelled := trainings.unlabelled(day):
        dates = ", ".join(map(str, unlabelled[:10]))
        raise PerennialError(f"Pipeline {pipeline!r}: the table of labels lacks {dates}. Run analyse of {day} first.")


def warm_start_origins(lake: Lake, dates: Sequence[date]) -> dict[date, date]:
    """
    Return for each date the first date whose training its own trainings depend on.

    Without a warm start, that is the date itself.
    """
    origins = {day: day for day in dates}
    for trainings in [Trainings(lake, candidate) for candidate in lake.pipeline.training.candidates]:
        for day in dates:
            origin = day
            while (earlier := trainings.weights_from(origin)) is not None:
                origin = earlier
            origins[day] = min(origins[day], origin)
    return origins


def training_fingerprints(lake: Lake, candidate: str, dates: Iterable[date]) -> dict[date, tuple[Fingerprint, Split]]:
    """
    Return by date the present fingerprint of the training and its split. Dates that cannot be trained are left out.

    Features with earlier columns count too, because they are computed again before the training.
    No model has the fingerprint of a training that reads them, or that reads labels which do not exist yet.
    """
    trainings = Trainings(lake, candidate, reshaped=True)
    trainable = [d for d in dates if trainings.features.get(d) is not None and not trainings.split(d).too_little]
    return {d: (trainings.key(d), trainings.split(d)) for d in trainable}


@dataclass(frozen=True, slots=True)
class Trained(Result):
    """
    A trained candidate.

    :param manifest: the address of its manifest
    :param rows: the rows of its window and of its holdout
    :param unlabelled_rows: rows without a label, if labels have their own table
    :param unmatched_labels: labels without a row, if labels have their own table
    :param metrics: metrics of the holdout, by name; in JSON each is a value at the top level
    :param warnings: categories with too many classes, and fields without a value in the window
    """

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset({"unlabelled_rows", "unmatched_labels"})
    SHOWN: ClassVar[frozenset[str]] = frozenset({"rows", "unlabelled_rows", "unmatched_labels", "roc_auc", "log_loss", "skill"})

    candidate: str
    version: str
    manifest: str
    rows: dict[str, int]
    unlabelled_rows: int | None
    unmatched_labels: int | None
    metrics: dict[str, float | None]
    warnings: list[str]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the result as JSON values."""
        values = Result.to_json(self)
        del values["metrics"]
        return {**values, **self.metrics}


def finish_training(lake: Lake, plan: TrainingPlan) -> Trained | Skipped:
    """Return the result of a finished training, read from its manifest."""
    if plan.manifest_uri is None:
        return Skipped(candidate=plan.candidate, reason=plan.skipped or "")
    manifest = read_model(lake, plan.manifest_uri)
    if "skipped" in manifest:
        return Skipped(candidate=plan.candidate, reason=manifest["skipped"])
    return Trained(
        Outcome.UNCHANGED if plan.unchanged else Outcome.DONE,
        candidate=plan.candidate,
        version=manifest["version"],
        manifest=plan.manifest_uri,
        rows=manifest["rows"],
        unlabelled_rows=manifest.get("unlabelled_rows"),
        unmatched_labels=manifest.get("unmatched_labels"),
        metrics=manifest["metrics"],
        warnings=manifest.get("warnings", []),
    )
