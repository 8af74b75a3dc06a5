"""The plan and the result of clean's Spark job for a run of a date D."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

from perennial.clean.job_file import CleanJob, Dialect, DropToClean, FileToClean, PandasStep, Rules, TableToClean
from perennial.clean.refused import drop_refused
from perennial.clean.verdict import Refusal, read_refusal
from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops, pinned_reference
from perennial.collect.lost import count_refused
from perennial.collect.register import Drop
from perennial.config.clean_step import LIBRARIES
from perennial.config.pipeline import Pipeline
from perennial.errors import PerennialError
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import Fingerprint, library_versions, make_fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.fingerprints.source import read_source
from perennial.lake.days import day_text
from perennial.lake.lake import Lake
from perennial.lake.result import OF_RESULT, Outcome, Result
from perennial.lake.tables import Partition
from perennial.settings import get_settings
from perennial.spark.submit import SPARK_VERSION, SparkPlan, plan_job
from perennial.sql.tokens import sql_digest
from perennial.store.json_value import JsonValue

log = logging.getLogger(__name__)

Work = dict[date | None, tuple[Fingerprint, Drop]]
"""The drops to clean by day (None: a reference), each with the fingerprint of the partition that it becomes."""

DropsByDay = dict[date | None, Drop | None]
"""
The drops that collect has checked, by day (None: a reference). The drop is None if it is refused or the day is a rest date.

