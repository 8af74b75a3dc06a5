"""
Named experiments: the same history with other settings, in a separate space that production never reads.

The settings of an experiment do not affect clean rows, lookups and features.
So an experiment reads the pipeline's own tables, and adds the dates that its window needs to them.
Its models and decisions are separate. It runs without Airflow, and is never released.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.backfill.batch import split_batches
from perennial.clean.plan import finish_clean, plan_clean
from perennial.clean.refusals import refused_dates
from perennial.collect.collect import collect
from perennial.collect.drops import complete_dates
from perennial.config.candidates import unfit_candidates
from perennial.config.pipeline import Gate, NumberLabel, Pipeline, Training
from perennial.errors import DropRefusedError, PerennialError, RefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.evaluate.evaluate import evaluate
from perennial.evaluate.recorded import Evaluated
from perennial.lake.lake import Lake
from perennial.lake.layout import Layout
from perennial.lake.result import Skipped
from perennial.lake.tables import DATES_AT_ONCE, RowsReader
from perennial.runtime.choice import open_trainer
from perennial.spark.submit import submit
from perennial.stages import stages_of
from perennial.store.content_name import canonical_json
from perennial.train.work import plan_alone, plan_search

log = logging.getLogger(__name__)

PRODUCTION = "main"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
WEEK = 7
_MARGINS = {"binary": ("log_loss", "roc_auc"), "multiclass": ("skill", "roc_auc"), "regression": ("skill",)}


class ExperimentSettings(BaseModel):
    """The settings of an experiment; None: as in the pipeline. `margin` applies to each metric of the gate."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cadence: Literal["daily", "weekly", "monthly"] = "daily"
    window_days: int | None = None
    candidates: tuple[str, ...] | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """The decisions of an experiment by date, and the dates without a decision, each with the reason."""

    decisions: dict[date, Evaluated]
    without: dict[date, str]


def open_experiment(lake: Lake, name: str, settings: ExperimentSettings | None = None) -> Lake:
    """
    Return the lake of an experiment on a pipeline.

    With `settings`, create the experiment if it does not exist, or has other settings and has decided nothing.

    :raises RefusedError: the name is not valid, the experiment does not exist, or it has other settings
    """
    if not _NAME.fullmatch(name) or name == PRODUCTION:
        raise RefusedError(
            f"{name!r} is not a valid experiment name",
            remedy="Use up to 40 lower-case letters, digits and -, beginning with a letter; 'main' is production.",
        )
    layout = replace(lake.layout, space=name)
    if settings is not None:
        _apply(lake.pipeline, settings)  # refuse invalid settings before they are stored under the name
        if settings != _read_settings(lake, layout) and not read_chain(replace(lake, layout=layout)).entries:
            lake.objects.delete(layout.experiment)
        lake.objects.create(layout.experiment, canonical_json({"format": 1, **settings.model_dump(mode="json")}))
    if (existing := _read_settings(lake, layout)) is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r} has no experiment {name!r}", remedy="`perennial backfill … --as NAME` creates one."
        )
    if settings is not None and existing != settings:
        raise RefusedError(
            f"Experiment {name!r} has other settings: {_format_settings(existing)}, asked for {_format_settings(settings)}",
            remedy="Use another name: one name is one policy, so that its dates can be compared.",
        )
    return replace(lake, pipeline=_apply(lake.pipeline, existing), layout=layout)


def _read_settings(lake: Lake, layout: Layout) -> ExperimentSettings | None:
    """Return the stored settings of an experiment; None: it does not exist."""
    if (stored := lake.objects.read(layout.experiment)) is None:
        return None
    body: dict[str, Any] = stored.json()
    return ExperimentSettings.model_validate({key: value for key, value in body.items() if key != "format"})


def _require_settings(lake: Lake, experiment: Lake, name: str, settings: ExperimentSettings) -> None:
    """Refuse to decide under settings that another command has replaced, as it may until a date is decided."""
    if _read_settings(lake, experiment.layout) != settings:
        raise RefusedError(f"Experiment {name!r} has other settings now: another command started it", remedy="Use another name.")


def run_experiment(lake: Lake, name: str, settings: ExperimentSettings, first: date, last: date) -> ExperimentResult:
    """Train and judge the landed dates of an experiment from `first` to `last`. Existing results are kept."""
    experiment = open_experiment(lake, name, settings)
    shared = replace(lake, pipeline=experiment.pipeline)  # production's tables, with the window of the experiment
    calendar = lake.pipeline.calendar
    dates = calendar.dates(calendar.check(first), calendar.check(last))
    wanted = set(due_dates(settings, dates))
    landed = complete_dates(lake, dates)
    without = {day: "has not landed" for day in sorted(wanted - landed)}
    decisions: dict[date, Evaluated] = {}
    reader = RowsReader(DATES_AT_ONCE)
    for batch in split_batches(calendar, landed):
        without |= {day: reason for day, reason in _prepare(shared, batch).items() if day in wanted}
        ready = [day for day in batch if day in wanted and day not in without]
        without |= _train(experiment, ready, must_train=not decisions) if ready else {}
        for day in [day for day in ready if day not in without]:
            _require_settings(lake, experiment, name, settings)
            try:
                result = evaluate(experiment, day, run_id=f"experiment {name}", reader=reader)
            except PerennialError as error:
                without[day] = str(error)
                continue
            if isinstance(result, Skipped):
                without[day] = result.reason
            else:
                decisions[day] = result
        log.info("%s: decided %s of %s dates", name, len(decisions), len(wanted))
    return ExperimentResult(decisions, dict(sorted(without.items())))


