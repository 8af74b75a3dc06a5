"""Experiments: their names and settings, their dates, and that they are compared on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from lab import LAST, Lab, features_table, small_graph
from scripted_cluster import ScriptedCluster, exits
from steps import D1, D2, D3, decide, forced

from perennial.calendar import DataDays, days
from perennial.collect.collect import collect
from perennial.config.candidates import Blend
from perennial.config.label import ClassesLabel, Label, NumberLabel
from perennial.errors import DropRefusedError, RefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.experiments import experiment
from perennial.experiments.compare import compare
from perennial.experiments.experiment import ExperimentSettings, due_dates, open_experiment, run_experiment
from perennial.lake.lake import Lake
from perennial.models.metrics import log_loss
from perennial.models.scoring import score
from perennial.report.walk_forward import walk_forward
from perennial.runtime import pod_training
from perennial.runtime.pod_training import PodTrainer
from perennial.runtime.trainer import TrainingWork
from perennial.train.plan import plan_training
from perennial.train.work import plan_work


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Any]) -> Lake:
    found: Lake = s3.open_lake(pipeline_factory())
    return found


def test_an_experiment_blends_the_parts_that_it_names(s3: Any, pipeline_factory: Callable[..., Any]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["training"]["candidates"] = ["mlp", "logistic", "boosted", "blend"]

    lake = s3.open_lake(pipeline_factory(edit))
    own = open_experiment(lake, "pair", ExperimentSettings(candidates=("boosted", "logistic", "blend")))
    assert own.pipeline.training.candidates["blend"] == Blend(of=["logistic", "boosted"])
    with pytest.raises(RefusedError, match="needs two other candidates or more, found boosted"):
        open_experiment(lake, "alone", ExperimentSettings(candidates=("boosted", "blend")))


def test_an_experiment_changes_what_it_names_and_lives_apart(lake: Lake) -> None:
    settings = ExperimentSettings(window_days=2, candidates=("logistic",), margin=0.5)
    own = open_experiment(lake, "short-2", settings)
    assert (own.pipeline.training.window_days, list(own.pipeline.training.candidates)) == (2, ["logistic"])
    assert own.pipeline.training.min_days == 4  # no more than window and holdout together
    assert (own.pipeline.gate.margin.log_loss, own.pipeline.gate.margin.roc_auc) == (0.5, 0.5)
    assert own.layout.chain != lake.layout.chain
    assert own.tables is lake.tables
    assert open_experiment(lake, "short-2").pipeline == own.pipeline


def test_a_name_is_one_policy_once_it_has_decided(lab: Lab) -> None:
    open_experiment(lab.lake, "weekly", ExperimentSettings(candidates=("logistic",)))
    weekly = open_experiment(lab.lake, "weekly", ExperimentSettings(cadence="weekly"))
    assert list(weekly.pipeline.training.candidates) == list(lab.pipeline.training.candidates)
    forced(Lab(weekly, lab.catalog), D1, 0.1)
    with pytest.raises(RefusedError, match="has other settings: cadence weekly, asked for cadence weekly, window_days 60"):
        open_experiment(lab.lake, "weekly", ExperimentSettings(cadence="weekly", window_days=60))


@pytest.mark.parametrize("name", ["main", "Main", "a/b", "", "1st", "x" * 41, "../main"])
def test_names_that_are_none(lake: Lake, name: str) -> None:
    with pytest.raises(RefusedError, match="is not a valid experiment name"):
        open_experiment(lake, name, ExperimentSettings())


def test_an_experiment_that_nobody_made_is_named(lake: Lake) -> None:
    with pytest.raises(RefusedError, match="has no experiment 'weekly'"):
        open_experiment(lake, "weekly")


@pytest.mark.parametrize("settings", [{"window_days": 0}, {"candidates": ("forest",)}, {"margin": -1.0}, {"candidates": ()}])
def test_settings_that_a_pipeline_could_not_have(lake: Lake, settings: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="The experiment's settings"):
        open_experiment(lake, "odd", ExperimentSettings(**settings))
    with pytest.raises(RefusedError, match="has no experiment"):
        open_experiment(lake, "odd")


def test_on_kubernetes_each_candidate_of_an_experiment_trains_in_a_pod_of_its_own(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ScriptedCluster([exits(0)])
    monkeypatch.setattr(pod_training, "Cluster", lambda _: cluster)
    monkeypatch.setenv("PERENNIAL_RUNTIME", "kubernetes")
    monkeypatch.setenv("PERENNIAL_TRAINER_IMAGE", "perennial-trainer:1")
    own = open_experiment(lab.lake, "as-it-is", ExperimentSettings())
    some = [LAST - timedelta(days=1), LAST]

    experiment._train(own, some, must_train=True)

    arguments = [pod["spec"]["containers"][0]["args"][:4] for pod in cluster.made]
    plans = [[plan_training(own, day, candidate) for day in some] for candidate in own.pipeline.training.candidates]
    assert arguments == [["--job", str(first.job_uri), "--job", str(last.job_uri)] for first, last in plans]
    # Production's pod would write the same model into another space.
    _, work = plan_work(lab.lake, LAST, "mlp")
    assert work is not None
    assert work.key == plans[0][1].key
    assert PodTrainer(lab.lake).make_body(work)["metadata"]["name"] not in {pod["metadata"]["name"] for pod in cluster.made}


def test_when_a_policy_retrains() -> None:
    first, last = date(2013, 2, 12), date(2013, 4, 3)
    assert due_dates(ExperimentSettings(), list(days(first, last))) == list(days(first, last))
    assert due_dates(ExperimentSettings(cadence="weekly"), list(days(first, date(2013, 2, 27)))) == [
        first,
        date(2013, 2, 19),
        date(2013, 2, 26),
    ]
    assert due_dates(ExperimentSettings(cadence="monthly"), list(days(first, last))) == [
        first,
        date(2013, 3, 1),
        date(2013, 4, 1),
    ]


def test_a_policy_retrains_on_dates_with_data() -> None:
    """Weekly: the first of each week from the first date on; monthly: the first of each month."""
    dates = DataDays(frozenset(range(4))).dates(date(2013, 2, 14), date(2013, 4, 30))
    weekly = due_dates(ExperimentSettings(cadence="weekly"), dates)
    assert weekly[:3] == [date(2013, 2, 14), date(2013, 2, 21), date(2013, 2, 28)]
    assert due_dates(ExperimentSettings(cadence="monthly"), dates) == [date(2013, 2, 14), date(2013, 3, 4), date(2013, 4, 1)]
    assert due_dates(ExperimentSettings(cadence="weekly"), [date(2013, 2, 14), date(2013, 2, 25), date(2013, 2, 26)]) == [
        date(2013, 2, 14),
        date(2013, 2, 25),
    ]


def test_policies_are_compared_on_the_dates_that_all_have_a_champion_for(lab: Lab) -> None:
    seldom = Lab(open_experiment(lab.lake, "seldom", ExperimentSettings()), lab.catalog)
    forced(lab, D1, 0.1)
    decide(lab, D2, 0.05)
    forced(seldom, D2, 0.02)
    found = compare({"main": lab.lake, "seldom": seldom.lake}, D1, LAST)
    table = features_table()
    rows = table.filter(pc.greater(table["date"], D2))
    y = np.array(rows["fault"].to_pylist(), dtype=int)
    expected = {
        name: log_loss(y, score(small_graph(w, lab.pipeline.inputs), rows, lab.pipeline.inputs))
        for name, w in (("main", 0.1), ("seldom", 0.02))
    }
    assert found.dates == (LAST - D2).days
    assert [one.name for one in found.policies] == sorted(expected, key=lambda name: expected[name])
    assert {one.name: one.score.loss for one in found.policies} == pytest.approx(expected)
    best, other = found.policies
    assert best.worse is None
    assert other.worse is not None
    assert other.worse.mid == pytest.approx(expected[other.name] - expected[best.name])
    assert other.worse.low < other.worse.mid < other.worse.high
    assert {one.name: (one.decided, one.promotions, one.trainings) for one in found.policies} == {
        "main": (2, 1, 4),
        "seldom": (1, 1, 2),
    }
    assert read_chain(lab.lake).days == [D1, D2]


def test_without_a_common_date_nothing_is_compared(lab: Lab) -> None:
    forced(lab, D1, 0.1)
    seldom = Lab(open_experiment(lab.lake, "seldom", ExperimentSettings()), lab.catalog)

    def problems() -> list[str]:
        with pytest.raises(RefusedError, match="on which all policies have a champion") as refused:
            compare({"main": lab.lake, "seldom": seldom.lake}, D1, D2)
        return list(refused.value.problems)

    main = f"main: decided dates: 1; its first champion is of {D1}"
    assert problems() == [main, "seldom: decided dates: 0; no champion"]
    forced(seldom, D2, 0.02)  # predicts the dates after its own
    assert problems() == [main, f"seldom: decided dates: 1; its first champion is of {D2}"]


@pytest.mark.parametrize(
    "label",
    [
        NumberLabel(column="temperature", predict="mean", known_after_days=2),
        ClassesLabel(column="mode", classes=["idle", "normal", "boost"], known_after_days=2),
    ],
    ids=["number", "classes"],
)
def test_dates_whose_labels_are_not_known_yet_are_left_out(lab: Lab, label: Label) -> None:
    forced(lab, D1, 0.1)
    lake = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"label": label}))
    with pytest.raises(RefusedError, match="on which all policies have a champion"):
        compare({"main": lake, "same": lake}, D2, D3)
    assert [day.labelled for day in walk_forward(lake, D1, D1).days] == [0]


DATES = list(days(date(2026, 3, 1), date(2026, 3, 16)))


@pytest.fixture
def jobs(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> list[tuple[date, date]]:
    """Let `_make_tables` be a list of the ranges it was asked for: no Spark here."""
    asked: list[tuple[date, date]] = []
    monkeypatch.setattr(lake.tables, "state", lambda _: dict.fromkeys(DATES, "made"))
    return asked


def refuse(monkeypatch: pytest.MonkeyPatch, jobs: list[tuple[date, date]], bad: date, error: RefusedError) -> None:
    def make(_: Lake, first: date, last: date) -> None:
        jobs.append((first, last))
        if first <= bad <= last and (isinstance(error, DropRefusedError) is (first == bad) or type(error) is RefusedError):
            raise error

    monkeypatch.setattr(experiment, "_make_tables", make)


@pytest.mark.parametrize("bad", [DATES[0], DATES[6], DATES[-1]])
def test_a_refused_spark_job_is_narrowed_to_its_first_date_and_what_is_before_it_is_made(
    lake: Lake, jobs: list[tuple[date, date]], monkeypatch: pytest.MonkeyPatch, bad: date
) -> None:
    refuse(monkeypatch, jobs, bad, RefusedError("features.sql: division by zero"))
    found = experiment._prepare(lake, DATES)
    assert found.pop(bad) == "features.sql: division by zero"
    assert found == {day: f"not tried: the job of {bad} is refused" for day in DATES if day > bad}
    assert len(jobs) <= 12, jobs
    made = {day for first, last in jobs if last < bad for day in days(first, last)}
    assert made == {day for day in DATES if day < bad}


def test_a_refused_drop_costs_its_own_date_only(
    lake: Lake, jobs: list[tuple[date, date]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, jobs, DATES[0], DropRefusedError("half uploaded"))
    assert experiment._prepare(lake, DATES) == {DATES[0]: "half uploaded"}
    assert jobs == [(DATES[0], DATES[-1]), (DATES[1], DATES[-1])]


def test_a_date_without_features_is_named_with_its_true_reason(
    lab: Lab, s3: Any, land_drops: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two dates without features, one is refused in collect; the drop of the other was replaced while the job ran."""
    refused, replaced = LAST + timedelta(days=1), LAST + timedelta(days=2)
    land_drops(s3.put, lab.pipeline, LAST, replaced)
    s3.put(lab.pipeline.sources["readings"].drop_uri(refused) + "readings-1.csv", b"half")

    def make(lake: Lake, first: date, last: date) -> None:
        collect(lake, first, last)

    monkeypatch.setattr(experiment, "_make_tables", make)
    assert experiment._prepare(lab.lake, [LAST, refused, replaced]) == {
        refused: "its drop of readings is refused",
        replaced: "it has no features: its drop changed during the run",
    }


