"""The plan of a training of date D (inputs, fingerprint, job file), and its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar

from perennial.calendar import DAY, Split
from perennial.config.candidates import has_file, parts_of
from perennial.errors import PerennialError
from perennial.fingerprints.fingerprint import Fingerprint, make_fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.fingerprints.source import read_source
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.result import Outcome, Result, Skipped
from perennial.lake.sample import judged_below
from perennial.lake.tables import TableState
from perennial.store.json_value import JsonValue
from perennial.store.objects import sha256
from perennial.train.candidates import code_for, is_warm, seed_for, versions_for
from perennial.train.history import explain_skip, labels_state, split_features
from perennial.train.job import Features, Labels, Output, Sample, TrainingJob

BLOCK = 28
"""Days in a block of warm starts. The first training of each block starts from random weights, which bounds the chain."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """
    The work for one candidate of one date. There is none if `skipped` is set or `unchanged` is True.

    :param skipped: the reason to skip the training, or None
    :param job_uri: the address of the job file; None: there is no work
    :param manifest_uri: the address of the model's manifest, which the work creates; None: the training is skipped
    :param before: the jobs of earlier dates that must run first, because the training starts from the weights of the last of them
    :param rows: by date of window and holdout, the rows that its commit records; empty: there is no work
    :param window: the dates of the window
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

    @property
    def jobs(self) -> list[str]:
        """Return all jobs in order."""
        return [] if self.job_uri is None else [*self.before, self.job_uri]


def skipped_before(lake: Lake, day: date) -> str | None:
    """Return the reason for which a training of a date on its present rows was skipped, or None."""
    reasons = (_Trainings(lake, name).skipped(day) for name in lake.pipeline.training.candidates)
    return next((reason for reason in reasons if reason), None)


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
    later = [
        d
        for d in dates
        if trainings.features.get_complete(d) is not None
        and not trainings.unlabelled(d)
        and all(part.is_done(d) for part in trainings.parts)
    ]
    return list(dict.fromkeys(job for d in later for job in _plan(trainings, d).jobs))


def _plan(trainings: _Trainings, day: date, *, recompute: bool = False) -> TrainingPlan:
    candidate = trainings.candidate
    if reason := trainings.split(day).too_little:
        return TrainingPlan(candidate, explain_skip(trainings.lake, day, reason), None, None, unchanged=False)
    _require_analysed(trainings, day)
    manifest_uri, key = trainings.manifest(day), trainings.key(day)
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


def rows_to_train(lake: Lake, last: date) -> tuple[Mapping[date, int], Sequence[date]] | None:
    """
    Return the rows by date, and the window, of the newest training up to a date for which the lake has all rows.

    None: there is no such training.
    """
    trainings = _Trainings(lake, next(iter(lake.pipeline.training.candidates)))
    for day in sorted((date.fromisoformat(text) for text in trainings.features.partitions), reverse=True):
        if day <= last and trainings.features.get_complete(day) is not None and not trainings.unlabelled(day):
            return None if trainings.split(day).too_little else (trainings.rows(day), trainings.split(day).window)
    return None


def _require_analysed(trainings: _Trainings, day: date) -> None:
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
    for trainings in [_Trainings(lake, candidate) for candidate in lake.pipeline.training.candidates]:
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
    trainings = _Trainings(lake, candidate, reshaped=True)
    trainable = [d for d in dates if trainings.features.get(d) is not None and not trainings.split(d).too_little]
    return {d: (trainings.key(d), trainings.split(d)) for d in trainable}