def due_dates(settings: ExperimentSettings, dates: Sequence[date]) -> list[date]:
    """Return the dates on which the policy retrains: all, or the first of each month, or of each week from the first date on."""
    if settings.cadence == "daily" or not dates:
        return list(dates)

    def period(day: date) -> tuple[int, ...]:
        return (day.year, day.month) if settings.cadence == "monthly" else ((day - dates[0]).days // WEEK,)

    return [dates[0], *(day for before, day in pairwise(dates) if period(day) != period(before))]


def _prepare(lake: Lake, dates: Sequence[date]) -> dict[date, str]:
    """Compute the pipeline's tables that these dates need, and return the dates that are not ready, with the reason."""
    failed = _make_all_tables(lake, dates)
    features = lake.tables.state("features")
    missing = [day for day in dates if features.get(day) is None and day not in failed]
    return dict.fromkeys(missing, "it has no features: its drop changed during the run") | refused_dates(lake, missing) | failed


def _make_all_tables(lake: Lake, dates: Sequence[date]) -> dict[date, str]:
    """
    Compute the tables of these dates, and return the dates that failed or were not tried, with the reason.

    A refused Spark job does not name the date, so we try halves until the first bad date is alone.
    The dates before it are computed. The dates after it are not tried, because its rows are in their windows.
    """
    failed: dict[date, str] = {}
    todo, size = list(dates), len(dates)
    while todo:
        batch = todo[:size]
        try:
            _make_tables(lake, batch[0], batch[-1])
        except DropRefusedError as error:
            failed[todo.pop(0)] = str(error)
        except RefusedError as error:
            if len(batch) == 1:
                not_tried = dict.fromkeys(todo, f"not tried: the job of {batch[0]} is refused")
                return failed | not_tried | {batch[0]: str(error)}
            size = len(batch) // 2
        else:
            todo = todo[size:]
    return failed


def _make_tables(lake: Lake, first: date, last: date) -> None:
    collect(lake, first, last)
    submit(plan_clean(lake, first, until=last))
    finish_clean(lake, first)
    submit(plan_analyse(lake, first, until=last))
    finish_analyse(lake, first)


def _train(lake: Lake, days: Sequence[date], *, must_train: bool) -> dict[date, str]:
    """
    Train all candidates for some dates, and return the dates that failed, with the reason.

    If the trainings of all dates fail together, they are tried date by date.

    :param must_train: no date of the experiment has been trained before
    :raises PerennialError: with `must_train`, if the first two dates fail, or the only one: the others would fail, too
    """
    try:
        _train_together(lake, days)
    except PerennialError as error:
        if len(days) == 1:
            if must_train:
                raise
            return {days[0]: str(error)}
        log.warning("Training date by date, because the trainings of %s to %s failed: %s", days[0], days[-1], error)
    else:
        return {}
    failed: dict[date, str] = {}
    for day in days:
        try:
            _train_together(lake, [day])
        except PerennialError as error:
            failed[day] = str(error)
            if must_train and list(failed) == list(days[:2]):
                raise
    return failed


def _train_together(lake: Lake, days: Sequence[date]) -> None:
    trainer = open_trainer(lake, candidates_at_once=1)
    for candidate in [name for stage in stages_of(lake.pipeline) for name in stage.candidates(lake.pipeline)]:
        if (search := plan_search(lake, days, candidate, is_experiment=True)) is not None:
            trainer.train(search)
        if (work := plan_alone(lake, days, candidate)) is not None:
            trainer.train(work)


def _apply(pipeline: Pipeline, settings: ExperimentSettings) -> Pipeline:
    training, gate = pipeline.training.model_dump(mode="json"), pipeline.gate.model_dump(mode="json")
    if settings.window_days is not None:
        training["window_days"] = settings.window_days
        max_days = pipeline.calendar.data_days.max_within(settings.window_days) + training["holdout_days"]
        training["min_days"] = min(training["min_days"], max_days)
    if settings.candidates is not None:
        training["candidates"] = _choose(training["candidates"], settings.candidates)
    if settings.margin is not None:
        names = _MARGINS[pipeline.task]
        gate["margin"] = dict.fromkeys(names, settings.margin)
    try:
        new_training, new_gate = Training.model_validate(training), Gate.model_validate(gate)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
        raise RefusedError("The experiment's settings are not valid", problems) from None
    label = pipeline.label
    predict = label.predict if isinstance(label, NumberLabel) else None
    if unfit := [text for _, text in unfit_candidates(new_training.candidates, label.task, predict)]:
        raise RefusedError("The experiment's settings are not valid", unfit)
    return pipeline.model_copy(update={"training": new_training, "gate": new_gate})


def _choose(known: Mapping[str, dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the named candidates with their parameters. A blend is of those of its parts that are named."""
    chosen: dict[str, Any] = {name: known.get(name) for name in names}
    for name, settings in chosen.items():
        if settings is not None and "of" in settings:
            chosen[name] = {**settings, "of": [part for part in settings["of"] if part in chosen]}
    return chosen


def _format_settings(settings: ExperimentSettings) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.model_dump(mode="json", exclude_none=True).items())