Drops that landed after collect ran are not included: a later run finds them.
"""


@dataclass(frozen=True, slots=True)
class Cleaned(Result):
    """
    The clean tables of a date. Rows, quarantined rows and digests are those of the date's own partitions, by table.

    :param gaps: by earlier date (ISO), why it has no clean rows
    :param kept: dates (ISO) whose drop has left the landing zone; their existing rows are used
    :param nulls: by column, the number of dates on which the whole column is null
    :param earlier_columns: by table, the number of other dates that have the columns of an earlier contract
    :param warnings: history that the present contract refuses
    """

    SHOWN: ClassVar[frozenset[str]] = frozenset({"rows", "quarantined", "gaps", "nulls", "earlier_columns"})

    date: date
    rows: dict[str, int]
    quarantined: dict[str, int]
    digests: dict[str, str]
    gaps: dict[str, str]
    kept: list[str]
    nulls: dict[str, int]
    earlier_columns: dict[str, int]
    warnings: list[str]


def plan_clean(lake: Lake, day: date, *, until: date | None = None, recompute: bool = False) -> SparkPlan:
    """
    Plan one job for everything that a run of `day` needs and that is not clean yet: `day`, earlier dates, references.

    With `until`, the dates up to that one are planned too.
    A date whose drop was refused for its rows stays refused until its bytes, its contract or the code change.
    The rows of an accepted drop are withdrawn once a refused drop replaces it, or once its date becomes a rest date.
    A drop that no longer exists in the landing zone keeps its rows.
    With `recompute`, `day` and the references are planned even if they are clean: the result must be the same.
    """
    tables = []
    keys: dict[str, Fingerprint] = {}
    for name, drops in _require_collected(lake, day, until or day).items():
        work, withdrawn = _find_work(lake, name, drops, {day, None} if recompute else set())
        keys |= {f"clean_{name}": key for key, _ in work.values()}
        if work or withdrawn:
            tables.append(_plan_table(lake, name, work, withdrawn))
    job = CleanJob(lake.layout.database, lake.pipeline.time_zone, tables) if tables else None
    if keys:
        keep_recipes(lake, "clean", keys)
    todo = sum(len(table.days) + len(table.withdraw) for table in tables)
    dates = {text for table in tables for text in table.days} - {day_text(None)}
    rows = sum(file.rows for table in tables for drop in table.days.values() for file in drop.files)
    return plan_job(lake, "clean", job, todo, dates, rows=rows)


def _plan_table(lake: Lake, name: str, work: Work, withdrawn: list[date]) -> TableToClean:
    partitions = lake.tables.state(f"clean_{name}").partitions
    pending = {day_text(day): drop_to_clean(drop, key, lake.layout.refusal(name, day, key)) for day, (key, drop) in work.items()}
    held = [text for text in pending if text in partitions]
    return replace(
        table_to_clean(lake.pipeline, name, pending),
        held=held,
        same={text: partitions[text].digest for text in held if partitions[text].key == pending[text].key},
        withdraw=[day_text(day) for day in withdrawn],
        big=_find_big(lake, name, pending),
    )


def _find_big(lake: Lake, name: str, days: Mapping[str, DropToClean]) -> list[str]:
    """Return the days with too many rows for one task. A step in Python sees a whole date, so it has none."""
    if name in lake.pipeline.clean_steps():
        return []
    max_rows = get_settings().big_date_rows
    return [day for day, drop in days.items() if sum(file.rows for file in drop.files) > max_rows]


def drop_to_clean(drop: Drop, key: str, refusal: str) -> DropToClean:
    """Return a drop as a job file has it."""
    files = [FileToClean(file.name, file.uri, file.rows, file.line_end, file.unclear, file.by_lines) for file in drop.files]
    return DropToClean(key=key, refusal=refusal, header=drop.columns, files=files)


def table_to_clean(pipeline: Pipeline, name: str, days: Mapping[str, DropToClean]) -> TableToClean:
    """Return a table with its contract and its cleaning step as a job file has it."""
    spec = pipeline.tables[name]
    return TableToClean(
        name=name,
        table=f"clean_{name}",
        columns=[(column, Rules(**contract.rules)) for column, contract in spec.columns.items()],
        header={column: name for name, column in spec.header.items()},
        dialect=Dialect(**spec.csv.model_dump(mode="json")),
        key=spec.key,
        max_quarantine_share=spec.max_quarantine_share,
        sql=_sql(pipeline, name),
        days=days,
        held=[],
        same={},
        withdraw=[],
        step=_step(pipeline, name),
    )


def pending_work(lake: Lake, name: str, day: date, until: date) -> tuple[dict[date | None, Fingerprint], list[date]]:
    """
    Return the work on a table for the runs of `day` up to `until`: the fingerprints of the days to clean, the days to withdraw.

    Drops that are not collected yet are not included.
    """
    work, withdrawn = _find_work(lake, name, _read_drops(lake, name, day, until), set())
    return {d: key for d, (key, _) in work.items()}, withdrawn


def uncleaned_days(lake: Lake, name: str, day: date, until: date) -> set[date | None]:
    """Return the days of a table (None: a reference) that the runs of `day` up to `until` would clean or withdraw."""
    keys, withdrawn = pending_work(lake, name, day, until)
    return {*keys, *withdrawn}


def clean_refusals(lake: Lake, name: str, drops: Mapping[date, Drop]) -> set[date]:
    """Return the dates whose accepted drop clean has refused for its rows. The table is read only if there is a refusal."""
    recorded = {item.uri for item in lake.objects.listing(lake.layout.refusals(name))} if drops else set()
    if not recorded:
        return set()
    make = prepare_fingerprints(lake, name)
    keys = {day: make(day, drop) for day, drop in drops.items()}
    refused = {day: key for day, key in keys.items() if lake.layout.refusal(name, day, key) in recorded}
    partitions = lake.tables.state(f"clean_{name}").partitions if refused else {}
    return {day for day, key in refused.items() if not is_current(partitions, day, key)}


def finish_clean(lake: Lake, day: date) -> Cleaned:
    """
    Return the clean tables for a run of `day`.

    :raises DropRefusedError: with the recorded cause, when `day` itself or a reference was refused
    """
    own: dict[str, Partition] = {}
    gaps: dict[str, str] = {}
    kept: set[str] = set()
    nulls: dict[str, int] = {}
    earlier_columns: dict[str, int] = {}
    warnings: list[str] = []
    needed = {day_text(needed_day) for needed_day in lake.pipeline.calendar.needed_dates(day)}
    for name, drops in _require_collected(lake, day, day).items():
        state = lake.tables.state(f"clean_{name}")
        partitions = state.partitions
        refusals = _find_refusals(lake, name, drops, partitions)
        own_day = day if name in lake.pipeline.sources else None
        if own_day in refusals:
            raise drop_refused(lake.pipeline, name, day_text(own_day), refusals[own_day])
        own[name] = partitions[day_text(own_day)]
        gaps |= {day_text(d): f"{name}: {refusal.cause()}" for d, refusal in refusals.items()}
        gaps |= _find_landed_since(lake, name, day, drops, partitions)
        without_drop = (needed & set(partitions)) - {day_text(d) for d in drops}
        kept |= without_drop
        nulls |= _count_nulls(lake, name, drops)
        if state.reshaped:
            earlier_columns[name] = len(state.reshaped)
        warnings += _warn_of_reshaped(name, without_drop & state.reshaped, len(needed))
        causes = {d: refusal.rule_causes() for d, refusal in refusals.items() if d is not None}
        headers = {d: None if drop is None else drop.columns for d, drop in drops.items() if d is not None}
        warnings += count_refused(name, lake.pipeline.tables[name], causes, headers)
    for text in warnings:
        log.warning("%s", text, extra=OF_RESULT)
    if nulls:
        counts = ", ".join(f"{column} {count}" for column, count in nulls.items())
        log.info("Columns that drops lack, with the number of dates: %s", counts)
    return Cleaned(
        Outcome.DONE,
        date=day,
        rows={name: partition.rows for name, partition in own.items()},
        quarantined={name: partition.quarantined for name, partition in own.items()},
        digests={name: partition.digest for name, partition in own.items()},
        gaps=gaps,
        kept=sorted(kept),
        nulls=nulls,
        earlier_columns=earlier_columns,
        warnings=warnings,
    )


def _find_refusals(lake: Lake, name: str, drops: DropsByDay, partitions: Mapping[str, Partition]) -> dict[date | None, Refusal]:
    """Return the refusals of accepted drops that are not clean; raise if one is neither clean nor refused."""
    make = prepare_fingerprints(lake, name)
    keys = {day: make(day, drop) for day, drop in drops.items() if drop is not None}
    return {day: _require_refusal(lake, name, day, key) for day, key in keys.items() if not is_current(partitions, day, key)}


def _find_landed_since(
    lake: Lake, name: str, day: date, drops: DropsByDay, partitions: Mapping[str, Partition]
) -> dict[str, str]:
    """Return the needed dates of a source that have landed since collect ran, as gaps."""
    if name not in lake.pipeline.sources:
        return {}
    landed = {day_text(d) for d in landed_drops(lake, name, lake.pipeline.calendar.needed_dates(day))}
    since = landed - {day_text(d) for d in drops} - set(partitions)
    return dict.fromkeys(since, f"{name}: landed since it was collected")


def _count_nulls(lake: Lake, name: str, drops: DropsByDay) -> dict[str, int]:
    """Return the columns that some drops lack, each with the number of these drops."""
    headers = [drop.columns for drop in drops.values() if drop is not None]
    names = lake.pipeline.tables[name].header
    counts = {f"{name}.{column}": sum(place not in header for header in headers) for place, column in names.items()}
    return {column: count for column, count in counts.items() if count}


def _warn_of_reshaped(name: str, kept: Collection[str], needed: int) -> list[str]:
    """Return a warning of dates that the present contract cannot clean, because their drops no longer exist."""
    if not kept:
        return []
    return [
        f"{name}: the drops of {len(kept)} of {needed} dates have been deleted from the landing zone, so their rows keep the "
        "columns of an earlier contract. A column that is new or has another type is null there. Land them again to fill it."
    ]


def row_refusals(lake: Lake, source: str, wanted: Iterable[date]) -> dict[date, Refusal]:
    """
    Return the refusals of dates whose drops collect accepts, and whose rows clean has refused.

    No table is read.
    """
    refused = {item.uri for item in lake.objects.listing(lake.layout.refusals(source))}
    landed = landed_drops(lake, source, wanted) if refused else {}
    refusals, make = {}, prepare_fingerprints(lake, source)
    for d, item in landed.items():
        uri = lake.layout.refusal(source, d, make(d, item.drop)) if item.drop is not None else ""
        if uri in refused:
            refusals[d] = read_refusal(lake.objects.read_existing(uri).json())
    return refusals


def _require_collected(lake: Lake, day: date, until: date) -> dict[str, DropsByDay]:
    """Return the drops of each table up to `until`; raise if the drop of `day` or a reference is not accepted."""
    tables = {name: _read_drops(lake, name, day, until) for name in lake.pipeline.tables}
    for name, drops in tables.items():
        required = day if name in lake.pipeline.sources else None
        if drops.get(required) is None:
            what = f"drop {name} {day}" if required else f"reference {name}"
            raise PerennialError(f"Pipeline {lake.pipeline.name!r}, {what}: not collected. Run collect for {day} first.")
    return tables


def _read_drops(lake: Lake, name: str, day: date, until: date) -> DropsByDay:
    """Return the drops of a table that the runs of `day` up to `until` need and that collect has checked, and the rest dates."""
    if name in lake.pipeline.references:
        return {None: pinned_reference(lake, name)}
    calendar = lake.pipeline.calendar
    landed = landed_drops(lake, name, calendar.needed_dates(day, until))
    known: DropsByDay = {
        d: item.drop for d, item in landed.items() if item.drop is not None or is_refused(lake, name, d, item.found)
    }
    # If a calendar change turns a date into a rest date, its rows are withdrawn like those of a refused drop.
    return {**known, **dict.fromkeys(calendar.data_days.rest_dates(calendar.needed_from(day), until), None)}


def _find_work(lake: Lake, name: str, drops: DropsByDay, again: set[date | None]) -> tuple[Work, list[date]]:
    """
    Return the drops of a table to clean, and the days to withdraw.

    A reference has no days, so if the present version is refused, the rows of the earlier one stay:
    no run goes past that refusal.

    :param again: days to compute even if they are current
    """
    work: Work = {}
    unusable: list[date | None] = []
    partitions = lake.tables.state(f"clean_{name}").partitions
    make = prepare_fingerprints(lake, name)
    for day, drop in drops.items():
        if drop is None:
            unusable.append(day)
            continue
        key = make(day, drop)
        if refused := _is_refused(lake, name, partitions, day, key):
            unusable.append(day)
        if not (refused or is_current(partitions, day, key)) or day in again:
            work[day] = key, drop
    return work, [day for day in unusable if day is not None and day_text(day) in partitions and day not in work]


def _sql(pipeline: Pipeline, name: str) -> str | None:
    return pipeline.sql_files("sources").get(name)


def _step(pipeline: Pipeline, name: str) -> PandasStep | None:
    source = pipeline.clean_steps().get(name)
    return None if source is None else PandasStep(source, library_versions(*LIBRARIES))


def prepare_fingerprints(lake: Lake, name: str) -> Callable[[date | None, Drop], Fingerprint]:
    """Return a function that computes the fingerprint of a table's partition from exactly the inputs that decide its rows."""
    spec, sql, step = lake.pipeline.tables[name], _sql(lake.pipeline, name), _step(lake.pipeline, name)
    has_moments = any(contract.type == "timestamp" for contract in spec.columns.values())
    configuration: dict[str, JsonValue] = {
        "columns": [
            [column, contract.rules | ({"from": contract.header} if contract.header else {})]
            for column, contract in spec.columns.items()
        ],
        "unique": spec.key,
        "max_quarantine_share": spec.max_quarantine_share,
        "sql": None if sql is None else sql_digest(sql),
        **({"csv": spec.csv.settings} if spec.csv.settings else {}),
        **(lake.pipeline.sql_session if sql or step or has_moments else {}),
    }
    libraries = {"spark": SPARK_VERSION}
    if step is not None:
        # As for Perennial's own code, comments and layout do not count.
        configuration[f"sources/{name}.py"] = read_source(step.source.encode()).digest
        libraries |= step.libraries

    def make(day: date | None, drop: Drop) -> Fingerprint:
        return make_fingerprint(
            "clean",
            of={"day": day_text(day)},
            code=code_digest("clean"),
            data={"files": [[file.name, file.sha256] for file in drop.files]},
            configuration=configuration,
            libraries=libraries,
        )

    return make


def is_current(partitions: Mapping[str, Partition], day: date | None, key: str) -> bool:
    """Return whether a table holds a day (None: the reference) under this fingerprint."""
    partition = partitions.get(day_text(day))
    return partition is not None and partition.key == key


def _is_refused(lake: Lake, name: str, partitions: Mapping[str, Partition], day: date | None, key: str) -> bool:
    return not is_current(partitions, day, key) and lake.objects.exists(lake.layout.refusal(name, day, key))


def _require_refusal(lake: Lake, name: str, day: date | None, key: str) -> Refusal:
    stored = lake.objects.read(lake.layout.refusal(name, day, key))
    if stored is None:
        raise PerennialError(
            f"Pipeline {lake.pipeline.name!r}: clean_{name} has no partition {day_text(day)}, and no refusal is recorded. "
            "The job did not finish, or another run replaced the drop meanwhile. Run clean again."
        )
    return read_refusal(stored.json())
