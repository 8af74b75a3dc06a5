"""What analyse's Spark job is told: the queries to run, each with its days. Imports neither Spark nor the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perennial.store.json_value import Json


@dataclass(frozen=True, slots=True)
class CleanTable:
    """A clean table at the snapshot that the fingerprints were taken of; a reference is not dated."""

    table: str
    snapshot_id: int | None
    dated: bool


@dataclass(frozen=True, slots=True)
class TableToMake:
    """
    A table to make.

    :param file: where its rows come from, for errors
    :param days: by day (ISO), the fingerprint of the partition
    :param held: digests that the table holds under these fingerprints: they must come out the same
    """

    table: str
    file: str
    days: Mapping[str, str]
    held: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Query(TableToMake):
    """A table that SQL makes; alone, that of an analysis."""

    sql: str


@dataclass(frozen=True, slots=True)
class LookupColumns:
    """A lookup as features join it."""

    name: str
    table: str
    key: Sequence[str]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class LookupQuery(Query):
    """A lookup; its days are the midnights as of which it is made."""

    name: str
    key: Sequence[str]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class FeaturesQuery(Query):
    """
    The features.

    :param request: the fields of a request with their types
    :param label: the column of the label; None: it is known later, and is `later_label`
    """

    request: Sequence[tuple[str, str]]
    row_key: Sequence[str]
    label: str | None
    later_label: str | None
    lookups: Sequence[LookupColumns]


@dataclass(frozen=True, slots=True)
class LabelsQuery(Query):
    """The labels that are known later than the rows that they belong to."""

    label: str
    known_after_days: int
    row_key: Sequence[str]
    request: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ProfileToMake(TableToMake):
    """The profile of these sources."""

    sources: Sequence[str]


@dataclass(frozen=True, slots=True)
class AnalyseJob:
    """
    One job of analyse; a list is empty when nothing of its kind is stale.

    :param tables: the clean tables by the name that SQL gives them
    :param withdraw: by table, the days to remove from it
    """

    database: str
    lookback_days: int
    tables: Mapping[str, CleanTable]
    lookups: Sequence[LookupQuery]
    features: Sequence[FeaturesQuery]
    labels: Sequence[LabelsQuery]
    analysis: Sequence[Query]
    profile: Sequence[ProfileToMake]
    withdraw: Mapping[str, Sequence[str]]

    def to_json(self) -> Json:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> AnalyseJob:
        """Return a stored job."""
        return cls(
            database=stored["database"],
            lookback_days=stored["lookback_days"],
            tables={name: CleanTable(**table) for name, table in stored["tables"].items()},
            lookups=[LookupQuery(**item) for item in stored["lookups"]],
            features=[_read_features(**item) for item in stored["features"]],
            labels=[_read_labels(**item) for item in stored["labels"]],
            analysis=[Query(**item) for item in stored["analysis"]],
            profile=[ProfileToMake(**item) for item in stored["profile"]],
            withdraw=stored["withdraw"],
        )


def _read_features(request: Sequence[Any], lookups: Sequence[Any], **others: Any) -> FeaturesQuery:
    return FeaturesQuery(
        request=[(name, kind) for name, kind in request], lookups=[LookupColumns(**i) for i in lookups], **others
    )


def _read_labels(request: Sequence[Any], **others: Any) -> LabelsQuery:
    return LabelsQuery(request=[(name, kind) for name, kind in request], **others)
