"""Each family learns several classes: better than the constant forecast, and exactly as its library."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from authors import TRAINED, train
from sklearn.decomposition import PCA
from windows import GRADES, prepare, store_window, with_grade

from perennial.config.candidates import Logistic, XGBoost
from perennial.config.label import ClassesLabel
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import score
from perennial.tasks.task import task_of
from perennial.train import logistic, xgboost
from perennial.train import window as window_module
from perennial.train.blend import answerer, blend
from perennial.train.compare import MAX_DIFFERENCE, Rows, compare
from perennial.train.holdout import StoredHoldout
from perennial.train.model import train_model
from perennial.train.multinomial import fit_multinomial
from perennial.train.prepare import Examples, why_untrainable
from perennial.train.target import warn_of_target

MakeRows = Callable[..., pa.Table]
FIRST = date(2024, 2, 26)


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", TRAINED)
def test_each_family_beats_the_constant_and_answers_as_its_library(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, family: str
) -> None:
    window = store_window(tmp_path, with_grade(make_rows()), inputs, GRADES)
    model = train(family, window)
    buckets = (Rows(bucket.numbers, bucket.texts, str) for bucket in window.read())
    assert compare(model.onnx, model.answerer(), family, buckets) < MAX_DIFFERENCE / 5
    task, unseen = task_of(GRADES), with_grade(make_rows(seed=9))
    y, p = task.read_labels(unseen), score(model.onnx, unseen, inputs)
    assert p.shape == (480, 4)
    assert task.are_valid(y, p)
    np.testing.assert_allclose(p[:, 2], 1 / 484, rtol=1e-5)  # the window has no row of this class
    metrics = task.metrics(y, p, window.target.constant)
    assert float(metrics["skill"] or 0) > 0.15
    assert float(metrics["roc_auc"] or 0) > 0.75


def test_the_target_knows_the_classes_of_its_window(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = with_grade(make_rows())
    shares = [table["grade"].to_pylist().count(grade) / 480 for grade in GRADES.names]
    whole = store_window(tmp_path, table, inputs, GRADES).target
    monkeypatch.setattr(window_module, "BUCKET_ROWS", 64)
    window = store_window(tmp_path, table, inputs, GRADES)
    assert window.buckets > 4
    assert window.target == whole
    assert whole.present == (0, 1, 3)
    assert whole.constant == pytest.approx([share * 483 / 484 or 1 / 484 for share in shares])
    assert sum(whole.constant) == pytest.approx(1)  # type: ignore[arg-type]
    assert whole.scale(np.array([3, 0, 1])).tolist() == [2, 0, 1]
    assert warn_of_target(whole) == ["label grade: no row of the window has the class 'broken'"]


def test_logistic_has_the_weights_of_scikit_learn_in_any_number_of_buckets(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(window_module, "BUCKET_ROWS", 64)
    _, matrix = prepare(store_window(tmp_path, with_grade(make_rows()), inputs, GRADES))
    parts = list(matrix.read())
    x, y = np.concatenate([part.rows.columns for part in parts]), np.concatenate([part.y for part in parts])
    weights, _ = fit_multinomial(matrix, 0.3)
    expected = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000).fit(x.astype(float), y)
    np.testing.assert_allclose(weights[:-1].T, expected.coef_, atol=1e-4)
    np.testing.assert_allclose(weights[-1] - weights[-1].mean(), expected.intercept_ - expected.intercept_.mean(), atol=1e-4)


def test_wide_categories_have_the_same_weights_as_columns(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = with_grade(make_rows())
    columns = train_model(Logistic(C=0.3, bins=0), store_window(tmp_path, table, inputs, GRADES), seed=1)
    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", 0)
    codes = train_model(Logistic(C=0.3), store_window(tmp_path, table, inputs, GRADES), seed=1)
    assert codes.view.fitted.codes
    np.testing.assert_allclose(score(codes.onnx, table, inputs), score(columns.onnx, table, inputs), atol=2e-5)


def test_the_strength_follows_the_last_dates(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = with_grade(make_rows(days=8, per_day=300))
    for rows, expected in ((table, True), (table.slice(0, 40), False)):
        window = store_window(tmp_path, rows, inputs, GRADES, late=FIRST + timedelta(days=6))
        _, matrix = prepare(window)
        assert (logistic.choose_strengths(matrix)[0] > logistic.STRENGTHS[0]) is expected


def test_classes_of_a_category_are_in_the_order_of_their_first_principal_component(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scikit-learn's PCA gets a row of the shares of its site for each row of the table, so each site counts by its rows."""
    table = make_rows()
    bad = {"north": 0.9, "south": 0.1, "west": 0.5}
    drawn = np.random.default_rng(1).random((table.num_rows, 2))
    sites = table["site"].to_pylist()
    grades = [("bad" if a < bad[site] else "worn" if b < 0.3 else "good") for site, (a, b) in zip(sites, drawn, strict=True)]
    monkeypatch.setattr(window_module, "BUCKET_ROWS", 64)
    window = store_window(tmp_path, table.append_column("grade", pa.array(grades)), inputs, GRADES)
    shares = window.mean_labels()["site"]
    for site, found in shares.items():
        of_site = [grade for grade, at in zip(grades, sites, strict=True) if at == site]
        np.testing.assert_allclose(found, [of_site.count(grade) / len(of_site) for grade in ("good", "worn", "bad")])
    component = PCA(1).fit_transform(np.array([shares[site] for site in sites]))[:, 0]
    expected = sorted(bad, key=lambda site: float(component[sites.index(site)]))
    monkeypatch.setattr(xgboost, "MAX_SET_OF_CLASSES", 2)  # its splits are by order, and not by sets
    own = xgboost.prepare(window, XGBoost()).fitted.text_classes["site"].own
    assert own in (expected, expected[::-1])
    assert own == ["south", "west", "north"]


