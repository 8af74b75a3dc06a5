"""The family `file`: a model that `fit(rows, task, seed)` of the pipeline's `candidates/<name>.py` returns."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.config.estimators import KINDS
from perennial.train.author import Author
from perennial.train.author_code import AuthorRows, Task, call, failures_of, imports_one_of, refuse_result
from perennial.train.estimators import Classifier, Regressor, on_one_thread, seed_libraries
from perennial.train.preprocess import fit_preprocessing
from perennial.train.reproducible import fit_reproducibly
from perennial.train.trees import Trees
from perennial.train.views import Dense, Table, View

if TYPE_CHECKING:
    from perennial.config.candidates import File
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.model import Fitted
    from perennial.train.target import Target
    from perennial.train.window import Window

log = logging.getLogger(__name__)

_FIT = "Fit it, and use estimators and steps of scikit-learn itself: a class of your own cannot become a graph."

_LIGHTGBM = {
    "binary": ("binary",),
    "multiclass": ("multiclass",),
    "regression": ("regression", "regression_l1", "quantile"),
}
_XGBOOST = {
    "binary": ("binary:logistic",),
    "multiclass": ("multi:softprob",),
    "regression": ("reg:squarederror", "reg:absoluteerror", "reg:quantileerror"),
}
"""Objectives by task."""


def prepare(window: Window, settings: File) -> View:
    """Return the view of a row that the candidate asks for."""
    return (Table if settings.view == "table" else Dense)(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: File,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
    author: Author | None = None,
) -> Fitted:
    """Call the author's `fit` with all rows at once, on one thread. It ignores checkpoints and other weights."""
    if author is None:
        raise ValueError("a candidate of this family needs its author's file")
    train = partial(_fit, seed=seed, author=author)
    return fit_reproducibly(train, train, rows, author)


def _fit(rows: MatrixFiles, seed: int, author: Author) -> Fitted:
    if imports_one_of(author, "keras", "tensorflow"):
        from perennial.train.keras_training import load_keras

        load_keras().utils.set_random_seed(seed)
    width, target = len(rows.names), rows.window.target
    given = rows_of(rows)
    seed_libraries(seed)
    with on_one_thread():
        model = call(author, "fit", given, Task.of(target), seed)
        log.info("%s: %s on %s rows", author.file, type(model).__name__, rows.rows)
        with failures_of(author):
            return _read(model, width, target, author)


def rows_of(files: MatrixFiles) -> AuthorRows:
    """Return all rows of a window as `fit` gets them."""
    whole, width, target = files.read_whole(), len(files.names), files.window.target
    categories = tuple(range(width - len(files.categories) - len(files.sizes), width))
    y = whole.y.astype(np.int64) if target.is_classes else whole.y  # skl2onnx cannot convert classes of int8
    return AuthorRows(whole.rows.columns, y, whole.late, files.names, categories, target.center, target.spread)


