"""
The search for parameters of a candidate: trials that learn from the earlier dates of a window and are judged on the later ones.

Each trial is an object, and the next one is drawn from all before it. So a search that was killed continues with the trial that
it was in, and ends with the same result.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.config.search import Search, Searchable, Value, is_whole, with_parameters, without_search
from perennial.display.metrics import format_metric, label_of
from perennial.errors import RefusedError
from perennial.lake.tables import RowsReader
from perennial.models.scoring import score
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import JsonValue
from perennial.store.objects import Objects
from perennial.tasks.task import task_of
from perennial.train.author import Author
from perennial.train.holdout import StoredHoldout
from perennial.train.job import TrainingJob
from perennial.train.model import train_model
from perennial.train.prepare import read_examples, why_untrainable
from perennial.train.scratch import Scratch, ScratchFullError
from perennial.train.search_outcome import MIN_DATES, read_outcome, stopped_address
from perennial.train.servable import check_size
from perennial.train.window import Window

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

log = logging.getLogger("perennial.train")

Losses = dict[date, float]
"""The mean loss of the rows of each date."""


@dataclass(frozen=True, slots=True)
class Trial:
    """
    One trial of a search.

    :param parameters: those that differ from the YAML; empty for the first trial
    :param losses: by date that it was judged on; empty if it was refused
    :param refused: why its model cannot serve; None: it can
    """

    number: int
    parameters: Mapping[str, Value]
    losses: Mapping[date, float]
    refused: str | None
    cpu_seconds: float

    @property
    def loss(self) -> float:
        """Return the mean loss of the dates."""
        return math.fsum(self.losses.values()) / len(self.losses) if self.losses else math.inf

    def to_json(self) -> dict[str, JsonValue]:
        """Return the trial as JSON values."""
        return {
            "number": self.number,
            "parameters": dict(self.parameters),
            "losses": {day.isoformat(): loss for day, loss in self.losses.items()},
            "refused": self.refused,
            "measured": {"cpu_seconds": self.cpu_seconds},
        }

    @classmethod
    def read(cls, stored: Any) -> Trial:
        """Return a trial from its JSON values."""
        losses = {date.fromisoformat(day): loss for day, loss in stored["losses"].items()}
        return cls(stored["number"], stored["parameters"], losses, stored["refused"], stored["measured"]["cpu_seconds"])


def run_search(objects: Objects, job: TrainingJob, search: Search, scratch: Scratch, reader: RowsReader | None) -> None:
    """
    Run a search, and store its result, or the record that its limit of CPU seconds stopped it.

    :param scratch: it has an empty folder
    :param reader: it keeps the rows of few dates for the next job; None: keep nothing
    """
    stopped = stopped_address(job.output.manifest, search.cpu_seconds)
    if objects.exists(job.output.manifest) or objects.exists(stopped):
        log.info("The search of %s for %s has ended already", job.candidate, job.date)
        return
    log.info("Searching for parameters of %s for %s: %s trials", job.candidate, job.date, search.trials)
    examples = read_examples(job, scratch, reader)
    if reason := why_untrainable(examples):
        log.warning("Keeping the parameters of the YAML: %s", reason)
        _publish(objects, job.output.manifest, {**_identity(job, search), "reason": reason, "trials": [], "chosen": {}}, 0.0)
        return
    trials = list(_read_trials(objects, job))
    if trials:
        log.info("Resuming after %s trials", len(trials))
    while len(trials) < search.trials:
        if trials and (spent := _add_costs(trials)) >= search.cpu_seconds:
            log.warning("Stopped after %s trials and %.0f CPU seconds: the parameters before stay", len(trials), spent)
            record = {
                **_identity(job, search),
                "stopped": True,
                "trials": _summarise(trials),
                "chosen": _read_kept(objects, job, search),
            }
            objects.create(stopped, canonical_json({**record, "measured": {"cpu_seconds": round(spent, 2)}}))
            return
        trials.append(_store(objects, job, _try(job, search, trials, examples.window, examples.holdout)))
        _log(job, trials)
    result = {**_identity(job, search), "trials": _summarise(trials), **choose(trials)}
    log.info("The search of %s for %s chose %s", job.candidate, job.date, _describe(choose(trials)["chosen"]))
    _publish(objects, job.output.manifest, result, _add_costs(trials))


def choose(trials: Sequence[Trial]) -> dict[str, Any]:
    """
    Return the best trial, what it gains over the first one, and the chosen parameters: none if the gain is not clear.

    It is clear if the mean gain of the dates is more than its standard error.
    """
    first, *others = trials
    best = min(others, key=lambda trial: trial.loss)
    if not best.losses:
        return {"best": 0, "chosen": {}}
    if not first.losses:
        return {"best": best.number, "chosen": dict(best.parameters)}
    gains = np.array([first.losses[day] - best.losses[day] for day in first.losses])
    if len(gains) < MIN_DATES:
        return {"best": best.number, "chosen": {}}
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
    chosen = dict(best.parameters) if gain > error else {}
    return {"best": best.number, "gain": gain, "error": error, "chosen": chosen}


def suggest(settings: Searchable, search: Search, trials: Sequence[Trial], seed: int) -> dict[str, Value]:
    """
    Return the parameters of the next trial, by Optuna's tree-structured Parzen estimator.

    It is a function of its arguments alone: each trial has a sampler of its own, with a seed of its own.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {name: _distribution(type(settings), name, values) for name, values in search.ranges.items()}
    own_seed = int(sha256(canonical_json([seed, len(trials)]))[:8], 16)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=own_seed, multivariate=False))
    for trial in trials:
        if trial.losses:
            known = trial.parameters or _select_inside(settings, search)
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(known), distributions={name: space[name] for name in known}, value=trial.loss
                )
            )
    parameters: dict[str, Value] = study.ask(space).params
    return parameters


