"""The plan and the result of clean's Spark job for a run of a date D."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from perennial.calendar import DAY
from perennial.clean.job_file import CleanJob, DropToClean, FileToClean, Rules, TableToClean
from perennial.clean.refused import drop_refused
from perennial.clean.verdict import Refusal, read_refusal
from perennial.collect.accept import is_refused
from perennial.collect.drops import landed_drops, pinned_reference
from perennial.collect.lost import count_refused
from perennial.collect.register import Drop
from perennial.errors import PerennialError
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import Fingerprint, make_fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result
from perennial.lake.tables import Partition
from perennial.spark.submit import SPARK_VERSION, SparkPlan, plan_job
from perennial.sql.tokens import sql_digest
from perennial.store.json_value import Json

log = logging.getLogger(__name__)

Days = dict[date | None, Drop | None]
"""
Drops by day (None: a reference). The drop is None if it is refused or the day is a rest date.

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
        again = {day, None} if recompute else set()
        work, withdrawn = _find_work(lake, name, drops, again)
        keys |= {f"clean_{name}": key for key, _ in work.values()}
        pending = {
            day_text(key_day): drop_to_clean(drop, key, lake.layout.refusal(name, key_day, key))
            for key_day, (key, drop) in work.items()
        }
        if pending or withdrawn:
            partitions = lake.tables.state(f"clean_{name}").partitions
            held = [text for text in pending if text in partitions]
            same = {text: partitions[text].digest for text in held if partitions[text].key == pending[text].key}
            tables.append(table_to_clean(lake, name, pending, held=held, same=same, withdraw=list(map(day_text, withdrawn))))
    job = CleanJob(lake.layout.database, tables) if tables else None
    if keys:
        keep_recipes(lake, "clean", keys)
    todo = sum(len(table.days) + len(table.withdraw) for table in tables)
    return plan_job(lake, "clean", job, todo, {text for table in tables for text in table.days} - {day_text(None)})


def drop_to_clean(drop: Drop, key: str, refusal: str) -> DropToClean:
    """Return a drop as a job file has it."""
    files = [FileToClean(file.name, file.uri, file.rows) for file in drop.files]
    return DropToClean(key=key, refusal=refusal, header=drop.columns, files=files)


def table_to_clean(
    lake: Lake,
    name: str,
    days: Mapping[str, DropToClean],
    *,
    held: Sequence[str] = (),
    same: Mapping[str, str] = MappingProxyType({}),
    withdraw: Sequence[str] = (),
) -> TableToClean:
    """Return a table with its contract and its SQL as a job file has it."""
    spec = lake.pipeline.tables[name]
    return TableToClean(
        name=name,
        table=f"clean_{name}",
        columns=[(column, Rules(**contract.rules)) for column, contract in spec.columns.items()],
        key=spec.key,
        max_quarantine_share=spec.max_quarantine_share,
        sql=_sql(lake, name),
        days=days,
        held=held,
        same=dict(same),
        withdraw=withdraw,
    )


def unclean(lake: Lake, name: str, day: date, until: date) -> set[date | None]:
    """
    Return the days of a table (None: the reference) that the runs of `day` up to `until` would clean or withdraw.

    Drops that are not collected yet are not included.
    """
    work, withdrawn = _find_work(lake, name, _read_drops(lake, name, day, until), set())
    return {*work, *withdrawn}