def _read(model: Any, width: int, target: Target, author: Author) -> Fitted:
    """Return the model by its library. A class of LightGBM or XGBoost for scikit-learn is also one of scikit-learn."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    kind = KINDS[target.label.task]
    if "lightgbm" in libraries:
        booster = getattr(model, "booster_", model)
        _require_columns(booster.num_feature(), width, author)
        trees = _read_lightgbm(booster, target, author)
        _require_plain(model, target, author)
        return trees
    if "xgboost" in libraries:
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        _require_columns(booster.num_features(), width, author)
        trees = _read_xgboost(booster, target, author)
        _require_plain(model, target, author)
        return trees
    if "keras" in libraries:
        from perennial.train.keras_model import KerasModel, as_margin

        return KerasModel(as_margin(model, width, target, author, "fit"), author.file)
    problem = _estimator_problem(model, kind, target) if "sklearn" in libraries else type(model).__name__
    if problem is not None:
        remedy = f"Return a fitted {kind} of scikit-learn, a model of LightGBM or XGBoost, or a network of Keras."
        raise refuse_result(author, "fit", problem, remedy)
    if (found := getattr(model, "n_features_in_", None)) is None:  # a Pipeline asks its first step
        raise refuse_result(
            author, "fit", f"{type(model).__name__} without n_features_in_: not fitted, or of a class of your own", _FIT
        )
    _require_columns(found, width, author)
    if kind == "regressor" and (answers := np.shape(model.predict(np.zeros((2, width), np.float32)))) not in {(2,), (2, 1)}:
        raise refuse_result(author, "fit", f"a regressor with {answers[-1]} answers a row", "Fit it to rows.y.")
    what = f"{author.file}: {type(model).__name__}"
    return Classifier(model, what, target.outputs) if kind == "classifier" else Regressor(model, what)


def _require_plain(model: Any, target: Target, author: Author) -> None:
    """Refuse a class of LightGBM or XGBoost for scikit-learn with other labels, or another null, than its trees have."""
    classes, expected = getattr(model, "classes_", None), list(range(max(target.outputs, 2)))
    if classes is not None and list(classes) != expected:
        problem = f"a model of the labels {', '.join(map(str, classes))}, expected {', '.join(map(str, expected))}"
        raise refuse_result(author, "fit", problem, "Fit it to rows.y.")
    if (missing := getattr(model, "missing", None)) is not None and not np.isnan(missing):
        raise refuse_result(author, "fit", f"a model that takes {missing:g} for a null", "Leave `missing` out: a null is NaN.")


def _estimator_problem(model: Any, kind: str, target: Target) -> str | None:
    """Return what is wrong with a model of scikit-learn that must be a fitted classifier, or a fitted regressor."""
    from sklearn.base import is_classifier, is_regressor

    name = type(model).__name__
    if (is_regressor if kind == "classifier" else is_classifier)(model):
        return f"{name}, which is not a {kind}"
    if kind == "regressor":
        if not is_regressor(model):
            return f"{name}, which is not a regressor"
        return None
    classes, expected = getattr(model, "classes_", None), list(range(max(target.outputs, 2)))
    if not hasattr(model, "predict_proba"):
        return f"{name}, which has no predict_proba"
    if classes is None:
        return f"{name}, which is not fitted"
    if list(classes) != expected:
        return f"{name}, which is not fitted to the labels {', '.join(map(str, expected[:-1]))} and {expected[-1]}"
    return None


def _require_columns(found: int, width: int, author: Author) -> None:
    if found != width:
        raise refuse_result(author, "fit", f"a model of {found} columns, expected {width}", "Fit it to all columns of rows.x.")


def _require_objective(library: str, found: str, allowed: tuple[str, ...], author: Author) -> None:
    if found not in allowed:
        problem = f"a model of {library} with the objective {found}, expected {' or '.join(allowed)}"
        raise refuse_result(author, "fit", problem, "Set objective.")


def _require_outputs(library: str, found: int, target: Target, author: Author) -> None:
    if found != target.outputs:
        problem = f"a model of {library} with {found} answers a row, expected {target.outputs}"
        raise refuse_result(author, "fit", problem, "Fit it to rows.y, and to one quantile.")


def _read_lightgbm(booster: Any, target: Target, author: Author) -> Trees:
    from perennial.train.lightgbm_trees import from_lightgbm

    objective = str(booster.dump_model().get("objective", "none"))
    _require_objective("LightGBM", objective.partition(" ")[0], _LIGHTGBM[target.label.task], author)
    _require_outputs("LightGBM", booster.num_model_per_iteration(), target, author)
    return Trees(booster, from_lightgbm, lambda rows: booster.predict(rows.as_floats(), raw_score=True, num_threads=1))


def _read_xgboost(booster: Any, target: Target, author: Author) -> Trees:
    import json

    from perennial.train.xgboost_trees import from_xgboost

    learner = json.loads(booster.save_config())["learner"]
    _require_objective("XGBoost", learner["objective"]["name"], _XGBOOST[target.label.task], author)
    sizes = learner["learner_model_param"]
    _require_outputs("XGBoost", max(int(sizes["num_target"]), int(sizes["num_class"])), target, author)
    if (best := booster.attr("best_iteration")) is not None:
        booster = booster[: int(best) + 1]  # as its own scikit-learn class predicts
    booster.set_param({"nthread": 1, "device": "cpu"})
    return Trees(booster, from_xgboost, lambda rows: booster.inplace_predict(rows.as_floats(), predict_type="margin"))
