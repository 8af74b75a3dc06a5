"""The plan of a trial: the dates that its query sees, and for each table where their rows come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from perennial.analyse.job_file import AnalyseJob
from perennial.analyse.query_items import Days, analysis_query, features_query, labels_query, lookup_query
from perennial.analyse.visible import VisibleRange, range_of_dates, range_of_features, range_of_labels, range_of_lookups
from perennial.calendar import DAY
from perennial.clean.job_file import DropToClean
from perennial.clean.plan import drop_to_clean, is_current, prepare_fingerprints, table_to_clean
from perennial.collect.drops import THREADS, Landed, landed_drops, landed_reference
from perennial.collect.register import Drop
from perennial.errors import DropChangedError, DropMissingError, DropRefusedError
from perennial.fingerprints.code import digests_of_job
from perennial.lake.days import REFERENCE, day_text
from perennial.lake.lake import Lake
from perennial.lake.tables import TableState
from perennial.settings import get_settings
from perennial.spark.conf import iceberg_conf
from perennial.spark.job_file import FORMAT
from perennial.spark.size import size_conf
from perennial.spark.submit import SPARK_VERSION, SparkPlan, application, limits_of
from perennial.sql.tokens import tokens
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json
from perennial.trial.drops import Copies, read_drop, read_reference
from perennial.trial.job_file import TrialJob, TrialTable
from perennial.trial.target import Target

RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Seen:
    """
    The dates of a source that the shown day sees. Dates that only the day before it sees do not count.

    :param wanted: number of dates with data in the range that it sees
    :param read: number of their drops that the trial checks and cleans itself, because no run has
    :param gaps: by date (ISO), why it has no rows
    """

    wanted: int
    read: int
    gaps: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """
    A planned trial: the job to submit, the day that it shows, and by table what that day sees.

    :param partitions: the dates that the shown day sees (ISO), and `reference`
    """

    plan: SparkPlan
    day: str
    partitions: frozenset[str]
    seen: dict[str, Seen]


def plan_trial(lake: Lake, target: Target, day: date, max_rows: int, folder: Path) -> Trial:
    """
    Plan the trial of a target on the data of `day`. Only reads, except in `folder`.

    The target is also computed together with the date before, if one has landed, to see whether it is exact alone.

    :param folder: a folder of this machine for the job file, copies of drops and the result
    :raises DropMissingError: when a table that the target reads has not landed for `day`
    :raises DropRefusedError: when that drop is refused
    """
    tables = [target.name] if target.kind == "table" else _tables_read(lake, lake.pipeline.sql(str(target.file)))
    before = _landed_before(lake, [name for name in tables if name in lake.pipeline.sources], day)
    batch = [*([before] if before else []), day]
    shown, job, sees = _queries(lake, target, batch)
    dates, own = batch, [day]
    if target.kind != "table":
        _, _, alone = _queries(lake, target, [day])
        dates, own = (lake.pipeline.calendar.dates(visible.first, visible.last) for visible in (sees, alone))
    copies = Copies(lake, folder)
    read, seen = {}, {}
    for name in tables:
        if name in lake.pipeline.references:
            read[name], seen[name] = _read_reference(copies, name)
        else:
            read[name], seen[name] = _read_source(copies, name, dates, day, own, fresh=target.kind == "table")
    source = target.name if target.kind == "table" else None
    shown = REFERENCE if source in lake.pipeline.references else shown
    result = (folder / RESULT).as_uri()
    settings = get_settings()
    work = TrialJob(
        result=result, source=source, day=shown, max_rows=max_rows, tables=read, queries=job, many_rows=settings.big_date_rows
    )
    head: Json = {"format": FORMAT, "kind": "trial", "pipeline": lake.pipeline.name, "spark": SPARK_VERSION, "cost": None}
    body = canonical_json({**head, "code": digests_of_job("trial"), **work.to_json()})
    file = folder / f"{sha256(body)}.json"
    file.write_bytes(body)
    partitions = frozenset({*(own_day.isoformat() for own_day in own), day_text(None)})
    conf = iceberg_conf(settings.metastore_uri, lake.layout.warehouse, settings.s3_endpoint)
    conf |= limits_of(lake.pipeline.name, [one.isoformat() for one in batch]).to_conf()
    conf |= size_conf(sum(table.rows for table in read.values()))
    if not work.is_big:
        conf["spark.sql.codegen.factoryMode"] = "NO_CODEGEN"  # compiling the queries would cost more than it saves
    return Trial(SparkPlan(application("trial"), file.as_uri(), 1, conf), shown, partitions, seen)


def _tables_read(lake: Lake, sql: str) -> list[str]:
    """Return the tables whose names occur in a query, outside of its comments."""
    words = tokens(sql)
    if words == [sql]:  # a text that cannot be split with certainty
        return list(lake.pipeline.tables)
    names = {word.strip("`").lower() for word in words}
    return [name for name in lake.pipeline.tables if name in names]


def _landed_before(lake: Lake, sources: Iterable[str], day: date) -> date | None:
    """Return the newest earlier date within the lookback, at least a week, that has landed from all sources."""
    calendar = lake.pipeline.calendar
    dates = set(calendar.dates(day - DAY * max(7, calendar.lookback_days), day - DAY))
    for name in sources:
        dates &= landed_drops(lake, name, dates).keys()
    return max(dates, default=None)


def _queries(lake: Lake, target: Target, batch: list[date]) -> tuple[str, AnalyseJob, VisibleRange]:
    """Return the day to show, the queries to plan, and the range of dates that they see."""
    pipeline, lookback = lake.pipeline, lake.pipeline.training.lookback_days
    days: Days = ({day.isoformat(): "" for day in batch}, {})
    job = AnalyseJob(lake.layout.database, pipeline.time_zone, lookback, {}, [], [], [], [], [], {})
    if target.kind == "lookup":
        midnights = {pipeline.calendar.as_of(day).isoformat(): "" for day in batch}
        job = replace(job, lookups=[lookup_query(pipeline, target.name, (midnights, {}))])
        return max(midnights), job, range_of_lookups(midnights, lookback)
    shown, sees = batch[-1].isoformat(), range_of_features(days[0], lookback)
    if target.kind in ("features", "labels"):
        job = replace(job, features=[features_query(pipeline, days, {name: {} for name in pipeline.inputs.lookups})])
    if target.kind == "labels":
        job = replace(job, labels=[labels_query(pipeline, days)])
        sees = range_of_labels(days[0], lookback, pipeline.label.known_after_days)
    if target.kind == "analysis":
        job = replace(job, analysis=[analysis_query(pipeline, target.name, days)])
        sees = range_of_dates(days[0], lookback)
    return shown, job, sees


def _read_source(
    copies: Copies, name: str, dates: list[date], day: date, own: list[date], *, fresh: bool
) -> tuple[TrialTable, Seen]:
    """
    Return where the rows of these dates come from.

    :param own: the dates that the day itself sees
    :param fresh: clean every drop again, even if its rows are in the table
    """
    lake = copies.lake
    landed = landed_drops(lake, name, dates)
    state, make = lake.tables.state(f"clean_{name}"), prepare_fingerprints(lake, name)
    if day not in landed:
        raise DropMissingError(
            f"Pipeline {lake.pipeline.name!r}, {day}: {name} has not landed in {lake.pipeline.sources[name].drop_uri(day)}",
            remedy="Land it (`perennial land`), or choose a date that `perennial status` shows.",
        )
    held = (
        []
        if fresh
        else [
            d
            for d in dates
            if (d in landed and (drop := landed[d].drop) and is_current(state.partitions, d, make(d, drop)))
            or (d not in landed and state.get_complete(d))
        ]
    )
    todo = [d for d in landed if d not in held]
    with ThreadPoolExecutor(THREADS) as pool:
        lake.objects.client  # noqa: B018 (created before the threads share it)
        drops = dict(zip(todo, pool.map(lambda d: _accept(copies, name, d, landed[d]), todo), strict=True))
    if isinstance(refused := drops.get(day), DropRefusedError | DropChangedError):
        raise refused
    gaps = {d.isoformat(): "not landed" for d in dates if d not in landed and d not in held}
    gaps |= {d.isoformat(): "; ".join(drop.problems) or str(drop) for d, drop in drops.items() if not isinstance(drop, Drop)}
    to_clean = {d: drop for d, drop in drops.items() if isinstance(drop, Drop)}
    gaps |= {d.isoformat(): "its drop has no rows" for d, drop in to_clean.items() if not drop.rows}
    gaps |= {d.isoformat(): "its clean table has no rows" for d in held if (part := state.get(d)) and not part.rows}
    table = _table(lake, name, state, held, to_clean)
    own_texts = [d.isoformat() for d in own]
    own_gaps = {text: gaps[text] for text in own_texts if text in gaps}
    return table, Seen(len(own), sum(d in to_clean for d in own), own_gaps)


def _accept(copies: Copies, name: str, day: date, item: Landed) -> Drop | DropRefusedError | DropChangedError:
    try:
        return item.drop or read_drop(copies, name, day, item.found)
    except (DropRefusedError, DropChangedError) as error:
        return error


def _read_reference(copies: Copies, name: str) -> tuple[TrialTable, Seen]:
    lake = copies.lake
    item = landed_reference(lake, name)
    if item is None:
        raise DropMissingError(
            f"Pipeline {lake.pipeline.name!r}: the reference {name} has not landed, expected {lake.pipeline.references[name].uri}"
        )
    state = lake.tables.state(f"clean_{name}")
    drop = item.drop or read_reference(copies, name, item.found)
    if item.drop is not None and is_current(state.partitions, None, prepare_fingerprints(lake, name)(None, drop)):
        return _table(lake, name, state, [None], {}), Seen(1, 0)
    return _table(lake, name, state, [], {None: drop}), Seen(1, 1)


def _table(lake: Lake, name: str, state: TableState, held: Sequence[date | None], drops: Mapping[Any, Drop]) -> TrialTable:
    days: dict[str, DropToClean] = {day_text(day): drop_to_clean(drop, "", "") for day, drop in drops.items()}
    to_clean = table_to_clean(lake.pipeline, name, days) if days else None
    texts = [day_text(day) for day in held]
    rows = sum(drop.rows for drop in drops.values()) + sum(state.partitions[text].rows for text in texts)
    return TrialTable(f"clean_{name}", name in lake.pipeline.sources, state.snapshot_id, texts, to_clean, rows)