def _distribution(family: type[Searchable], name: str, values: Sequence[Value]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if len(values) > 2:
        return CategoricalDistribution(values)
    low, high = values
    is_log = name in family.LOG_SCALE
    return (
        IntDistribution(int(low), int(high), log=is_log) if is_whole(family, name) else FloatDistribution(low, high, log=is_log)
    )


def _select_inside(settings: Searchable, search: Search) -> dict[str, Value]:
    """Return the parameters of the YAML that are in their ranges. A parameter that the window decides has no value."""
    found = {name: getattr(settings, name) for name in search.ranges}
    return {name: value for name, value in found.items() if value is not None and _holds(search.ranges[name], value)}


def _holds(values: Sequence[Value], value: Value) -> bool:
    return value in values if len(values) > 2 else values[0] <= value <= values[1]


def _try(job: TrainingJob, search: Search, trials: Sequence[Trial], window: Window, late: StoredHoldout) -> Trial:
    """Run the next trial."""
    began = time.process_time()
    if not isinstance(job.settings, Searchable):
        raise ValueError(f"the family {job.settings.family} has no parameters that can be searched")
    parameters = suggest(job.settings, search, trials, job.seed) if trials else {}
    author = None if job.source is None else Author(f"candidates/{job.candidate}.py", job.source)
    losses, refused = dict[date, float](), None
    try:
        model = train_model(with_parameters(job.settings, parameters), window, job.seed, author=author)
        check_size(model.onnx, job.candidate)
        losses = _judge(job, model.onnx, late)
    except ScratchFullError:
        raise  # the trial may succeed on another machine
    except RefusedError as error:
        if not parameters and author is not None:
            raise  # the file of the author fails with the parameters of the YAML
        refused = str(error)
    return Trial(len(trials), parameters, losses, refused, round(time.process_time() - began, 2))


def _judge(job: TrainingJob, graph: bytes, late: StoredHoldout) -> Losses:
    """Return the mean loss of each date. Refuse a model whose answers are not numbers."""
    task = task_of(job.label)
    found: dict[date, list[np.ndarray[Any, Any]]] = {}
    for rows in late.read():
        p = score(graph, rows.table, job.inputs)
        if not task.are_valid(rows.y, p):
            raise RefusedError(f"{job.candidate}: the model answers with {task.invalid}")
        losses, dates = task.losses(rows.y, p), rows.table["date"].to_numpy()
        for day in np.unique(dates):
            found.setdefault(day.astype("datetime64[D]").item(), []).append(losses[dates == day])
    return {day: float(np.concatenate(parts).mean()) for day, parts in sorted(found.items())}


def _read_trials(objects: Objects, job: TrainingJob) -> Iterator[Trial]:
    """Yield the trials that earlier processes have stored, in order."""
    number = 0
    while (stored := objects.read(_address(job, number))) is not None:
        yield Trial.read(stored.json())
        number += 1


def _store(objects: Objects, job: TrainingJob, trial: Trial) -> Trial:
    """Store a trial, or return the one already stored by another process: both must agree in all but the measurements."""
    address = _address(job, trial.number)
    if objects.create(address, canonical_json(trial.to_json())):
        return trial
    existing = objects.read_existing(address).json()
    if {**existing, "measured": None} != {**trial.to_json(), "measured": None}:
        raise _refuse_difference(address)
    return Trial.read(existing)


def _publish(objects: Objects, address: str, result: dict[str, JsonValue], cpu_seconds: float) -> None:
    if objects.create(address, canonical_json({**result, "measured": {"cpu_seconds": round(cpu_seconds, 2)}})):
        return
    existing = objects.read_existing(address).json()
    if {**existing, "measured": None} != {**result, "measured": None}:
        raise _refuse_difference(address)


def _refuse_difference(address: str) -> RefusedError:
    return RefusedError(
        f"{address} exists and differs",
        remedy="Searches with one fingerprint must give one result. The existing one is kept; "
        "compare the builds and CPUs of the two trainers.",
    )


def _read_kept(objects: Objects, job: TrainingJob, search: Search) -> dict[str, JsonValue]:
    """Return the parameters that the search before has chosen, or kept; none if it has not ended."""
    outcome = None if job.before is None else read_outcome(objects, job.before, search.cpu_seconds)
    return {} if outcome is None else dict(outcome["chosen"])


def _identity(job: TrainingJob, search: Search) -> dict[str, JsonValue]:
    """Return the fields of a result that say what was searched. All of them are in its fingerprint."""
    return {
        "format": 1,
        **job.model_dump(mode="json", include={"candidate", "date", "key", "pipeline", "label", "seed", "versions"}),
        "settings": without_search(job.settings).model_dump(mode="json"),
        "ranges": {name: list(values) for name, values in search.ranges.items()},
        "early": [day.isoformat() for day in job.features.window],
        "late": [day.isoformat() for day in job.features.holdout],
        "loss": task_of(job.label).loss_name,
    }


def _summarise(trials: Sequence[Trial]) -> list[JsonValue]:
    return [
        {"parameters": dict(trial.parameters), "loss": trial.loss if trial.losses else None, "refused": trial.refused}
        for trial in trials
    ]


def _add_costs(trials: Sequence[Trial]) -> float:
    return sum(trial.cpu_seconds for trial in trials)


def _address(job: TrainingJob, number: int) -> str:
    return f"{job.output.manifest.removesuffix('.json')}/{number}.json"


def _log(job: TrainingJob, trials: Sequence[Trial]) -> None:
    trial, name = trials[-1], label_of(task_of(job.label).loss_name)
    found = trial.refused or f"{name} {format_metric(trial.loss)}"
    log.info("Trial %s: %s: %s", trial.number, _describe(trial.parameters), found)


def _describe(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in parameters.items()) or "the parameters of the YAML"
