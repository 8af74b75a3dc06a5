"""The fingerprints of analyse's tables: each covers everything that decides a partition, and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from perennial.calendar import DAY, days
from perennial.config.pipeline import Pipeline
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import Fingerprint, make_fingerprint
from perennial.lake.days import REFERENCE
from perennial.lake.tables import TableState
from perennial.spark.submit import SPARK_VERSION
from perennial.sql.tokens import sql_digest
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json

_LIBRARIES = {"spark": SPARK_VERSION}

LABELS_FILE = "labels.sql"

FingerprintOf = Callable[[date], Fingerprint]


@dataclass(frozen=True, slots=True)
class InputDigests:
    """
    The digests of all clean tables: {source: {day: digest}}, {reference: digest}.

    :param columns: by table, the names of its columns in order, which no digest of rows covers
    """

    sources: Mapping[str, Mapping[date, str]]
    references: Mapping[str, str]
    columns: Mapping[str, Sequence[str]]

    @staticmethod
    def of(pipeline: Pipeline, clean: Mapping[str, TableState]) -> InputDigests:
        """
        Return the digests that the states of the clean tables record.

        The partition `reference` of a source is ignored: the source was a reference before.
        A reference that is not clean yet has an empty digest, so a result computed without it never counts as computed with it.
        """
        references = {name: clean[name].partitions.get(REFERENCE) for name in pipeline.references}
        return InputDigests(
            {
                name: {
                    date.fromisoformat(day): partition.digest
                    for day, partition in clean[name].partitions.items()
                    if day != REFERENCE
                }
                for name in pipeline.sources
            },
            {name: "" if partition is None else partition.digest for name, partition in references.items()},
            {name: clean[name].columns for name in pipeline.tables},
        )

    def digest(self, first: date, last: date) -> str:
        """Return one digest of everything that is visible from `first` to `last`, including gaps."""
        span = list(days(first, last))
        sources = {name: {day.isoformat(): by_day[day] for day in span if day in by_day} for name, by_day in self.sources.items()}
        return sha256(canonical_json([sources, dict(self.references)]))


class Fingerprints:
    """The fingerprints of one pipeline's lookups, features, labels, analyses and profiles, by day (for lookups: as_of)."""

    def __init__(self, pipeline: Pipeline, seen: InputDigests) -> None:
        self._pipeline = pipeline
        self._lookback = pipeline.training.lookback_days
        self._code = code_digest("analyse")
        self._seen = cache(seen.digest)
        self._columns: Json = {name: list(columns) for name, columns in seen.columns.items()}

    def lookup(self, name: str) -> FingerprintOf:
        """Return the fingerprint of a lookup by as_of: it sees the days before that midnight."""
        configuration: Json = {
            "spec": self._pipeline.inputs.lookups[name].model_dump(mode="json"),
            "sql": self._sql(f"lookups/{name}.sql"),
            **self._pipeline.sql_session,
        }
        return lambda midnight: make_fingerprint(
            "lookup",
            of={"name": name, "as_of": midnight.isoformat()},
            code=self._code,
            data={"seen": self._seen(midnight - DAY * self._lookback, midnight - DAY)},
            configuration=configuration,
            libraries=_LIBRARIES,
        )

    def features(self) -> FingerprintOf:
        """Return the fingerprint of the features by date: it covers their own SQL and that of the lookups they join."""
        pipeline = self._pipeline
        inputs = pipeline.inputs
        configuration: Json = {
            "request": [[name, field.type + "?" * field.nullable] for name, field in inputs.request.items()],
            "lookups": {
                name: [spec.model_dump(mode="json"), self._sql(f"lookups/{name}.sql")] for name, spec in inputs.lookups.items()
            },
            "label": None if pipeline.label.known_after_days else pipeline.label.column,
            "row_key": pipeline.row_key,
            "sql": self._sql("features.sql"),
            **pipeline.sql_session,
        }
        return lambda day: make_fingerprint(
            "features",
            of={"date": day.isoformat()},
            code=self._code,
            data={"seen": self._seen(day - DAY * self._lookback, day)},
            configuration=configuration,
            libraries=_LIBRARIES,
        )

    def labels(self) -> FingerprintOf:
        """Return the fingerprint of the labels by date: they see the days after it, until they are known."""
        label, request = self._pipeline.label, self._pipeline.inputs.request
        configuration: Json = {
            "label": label.column,
            "known_after_days": label.known_after_days,
            "row_key": [[name, request[name].type if name in request else None] for name in self._pipeline.row_key],
            "sql": self._sql(LABELS_FILE),
            **self._pipeline.sql_session,
        }
        later = DAY * label.known_after_days
        return lambda day: make_fingerprint(
            "labels",
            of={"date": day.isoformat()},
            code=self._code,
            data={"seen": self._seen(day - DAY * self._lookback, day + later)},
            configuration=configuration,
            libraries=_LIBRARIES,
        )

    def analysis(self, name: str) -> FingerprintOf:
        """Return the fingerprint of an analysis by date. `SELECT *` returns the columns of a clean table in their order."""
        configuration: Json = {
            "sql": self._sql(f"analysis/{name}.sql"),
            "columns": self._columns,
            **self._pipeline.sql_session,
        }
        return lambda day: make_fingerprint(
            "analysis",
            of={"name": name, "date": day.isoformat()},
            code=self._code,
            data={"seen": self._seen(day - DAY * self._lookback, day)},
            configuration=configuration,
            libraries=_LIBRARIES,
        )

    def profile(self) -> FingerprintOf:
        """Return the fingerprint of the profile by date: it sees only that date, and shows timestamps in local time."""
        code, configuration = code_digest("profile"), self._pipeline.sql_session
        return lambda day: make_fingerprint(
            "profile",
            of={"date": day.isoformat()},
            code=code,
            data={"seen": self._seen(day, day)},
            configuration=configuration,
            libraries=_LIBRARIES,
        )

    def _sql(self, path: str) -> str:
        return sql_digest(self._pipeline.sql(path))
