"""The trainings of one candidate by date: what each reads, its fingerprint, its job file and its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from perennial.calendar import DAY, Split
from perennial.config.candidates import Family, has_file, parts_of
from perennial.config.label import Label
from perennial.config.search import Searchable, without_search
from perennial.fingerprints.fingerprint import Fingerprint, make_fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.fingerprints.source import read_source
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.sample import judged_below
from perennial.lake.tables import TableState
from perennial.store.content_name import sha256
from perennial.store.json_value import JsonValue
from perennial.train.candidates import code_for, is_warm, seed_for, versions_for
from perennial.train.history import labels_state, split_features
from perennial.train.job import Features, Labels, Output, Sample, TrainingJob
from perennial.train.search_plan import Searches

BLOCK = 28
"""Days in a block of warm starts. The first training of each block starts from random weights, which bounds the chain."""


class Trainings:
    """
    The trainings of one candidate by date, all planned from the features at one moment. Answers are cached.

    :param reshaped: treat dates whose rows have earlier columns like all other dates
    :param is_searched: False: all dates have the parameters of the YAML
    """

    def __init__(self, lake: Lake, candidate: str, *, reshaped: bool = False, is_searched: bool = True) -> None:
        self.lake = lake
        self.candidate = candidate
        declared = lake.pipeline.training.candidates[candidate]
        self.settings = without_search(declared)
        self.features, self.labels = lake.tables.state("features"), labels_state(lake)
        if reshaped:
            self.features = replace(self.features, reshaped=frozenset())
            self.labels = self.labels and replace(self.labels, reshaped=frozenset())
        self.source = lake.pipeline.candidate_file(candidate) if has_file(self.settings) else None
        self.search: Searches | None = None
        if is_searched and isinstance(declared, Searchable) and declared.search is not None:
            self.search = Searches(self, declared, declared.search)
        self.parts = [Trainings(lake, name, reshaped=reshaped) for name in parts_of(self.settings)]
        self._splits: dict[date, Split] = {}
        self._keys: dict[date, Fingerprint] = {}
        self._results: dict[date, ModelManifest | None] = {}
        self._jobs: dict[date, str] = {}

    def split(self, day: date) -> Split:
        """Return the window and the holdout of a date, chosen from the dates that have features."""
        if day not in self._splits:
            self._splits[day] = split_features(self.lake.pipeline.calendar, self.features, self.labels, day)
        return self._splits[day]

    def settings_on(self, day: date) -> Family | None:
        """Return the parameters of a date. None: the search that chooses them has not ended yet."""
        return self.settings if self.search is None else self.search.settings_on(day)

    def is_compared(self, day: date) -> bool:
        """Return whether a date is that of a search that chose other parameters than those of the YAML."""
        return self.search is not None and self.search.date_for(day) == day and self.settings_on(day) not in (None, self.settings)

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
        """
        Return the fingerprint of a training. With a warm start, it includes the fingerprint of the training before.

        While its parameters are not known, it includes the fingerprint of the search for them. No model has such a fingerprint.
        """
        if day not in self._keys:
            split, settings = self.split(day), self.settings_on(day)
            earlier = self.weights_from(day)
            self._keys[day] = make_fingerprint(
                "train",
                of=self.identity(day),
                code=code_for(self.settings.family, self.lake.pipeline.label),
                data=self.data(window=split.window, holdout=split.holdout),
                configuration=self.configuration(settings or self.settings, self.lake.pipeline.label, split.holdout),
                libraries=versions_for(self.settings.family, self.lake.pipeline.label),
                dependencies={
                    "begins": None if earlier is None else self.key(earlier),
                    **({"parts": [part.key(day) for part in self.parts]} if self.parts else {}),
                    **({"search": self.search.key_for(day)} if settings is None and self.search is not None else {}),
                },
            )
        return self._keys[day]

    def identity(self, day: date) -> dict[str, JsonValue]:
        """Return the identity of a result of a date, for its fingerprint."""
        name = self.lake.pipeline.name
        return {"date": day.isoformat(), "candidate": self.candidate, "seed": seed_for(name, day.isoformat(), self.candidate)}

    def data(self, **dates: Sequence[date]) -> dict[str, JsonValue]:
        """Return the digests of the rows of some dates and, if they have their own table, of their labels, for a fingerprint."""
        every = [d for some in dates.values() for d in some]
        digests = _digests(self.features, every)
        features: dict[str, JsonValue] = {name: [[d.isoformat(), digests[d]] for d in some] for name, some in dates.items()}
        if self.labels is None:
            return features
        # Labels that do not exist yet have no digest. No model has a fingerprint with a missing digest.
        labels = {d.isoformat(): (known.digest if (known := self.labels.get_complete(d)) else None) for d in every}
        return {**features, "labels": labels}

    def configuration(self, settings: Family, label: Label, judged: Sequence[date]) -> dict[str, JsonValue]:
        """
        Return the settings that decide a result, for its fingerprint.

        :param judged: the dates whose rows are judged
        """
        pipeline = self.lake.pipeline
        return {
            "inputs": pipeline.inputs.model_dump(mode="json"),
            "label": label.settings,
            "row_key": pipeline.row_key,
            "candidate": settings.model_dump(mode="json"),
            # As for Perennial's own code, comments and layout do not count.
            **({f"candidates/{self.candidate}.py": read_source(self.source.encode()).digest} if self.source else {}),
            **({"sample": sample.model_dump(mode="json")} if (sample := self._sample()) else {}),
            **({"judged_below": below} if (below := self._judged_below(judged)) is not None else {}),
        }

    def manifest(self, day: date) -> str:
        """Return the address of the manifest of a date's model."""
        return self.lake.layout.model_manifest(self.candidate, day, self.key(day))

    def is_done(self, day: date) -> bool:
        """Return whether the training of a date has a result."""
        return self._result(day) is not None

    def metric(self, day: date, name: str) -> float | None:
        """Return a metric of a date's model on the holdout; None: there is no model."""
        result = self._result(day)
        return None if result is None or "skipped" in result else result["metrics"].get(name)

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
            body = self.make_job(day).encode()
            self._jobs[day] = self.lake.layout.job(sha256(body))
            self.lake.objects.create(self._jobs[day], body)
        return self._jobs[day]

    def make_job(self, day: date) -> TrainingJob:
        """Return the training of a date, whose features must exist."""
        split, settings, earlier = self.split(day), self.settings_on(day), self.weights_from(day)
        return self.job(
            settings or self.settings,
            day,
            self.key(day),
            self.lake.pipeline.label,
            split.window,
            split.holdout,
            parts=[part.manifest(day) for part in self.parts],
            begins=None if earlier is None else self.manifest(earlier),
            versions=versions_for(self.settings.family, self.lake.pipeline.label),
            code=code_for(self.settings.family, self.lake.pipeline.label),
            output=Output(manifest=self.manifest(day), blobs=self.lake.layout.blob("")),
        )

    def job(
        self,
        settings: Family,
        day: date,
        key: str,
        label: Label,
        window: Sequence[date],
        holdout: Sequence[date],
        **more: Any,
    ) -> TrainingJob:
        """
        Return the job that learns from some dates and judges on others.

        :param more: the other fields of the job
        """
        pipeline, every = self.lake.pipeline, [*window, *holdout]
        return TrainingJob(
            pipeline=pipeline.name,
            space=self.lake.layout.space,
            candidate=self.candidate,
            settings=settings,
            date=day,
            key=key,
            seed=seed_for(pipeline.name, day.isoformat(), self.candidate),
            features=Features(
                metadata_location=str(self.features.metadata_location),
                snapshot_id=int(self.features.snapshot_id or 0),
                window=list(window),
                holdout=list(holdout),
                digests=_digests(self.features, every),
                rows=_rows(self.features, every),
            ),
            labels=None
            if self.labels is None
            else Labels(
                metadata_location=str(self.labels.metadata_location),
                snapshot_id=int(self.labels.snapshot_id or 0),
                digests=_digests(self.labels, every),
                rows=_rows(self.labels, every),
            ),
            inputs=pipeline.inputs,
            label=label,
            row_key=pipeline.row_key,
            sample=self._sample(),
            judged_below=self._judged_below(holdout),
            source=self.source,
            **more,
        )

    def _sample(self) -> Sample | None:
        training = self.lake.pipeline.training
        return None if training.max_rows is None else Sample(max_rows=training.max_rows, kind=training.sample)

    def _judged_below(self, judged: Sequence[date]) -> int | None:
        return judged_below(self.lake.pipeline.gate.max_rows, sum(_rows(self.features, judged).values()))

    def rows(self, day: date) -> dict[date, int]:
        """Return the rows of the features by date of window and holdout."""
        split = self.split(day)
        return _rows(self.features, [*split.window, *split.holdout])


def _digests(state: TableState, dates: Iterable[date]) -> dict[date, str]:
    return {d: state.partitions[d.isoformat()].digest for d in dates}


def _rows(state: TableState, dates: Iterable[date]) -> dict[date, int]:
    return {d: state.partitions[d.isoformat()].rows for d in dates}


def read_model(lake: Lake, manifest_uri: str) -> ModelManifest:
    """Return the manifest of a training."""
    manifest: ModelManifest = lake.objects.read_existing(manifest_uri).json()
    return manifest
