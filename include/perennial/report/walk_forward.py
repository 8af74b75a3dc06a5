"""
Evaluate the retraining policy over a range of dates, from the stored results of its runs. Reads only.

Every date is judged on its own rows, with models that have not seen them.
The champion of a date results from the dates before it, so it is the model that would have answered the requests of that day.
A date whose labels are not known yet has no scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from perennial.config.pipeline import Inputs, Pipeline
from perennial.display.forced import describe_force
from perennial.errors import PerennialError, RefusedError
from perennial.evaluate.bootstrap import Floats, Interval, interval, mean_difference
from perennial.evaluate.chain import Chain, Model, incumbent
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.champions import Champion, barred_versions, champion_of, describe_bar
from perennial.evaluate.comparison import Integers, losses
from perennial.evaluate.decision import StoredDecision
from perennial.evaluate.holdout import read_file
from perennial.evaluate.opponents import unfit
from perennial.lake.labelled import join_labels, label_columns
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.lake.tables import TableState, of_days, read_rows
from perennial.models.metrics import log_loss, roc_auc
from perennial.models.scoring import score
from perennial.report.costs import Cost, spark_costs, training_cost
from perennial.report.drift import Drift, DriftMeter
from perennial.train.labels import read_labels
from perennial.train.plan import read_model

if TYPE_CHECKING:
    import pyarrow as pa

CHAMPION, FROZEN, BASE = "champion", "frozen at the start", "base rate"
DAYS_AT_ONCE = 31


@dataclass(frozen=True, slots=True)
class Score:
    """The metrics of one model on the rows of one date; ROC AUC is None if all rows have one class."""

    log_loss: float
    roc_auc: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """
    One decided date.

    :param champion: the champion after the date; `note` is the reason if its decision named another version
    :param scores: by series: champion, frozen at the start, base rate, and each candidate of the date; empty if no label is known
    :param positives: the share of positive labels; None: no label is known
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
    positives: float | None
    scores: Mapping[str, Score]
    drift: Drift | None
    costs: Mapping[str, Cost]


@dataclass(frozen=True, slots=True)
class WalkForward:
    """
    Decided dates in order, and each series over all rows of the dates that all series have.

    :param undecided: the dates with data between the first and the last of them that have no decision
    :param barred: descriptions of the bars on these dates, the newest first
    """

    pipeline: str
    days: tuple[Day, ...]
    undecided: tuple[date, ...]
    barred: tuple[str, ...]
    pooled: Mapping[str, Score]
    pooled_dates: int


@dataclass(slots=True)
class Pool:
    """Labels and probabilities of the dates that every series has."""

    y: list[Integers] = field(default_factory=list)
    p: dict[str, list[Floats]] = field(default_factory=dict)

    @property
    def dates(self) -> int:
        """Return the number of pooled dates."""
        return len(self.y)

    def add(self, y: Integers, predicted: Mapping[str, Floats]) -> None:
        self.y.append(y)
        for name, p in predicted.items():
            self.p.setdefault(name, []).append(p)

    def scores(self) -> dict[str, Score]:
        if not self.y:
            return {}
        y = np.concatenate(self.y)
        return {name: _score(y, np.concatenate(parts)) for name, parts in self.p.items()}

    def difference(self, better: str, worse: str) -> Interval:
        """Return the log loss of `worse` minus that of `better`, with the gate's paired bootstrap over dates."""
        pairs = zip(self.y, self.p[worse], self.p[better], strict=True)
        sums = np.array([float((losses(y, p) - losses(y, q)).sum()) for y, p, q in pairs])
        counts = np.array([len(y) for y in self.y], dtype=np.float64)
        return interval(mean_difference(sums, counts), len(counts), seed=0)


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
    models, drift, pool, days = Models(lake), DriftMeter(lake.pipeline.inputs), Pool(), []
    frozen = next((model for day in decided if (model := incumbent(chain, day)) is not None), None)
    spent = spark_costs(lake, first, last)
    names = {CHAMPION, FROZEN, BASE, *lake.pipeline.training.candidates}
    for day, rows, known in rows_by_day(lake, decided):
        y = read_labels(known, lake.pipeline.label)
        body: StoredDecision = lake.objects.read_existing(chain.entries[day.isoformat()].uri).json()
        candidates = {item["name"]: models.manifest_of(item["name"], day, item["version"]) for item in body["candidates"]}
        predicted = _predict(models, chain, day, known, frozen, candidates) if len(y) else {}
        if predicted.keys() == names:
            pool.add(y, predicted)
        costs = spent.get(day, {}) | {name: training_cost(manifest) for name, manifest in candidates.items()}
        days.append(_build_day(lake, champion_of(chain, day), body, y, predicted, drift.of(rows), costs))
    undecided = tuple(sorted(set(lake.pipeline.calendar.dates(decided[0], decided[-1])) - set(decided)))
    bars = [item for item in barred_versions(chain, decided[-1]).values() if item.date >= decided[0].isoformat()]
    barred = tuple(describe_bar(item) for item in bars)
    return WalkForward(lake.pipeline.name, tuple(days), undecided, barred, pool.scores(), pool.dates)


