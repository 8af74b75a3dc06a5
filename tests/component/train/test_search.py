"""The search for parameters of a candidate, from the plan to the training that uses them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from lab import LAST, START, Lab, features_table

from perennial.config.label import ClassesLabel, NumberLabel
from perennial.config.pipeline import Training
from perennial.errors import RefusedError
from perennial.lake.lake import Lake
from perennial.lake.sample import SAMPLE
from perennial.runtime import process_training
from perennial.runtime.process_training import ProcessTrainer
from perennial.runtime.trainer import trainer_arguments
from perennial.settings import training_environment
from perennial.stages import Run, stages_of
from perennial.train import __main__ as trainer_module
from perennial.train import search as search_module
from perennial.train.job import read_job
from perennial.train.plan import plan_searches, plan_training
from perennial.train.scratch import Scratch, ScratchFullError
from perennial.train.search_outcome import stopped_address
from perennial.train.search_record import search_records
from perennial.train.trainings import read_model
from perennial.train.work import plan_search, plan_work

EVERY = 3
SEARCHED = date(2026, 3, 13)
"""The date of the search whose parameters LAST has: the periods begin on START, a day before."""

RANGES = {"learning_rate": [0.01, 0.5], "max_depth": [2, 3, 4], "trees": [5, 20]}
SEARCH: dict[str, Any] = {"trials": 4, "every_days": EVERY, "ranges": RANGES}


@pytest.fixture
def lake_with(lab: Lab) -> Callable[..., Lake]:
    """Return a function that makes a lake whose only candidate searches like this."""

    def make(search: Any, **parameters: Any) -> Lake:
        values = {"window_days": 12, "holdout_days": 1, "min_days": 3, "lookback_days": 0}
        candidates = {"boosted": {"trees": 5, "search": search, **parameters}}
        training = Training.model_validate({**values, "candidates": candidates})
        return replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"training": training}))

    return make


def train(lake: Lake, day: date = LAST, until: date | None = None) -> Any:
    """Search and train as the stage train does, but in this process, and return the model's manifest."""
    dates = lake.pipeline.calendar.dates(day, until or day)
    searches = plan_search(lake, dates, "boosted")
    for job in searches.jobs if searches else []:
        trainer_module.run_job(lake.objects, job)
    _, work = plan_work(lake, day, "boosted", until=until)
    for job in work.jobs if work else []:
        trainer_module.run_job(lake.objects, job)
    return model_of(lake, day)


def model_of(lake: Lake, day: date = LAST) -> Any:
    return read_model(lake, str(plan_training(lake, day, "boosted").manifest_uri))


def search(lake: Lake, day: date = LAST) -> tuple[str, Any]:
    """Run the search for a date in this process, and return the address of its result and the result."""
    (planned,) = plan_searches(lake, [day], "boosted")
    trainer_module.run_job(lake.objects, planned.job)
    stored = lake.objects.read(planned.result)
    return planned.result, None if stored is None else stored.json()


def without_costs(value: Any) -> Any:
    return {**value, "measured": None}


def objects_of(lake: Lake) -> dict[str, Any]:
    """Return everything that searches have stored, without what it cost."""
    stored = lake.objects.list(lake.layout.searches("boosted"))
    return {uri: without_costs(lake.objects.read_existing(uri).json()) for uri in stored}


def forget(lake: Lake) -> None:
    for uri in list(lake.objects.list(lake.layout.searches("boosted"))):
        lake.objects.delete(uri)


