"""Compare policies: the champions of each, on the rows of the same dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from perennial.errors import RefusedError
from perennial.evaluate.bootstrap import Interval
from perennial.evaluate.chain import Chain, incumbent
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.report.models import Models
from perennial.report.rows import rows_by_day
from perennial.report.tally import Pool, Score, Tally
from perennial.tasks.task import LearningTask, task_of


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The result of one policy.

    :param score: the score of its champions, over all rows of the dates on which every policy has a champion
    :param worse: the difference between its loss and that of the best policy on these dates, with the gate's interval;
        None: it is the best
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
    """The task, policies, the best first, and the number of dates on which they are compared."""

    task: LearningTask
    dates: int
    policies: tuple[Policy, ...]


def compare(lakes: Mapping[str, Lake], first: date, last: date) -> Comparison:
    """
    Compare policies by name on the landed dates from `first` to `last`.

    A policy that rarely retrains is also judged on every date, with its champion of that date.
    Dates whose labels are not known yet are left out.

    :raises RefusedError: if there is no date on which all policies have a champion
    """
    lakes = {name: lake.at_one_moment() for name, lake in lakes.items()}
    chains = {name: read_chain(lake) for name, lake in lakes.items()}
    models = {name: Models(lake) for name, lake in lakes.items()}
    pool, any_lake = Pool(), next(iter(lakes.values()))
    task = task_of(any_lake.pipeline.label)
    for day, parts in rows_by_day(any_lake, any_lake.pipeline.calendar.dates(first, last)):
        series = dict[str, Tally]()
        for part in parts:
            if not part.known.num_rows:
                continue  # no label is known yet
            y = task.read_labels(part.known)
            for name, chain in chains.items():
                champion = incumbent(chain, day)
                if champion is None:
                    continue
                if (p := models[name].predict(models[name].manifest(champion.manifest), day, part.known)) is not None:
                    series.setdefault(name, Tally(task)).add(y, p)
        if series.keys() == lakes.keys():
            pool.add(series)
    if not pool.dates:
        raise RefusedError(
            f"No date from {first} to {last} on which all policies have a champion",
            [f"{name}: {_describe(chain)}" for name, chain in chains.items()],
            "A champion predicts the dates after its own: choose dates after the first champion of each policy.",
        )
    scores = pool.scores()
    best = min(scores, key=lambda name: scores[name].loss)
    policies = []
    for name, chain in chains.items():
        entries = {day: chain.entries[day.isoformat()] for day in chain.days if first <= day <= last}
        manifests = [
            models[name].manifest_of(candidate["name"], day, candidate["version"])
            for day, entry in entries.items()
            for candidate in lakes[name].objects.read_existing(entry.uri).json()["candidates"]
        ]
        promotions = sum(entry.decision == "PROMOTE" for entry in entries.values())
        seconds = sum(float(manifest["measured"]["cpu_seconds"]) for manifest in manifests)
        worse = None if name == best else pool.difference(best, name)
        policies.append(Policy(name, scores[name], worse, len(entries), promotions, len(manifests), round(seconds, 1)))
    return Comparison(task, pool.dates, tuple(sorted(policies, key=lambda policy: policy.score.loss)))


def _describe(chain: Chain) -> str:
    champions = [day for day in chain.days if chain.entries[day.isoformat()].decision == "PROMOTE"]
    first = f"its first champion is of {champions[0]}" if champions else "no champion"
    return f"decided dates: {len(chain.days)}; {first}"