def clean_fingerprints(lake: Lake, name: str, day: date, until: date) -> dict[date | None, Fingerprint]:
    """Return the fingerprints of a table's accepted drops (None: the reference) now, for the runs of `day` up to `until`."""
    make = prepare_fingerprints(lake, name)
    return {d: make(d, drop) for d, drop in _read_drops(lake, name, day, until).items() if drop is not None}


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
    rows: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    digests: dict[str, str] = {}
    gaps: dict[str, str] = {}
    kept: set[str] = set()
    nulls: dict[str, int] = {}
    earlier: dict[str, int] = {}
    warnings: list[str] = []
    needed = {day_text(needed_day) for needed_day in lake.pipeline.calendar.needed_dates(day)}
    for name, drops in _require_collected(lake, day, day).items():
        state = lake.tables.state(f"clean_{name}")
        partitions = state.partitions
        without_drop = (needed & set(partitions)) - {day_text(key_day) for key_day in drops}
        kept |= without_drop
        refused: dict[date, list[str]] = {}
        nulls |= _count_nulls(lake, name, drops)
        earlier |= {name: len(state.reshaped)} if state.reshaped else {}
        warnings += _warn_of_reshaped(name, without_drop & state.reshaped, len(needed))
        make = prepare_fingerprints(lake, name)
        for key_day, drop in drops.items():
            if drop is None:
                continue  # a rest date, or a gap that collect has reported
            key = make(key_day, drop)
            if is_current(partitions, key_day, key):
                if key_day in (day, None):
                    partition = partitions[day_text(key_day)]
                    rows[name], quarantined[name], digests[name] = partition.rows, partition.quarantined, partition.digest
                continue
            refusal = _require_refusal(lake, name, key_day, key)
            if key_day in (day, None):
                raise drop_refused(lake.pipeline, name, day_text(key_day), refusal)
            gaps[day_text(key_day)] = f"{name}: {refusal.cause()}"
            refused[key_day] = refusal.rule_causes()
        warnings += count_refused(name, refused, [d for d in drops if d is not None])
        if name in lake.pipeline.sources:
            landed = {day_text(d) for d in landed_drops(lake, name, lake.pipeline.calendar.needed_dates(day))}
            since = landed - {day_text(key_day) for key_day in drops} - set(partitions)
            gaps |= dict.fromkeys(since, f"{name}: landed since it was collected")
    for text in warnings:
        log.warning("%s", text)
    if nulls:
        log.info(
            "Columns that drops lack, with the number of dates: %s", ", ".join(f"{name} {count}" for name, count in nulls.items())
        )
    return Cleaned(
        Outcome.DONE,
        date=day,
        rows=rows,
        quarantined=quarantined,
        digests=digests,
        gaps=gaps,
        kept=sorted(kept),
        nulls=nulls,
        earlier_columns=earlier,
        warnings=warnings,
    )


def _count_nulls(lake: Lake, name: str, drops: Days) -> dict[str, int]:
    """Return the columns that some drops lack, each with the number of these drops."""
    headers = [drop.columns for drop in drops.values() if drop is not None]
    counts = {
        f"{name}.{column}": sum(column not in header for header in headers) for column in lake.pipeline.tables[name].columns
    }
    return {column: count for column, count in counts.items() if count}


def _warn_of_reshaped(name: str, kept: Collection[str], needed: int) -> list[str]:
    """Return a warning of dates that the present contract cannot clean, because their drops no longer exist."""
    if not kept:
        return []
    return [
        f"{name}: the drops of {len(kept)} of {needed} dates have left the landing zone, so their rows keep the columns of an "
        "earlier contract: null where a column is new or has another type. Land them again for its values."
    ]


def row_refusals(lake: Lake, source: str, day: date) -> dict[date, Refusal]:
    """
    Return the refusals of dates that `day` needs: collect accepts their drops, and clean has refused their rows.

    No table is read.
    """
    refused = {item.uri for item in lake.objects.listing(lake.layout.refusals(source))}
    landed = landed_drops(lake, source, lake.pipeline.calendar.needed_dates(day)) if refused else {}
    refusals, make = {}, prepare_fingerprints(lake, source)
    for d, item in landed.items():
        uri = lake.layout.refusal(source, d, make(d, item.drop)) if item.drop is not None else ""
        if uri in refused:
            refusals[d] = read_refusal(lake.objects.read_existing(uri).json())
    return refusals


def _require_collected(lake: Lake, day: date, until: date) -> dict[str, Days]:
    """Return the drops of each table up to `until`; raise if the drop of `day` or a reference is not accepted."""
    tables = {name: _read_drops(lake, name, day, until) for name in lake.pipeline.tables}
    for name, drops in tables.items():
        required = day if name in lake.pipeline.sources else None
        if drops.get(required) is None:
            what = f"drop {name} {day}" if required else f"reference {name}"
            raise PerennialError(f"Pipeline {lake.pipeline.name!r}, {what}: not collected. Run collect for {day} first.")
    return tables


