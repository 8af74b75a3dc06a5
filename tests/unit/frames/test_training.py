"""The rows of a training in Python are those that the file of a candidate gets from a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lab import HOLDOUT, LAST, ROWS, START, WINDOW, Lab, features_table, of_one_class
from sklearn.metrics import log_loss

import perennial
from perennial.config.candidates import File
from perennial.config.label import ClassesLabel, Label, NumberLabel
from perennial.errors import DateRefusedError, RefusedError
from perennial.frames.pipeline_data import PipelineData
from perennial.lake.lake import Lake
from perennial.train.__main__ import run_job
from perennial.train.author import Author
from perennial.train.author_code import Task, call
from perennial.train.needs import Limit, Limits
from perennial.train.plan import finish_training, plan_training

KEPT = """
import numpy
from sklearn.linear_model import LogisticRegression


def fit(rows, task, seed):
    numpy.savez({path!r}, x=rows.x, y=rows.y, late=rows.late)
    return LogisticRegression().fit(numpy.nan_to_num(rows.x), rows.y)
"""
"""It keeps the rows that it gets."""


def with_file(lake: Lake) -> Lake:
    training = lake.pipeline.training.model_copy(update={"candidates": {"own": File()}})
    return replace(lake, pipeline=lake.pipeline.model_copy(update={"training": training}))


def with_label(lake: Lake, label: Label) -> Lake:
    return replace(lake, pipeline=lake.pipeline.model_copy(update={"label": label}))


def test_they_are_the_rows_that_a_file_gets(lab: Lab, tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept.npz", lab.pipeline.folder / "candidates"
    folder.mkdir()
    (folder / "own.py").write_text(KEPT.format(path=str(kept)))
    lake = with_file(lab.lake)
    plan = plan_training(lake, LAST, "own")
    run_job(lake.objects, str(plan.job_uri))

    training = PipelineData(lake).training(LAST)
    with np.load(kept) as given:
        for name in given.files:
            assert np.array_equal(getattr(training.rows, name), given[name]), name
            assert getattr(training.rows, name).dtype == given[name].dtype
    assert (len(training.rows.y), len(training.holdout.y)) == (WINDOW * ROWS, HOLDOUT * ROWS)
    assert training.rows.late.any()
    assert training.task == Task("binary")

    # A model that is fitted here has the loss on the holdout that the gate would read.
    author = Author("candidates/own.py", (folder / "own.py").read_text())
    model = call(author, "fit", training.rows, training.task, 0)
    loss = log_loss(training.holdout.y, model.predict_proba(training.holdout.x)[:, 1])
    assert loss == pytest.approx(finish_training(lake, plan).to_json()["log_loss"], abs=1e-6)


def test_the_documented_example_runs(
    lab: Lab, documented: Callable[[str, str], list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = documented("docs/how-to/bring-your-own-model.md", "python")[3]
    monkeypatch.setattr(perennial, "open", {"machine_faults": PipelineData(lab.lake)}.__getitem__)
    exec(compile(text.replace("2026-03-07", LAST.isoformat()), "example", "exec"))  # noqa: S102
    assert f"<training on {WINDOW * ROWS} rows" in capsys.readouterr().out


def test_a_table_has_nulls_and_the_places_of_classes(lab: Lab) -> None:
    training = PipelineData(lab.lake).training(LAST, view="table")
    rows, holdout = training.rows, training.holdout
    assert [rows.columns[place] for place in rows.categories] == ["machine", "mode"]
    assert np.isnan(rows.x[:, rows.columns.index("pressure")]).any()
    assert set(rows.x[:, rows.categories[-1]]) == {0.0, 1.0, 2.0}
    assert (holdout.columns, holdout.categories) == (rows.columns, rows.categories)
    assert not holdout.late.any()


def test_a_number_is_scaled_and_its_holdout_likewise(lab: Lab) -> None:
    training = PipelineData(with_label(lab.lake, NumberLabel(column="temperature", predict="median"))).training(LAST)
    rows, holdout = training.rows, training.holdout
    assert training.task == Task("regression", "median", 0.5)
    assert rows.y.dtype == holdout.y.dtype == np.float32
    assert float(rows.y.std()) == pytest.approx(1, abs=1e-3)
    table = features_table()
    days = pa.array([LAST - timedelta(days=n) for n in range(HOLDOUT)])
    stored = table.filter(pa.compute.is_in(table["date"], days)).sort_by([("date", "ascending"), ("reading_id", "ascending")])
    assert np.allclose(holdout.y * rows.spread + rows.center, stored["temperature"].to_numpy(), atol=1e-4)


def test_a_class_that_the_window_lacks_has_no_place_in_the_holdout(lab: Lab) -> None:
    table = features_table()
    is_judged = pa.compute.greater_equal(table["date"], LAST - timedelta(days=HOLDOUT - 1))
    is_other = pa.compute.not_equal(table["mode"], "normal")
    lab.write_table("features", table.filter(pa.compute.or_(is_judged, is_other)), "date")
    label = ClassesLabel(column="mode", classes=["idle", "normal", "boost"])
    training = PipelineData(with_label(lab.lake, label)).training(LAST)
    assert training.task == Task("multiclass", outputs=2)
    assert set(training.rows.y) == {0, 1}
    expected = table.filter(is_judged)["mode"].to_pylist()
    assert sorted(training.holdout.y) == sorted({"idle": 0, "normal": -1, "boost": 1}[mode] for mode in expected)


def test_dates_without_a_training_are_refused_with_the_reason(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PipelineData(lab.lake)
    with pytest.raises(RefusedError, match=r"2026-03-03 has insufficient history: 3 of 8 days. training.min_days is 8"):
        data.training(START + timedelta(days=2))
    with pytest.raises(DateRefusedError, match="2026-02-28 is outside its dates"):
        data.training(START - timedelta(days=1))
    with pytest.raises(
        RefusedError, match=r"needs 2026-03-15, which no run has analysed with its present columns. Run `perennial run"
    ):
        data.training(LAST + timedelta(days=1))
    with pytest.raises(RefusedError, match=r"no view 'tabel'.*Did you mean 'table'"):
        data.training(LAST, view="tabel")
    small = Limits(Limit(10**12, "the disk has", "Free it"), Limit(1000, "this machine has", "Take a larger one"))
    with monkeypatch.context() as patch:
        patch.setattr(Limits, "of_machine", lambda: small)
        with pytest.raises(RefusedError, match=r"the training of 2026-03-14 does not fit.*all 480 rows of the window at once"):
            data.training(LAST)
    lab.write_table("features", of_one_class(LAST), "date")
    with pytest.raises(RefusedError, match="480 rows, all of them negative"):
        data.training(LAST)


def test_a_date_whose_history_is_not_analysed_yet_is_not_read_in_part(lab: Lab, s3: Any, land_drops: Callable[..., None]) -> None:
    land_drops(s3.put, lab.pipeline, START, LAST)
    table, gap = features_table(), LAST - timedelta(days=9)
    lab.write_table("features", table.filter(pa.compute.not_equal(table["date"], gap)), "date")
    with pytest.raises(RefusedError, match=f"training {LAST} needs {gap}, which no run has analysed with its present columns"):
        PipelineData(lab.lake).training(LAST)


def test_a_training_is_shown_in_a_line(lab: Lab) -> None:
    training = PipelineData(lab.lake).training(LAST, view="table")
    assert repr(training) == f"<training on {WINDOW * ROWS} rows, holdout of {HOLDOUT * ROWS}, 6 columns, binary>"
    assert len(repr(training.rows)) < 300
