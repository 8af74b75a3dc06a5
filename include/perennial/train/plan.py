"""Plan a training of date D (its inputs, its fingerprint, its job file) and read its result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

from perennial.calendar import DAY, Calendar, Split
from perennial.clean.lost import lost_history
from perennial.config.pipeline import Label
from perennial.errors import PerennialError
from perennial.fingerprints.fingerprint import Fingerprint, make_fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.result import Outcome, Result, Skipped
from perennial.lake.tables import TableState
from perennial.store.json_value import JsonValue
from perennial.store.objects import sha256
from perennial.train.candidates import code_for, is_warm, seed_for, versions_for
from perennial.train.job import Features, Labels, Output, TrainingJob

BLOCK = 28
"""Days in a block of warm starts. The first training of each block starts from random weights."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """
    The work for one candidate: none (`skipped` is the reason, or `unchanged` is True), or the job at `job_uri`.

    `before` holds the jobs of earlier dates that must run first: the training starts from the weights of the last of them.
    """

    candidate: str
    skipped: str | None
    job_uri: str | None
    manifest_uri: str | None
    unchanged: bool
    key: str | None = None
    before: tuple[str, ...] = ()

    @property
    def jobs(self) -> list[str]:
        """Return all jobs in order."""
        return [] if self.job_uri is None else [*self.before, self.job_uri]


def split_of(lake: Lake, day: date) -> Split:
    """Return the window and the holdout of a date, chosen from the dates that have features."""
    return _split(lake.pipeline.calendar, lake.tables.state("features"), _labels(lake), day)


def _labels(lake: Lake) -> TableState | None:
    return lake.tables.state("labels") if lake.pipeline.label.known_after_days else None


def _split(calendar: Calendar, features: TableState, labels: TableState | None, day: date) -> Split:
    """
    Split without the dates whose features or labels were written before an edit of their columns.

    A date without labels is not left out.
    """
    old = labels.reshaped if labels is not None else frozenset()
    usable = (d for d in calendar.feature_dates(day) if features.get_complete(d) is not None and d.isoformat() not in old)
    return calendar.split(day, usable)


def too_little_history(lake: Lake, day: date) -> str | None:
    """Return the reason to skip the trainings of a date, with the refused parts of its history, or None if history suffices."""
    reason = split_of(lake, day).too_little
    return _explain_skip(lake, day, reason) if reason else None


def _explain_skip(lake: Lake, day: date, reason: str) -> str:
    return "; ".join([reason, *lost_history(lake, day)])


def plan_training(lake: Lake, day: date, candidate: str, *, recompute: bool = False) -> TrainingPlan:
    """
    Plan the training of one candidate of date D and write its job file. Insufficient history is a reason to skip.

    With `recompute`, a finished training is planned again; its result must be identical.
    """
    return _plan(_Trainings(lake, candidate), day, recompute=recompute)


def plan_ahead(lake: Lake, day: date, until: date, candidate: str) -> list[str]:
    """
    Return the jobs of one candidate for the dates after `day` up to `until` that are not trained yet.

    A date with insufficient history has no job.
    """
    trainings = _Trainings(lake, candidate)
    dates = lake.pipeline.calendar.dates(day + DAY, until)
    later = [d for d in dates if trainings.state.get_complete(d) is not None and not trainings.unlabelled(d)]
    return list(dict.fromkeys(job for d in later for job in _plan(trainings, d).jobs))


def _plan(trainings: _Trainings, day: date, *, recompute: bool = False) -> TrainingPlan:
    candidate, state = trainings.candidate, trainings.state
    if reason := trainings.split(day).too_little:
        return TrainingPlan(candidate, _explain_skip(trainings.lake, day, reason), None, None, unchanged=False)
    if state.get_complete(day) is None or state.metadata_location is None or state.snapshot_id is None:
        pipeline = trainings.lake.pipeline.name
        raise PerennialError(f"Pipeline {pipeline!r}: {state.name} has no features of {day}. Run analyse of {day} first.")
    if unlabelled := trainings.unlabelled(day):
        raise PerennialError(
            f"Pipeline {trainings.lake.pipeline.name!r}: the table of labels lacks {', '.join(map(str, unlabelled[:10]))}. "
            f"Run analyse of {day} first."
        )
    manifest_uri, key = trainings.manifest(day), trainings.key(day)
    if not recompute and trainings.is_done(day):
        return TrainingPlan(candidate, None, None, manifest_uri, unchanged=True, key=key)
    before: list[date] = []
    earlier = trainings.begins(day)
    while earlier is not None and not trainings.is_done(earlier):
        before.insert(0, earlier)
        earlier = trainings.begins(earlier)
    *first, job_uri = [trainings.job_uri(d) for d in (*before, day)]
    return TrainingPlan(candidate, None, job_uri, manifest_uri, unchanged=False, key=key, before=tuple(first))


def chains_begin(lake: Lake, dates: Sequence[date]) -> dict[date, date]:
    """
    Return for each date the first date whose weights its trainings depend on.

    Without a warm start, that is the date itself.
    """
    firsts = {day: day for day in dates}
    for trainings in [_Trainings(lake, candidate) for candidate in lake.pipeline.training.candidates]:
        for day in dates:
            earlier = day
            while (before := trainings.begins(earlier)) is not None:
                earlier = before
            firsts[day] = min(firsts[day], earlier)
    return firsts


def training_fingerprints(lake: Lake, candidate: str, dates: Iterable[date]) -> dict[date, tuple[Fingerprint, Split]]:
    """
    Return the present fingerprints of the trainings of dates, with their splits, without the dates that cannot be trained.

    Dates whose rows have earlier columns count, because they are computed again first.
    A training that reads such dates, or labels that do not exist yet, also has a fingerprint, but no model has it.
    """
    trainings = _Trainings(lake, candidate, reshaped=True)
    trainable = [d for d in dates if trainings.state.get(d) is not None and not trainings.split(d).too_little]
    return {d: (trainings.key(d), trainings.split(d)) for d in trainable}


class _Trainings:
    """
    The trainings of one candidate, given the features at one moment.

    :param reshaped: treat dates whose rows have earlier columns like all other dates
    """

    def __init__(self, lake: Lake, candidate: str, *, reshaped: bool = False) -> None:
        self.lake = lake
        self.candidate = candidate
        self.state, self.labels = lake.tables.state("features"), _labels(lake)
        if reshaped:
            self.state = replace(self.state, reshaped=frozenset())
            self.labels = self.labels and replace(self.labels, reshaped=frozenset())
        self._splits: dict[date, Split] = {}
        self._keys: dict[date, Fingerprint] = {}
        self._done: dict[date, bool] = {}
        self._jobs: dict[date, str] = {}

    def split(self, day: date) -> Split:
        """Return the window and the holdout of a date, chosen from the dates that have features."""
        if day not in self._splits:
            self._splits[day] = _split(self.lake.pipeline.calendar, self.state, self.labels, day)
        return self._splits[day]

    def unlabelled(self, day: date) -> list[date]:
        """Return the dates of window and holdout that the table of labels lacks; none if the features hold the label."""
        split = self.split(day)
        return [] if self.labels is None else [d for d in (*split.window, *split.holdout) if self.labels.get_complete(d) is None]

    def begins(self, day: date) -> date | None:
        """
        Return the date whose weights the training of `day` starts from; None: it starts from random weights.

        This is the last trainable date before it in the same block of BLOCK days.
        Each block starts from random weights, so that a date depends on a limited number of earlier trainings.
        """
        if not (self.lake.pipeline.training.warm_start and is_warm(self.candidate)):
            return None
        begin = day - DAY * (day.toordinal() % BLOCK)
        for earlier in reversed(self.lake.pipeline.calendar.dates(begin, day - DAY)):
            if (
                self.state.get_complete(earlier) is not None
                and not self.split(earlier).too_little
                and not self.unlabelled(earlier)
            ):
                return earlier
        return None

    def key(self, day: date) -> Fingerprint:
        """Return the fingerprint of a training. With a warm start, it includes the fingerprint of the training before."""
        if day not in self._keys:
            pipeline, split = self.lake.pipeline, self.split(day)
            earlier = self.begins(day)
            digests = self._digests(self.state, split)
            self._keys[day] = make_fingerprint(
                "train",
                of={
                    "date": day.isoformat(),
                    "candidate": self.candidate,
                    "seed": seed_for(pipeline.name, day.isoformat(), self.candidate),
                },
                code=code_for(self.candidate),
                data={
                    "window": [[d.isoformat(), digests[d]] for d in split.window],
                    "holdout": [[d.isoformat(), digests[d]] for d in split.holdout],
                    **self._labels_key(split),
                },
                configuration={
                    "inputs": pipeline.inputs.model_dump(mode="json"),
                    "label": _label_key(pipeline.label),
                    "row_key": pipeline.row_key,
                },
                libraries=versions_for(self.candidate),
                dependencies={"begins": None if earlier is None else self.key(earlier)},
            )
        return self._keys[day]

    def manifest(self, day: date) -> str:
        """Return the address of the manifest of a date's model."""
        return self.lake.layout.model_manifest(self.candidate, day, self.key(day))

    def is_done(self, day: date) -> bool:
        """Return whether the model of a date exists."""
        if day not in self._done:
            self._done[day] = self.lake.objects.exists(self.manifest(day))
        return self._done[day]

    def job_uri(self, day: date) -> str:
        """Store the job of a date, whose features must exist, and return its address."""
        if day not in self._jobs:
            if not self._jobs:
                keep_recipes(self.lake, "train", {self.candidate: self.key(day)})
            body = self._job(day).encode()
            self._jobs[day] = self.lake.layout.job(sha256(body))
            self.lake.objects.create(self._jobs[day], body)
        return self._jobs[day]

    def _job(self, day: date) -> TrainingJob:
        pipeline, layout, split, state = self.lake.pipeline, self.lake.layout, self.split(day), self.state
        earlier = self.begins(day)
        return TrainingJob(
            pipeline=pipeline.name,
            space=layout.space,
            candidate=self.candidate,
            date=day,
            key=self.key(day),
            seed=seed_for(pipeline.name, day.isoformat(), self.candidate),
            features=Features(
                metadata_location=str(state.metadata_location),
                snapshot_id=int(state.snapshot_id or 0),
                window=list(split.window),
                holdout=list(split.holdout),
                digests=self._digests(state, split),
                rows=self._rows(state, split),
            ),
            labels=None
            if self.labels is None
            else Labels(
                metadata_location=str(self.labels.metadata_location),
                snapshot_id=int(self.labels.snapshot_id or 0),
                digests=self._digests(self.labels, split),
                rows=self._rows(self.labels, split),
            ),
            inputs=pipeline.inputs,
            label=pipeline.label,
            row_key=pipeline.row_key,
            begins=None if earlier is None else self.manifest(earlier),
            versions=versions_for(self.candidate),
            code=code_for(self.candidate),
            output=Output(manifest=self.manifest(day), blobs=layout.blob("")),
        )

    def _labels_key(self, split: Split) -> dict[str, JsonValue]:
        """Return the part of a fingerprint for labels that have their own table."""
        if self.labels is None:
            return {}
        # Labels that do not exist yet have no digest. No model has a fingerprint with a missing digest.
        partitions = {d: self.labels.get_complete(d) for d in (*split.window, *split.holdout)}
        return {"labels": {d.isoformat(): labels.digest if labels else None for d, labels in partitions.items()}}

    def _digests(self, state: TableState, split: Split) -> dict[date, str]:
        return {d: state.partitions[d.isoformat()].digest for d in (*split.window, *split.holdout)}

    def _rows(self, state: TableState, split: Split) -> dict[date, int]:
        return {d: state.partitions[d.isoformat()].rows for d in (*split.window, *split.holdout)}