@pytest.mark.tensorflow
def test_a_blend_is_the_mean_of_the_logarithms(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    table = with_grade(make_rows())
    window = store_window(tmp_path, table, inputs, GRADES)
    models = [train(family, window).onnx for family in ("logistic", "xgboost", "mlp")]
    whole = blend(models, inputs.numbers, inputs.texts, GRADES)
    logs = np.mean([np.log(score(model, table, inputs)) for model in models], axis=0)
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(score(whole, table, inputs), expected, atol=1e-6)
    (bucket,) = window.read()
    found = answerer(models, GRADES)(bucket.numbers, bucket.texts)
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("rows", [0, 480])
def test_a_window_of_one_class_trains_nothing(inputs: Inputs, make_rows: MakeRows, tmp_path: Path, rows: int) -> None:
    table = make_rows().append_column("grade", pa.array(["worn"] * 480)).slice(0, rows)
    window = store_window(tmp_path, table, inputs, GRADES)
    reason = why_untrainable(Examples(window, StoredHoldout(None, 1, GRADES), 0, 0))
    found = "480 rows, all of them of the class 'worn'" if rows else "no rows with a label"
    assert reason is not None
    assert f"the training window has {found}. A model needs several classes" in reason


@pytest.mark.parametrize(
    ("classes", "values", "problem"),
    [
        (["a", "b"], ["a", "c", "c"], "2 of 3 rows have a label that is not in label.classes"),
        (["a", "b"], [1, 2, 3], "the column is of type int64, but label.classes are texts"),
        ([1, 2], ["1", "2"], "the column is of type string, but label.classes are whole numbers"),
        ([0, 1], [True, False], "the column is of type bool, but label.classes are whole numbers"),
        ([1, 2], [1.0, 2.0], "the column is of type double"),
        (["a", "b"], ["a", None], "1 of 2 rows have no label"),
    ],
)
def test_refuses_labels_that_are_no_classes(classes: list[str | int], values: list[object], problem: str) -> None:
    label = ClassesLabel(column="grade", classes=classes)
    with pytest.raises(RefusedError, match=problem):
        task_of(label).read_labels(pa.table({"grade": values}))


OF_TWO = """
def fit(rows, task, seed):
    return {}(n_estimators=2).fit(rows.x, rows.y == 1)
"""


@pytest.mark.parametrize(
    ("imported", "problem"),
    [
        ("from sklearn.ensemble import RandomForestClassifier as Model", "not fitted to the labels 0, 1 and 2"),
        ("from lightgbm import LGBMClassifier as Model", "the objective binary, expected multiclass"),
        ("from xgboost import XGBClassifier as Model", "the objective binary:logistic, expected multi:softprob"),
    ],
)
def test_refuses_a_model_of_two_classes(inputs: Inputs, make_rows: MakeRows, tmp_path: Path, imported: str, problem: str) -> None:
    window = store_window(tmp_path, with_grade(make_rows()), inputs, GRADES)
    with pytest.raises(RefusedError, match=problem):
        train("file", window, source=imported + OF_TWO.format("Model"))