def test_dates_on_which_a_policy_does_not_retrain_are_not_missed(
    lake: Lake, jobs: list[tuple[date, date]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, jobs, DATES[0], RefusedError("features.sql: division by zero"))
    monkeypatch.setattr(experiment, "complete_dates", lambda _, dates: set(dates))
    found = run_experiment(lake, "weekly", ExperimentSettings(cadence="weekly"), DATES[0], DATES[-1])
    assert found.decisions == {}
    assert list(found.without) == [DATES[0], DATES[7], DATES[14]]


class FailingTrainer:
    """Trains nothing, and fails if some dates are among those to train."""

    def __init__(self, *bad: date) -> None:
        self.bad = {day.isoformat() for day in bad}
        self.trained: list[tuple[str, str]] = []

    def train(self, work: TrainingWork) -> None:
        if found := sorted(day for day in self.bad if any(f"/{day}/" in uri for uri in work.manifests)):
            raise RefusedError(f"no solution for {found[0]}")
        self.trained += [(work.candidate, uri) for uri in work.manifests]


def test_a_refused_training_costs_its_own_date_only(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = FailingTrainer(D2)
    monkeypatch.setattr(experiment, "open_trainer", lambda lake, candidates_at_once: trainer)
    assert experiment._train(lab.lake, [D1, D2, D3], must_train=True) == {D2: f"no solution for {D2}"}
    assert {candidate for candidate, _ in trainer.trained} == {"mlp", "logistic"}
    trainer = FailingTrainer(D1, D2, D3)
    with pytest.raises(RefusedError, match=f"no solution for {D2}"):
        experiment._train(lab.lake, [D1, D2, D3], must_train=True)
    with pytest.raises(RefusedError, match=f"no solution for {D3}"):
        experiment._train(lab.lake, [D3], must_train=True)
    assert experiment._train(lab.lake, [D3], must_train=False) == {D3: f"no solution for {D3}"}


def test_settings_that_another_command_has_replaced_decide_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment that has decided nothing takes other settings, also while it trains."""
    monkeypatch.setattr(experiment, "complete_dates", lambda lake, dates: set(dates))
    monkeypatch.setattr(experiment, "_prepare", lambda lake, batch: {})

    def train(lake: Lake, days: list[date], *, must_train: bool) -> dict[date, str]:
        open_experiment(lab.lake, "trial", ExperimentSettings(margin=0.5))
        return {}

    monkeypatch.setattr(experiment, "_train", train)
    with pytest.raises(RefusedError, match="'trial' has other settings now"):
        run_experiment(lab.lake, "trial", ExperimentSettings(), D1, D2)
    assert read_chain(open_experiment(lab.lake, "trial")).entries == {}