def _read_drops(lake: Lake, name: str, day: date, until: date) -> Days:
    if name in lake.pipeline.references:
        return {None: pinned_reference(lake, name)}
    calendar = lake.pipeline.calendar
    landed = landed_drops(lake, name, [*calendar.needed_dates(day), *calendar.dates(day + DAY, until)])
    known: Days = {d: item.drop for d, item in landed.items() if item.drop is not None or is_refused(lake, name, d, item.found)}
    # If a calendar change turns a date into a rest date, its rows are withdrawn like those of a refused drop.
    return {**known, **dict.fromkeys(calendar.data_days.rest_dates(calendar.needed_from(day), until), None)}


def _find_work(
    lake: Lake, name: str, drops: Days, again: set[date | None]
) -> tuple[dict[date | None, tuple[Fingerprint, Drop]], list[date]]:
    """
    Return the partitions of a table to compute, with fingerprints, and the days to withdraw.

    A reference has no days, so if the present version is refused, the rows of the earlier one stay:
    no run goes past that refusal.

    :param again: days to compute even if they are current
    """
    work: dict[date | None, tuple[Fingerprint, Drop]] = {}
    refused: list[date | None] = []
    partitions = lake.tables.state(f"clean_{name}").partitions
    make = prepare_fingerprints(lake, name)
    for day, drop in drops.items():
        if drop is None:
            refused.append(day)
            continue
        key = make(day, drop)
        if was_refused := _is_refused(lake, name, partitions, day, key):
            refused.append(day)
        if not (was_refused or is_current(partitions, day, key)) or day in again:
            work[day] = key, drop
    return work, [day for day in refused if day is not None and day_text(day) in partitions and day not in work]


def _sql(lake: Lake, name: str) -> str | None:
    return lake.pipeline.sql_files("sources").get(name)


def prepare_fingerprints(lake: Lake, name: str) -> Callable[[date | None, Drop], Fingerprint]:
    """Return a function that computes the fingerprint of a table's partition from exactly the inputs that decide its rows."""
    spec, sql = lake.pipeline.tables[name], _sql(lake, name)
    configuration: Json = {
        "columns": [[column, contract.rules] for column, contract in spec.columns.items()],
        "unique": spec.key,
        "max_quarantine_share": spec.max_quarantine_share,
        "sql": None if sql is None else sql_digest(sql),
    }

    def make(day: date | None, drop: Drop) -> Fingerprint:
        return make_fingerprint(
            "clean",
            of={"day": day_text(day)},
            code=code_digest("clean"),
            data={"files": [[file.name, file.sha256] for file in drop.files]},
            configuration=configuration,
            libraries={"spark": SPARK_VERSION},
        )

    return make


def is_current(partitions: Mapping[str, Partition], day: date | None, key: str) -> bool:
    """Return whether a table holds a day (None: the reference) under this fingerprint."""
    partition = partitions.get(day_text(day))
    return partition is not None and partition.key == key


def _is_refused(lake: Lake, name: str, partitions: dict[str, Partition], day: date | None, key: str) -> bool:
    return not is_current(partitions, day, key) and lake.objects.exists(lake.layout.refusal(name, day, key))


def day_text(day: date | None) -> str:
    """Return the name of a partition: an ISO date, or `reference`."""
    return day.isoformat() if day else "reference"


def _require_refusal(lake: Lake, name: str, day: date | None, key: str) -> Refusal:
    stored = lake.objects.read(lake.layout.refusal(name, day, key))
    if stored is None:
        raise PerennialError(
            f"Pipeline {lake.pipeline.name!r}: clean_{name} has no partition {day_text(day)}, and no refusal is recorded. "
            "The job did not finish, or another run replaced its drop meanwhile: run the stage again."
        )
    return read_refusal(stored.json())