def _predict(
    models: Models, chain: Chain, day: date, rows: pa.Table, frozen: Model | None, candidates: Mapping[str, ModelManifest]
) -> dict[str, Floats]:
    """Return the probabilities of the day's rows for each series, without models that saw them or lack an input."""
    predicted: dict[str, Floats | None] = {name: models.predict(manifest, day, rows) for name, manifest in candidates.items()}
    for name, model in ((CHAMPION, incumbent(chain, day)), (FROZEN, frozen)):
        predicted[name] = models.predict(models.manifest(model.manifest), day, rows) if model is not None else None
    if candidates:
        share = float(next(iter(candidates.values()))["base_rate"])
        predicted[BASE] = np.full(rows.num_rows, share)
    return {name: p for name, p in predicted.items() if p is not None}


def _build_day(
    lake: Lake,
    champion: Champion,
    body: StoredDecision,
    y: Integers,
    predicted: Mapping[str, Floats],
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
        positives=float(y.mean()) if len(y) else None,
        scores={name: _score(y, p) for name, p in predicted.items()},
        drift=drift,
        costs=costs,
    )


def _score(y: Integers, p: Floats) -> Score:
    return Score(log_loss(y, p), roc_auc(y, p))


def rows_by_day(lake: Lake, wanted: Sequence[date]) -> Iterator[tuple[date, pa.Table, pa.Table]]:
    """Yield each date that has features, its rows, and its rows whose label is known. Read a month at a time."""
    pipeline, state = lake.pipeline, lake.tables.state("features")
    inputs, label = pipeline.inputs, pipeline.label
    labels_table = lake.tables.state("labels") if label.known_after_days else None
    columns = sorted({"date", *inputs.numbers, *inputs.texts, *([label.column] if labels_table is None else pipeline.row_key)})
    days = [day for day in wanted if state.get_complete(day) is not None]
    # Ignore labels of later dates: they were computed when label.known_after_days was lower, by that earlier definition.
    known_until = pipeline.calendar.labelled_until(max(map(date.fromisoformat, state.partitions), default=date.max))
    for start in range(0, len(days), DAYS_AT_ONCE):
        batch = days[start : start + DAYS_AT_ONCE]
        rows = known = read_rows(state.metadata_location or "", state.snapshot_id or 0, batch, columns)
        if labels_table is not None:
            known = _join_labels(labels_table, rows, [day for day in batch if day <= known_until], pipeline)
        for day in batch:
            yield day, of_days(rows, [day]).combine_chunks(), of_days(known, [day]).combine_chunks()


def _join_labels(state: TableState, rows: pa.Table, days: Sequence[date], pipeline: Pipeline) -> pa.Table:
    """Return the rows whose labels are known, with their labels."""
    import pyarrow as pa

    label, row_key = pipeline.label.column, pipeline.row_key
    known = [day for day in days if state.get_complete(day) is not None]
    if not known:
        return rows.slice(0, 0).append_column(label, pa.nulls(0))
    read = read_rows(state.metadata_location or "", state.snapshot_id or 0, known, label_columns(row_key, label))
    return join_labels(rows, read, row_key, label).table


class Models:
    """Manifests and graphs of models; each graph is read once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._graphs: dict[str, bytes] = {}

    def manifest(self, uri: str) -> ModelManifest:
        return read_model(self._lake, uri)

    def manifest_of(self, name: str, day: date, version: str) -> ModelManifest:
        """Return the manifest of a candidate. A version ends with the first digits of its fingerprint."""
        prefix = self._lake.layout.model_manifest(name, day, version.rpartition("-")[2]).removesuffix(".json")
        addresses = [uri for uri in self._lake.objects.list(prefix) if uri.endswith(".json")]
        if not addresses:
            raise PerennialError(f"{prefix}….json: no such manifest, but the decision of {day} names {version}.")
        return self.manifest(addresses[0])

    def predict(self, manifest: ModelManifest, day: date, rows: pa.Table) -> Floats | None:
        inputs = Inputs.model_validate(manifest["inputs"])
        if day.isoformat() in manifest["window"] or unfit(manifest, inputs, self._lake.pipeline):
            return None
        version = manifest["version"]
        if version not in self._graphs:
            self._graphs[version] = read_file(self._lake, manifest, "model.onnx")
        return np.asarray(score(self._graphs[version], rows, inputs), dtype=np.float64)
