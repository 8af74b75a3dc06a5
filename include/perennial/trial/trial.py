"""A trial from plan to findings: one Spark job that commits nothing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from perennial.clean.refused import drop_refused
from perennial.clean.verdict import Example, read_refusal
from perennial.lake.days import REFERENCE
from perennial.lake.lake import Lake
from perennial.spark.submit import submit
from perennial.store.json_value import Json
from perennial.trial.plan import RESULT, Seen, plan_trial
from perennial.trial.target import Target


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, the type that Spark finds, and the type in which the stage stores it (None: it would be refused)."""

    name: str
    type: str
    stored: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """
    The findings of a trial.

    :param day: the day whose rows are shown: a date, a midnight (for a lookup), or `reference`
    :param count: number of its rows
    :param rows: the first of them
    :param seen: by table, the dates that were read and the gaps among them
    :param saw: by table, the rows, and for a source the number of dates with rows, and the first and last of them
    :param alone: by day, how its rows among other days differ from those of the day alone; None: they are equal
    :param quarantined: by table and day that the shown day sees, the number of rows that break the contract, of the drops that
        the trial cleaned
    :param examples: some of these rows, of a source that is shown
    :param warnings: what makes the query slow
    :param problems: everything that the stage would refuse
    """

    day: str
    count: int
    rows: list[Json]
    columns: list[Column]
    seen: Mapping[str, Seen]
    saw: Mapping[str, Mapping[str, Any]]
    alone: Mapping[str, str | None]
    quarantined: Mapping[str, Mapping[str, int]]
    examples: list[Example]
    warnings: list[str]
    problems: list[str]


def try_target(lake: Lake, target: Target, day: date, max_rows: int) -> Findings:
    """
    Run a part of a pipeline on the landed data of a date. Nothing is written to the lake or its tables.

    :raises RefusedError: when the query cannot run, or the drop of the date is refused
    """
    with tempfile.TemporaryDirectory(prefix="perennial-try-") as name:
        folder = Path(name)
        trial = plan_trial(lake, target, day, max_rows, folder)
        submit(trial.plan)
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    refused, quarantined = (_keep(found[kind], trial.partitions) for kind in ("refused", "quarantined"))
    for table, days in refused.items():
        own = REFERENCE if table in lake.pipeline.references else day.isoformat()
        if own in days:
            raise drop_refused(lake.pipeline, table, own, read_refusal(days[own]))
    seen = {
        table: Seen(item.wanted, item.read, item.gaps | {d: read_refusal(r).cause() for d, r in refused.get(table, {}).items()})
        for table, item in trial.seen.items()
    }
    return Findings(
        day=trial.day,
        count=found["count"],
        rows=found["rows"],
        columns=[Column(**column) for column in found["columns"]],
        seen=seen,
        saw=found["saw"],
        alone=found["alone"],
        quarantined=quarantined,
        examples=[Example(**example) for example in found["examples"]],
        warnings=found["warnings"],
        problems=[*found["problems"], *_describe_differences(found["alone"])],
    )


def _keep(found: Mapping[str, Mapping[str, Any]], partitions: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return, by table, what was found in these partitions. Others are there only for the comparison with the date before."""
    kept = {table: {day: value for day, value in days.items() if day in partitions} for table, days in found.items()}
    return {table: days for table, days in kept.items() if days}


def _describe_differences(alone: Mapping[str, str | None]) -> list[str]:
    return [
        f"the result for {day} depends on the other dates in its batch: {difference}. Bound its reads for each date"
        for day, difference in alone.items()
        if difference is not None
    ]
