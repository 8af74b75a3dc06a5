"""The limits of a query, which the caller of a job gives to its Spark session. Imports neither Spark nor settings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

SETTING = "spark.perennial.limits"
"""The setting of a session that holds the limits; the queries of a session without it have none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The limits of each query of a job.

    :param work: the pipeline and the dates of the job, for errors
    :param dates: number of these dates
    :param rows: rows that one step of the query may produce, for each date
    :param gb: gigabytes that the query may pass on between its steps and spill, for each date
    :param disk_gb: gigabytes on the local disk of the job
    """

    work: str
    dates: int
    minutes: float
    rows: int
    gb: float
    disk_gb: float

    @property
    def max_rows(self) -> int:
        """Return the rows that one step may produce for all dates together."""
        return self.rows * self.dates

    @property
    def max_bytes(self) -> float:
        """Return the bytes that a query may pass on and spill for all dates together."""
        return self.gb * 1e9 * self.dates

    def to_conf(self) -> dict[str, str]:
        """Return the settings by which a Spark session holds the limits, and survives a query that exceeds Java's stack."""
        # Otherwise an executor ends itself, and in a local Spark the whole job: no error would name the query.
        return {SETTING: json.dumps(asdict(self)), "spark.executor.killOnFatalError.depth": "0"}

    @classmethod
    def from_setting(cls, text: str) -> Limits:
        """Return the limits that a session holds."""
        return cls(**json.loads(text))
