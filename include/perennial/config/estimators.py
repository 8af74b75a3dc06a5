"""The rules of estimators of scikit-learn in the YAML, as far as they need no scikit-learn: importing it takes seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_PATH = re.compile(r"sklearn(\.[a-z][a-z0-9_]*)+\.[A-Z][A-Za-z0-9]{0,60}")

KINDS: Mapping[str, str] = MappingProxyType({"binary": "classifier", "multiclass": "classifier", "regression": "regressor"})
"""The kind of estimator that each task needs."""

MANAGED: Mapping[str, str] = MappingProxyType(
    {
        "random_state": "Perennial sets it, to the seed of the training",
        "n_jobs": "Perennial trains on one thread",
        "verbose": "Perennial writes the log",
        "warm_start": "each training begins without an earlier one",
    }
)
"""Parameters that a pipeline cannot set, each with the reason."""

_NEGATIVE = "it refuses the negative numbers of the dense matrix. Use sklearn.naive_bayes.GaussianNB"
_NO_CONVERTER = "skl2onnx has no converter for it. Use sklearn.neighbors.KNeighborsClassifier or another classifier"
_OTHERS = "it is made of other estimators, which the YAML cannot name. Return it from a file: family: file"
_NO_REGRESSOR = "Use sklearn.neighbors.KNeighborsRegressor or another regressor"
_SEVERAL = "it predicts several labels at once. Use sklearn.linear_model.Lasso or ElasticNet"
NEGATIVE_LABELS = "it takes no negative labels, and a candidate learns labels that are scaled to both sides of 0"
_NO_PROBABILITY = "it has no predict_proba. Use sklearn.linear_model.LogisticRegression"

_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
            "skl2onnx cannot convert it. Use the family boosted, which is of the same kind",
        ),
        "LinearDiscriminantAnalysis": "its graph answers otherwise than it does, by up to 0.15. Use the family logistic",
        "GaussianProcessClassifier": "its graph needs the operator Solve, which ONNX does not have. Use mlp or "
        "sklearn.neighbors.KNeighborsClassifier",
        "CategoricalNB": _NEGATIVE,
        "ComplementNB": _NEGATIVE,
        "MultinomialNB": _NEGATIVE,
        **dict.fromkeys(
            ("DummyClassifier", "DummyRegressor"),
            "skl2onnx has no converter for it. The gate compares each model with the constant forecast",
        ),
        "GammaRegressor": f"{NEGATIVE_LABELS}. Use sklearn.linear_model.TweedieRegressor without power",
        "PoissonRegressor": f"{NEGATIVE_LABELS}. Use sklearn.linear_model.TweedieRegressor without power",
        "IsotonicRegression": "it learns from one column. Use boosted",
        "KernelRidge": "skl2onnx has no converter for it. Use sklearn.svm.SVR",
        "RadiusNeighborsRegressor": f"it has no answer for a row without neighbours. {_NO_REGRESSOR}",
        "TransformedTargetRegressor": "skl2onnx has no converter for it. Use its regressor: labels are scaled already",
        **dict.fromkeys(("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"), _SEVERAL),
        "LabelPropagation": _NO_CONVERTER,
        "LabelSpreading": _NO_CONVERTER,
        "RadiusNeighborsClassifier": "it has no answer for a row without neighbours. Use sklearn.neighbors.KNeighborsClassifier",
        "LinearSVC": _NO_PROBABILITY,
        "NearestCentroid": _NO_PROBABILITY,
        "PassiveAggressiveClassifier": _NO_PROBABILITY,
        "Perceptron": _NO_PROBABILITY,
        "RidgeClassifier": _NO_PROBABILITY,
        "RidgeClassifierCV": _NO_PROBABILITY,
        **dict.fromkeys(
            (
                "ClassifierChain",
                "FixedThresholdClassifier",
                "GridSearchCV",
                "HalvingGridSearchCV",
                "HalvingRandomSearchCV",
                "MultiOutputClassifier",
                "MultiOutputRegressor",
                "OneVsOneClassifier",
                "OneVsRestClassifier",
                "OutputCodeClassifier",
                "Pipeline",
                "RandomizedSearchCV",
                "RegressorChain",
                "SelfTrainingClassifier",
                "StackingClassifier",
                "StackingRegressor",
                "TunedThresholdClassifierCV",
                "VotingClassifier",
                "VotingRegressor",
            ),
            _OTHERS,
        ),
    }
)
"""Estimators that cannot become an exact graph, each with reason and remedy (scikit-learn 1.9, skl2onnx 1.20)."""


def check_estimator(path: str) -> str:
    """Return the import path of an estimator; raise ValueError if no estimator of scikit-learn can have it."""
    if not _PATH.fullmatch(path):
        raise ValueError(
            "expected the import path of a classifier or regressor of scikit-learn, such as "
            f"sklearn.ensemble.RandomForestClassifier, found {path[:80]!r}. Other code belongs in a file: family: file"
        )
    if reason := _REFUSED.get(path.rpartition(".")[2]):
        raise ValueError(f"{path} cannot be a candidate: {reason}")
    return path


def find_other_kind(path: str, task: str) -> str | None:
    """Return why an estimator is of the wrong kind for a task, by its name; None: it is not, or its name does not tell."""
    name = path.rpartition(".")[2]
    kinds = [kind for kind in dict.fromkeys(KINDS.values()) if name.removesuffix("CV").endswith(kind.title())]
    return f"{path} is a {kinds[0]}, and task: {task} needs a {KINDS[task]}" if kinds and KINDS[task] not in kinds else None


def check_parameter(value: Any) -> Any:
    """Return the value of a parameter: a text, a number, true, false, null, or a list of these."""
    for part in value if isinstance(value, list) else [value]:
        if not (part is None or isinstance(part, bool | int | str) or (isinstance(part, float) and math.isfinite(part))):
            raise ValueError("expected a text, a number, true, false, null, or a list of these")
    return value