class _Trainings:
    """
    The trainings of one candidate by date, all planned from the features at one moment. Answers are cached.

    :param reshaped: treat dates whose rows have earlier columns like all other dates
    """

    def __init__(self, lake: Lake, candidate: str, *, reshaped: bool = False) -> None:
        self.lake = lake
        self.candidate = candidate
        self.settings = lake.pipeline.training.candidates[candidate]
        self.features, self.labels = lake.tables.state("features"), labels_state(lake)
        if reshaped:
            self.features = replace(self.features, reshaped=frozenset())
            self.labels = self.labels and replace(self.labels, reshaped=frozenset())
        self.source = lake.pipeline.candidate_file(candidate) if has_file(self.settings) else None
        self.parts = [_Trainings(lake, name, reshaped=reshaped) for name in parts_of(self.settings)]
        self._splits: dict[date, Split] = {}
        self._keys: dict[date, Fingerprint] = {}
        self._results: dict[date, ModelManifest | None] = {}
        self._jobs: dict[date, str] = {}

    def split(self, day: date) -> Split:
        """Return the window and the holdout of a date, chosen from the dates that have features."""
        if day not in self._splits:
            self._splits[day] = split_features(self.lake.pipeline.calendar, self.features, self.labels, day)
        return self._splits[day]

    def unlabelled(self, day: date) -> list[date]:
        """Return the dates of window and holdout that the table of labels lacks; none if the features hold the label."""
        split = self.split(day)
        return [] if self.labels is None else [d for d in (*split.window, *split.holdout) if self.labels.get_complete(d) is None]

    def weights_from(self, day: date) -> date | None:
        """
        Return the date whose weights the training of `day` starts from, or None if it starts from random weights.

        This is the last trainable date before it in the same block of BLOCK days, so a date depends on fewer than BLOCK others.
        """
        if not (self.lake.pipeline.training.warm_start and is_warm(self.settings.family)):
            return None
        block_start = day - DAY * (day.toordinal() % BLOCK)
        for earlier in reversed(self.lake.pipeline.calendar.dates(block_start, day - DAY)):
            if (
                self.features.get_complete(earlier) is not None
                and not self.split(earlier).too_little
                and not self.unlabelled(earlier)
            ):
                return earlier
        return None

    def untrained_before(self, day: date) -> list[date]:
        """Return, in order, the dates that must be trained first because `day` depends on their weights."""
        untrained: list[date] = []
        earlier = self.weights_from(day)
        while earlier is not None and not self.is_done(earlier):
            untrained.insert(0, earlier)
            earlier = self.weights_from(earlier)
        return untrained

    def key(self, day: date) -> Fingerprint:
        """Return the fingerprint of a training. With a warm start, it includes the fingerprint of the training before."""
        if day not in self._keys:
            pipeline, split = self.lake.pipeline, self.split(day)
            earlier = self.weights_from(day)
            digests = self._digests(self.features, split)
            self._keys[day] = make_fingerprint(
                "train",
                of={
                    "date": day.isoformat(),
                    "candidate": self.candidate,
                    "seed": seed_for(pipeline.name, day.isoformat(), self.candidate),
                },
                code=code_for(self.settings.family, pipeline.label),
                data={
                    "window": [[d.isoformat(), digests[d]] for d in split.window],
                    "holdout": [[d.isoformat(), digests[d]] for d in split.holdout],
                    **self._label_digests(split),
                },
                configuration={
                    "inputs": pipeline.inputs.model_dump(mode="json"),
                    "label": pipeline.label.settings,
                    "row_key": pipeline.row_key,
                    "candidate": self.settings.model_dump(mode="json"),
                    # As for Perennial's own code, comments and layout do not count.
                    **({f"candidates/{self.candidate}.py": read_source(self.source.encode()).digest} if self.source else {}),
                    **({"sample": sample.model_dump(mode="json")} if (sample := self._sample()) else {}),
                    **({"judged_below": below} if (below := self._judged_below(split)) is not None else {}),
                },
                libraries=versions_for(self.settings.family, pipeline.label),
                dependencies={
                    "begins": None if earlier is None else self.key(earlier),
                    **({"parts": [part.key(day) for part in self.parts]} if self.parts else {}),
                },
            )
        return self._keys[day]

    def manifest(self, day: date) -> str:
        """Return the address of the manifest of a date's model."""
        return self.lake.layout.model_manifest(self.candidate, day, self.key(day))

    def is_done(self, day: date) -> bool:
        """Return whether the training of a date has a result."""
        return self._result(day) is not None

    def skipped(self, day: date) -> str | None:
        """Return the reason for which the training of a date was skipped, if its rows showed that nothing can be learned."""
        if self.split(day).too_little:
            return None
        result = self._result(day)
        return None if result is None else result.get("skipped")

    def _result(self, day: date) -> ModelManifest | None:
        if day not in self._results:
            stored = self.lake.objects.read(self.manifest(day))
            self._results[day] = None if stored is None else stored.json()
        return self._results[day]

    def store_job(self, day: date) -> str:
        """Store the job file of a date, whose features must exist, and return its address."""
        if day not in self._jobs:
            if not self._jobs:  # the dates of a candidate share one recipe
                keep_recipes(self.lake, "train", {self.candidate: self.key(day)})
            body = self._job(day).encode()
            self._jobs[day] = self.lake.layout.job(sha256(body))
            self.lake.objects.create(self._jobs[day], body)
        return self._jobs[day]

    def _job(self, day: date) -> TrainingJob:
        pipeline, layout, split, features = self.lake.pipeline, self.lake.layout, self.split(day), self.features
        earlier = self.weights_from(day)
        return TrainingJob(
            pipeline=pipeline.name,
            space=layout.space,
            candidate=self.candidate,
            settings=self.settings,
            date=day,
            key=self.key(day),
            seed=seed_for(pipeline.name, day.isoformat(), self.candidate),
            features=Features(
                metadata_location=str(features.metadata_location),
                snapshot_id=int(features.snapshot_id or 0),
                window=list(split.window),
                holdout=list(split.holdout),
                digests=self._digests(features, split),
                rows=self._rows(features, split),
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
            sample=self._sample(),
            judged_below=self._judged_below(split),
            source=self.source,
            parts=[part.manifest(day) for part in self.parts],
            begins=None if earlier is None else self.manifest(earlier),
            versions=versions_for(self.settings.family, pipeline.label),
            code=code_for(self.settings.family, pipeline.label),
            output=Output(manifest=self.manifest(day), blobs=layout.blob("")),
        )

    def _sample(self) -> Sample | None:
        training = self.lake.pipeline.training
        return None if training.max_rows is None else Sample(max_rows=training.max_rows, kind=training.sample)

    def _judged_below(self, split: Split) -> int | None:
        rows = sum(self.features.partitions[d.isoformat()].rows for d in split.holdout)
        return judged_below(self.lake.pipeline.gate.max_rows, rows)

    def _label_digests(self, split: Split) -> dict[str, JsonValue]:
        """Return the digests of the labels if they have their own table, as a part of the fingerprint."""
        if self.labels is None:
            return {}
        # Labels that do not exist yet have no digest. No model has a fingerprint with a missing digest.
        partitions = {d: self.labels.get_complete(d) for d in (*split.window, *split.holdout)}
        return {"labels": {d.isoformat(): labels.digest if labels else None for d, labels in partitions.items()}}

    def rows(self, day: date) -> dict[date, int]:
        """Return the rows of the features by date of window and holdout."""
        return self._rows(self.features, self.split(day))

    def _digests(self, state: TableState, split: Split) -> dict[date, str]:
        return {d: state.partitions[d.isoformat()].digest for d in (*split.window, *split.holdout)}

    def _rows(self, state: TableState, split: Split) -> dict[date, int]:
        return {d: state.partitions[d.isoformat()].rows for d in (*split.window, *split.holdout)}


def read_model(lake: Lake, manifest_uri: str) -> ModelManifest:
    """Return the manifest of a training."""
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
