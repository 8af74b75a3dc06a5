"""The label of each task, and the settings that fit it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.config.load import load_pipeline, read_pipeline
from perennial.config.pipeline import BinaryLabel, NumberLabel, Pipeline
from perennial.errors import PipelineRefusedError

REPO = Path(__file__).resolve().parents[3]
MINUTES = {"column": "minutes", "predict": "median"}


def write(folder: Path, **changes: Any) -> Path:
    """Write the test pipeline with other settings, and return its file."""
    document = yaml.safe_load((REPO / "tests/pipelines/machine_faults/pipeline.yaml").read_text())
    document = {
        **document,
        "name": folder.name,
        "task": "regression",
        "label": MINUTES,
        "gate": {"floors": {"rows": 10}, "min_days": 2},
        **changes,
    }
    for name in ("features.sql", "sources/readings.sql", "analysis/faults_by_machine.sql"):
        source = REPO / "tests/pipelines/machine_faults" / name
        if source.exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(source.read_text())
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in document.items() if value is not None}))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a name that a pipeline may have."""
    made = tmp_path / "wear"
    made.mkdir()
    return made


def read(folder: Path, **changes: Any) -> Pipeline:
    return read_pipeline(write(folder, **changes))


@pytest.mark.parametrize(
    ("predict", "quantile", "candidates"),
    [
        ("mean", None, ["linear", "boosted", "mlp", "blend"]),
        ("median", 0.5, ["boosted", "mlp", "blend"]),
        ("quantile 0.9", 0.9, ["boosted", "mlp", "blend"]),
    ],
)
def test_a_regression_has_candidates_of_its_own(
    folder: Path, predict: str, quantile: float | None, candidates: list[str]
) -> None:
    training = {"window_days": 4, "holdout_days": 2, "min_days": 5}
    pipeline = read(folder, label={"column": "minutes", "predict": predict}, training=training)
    assert isinstance(pipeline.label, NumberLabel)
    assert pipeline.label.quantile == quantile
    assert list(pipeline.training.candidates) == candidates


def test_a_task_that_is_not_named_is_binary(folder: Path) -> None:
    pipeline = read(
        folder, task=None, label={"column": "fault"}, training={"min_days": 5, "holdout_days": 2}, gate={"min_days": 2}
    )
    assert pipeline.label == BinaryLabel(column="fault")
    assert list(pipeline.training.candidates) == ["logistic", "boosted", "mlp", "blend"]


TRAINING = {"window_days": 4, "holdout_days": 2, "min_days": 5}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label": {"column": "minutes"}}, "label.predict: missing"),
        (
            {"label": {"column": "minutes", "predict": "quantile 2"}},
            "label.predict: expected mean, median, or a quantile from 0.01 to 0.99 such as quantile 0.9, found 'quantile 2'",
        ),
        (
            {"label": {"column": "minutes", "predict": "mean", "positive": True}},
            "label.positive: unknown key. Allowed: column, known_after_days, predict, range",
        ),
        (
            {"task": "binary", "label": {"column": "fault", "predict": "mean"}},
            "label.predict: unknown key. Allowed: column, known_after_days, positive",
        ),
        ({"label": {"column": "minutes", "predict": "mean", "task": "binary"}}, "`task` belongs beside `label`"),
        ({"label": {**MINUTES, "range": [5, 1]}}, "label.range"),
        (
            {"training": {**TRAINING, "candidates": ["logistic"]}},
            "logistic cannot learn task: regression. Families that can: linear, mlp, xgboost, lightgbm, sklearn, keras, "
            "pytorch, file, blend",
        ),
        (
            {"training": {**TRAINING, "candidates": ["linear"]}},
            "linear predicts the mean, and label.predict is median. Families that can: mlp, xgboost, "
            "lightgbm, sklearn, keras, pytorch, file, blend",
        ),
        (
            {"training": {**TRAINING, "candidates": {"sklearn": {"estimator": "sklearn.ensemble.ExtraTreesClassifier"}}}},
            "sklearn.estimator: sklearn.ensemble.ExtraTreesClassifier is a classifier, and task: regression needs a regressor",
        ),
        (
            {
                "task": "binary",
                "label": {"column": "fault"},
                "training": {**TRAINING, "candidates": {"sklearn": {"estimator": "sklearn.ensemble.ExtraTreesRegressor"}}},
            },
            "sklearn.estimator: sklearn.ensemble.ExtraTreesRegressor is a regressor, and task: binary needs a classifier",
        ),
        (
            {"training": {**TRAINING, "candidates": ["boosted"], "max_rows": 100_000, "sample": "balanced"}},
            "balanced chooses rows by two classes, which task: regression has not",
        ),
        ({"gate": {"floors": {"roc_auc": 0.7}}}, "gate.floors.roc_auc: it does not apply to task: regression"),
        ({"gate": {"margin": {"log_loss": 0.1}}}, "gate.margin.log_loss: it does not apply to task: regression"),
        (
            {"task": "binary", "label": {"column": "fault"}, "gate": {"min_days": 2, "margin": {"skill": 0.1}}},
            "gate.margin.skill: it does not apply to task: binary",
        ),
    ],
    ids=str,
)
def test_refuses(folder: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PipelineRefusedError) as caught:
        read(folder, **changes)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("written", "read_as"), [("quantile .90", "quantile 0.9"), ("quantile 0.5", "median"), ("quantile 0.010", "quantile 0.01")]
)
def test_a_prediction_has_one_form(written: str, read_as: str) -> None:
    assert NumberLabel(column="minutes", predict=written).predict == read_as


@pytest.mark.parametrize("written", ["quantile 0.9999999999", "quantile 0.001", "quantile 0", "quantile 1", "mode"])
def test_a_quantile_that_few_rows_can_judge_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"from 0\.01 to 0\.99"):
        NumberLabel(column="minutes", predict=written)


def test_the_other_demos_are_valid() -> None:
    found = [load_pipeline(folder.name, folder.parent) for folder in (REPO / "include" / "demos").iterdir()]
    assert {one.name: one.task for one in found} == {"arrival_minutes": "regression", "rain_intensity": "multiclass"}