def test_a_date_is_trained_with_the_parameters_of_the_search_of_its_period(
    lake_with: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_with(SEARCH)

    def train_here(jobs: Sequence[str], **_: Any) -> None:  # two processes would only take longer
        for job in jobs:
            trainer_module.run_job(lake.objects, job)

    monkeypatch.setattr(process_training, "train", train_here)
    pending = plan_training(lake, LAST, "boosted")
    assert (pending.jobs, pending.searches_on) == ([], SEARCHED)
    next(stage for stage in stages_of(lake.pipeline) if stage.name == "train").run(Run(lake, LAST, "test"), "boosted")
    model = model_of(lake)
    (result,) = [
        value for uri, value in objects_of(lake).items() if uri.count("/") == lake.layout.searches("boosted").count("/") + 1
    ]
    assert result["date"] == SEARCHED.isoformat()
    assert [trial["parameters"].keys() for trial in result["trials"]] == [set(), *[RANGES.keys()] * 3]
    assert result["chosen"] == result["trials"][result["best"]]["parameters"] != {}
    assert result["gain"] > result["error"]
    assert {name: model["settings"][name] for name in RANGES} == result["chosen"]
    assert "search" not in model["settings"]
    again = plan_training(lake, LAST, "boosted")
    assert again.unchanged
    assert again.key != pending.key


def test_a_search_learns_from_the_dates_that_all_windows_of_its_period_share(lab: Lab, lake_with: Callable[..., Lake]) -> None:
    lake = lake_with(SEARCH)
    (planned,) = plan_searches(lake, [LAST], "boosted")
    job = read_job(lake.objects, planned.job)
    assert (job.features.window[0], job.features.window[-1]) == (date(2026, 3, 3), date(2026, 3, 9))
    assert job.features.holdout == [date(2026, 3, 10), date(2026, 3, 11), date(2026, 3, 12)]
    # The last date of the period never reads 1 March: without it, the search is the same.
    table = features_table()
    lab.write_table("features", table.filter(pa.compute.greater(table["date"], START)), "date")
    assert plan_searches(lake, [LAST], "boosted")[0].key == planned.key
    lab.correct(job.features.window[0])
    assert plan_searches(lake, [LAST], "boosted")[0].key != planned.key


def test_a_search_never_reads_the_holdout(lab: Lab, lake_with: Callable[..., Lake]) -> None:
    lake = lake_with(SEARCH)
    address, clean = search(lake)
    forget(lake)
    table = features_table()
    judged = pa.compute.greater(table["date"], SEARCHED - timedelta(days=1))
    poisoned = pa.compute.if_else(judged, pa.compute.invert(table["fault"]), table["fault"])
    lab.write_table("features", table.set_column(table.schema.get_field_index("fault"), "fault", poisoned), "date")
    assert search(lake)[0] == address
    assert without_costs(lake.objects.read_existing(address).json()) == without_costs(clean)


def test_a_search_knows_no_label_that_its_date_does_not_know(lab: Lab, lake_with: Callable[..., Lake]) -> None:
    lake = lake_with({**SEARCH, "trials": 2})
    late = lake.pipeline.model_copy(update={"label": lake.pipeline.label.model_copy(update={"known_after_days": 1})})
    lab.write_table("labels", features_table().select(["date", "reading_id", "fault", SAMPLE]), "date")
    lab.write_table("features", features_table().drop_columns("fault"), "date")
    lake = replace(lake, pipeline=late)
    (planned,) = plan_searches(lake, [LAST], "boosted")
    job = read_job(lake.objects, planned.job)
    # The labels of 13 March are not known on that date, and 12 March is its holdout.
    assert job.features.holdout[-1] == SEARCHED - timedelta(days=2)
    assert job.labels is not None
    assert len(search(lake)[1]["trials"]) == 2


@pytest.mark.parametrize(
    ("label", "loss"),
    [
        (ClassesLabel(column="mode", classes=["idle", "normal", "boost"]), "log_loss"),
        (NumberLabel(column="temperature", predict="median"), "absolute_error"),
        (NumberLabel(column="temperature", predict="median", interval=0.9), "absolute_error"),
    ],
    ids=["multiclass", "regression", "interval"],
)
def test_a_search_compares_the_loss_of_its_task(lake_with: Callable[..., Lake], label: Any, loss: str) -> None:
    lake = lake_with({**SEARCH, "trials": 2})
    _, result = search(replace(lake, pipeline=lake.pipeline.model_copy(update={"label": label})))
    assert result["loss"] == loss
    # Both labels are among the inputs, so more trees always gain.
    assert result["chosen"] != {}


def test_two_searches_at_once_agree(lake_with: Callable[..., Lake]) -> None:
    lake = lake_with(SEARCH)
    (planned,) = plan_searches(lake, [LAST], "boosted")
    with ThreadPoolExecutor(2) as pool:
        for ended in [pool.submit(trainer_module.run_job, lake.objects, planned.job) for _ in range(2)]:
            ended.result()
    assert len(objects_of(lake)) == 1 + SEARCH["trials"]


def test_a_killed_search_resumes_and_has_the_result_of_one_that_was_not(lake_with: Callable[..., Lake]) -> None:
    lake = lake_with({**SEARCH, "trials": 9, "ranges": {**RANGES, "trees": [300, 400]}})
    (planned,) = plan_searches(lake, [LAST], "boosted")
    command = [sys.executable, "-m", "perennial.train", *trainer_arguments([planned.job])]
    with subprocess.Popen(command, env={**os.environ, **training_environment()}, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(objects_of(lake)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    stored = objects_of(lake)
    assert 3 <= len(stored) < 9
    assert planned.result not in stored
    search(lake)
    resumed = objects_of(lake)
    assert stored.items() <= resumed.items()
    forget(lake)
    search(lake)
    assert objects_of(lake) == resumed


def test_a_batch_searches_once_for_each_period_and_gives_what_each_date_gives_alone(lake_with: Callable[..., Lake]) -> None:
    lake = lake_with({**SEARCH, "trials": 2})
    first = SEARCHED - timedelta(days=2)
    dates = [first + timedelta(days=offset) for offset in range((LAST - first).days + 1)]
    work = plan_search(lake, dates, "boosted")
    assert work is not None
    assert (len(work.jobs), work.has_ahead, work.is_search) == (2, True, True)
    train(lake, first, until=LAST)
    together = {day: without_costs(model_of(lake, day)) for day in dates}
    for day in reversed(dates):
        for uri in [*lake.objects.list(lake.layout.searches("boosted")), *lake.objects.list(f"{lake.layout.root}/models/")]:
            lake.objects.delete(uri)
        assert without_costs(train(lake, day)) == together[day]


def test_the_parameters_of_the_yaml_stay_if_no_trial_is_clearly_better(lake_with: Callable[..., Lake]) -> None:
    worse = {"trials": 3, "every_days": EVERY, "ranges": {"learning_rate": [0.9, 1.0]}}
    lake = lake_with(worse, trees=60)
    _, result = search(lake)
    assert result["chosen"] == {}
    assert result["gain"] <= result["error"]
    # Without a search the candidate has the same model.
    assert plan_training(lake, LAST, "boosted").key == plan_training(lake_with(None, trees=60), LAST, "boosted").key


def test_a_search_that_chose_is_compared_on_the_holdout_of_its_date(lake_with: Callable[..., Lake]) -> None:
    lake = lake_with(SEARCH)
    assert search_records(lake, SEARCHED, LAST) == []
    chosen = train(lake, SEARCHED)
    (record,) = search_records(lake, SEARCHED, LAST)
    assert (record.candidate, record.date, record.trials, record.stopped) == ("boosted", SEARCHED, 4, False)
    assert record.chosen.keys() == RANGES.keys()
    assert record.gain > record.error > 0
    assert record.holdout_chosen == chosen["metrics"]["log_loss"]
    plain = train(lake_with(None), SEARCHED)  # it is there already
    assert record.holdout_yaml == plain["metrics"]["log_loss"]
    assert record.cells[:3] == ["boosted", "2026-03-13", "4"]
    assert record.cells[5:7] == [f"{record.holdout_yaml:.4f}", f"{record.holdout_chosen:.4f}"]


@pytest.fixture
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each trial cost one CPU second."""
    ticks = iter(range(10_000))
    clock = type("Clock", (), {"process_time": staticmethod(lambda: float(next(ticks)))})
    monkeypatch.setattr(search_module, "time", clock)


@pytest.mark.usefixtures("costly")
def test_a_limit_of_cpu_seconds_ends_a_search_without_a_result_and_a_higher_one_resumes_it(
    lake_with: Callable[..., Lake], caplog: pytest.LogCaptureFixture
) -> None:
    lake = lake_with({**SEARCH, "cpu_seconds": 3})
    address, result = search(lake)
    assert result is None
    assert "Stopped after 3 trials and 3 CPU seconds" in caplog.text
    record = lake.objects.read_existing(stopped_address(address, 3)).json()
    assert (record["stopped"], len(record["trials"]), record["chosen"]) == (True, 3, {})
    (shown,) = search_records(lake, LAST, LAST)
    assert shown.cells[2:5] == ["stopped after 3", "those of the YAML", None]
    stopped = plan_training(lake, LAST, "boosted")
    assert stopped.key == plan_training(lake_with(None), LAST, "boosted").key
    assert plan_search(lake, [LAST], "boosted") is None
    raised = lake_with({**SEARCH, "cpu_seconds": 100})
    assert plan_training(raised, LAST, "boosted").searches_on == SEARCHED
    with caplog.at_level("INFO"):
        _, result = search(raised)
    assert "Resuming after 3 trials" in caplog.text
    assert (len(result["trials"]), result["chosen"] != {}) == (4, True)
    # The result counts for every limit.
    assert plan_training(lake, LAST, "boosted").key == plan_training(raised, LAST, "boosted").key != stopped.key


def test_the_work_of_a_search_that_was_stopped_is_done(lake_with: Callable[..., Lake]) -> None:
    """A real trainer process runs it: its second trial would begin above the limit."""
    lake = lake_with({**SEARCH, "cpu_seconds": 1, "trials": 200})
    work = plan_search(lake, [LAST], "boosted")
    assert work is not None
    ProcessTrainer(lake).train(work)
    assert not lake.objects.exists(work.manifests[0])
    assert plan_search(lake, [LAST], "boosted") is None


def test_a_full_scratch_disk_ends_a_search_and_refuses_no_trial(
    lake_with: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_with(SEARCH)
    (planned,) = plan_searches(lake, [LAST], "boosted")

    def fail(*_: Any) -> None:
        raise ScratchFullError("The scratch disk of the training is too small")

    with monkeypatch.context() as patch:
        patch.setattr("perennial.train.model.store_matrix", fail)
        with pytest.raises(ScratchFullError):
            trainer_module.run_job(lake.objects, planned.job)
    assert list(lake.objects.list(lake.layout.searches("boosted"))) == []
    _, result = search(lake)
    assert [trial["refused"] for trial in result["trials"]] == [None] * SEARCH["trials"]


def test_a_trial_above_the_limit_of_scratch_is_refused_and_the_search_goes_on(lake_with: Callable[..., Lake]) -> None:
    lake = lake_with(SEARCH)
    (planned,) = plan_searches(lake, [LAST], "boosted")
    calls = iter([None, RefusedError("The scratch disk of the training is too small")])

    def check(scratch: Scratch, content: str, rows: int, row_bytes: int) -> None:
        """Refuse the matrix of the second trial, as the limit of the pipeline does."""
        if content == "its matrix" and (error := next(calls, None)) is not None:
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scratch, "check", check)
        trainer_module.run_job(lake.objects, planned.job)
    result = lake.objects.read_existing(planned.result).json()
    assert ["too small" in (trial["refused"] or "") for trial in result["trials"]] == [False, True, False, False]


@pytest.mark.usefixtures("costly")
def test_a_search_that_was_stopped_keeps_what_the_one_before_chose(lake_with: Callable[..., Lake]) -> None:
    before = SEARCHED - timedelta(days=EVERY)
    _, chosen = search(lake_with(SEARCH), before)
    lake = lake_with({**SEARCH, "cpu_seconds": 1})
    search(lake)
    assert chosen["chosen"] != {}
    _, work = plan_work(lake, LAST, "boosted")
    assert work is not None
    settings: Any = read_job(lake.objects, work.jobs[0]).settings
    assert {name: getattr(settings, name) for name in RANGES} == chosen["chosen"]
