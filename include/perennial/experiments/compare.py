"""Policies side by side: the champions that each left, on the rows of the same dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from perennial.errors import RefusedError
from perennial.evaluate.bootstrap import Interval
from perennial.evaluate.chain import incumbent
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.report.walk_forward import Models, Pool, Score, rows_by_day
from perennial.train.prepare import labels


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What one policy came to.

    :param score: of its champions, over all rows of the dates that every policy has a champion for
    :param worse: how much its log loss is above the best policy's there, with the interval that the gate takes; None: it is the best
    :param cpu_seconds: CPU seconds of all its trainings in the range
    """

    name: str
    score: Score
    worse: Interval | None
    decided: int
    promotions: int
    trainings: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Policies, the best first, and over how many dates they are compared."""

    dates: int
    policies: tuple[Policy, ...]


def compare(lakes: Mapping[str, Lake], first: date, last: date) -> Comparison:
    """
    Compare policies by name on the landed dates from `first` to `last`.

    Whoever retrains seldom is judged on every date too, with the champion that it has by then. Dates whose labels are not known yet
    are left out.

    :raises RefusedError: when there is no date on which all of them have a champion
    """
    lakes = {name: lake.at_one_moment() for name, lake in lakes.items()}
    chains = {name: read_chain(lake) for name, lake in lakes.items()}
    models = {name: Models(lake) for name, lake in lakes.items()}
    pool, any_lake = Pool(), next(iter(lakes.values()))
    for day, _, rows in rows_by_day(any_lake, any_lake.pipeline.calendar.dates(first, last)):
        if not rows.num_rows:
            continue  # no label is known yet
        predicted = {}
        for name, chain in chains.items():
            left = incumbent(chain, day)
            if left is not None and (p := models[name].predict(models[name].manifest(left.manifest), day, rows)) is not None:
                predicted[name] = p
        if predicted.keys() == lakes.keys():
            pool.add(labels(rows, any_lake.pipeline.label), predicted)
    if not pool.dates:
        decided = [f"{name}: {len(chain.days)} dates decided in all" for name, chain in chains.items()]
        raise RefusedError(f"No date from {first} to {last} on which all of them have a champion", decided)
    scores = pool.scores()
    best = min(scores, key=lambda name: scores[name].log_loss)
    found = []
    for name, chain in chains.items():
        entries = {day: chain.entries[day.isoformat()] for day in chain.days if first <= day <= last}
        manifests = [
            models[name].manifest_of(one["name"], day, one["version"])
            for day, entry in entries.items()
            for one in lakes[name].objects.read_existing(entry.uri).json()["candidates"]
        ]
        promotions = sum(entry.decision == "PROMOTE" for entry in entries.values())
        seconds = sum(float(manifest["measured"]["cpu_seconds"]) for manifest in manifests)
        worse = None if name == best else pool.difference(best, name)
        found.append(Policy(name, scores[name], worse, len(entries), promotions, len(manifests), round(seconds, 1)))
    return Comparison(pool.dates, tuple(sorted(found, key=lambda one: one.score.log_loss)))
