"""
Evaluate the retraining policy over a range of dates, from the stored results of its runs. Reads only.

Every date is judged on its own rows, with models that have not seen them.
The champion of a date results from the dates before it, so it is the model that would have answered the requests of that day.
A date whose labels are not known yet has no scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial.config.answers import INTERVAL
from perennial.config.label import NumberLabel, read_label
from perennial.display.forced import describe_force
from perennial.errors import RefusedError
from perennial.evaluate.chain import Chain, Model, incumbent
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import Champion, barred_versions, champion_of, describe_bar
from perennial.evaluate.decision import StoredDecision
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest, constant_of
from perennial.models.constant import constant_forecast
from perennial.models.metrics import Floats, Labels
from perennial.report.costs import Cost, spark_costs, training_cost
from perennial.report.drift import Drift, DriftMeter
from perennial.report.models import Models
from perennial.report.rows import rows_by_day
from perennial.report.tally import Pool, Score, Tally
from perennial.tasks.task import LearningTask, task_of
from perennial.train.search_record import SearchRecord, search_records

if TYPE_CHECKING:
    import pyarrow as pa

CHAMPION, FROZEN = "champion", "frozen at the start"


@dataclass(frozen=True, slots=True)
class Day:
    """
    One decided date.

    :param champion: the champion after the date; `note` is the reason if its decision named another version
    :param held: labels within the intervals of the champion of the dates before; None: it answers none
    :param scores: by series: champion, frozen at the start, constant forecast, and each candidate; empty without labels
    :param labelled: the number of rows whose label is known
    :param quarantined: rows that broke the contract, by source; `rows` holds the clean ones
    :param drift: None: too few days before, or no numeric input
    :param costs: the costs of its stages: clean, analyse, and the training of each candidate
    """

    date: date
    decision: str
    reasons: tuple[str, ...]
    champion: str | None
    note: str
    stale: bool
    rows: Mapping[str, int]
    quarantined: Mapping[str, int]
    labelled: int
    held: int | None
    scores: Mapping[str, Score]
    drift: Drift | None
    costs: Mapping[str, Cost]


@dataclass(frozen=True, slots=True)
class WalkForward:
    """
    Decided dates in order, and each series over all rows of the dates that all series have.

    :param undecided: the dates with data between the first and the last of them that have no decision
    :param barred: descriptions of the bars on these dates, the newest first
    :param searches: the searches for parameters whose results these dates have
    """

    pipeline: str
    task: LearningTask
    days: tuple[Day, ...]
    undecided: tuple[date, ...]
    barred: tuple[str, ...]
    pooled: Mapping[str, Score]
    pooled_dates: int
    searches: tuple[SearchRecord, ...] = ()


def walk_forward(lake: Lake, first: date, last: date) -> WalkForward:
    """
    Judge every decided date from `first` to `last`.

    :raises RefusedError: no date of the range has a decision
    """
    lake = lake.at_one_moment()
    chain = read_chain(lake)
    decided = [day for day in chain.days if first <= day <= last]
    if not decided:
        known = f"Decisions exist from {chain.days[0]} to {chain.days[-1]}." if chain.days else "No decision exists yet."
        raise RefusedError(f"Pipeline {lake.pipeline.name!r}: no decision from {first} to {last}", remedy=known)
    task = task_of(lake.pipeline.label)
    models, drift, pool, days = Models(lake), DriftMeter(lake.pipeline.inputs), Pool(), []
    # A champion of another label, before a change of the task, has no scores here.
    champions = (model for day in decided if (model := incumbent(chain, day)) is not None)
    frozen = next((model for model in champions if models.is_of_present_label(models.manifest(model.manifest))), None)
    spent = spark_costs(lake, first, last)
    names = {CHAMPION, FROZEN, task.constant_name, *lake.pipeline.training.candidates}
    for day, parts in rows_by_day(lake, decided):
        body: StoredDecision = lake.objects.read_existing(chain.entries[day.isoformat()].uri).json()
        candidates = {item["name"]: models.manifest_of(item["name"], day, item["version"]) for item in body["candidates"]}
        series, labelled, held = dict[str, Tally](), 0, list[int]()
        for part in parts:
            drift.add(part.rows)
            if part.known.num_rows:
                y = task.read_labels(part.known)
                labelled += len(y)
                for name, p in _predict(task, models, chain, day, part.known, frozen, candidates).items():
                    series.setdefault(name, Tally(task)).add(y, p)
                held += _count_held(models, incumbent(chain, day), day, part.known, y)
        if series.keys() == names:
            pool.add(series)
        costs = spent.get(day, {}) | {name: training_cost(manifest) for name, manifest in candidates.items()}
        scores = {name: tally.score for name, tally in series.items()}
        counts = labelled, sum(held) if held else None
        days.append(_build_day(lake, champion_of(chain, day), body, counts, scores, drift.finish_day(), costs))
    undecided = tuple(sorted(set(lake.pipeline.calendar.dates(decided[0], decided[-1])) - set(decided)))
    bars = [item for item in barred_versions(chain, decided[-1]).values() if item.date >= decided[0].isoformat()]
    barred = tuple(describe_bar(item) for item in bars)
    searches = tuple(search_records(lake, decided[0], decided[-1]))
    return WalkForward(lake.pipeline.name, task, tuple(days), undecided, barred, pool.scores(), pool.dates, searches)


def _predict(
    task: LearningTask,
    models: Models,
    chain: Chain,
    day: date,
    rows: pa.Table,
    frozen: Model | None,
    candidates: Mapping[str, ModelManifest],
) -> dict[str, Floats]:
    """Return the predictions of the day's rows for each series, without models that saw them or lack an input."""
    predicted: dict[str, Floats | None] = {name: models.predict(manifest, day, rows) for name, manifest in candidates.items()}
    for name, model in ((CHAMPION, incumbent(chain, day)), (FROZEN, frozen)):
        predicted[name] = models.predict(models.manifest(model.manifest), day, rows) if model is not None else None
    first = next(iter(candidates.values()), None)
    if first is not None and models.is_of_present_label(first):
        predicted[task.constant_name] = constant_forecast(constant_of(first), rows.num_rows)
    return {name: p for name, p in predicted.items() if p is not None}


def _count_held(models: Models, champion: Model | None, day: date, rows: pa.Table, y: Labels) -> list[int]:
    """Return the number of labels within the champion's intervals, [] if it answers none."""
    if champion is None:
        return []
    manifest = models.manifest(champion.manifest)
    label = read_label(manifest["label"])
    if not isinstance(label, NumberLabel) or label.interval is None:
        return []
    bounds = models.predict(manifest, day, rows, INTERVAL)
    return [] if bounds is None else [int(((bounds[:, 0] <= y) & (y <= bounds[:, 1])).sum())]


def _build_day(
    lake: Lake,
    champion: Champion,
    body: StoredDecision,
    counts: tuple[int, int | None],
    scores: Mapping[str, Score],
    drift: Drift | None,
    costs: Mapping[str, Cost],
) -> Day:
    clean = {name: lake.tables.state(f"clean_{name}").get(champion.day) for name in lake.pipeline.sources}
    return Day(
        date=champion.day,
        decision=body["decision"],
        reasons=tuple(filter(None, (describe_force(body["forced"]), *body["reasons"]))),
        champion=champion.version,
        note=champion.note,
        stale=champion.stale,
        rows={name: partition.rows for name, partition in clean.items() if partition},
        quarantined={name: partition.quarantined for name, partition in clean.items() if partition},
        labelled=counts[0],
        held=counts[1],
        scores=scores,
        drift=drift,
        costs=costs,
    )
