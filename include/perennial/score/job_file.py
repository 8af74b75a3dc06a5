"""The job file of score: a table's dates, and the release that answers their rows. Imports neither Spark nor the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from perennial.store.json_value import Json, JsonValue


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the release: its address and its digest."""

    uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PinnedRelease:
    """
    A release whose signature the plan has verified.

    :param large_lookups: those of its lookups that are hash tables; `lookups` has those that are JSON
    :param inputs: the inputs of its model, as its manifest stores them
    :param golden: its golden requests, as columns of numbers and texts: a date in days since 1970-01-01, a time in minutes
    :param answers: the answers that it must give them: numbers, or lists of the probabilities of all classes
    :param spread: the standard deviation of the labels of a regression; 1 for a probability
    :param onnxruntime: version of the library that must compute them
    """

    id: str
    graph: StoredFile
    lookups: Mapping[str, StoredFile]
    inputs: Json
    golden: Mapping[str, Sequence[JsonValue]]
    answers: Sequence[float | Sequence[float]]
    spread: float
    onnxruntime: str
    large_lookups: Mapping[str, StoredFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayToScore:
    """
    A date to score.

    :param key: fingerprint of the scores
    :param rows: number of its rows, as their commit records them
    :param held: digest of the scores that exist under this fingerprint; the new digest must be equal
    """

    key: str
    rows: int
    held: str | None


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """
    One job of score.

    :param database: database of the scores
    :param owner: database of the table whose rows are scored
    :param table: the table, at one snapshot
    :param name: its name for a user: `<pipeline>.<table>` if it belongs to another pipeline than the release
    :param row_key: its columns that, with the date, identify a row
    :param scores: table of the scores
    """

    database: str
    owner: str
    table: str
    snapshot_id: int | None
    name: str
    row_key: Sequence[str]
    scores: str
    release: PinnedRelease
    days: Mapping[str, DayToScore]

    def to_json(self) -> Json:
        """Return the stored form."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ScoreJob:
        """Return a stored job."""
        return cls(
            database=stored["database"],
            owner=stored["owner"],
            table=stored["table"],
            snapshot_id=stored["snapshot_id"],
            name=stored["name"],
            row_key=stored["row_key"],
            scores=stored["scores"],
            release=_read_release(**stored["release"]),
            days={day: DayToScore(**item) for day, item in stored["days"].items()},
        )


def _read_release(
    graph: Any, lookups: Mapping[str, Any], large_lookups: Mapping[str, Any] = MappingProxyType({}), **others: Any
) -> PinnedRelease:
    files, large = ({name: StoredFile(**file) for name, file in some.items()} for some in (lookups, large_lookups))
    return PinnedRelease(graph=StoredFile(**graph), lookups=files, large_lookups=large, **others)