def _label_key(label: Label) -> dict[str, JsonValue]:
    """
    Return the settings of a label that decide a model.

    The day on which it is known is not among them: it shows in the dates and digests of the fingerprint.
    """
    return {"column": label.column, "positive": label.positive}


def read_model(lake: Lake, manifest_uri: str) -> ModelManifest:
    """Return the manifest of a trained model."""
    manifest: ModelManifest = lake.objects.read_existing(manifest_uri).json()
    return manifest


@dataclass(frozen=True, slots=True)
class Trained(Result):
    """
    A trained candidate.

    :param manifest: the address of its manifest
    :param rows: the rows of its window and of its holdout
    :param unlabelled_rows: rows without a label, if labels have their own table
    :param unmatched_labels: labels without a row, if labels have their own table
    :param metrics: metrics of the holdout, by name; in JSON each is a value at the top level
    """

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset({"unlabelled_rows", "unmatched_labels"})

    candidate: str
    version: str
    manifest: str
    rows: dict[str, int]
    unlabelled_rows: int | None
    unmatched_labels: int | None
    metrics: dict[str, float | None]

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
    return Trained(
        Outcome.UNCHANGED if plan.unchanged else Outcome.DONE,
        candidate=plan.candidate,
        version=manifest["version"],
        manifest=plan.manifest_uri,
        rows=manifest["rows"],
        unlabelled_rows=manifest.get("unlabelled_rows"),
        unmatched_labels=manifest.get("unmatched_labels"),
        metrics=manifest["metrics"],
    )
