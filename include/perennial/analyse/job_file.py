"""The job file of analyse: the queries to run, each with its days. Imports neither Spark nor the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from perennial.store.json_value import Json


@dataclass(frozen=True, slots=True)
class CleanTable:
    """A clean table at the snapshot whose digests are in the fingerprints; a reference is not dated."""

    table: str
    snapshot_id: int | None
    dated: bool


@dataclass(frozen=True, slots=True)
class TableToMake:
    """
    A table to compute.

    :param file: source of its rows, for errors
    :param days: by day (ISO), the fingerprint of the partition
    :param held: by day, the digest that the table holds under this fingerprint: the new digest must be equal
    """

    table: str
    file: str
    days: Mapping[str, str]
    held: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Query(TableToMake):
    """A table that a SQL query computes. This class itself is used for analyses."""

    sql: str


@dataclass(frozen=True, slots=True)
class Field:
    """A request field: its name, its type, and whether a caller may send null."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class LookupColumns:
    """
    The columns of a lookup that features join.

    :param days: by as_of (ISO), the fingerprint that the lookup's partition must have
    """

    name: str
    table: str
    key: Sequence[str]
    values: Sequence[str]
    days: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LookupQuery(Query):
    """A lookup; its days are the midnights as of which it is computed."""

    name: str
    key: Sequence[str]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class FeaturesQuery(Query):
    """
    The features.

    :param label: column of the label; None if the label is known later, in `later_label`
    :param has_stored_labels: whether the table of labels holds what the present labels.sql yields, and the job computes none
    """

    request: Sequence[Field]
    row_key: Sequence[str]
    label: str | None
    later_label: str | None
    has_stored_labels: bool
    lookups: Sequence[LookupColumns]

    @property
    def numbers(self) -> list[str]:
        """Return the request fields of type number."""
        return [field.name for field in self.request if field.type == "number"]


@dataclass(frozen=True, slots=True)
class LabelsQuery(Query):
    """Labels that are known later than their rows."""

    label: str
    known_after_days: int
    row_key: Sequence[str]
    request: Sequence[Field]


@dataclass(frozen=True, slots=True)
class ProfileToMake(TableToMake):
    """The profile of some sources."""

    sources: Sequence[str]


@dataclass(frozen=True, slots=True)
class AnalyseJob:
    """
    One job of analyse; a list is empty if nothing of its kind is stale.

    :param time_zone: time zone of the SQL
    :param tables: clean tables by their names in SQL
    :param withdraw: by table, the days to remove from it
    :param is_big: whether a date has too many rows for one task
    """

    database: str
    time_zone: str
    lookback_days: int
    tables: Mapping[str, CleanTable]
    lookups: Sequence[LookupQuery]
    features: Sequence[FeaturesQuery]
    labels: Sequence[LabelsQuery]
    analysis: Sequence[Query]
    profile: Sequence[ProfileToMake]
    withdraw: Mapping[str, Sequence[str]]
    is_big: bool = False

    def to_json(self) -> Json:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> AnalyseJob:
        """Return a stored job."""
        return cls(
            database=stored["database"],
            time_zone=stored["time_zone"],
            lookback_days=stored["lookback_days"],
            tables={name: CleanTable(**table) for name, table in stored["tables"].items()},
            lookups=[LookupQuery(**item) for item in stored["lookups"]],
            features=[_read_features(**item) for item in stored["features"]],
            labels=[_read_labels(**item) for item in stored["labels"]],
            analysis=[Query(**item) for item in stored["analysis"]],
            profile=[ProfileToMake(**item) for item in stored["profile"]],
            withdraw=stored["withdraw"],
            is_big=stored.get("is_big", False),
        )


def _read_features(request: Sequence[Any], lookups: Sequence[Any], **others: Any) -> FeaturesQuery:
    return FeaturesQuery(request=[Field(**i) for i in request], lookups=[LookupColumns(**i) for i in lookups], **others)


def _read_labels(request: Sequence[Any], **others: Any) -> LabelsQuery:
    return LabelsQuery(request=[Field(**i) for i in request], **others)
