"""The plan and the result of analyse's Spark job for a run of a date D."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

from perennial.analyse.fingerprints import FingerprintOf, Fingerprints, InputDigests
from perennial.analyse.job_file import AnalyseJob, CleanTable, ProfileToMake
from perennial.analyse.query_items import Days, analysis_query, features_query, labels_query, lookup_query
from perennial.calendar import DAY, days
from perennial.errors import PerennialError
from perennial.fingerprints.fingerprint import Fingerprint
from perennial.fingerprints.recipes import keep_recipes
from perennial.lake.days import REFERENCE
from perennial.lake.lake import Lake
from perennial.lake.result import Outcome, Result
from perennial.lake.tables import TableState
from perennial.settings import get_settings
from perennial.spark.submit import SparkPlan, plan_job

log = logging.getLogger(__name__)

MAX_INTERPRETED_ROWS = 100_000
"""
The maximum of visible rows times dates to compute for which Spark interprets the queries and does not compile them.

Measured: compiling takes a fifth of the time of a job of one date and 30,000 rows, but halves the time of sixty dates.
The results have the same bits.
"""

LABELS = "labels"
"""The table of labels that are known later than their rows."""

Wanted = dict[str, dict[str, Fingerprint]]
"""The fingerprint that each partition should have, by table and day (ISO; for lookups: as_of)."""


@dataclass(frozen=True, slots=True)
class Analysed(Result):
    """
    The tables that SQL computes for a date. Rows and digests are those of the date's own partitions, by table.

    :param feature_dates: number of dates that have features for it
    :param labelled_dates: number of these dates that have labels, if labels have a table of their own
    :param earlier_columns: by table, number of other dates whose rows have earlier columns; they are null in new columns
    :param warnings: number fields of which the model cannot tell all values apart
    """

    WHERE_KNOWN: ClassVar[frozenset[str]] = frozenset({"labelled_dates"})
    SHOWN: ClassVar[frozenset[str]] = frozenset({"rows", "earlier_columns"})

    date: date
    feature_dates: int
    labelled_dates: int | None
    rows: dict[str, int]
    digests: dict[str, str]
    earlier_columns: dict[str, int]
    warnings: list[str]


def plan_analyse(lake: Lake, day: date, *, until: date | None = None, recompute: bool = False) -> SparkPlan:
    """
    Plan one job for everything that a run of `day` needs and whose inputs changed.

    The job computes:
    - features, analyses and profiles of every clean date that `day` may train or judge on;
    - lookups as of the midnights that begin these dates and the next date with data;
    - if labels come later than their rows, the labels of the dates whose labels `day` knows.

    With `until`, the dates up to that one are planned too.
    With `recompute`, everything is planned even if it exists: the result must be the same.
    """
    clean = _require_clean_states(lake, day)
    wanted = _wanted(lake, day, until or day, clean)
    states = {table: lake.tables.state(table) for table in wanted}
    pending = wanted if recompute else {table: _stale(states[table], keys) for table, keys in wanted.items()}
    obsolete = {table: texts for table, keys in wanted.items() if (texts := _obsolete_days(lake, day, states[table], keys))}
    todo = sum(len(keys) for keys in (*pending.values(), *obsolete.values()))
    held = {table: _held_digests(states[table], keys) for table, keys in pending.items()}
    visible = _visible_rows(lake, clean, pending)
    is_big = any(rows > get_settings().big_date_rows for text, rows in visible if text != REFERENCE)
    job = replace(_make_job(lake, clean, wanted, pending, held, obsolete), is_big=is_big) if todo else None
    if any(pending.values()):
        keep_recipes(lake, "analyse", {table: next(iter(keys.values())) for table, keys in pending.items() if keys})
    dates = {text for table, keys in pending.items() if not _is_lookup(table) for text in keys}
    rows = sum(rows for _, rows in visible)
    return plan_job(lake, "analyse", job, todo, dates, rows=rows, interpreted=rows * len(dates) <= MAX_INTERPRETED_ROWS)


def finish_analyse(lake: Lake, day: date) -> Analysed:
    """Return what analyse computed for `day`; raise if one of its partitions is missing."""
    wanted = _wanted(lake, day, day, _require_clean_states(lake, day))
    rows, digests, earlier_columns, warnings = {}, {}, {}, []
    missing: list[str] = []
    obsolete: list[str] = []
    for table, keys in wanted.items():
        state = lake.tables.state(table)
        if state.reshaped:
            earlier_columns[table] = len(state.reshaped)
        missing += [f"{table} of {text} is missing or stale" for text in _stale(state, keys)]
        obsolete += [
            f"{table} of {text} depends on a drop that was replaced or is no longer used"
            for text in _obsolete_days(lake, day, state, keys)
        ]
        partition = state.get(_own_partition(lake, table, day))
        if partition is not None:
            rows[table], digests[table] = partition.rows, partition.digest
            warnings += [_warn_of_merged(name, *pair) for name, pair in partition.merged.items()]
    for text in warnings:
        log.warning("%s", text)
    if earlier_columns:
        log.info("%s", _describe_earlier_columns(earlier_columns))
    if problems := [*missing, *obsolete]:
        remedy = "The job did not finish, or another run changed its inputs meanwhile. Run analyse again."
        raise PerennialError(f"Pipeline {lake.pipeline.name!r}, {day}, analyse", problems, remedy)
    return Analysed(
        Outcome.DONE,
        date=day,
        feature_dates=len(wanted["features"]),
        labelled_dates=len(wanted[LABELS]) if LABELS in wanted else None,
        rows=rows,
        digests=digests,
        earlier_columns=earlier_columns,
        warnings=warnings,
    )


def _describe_earlier_columns(earlier_columns: Mapping[str, int]) -> str:
    counts = ", ".join(f"{count} of {table}" for table, count in earlier_columns.items())
    return (
        f"Dates that keep their earlier columns: {counts}. No action is needed: "
        "new columns are null there until a run needs these dates and computes them again"
    )


def _warn_of_merged(name: str, low: float, high: float) -> str:
    return (
        f"{name}: {low:.15g} and {high:.15g} are one value to the model, which computes with 32-bit floats (7 digits). "
        "Take a difference in features.sql, such as seconds since another event, or a `time` and a `date` field; "
        "if it is an identifier, make it a category"
    )


def unanalysed_days(lake: Lake, day: date, until: date) -> dict[str, set[date]]:
    """
    Return, by table, the days (for lookups: as_of) that the runs of `day` up to `until` would compute or withdraw.

    The clean tables are taken in their present state.
    """
    work = {}
    for table, keys in _wanted(lake, day, until, _clean_states(lake)).items():
        state = lake.tables.state(table)
        work[table] = {date.fromisoformat(text) for text in (*_stale(state, keys), *_obsolete_days(lake, day, state, keys))}
    return work


def analyse_fingerprints(lake: Lake, day: date, until: date) -> dict[str, dict[str, Fingerprint]]:
    """
    Return, by table and day (for lookups: as_of), the fingerprints that the runs of `day` up to `until` need.

    The clean tables are taken in their present state.
    """
    return _wanted(lake, day, until, _clean_states(lake))


def unlabelled_dates(lake: Lake) -> list[date]:
    """Return, in order, the dates with features whose labels are not known yet to the run of the newest such date."""
    if not lake.pipeline.label.known_after_days:
        return []
    featured = sorted(map(date.fromisoformat, lake.tables.state("features").partitions))
    return [day for day in featured if day > lake.pipeline.calendar.labelled_until(featured[-1])]


def _clean_states(lake: Lake) -> dict[str, TableState]:
    return {name: lake.tables.state(f"clean_{name}") for name in lake.pipeline.tables}


def _require_clean_states(lake: Lake, day: date) -> dict[str, TableState]:
    """Return the states of the clean tables; raise if one of them lacks `day` (a reference: if it is not clean)."""
    clean = _clean_states(lake)
    for name, state in clean.items():
        is_source = name in lake.pipeline.sources
        if (day.isoformat() if is_source else REFERENCE) not in state.partitions:
            lack = f"lacks {day}" if is_source else "is empty"
            raise PerennialError(f"Pipeline {lake.pipeline.name!r}: clean_{name} {lack}. Run clean for {day} first.")
    return clean


def _wanted(lake: Lake, day: date, until: date, clean: dict[str, TableState]) -> Wanted:
    """Return every partition that the runs of `day` up to `until` need, with its fingerprint."""
    pipeline = lake.pipeline
    keys = Fingerprints(pipeline, InputDigests.of(pipeline, clean))
    sources = [clean[name] for name in pipeline.sources]
    calendar = pipeline.calendar
    known = [*calendar.feature_dates(day), *calendar.dates(day + DAY, until)]
    dates = [d for d in known if all(state.get(d) for state in sources)]
    midnights = sorted({*dates, *(calendar.as_of(d) for d in dates if d >= day)})
    labels = {}
    if pipeline.label.known_after_days:
        known_until = calendar.labelled_until(until)
        labels = {LABELS: _by_day((d for d in dates if d <= known_until), keys.labels())}
    return {
        **{f"lookup_{name}": _by_day(midnights, keys.lookup(name)) for name in pipeline.inputs.lookups},
        "features": _by_day(dates, keys.features()),
        **labels,
        **{f"analysis_{name}": _by_day(dates, keys.analysis(name)) for name in pipeline.sql_files("analysis")},
        "profile": _by_day(dates, keys.profile()),
    }


def _by_day(dates: Iterable[date], key: FingerprintOf) -> dict[str, Fingerprint]:
    return {day.isoformat(): key(day) for day in dates}


def _stale(state: TableState, wanted: Mapping[str, Fingerprint]) -> dict[str, Fingerprint]:
    """Return the wanted partitions that the table does not hold under the wanted fingerprint."""
    partitions = state.partitions
    return {day: key for day, key in wanted.items() if day not in partitions or partitions[day].key != key}


def _held_digests(state: TableState, wanted: Mapping[str, Fingerprint]) -> dict[str, str]:
    """Return by day the digest of each partition that the table already holds under the wanted fingerprint."""
    partitions = state.partitions
    return {day: partitions[day].digest for day, key in wanted.items() if day in partitions and partitions[day].key == key}


def _obsolete_days(lake: Lake, day: date, state: TableState, wanted: Mapping[str, Fingerprint]) -> list[str]:
    """Return the days that the table still holds in the history of `day`, but that rest now or have no clean rows any more."""
    table, calendar = state.name.rpartition(".")[2], lake.pipeline.calendar
    if _is_lookup(table):
        return []  # a lookup of a midnight is joined only to the features of that date
    # Labels of later dates belong to later runs.
    last = calendar.labelled_until(day) if table == LABELS else day
    needed = [d.isoformat() for d in days(calendar.features_from(day), last)]
    return [text for text in needed if text in state.partitions and text not in wanted]


def _own_partition(lake: Lake, table: str, day: date) -> date:
    """Return the day of the partition that a run of `day` is the first to compute."""
    if table == LABELS:
        return lake.pipeline.calendar.labelled_until(day)
    return lake.pipeline.calendar.as_of(day) if _is_lookup(table) else day


def _is_lookup(table: str) -> bool:
    return table.startswith("lookup_")


def _visible_rows(lake: Lake, clean: dict[str, TableState], pending: Wanted) -> list[tuple[str, int]]:
    """Return the clean partitions that the queries may read: day and rows."""
    dates = sorted({date.fromisoformat(text) for keys in pending.values() for text in keys})
    if not dates:
        return []
    training, label = lake.pipeline.training, lake.pipeline.label
    last = dates[-1] + DAY * label.known_after_days
    visible = {day.isoformat() for day in days(dates[0] - DAY * training.lookback_days, last)} | {REFERENCE}
    partitions = [item for state in clean.values() for item in state.partitions.items()]
    return [(text, partition.rows) for text, partition in partitions if text in visible]


def _make_job(
    lake: Lake,
    clean: dict[str, TableState],
    wanted: Wanted,
    pending: Wanted,
    held: Mapping[str, Mapping[str, str]],
    obsolete: Mapping[str, list[str]],
) -> AnalyseJob:
    """
    Return the job that computes the pending partitions and withdraws the obsolete days.

    :param held: by table and day, the digest that the table holds under the same fingerprint
    """
    pipeline = lake.pipeline

    def days(table: str) -> Days:
        return pending[table], held[table]

    lookup_days = {name: {day: wanted[f"lookup_{name}"][day] for day in pending["features"]} for name in pipeline.inputs.lookups}
    has_stored_labels = bool(wanted.get(LABELS)) and not pending[LABELS]
    return AnalyseJob(
        database=lake.layout.database,
        time_zone=pipeline.time_zone,
        lookback_days=pipeline.training.lookback_days,
        tables={name: CleanTable(f"clean_{name}", state.snapshot_id, name in pipeline.sources) for name, state in clean.items()},
        lookups=[
            lookup_query(pipeline, name, days(f"lookup_{name}")) for name in pipeline.inputs.lookups if pending[f"lookup_{name}"]
        ],
        features=[features_query(pipeline, days("features"), lookup_days, has_stored_labels=has_stored_labels)]
        if pending["features"]
        else [],
        labels=[labels_query(pipeline, days(LABELS))] if pending.get(LABELS) else [],
        analysis=[
            analysis_query(pipeline, name, days(f"analysis_{name}"))
            for name in pipeline.sql_files("analysis")
            if pending[f"analysis_{name}"]
        ],
        profile=[ProfileToMake("profile", "the profile", pending["profile"], held["profile"], sources=list(pipeline.sources))]
        if pending["profile"]
        else [],
        withdraw=obsolete,
    )
