"""The job file of a Spark stage: everything that the job needs to know. Imports neither Spark nor the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from perennial.store.json_value import Json

FORMAT = 1


class SparkJob(Protocol):
    """The part of a job file that belongs to its stage."""

    def to_json(self) -> Json:
        """Return the stored form."""


@dataclass(frozen=True, slots=True)
class CostRecord:
    """The address at which a job records its cost, and the dates (ISO) that share the cost."""

    uri: str
    dates: Sequence[str]
