"""The family `file`: a model that `fit(rows, task, seed)` of the pipeline's `candidates/<name>.py` returns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from perennial.train.author import Author
from perennial.train.author_code import AuthorRows, Task, call, imports_one_of, refuse_result
from perennial.train.estimators import Estimator, seed_libraries
from perennial.train.preprocess import fit_preprocessing
from perennial.train.trees import Trees
from perennial.train.views import Dense, Table, View

if TYPE_CHECKING:
    from perennial.config.candidates import File
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.model import Fitted
    from perennial.train.window import Window

log = logging.getLogger(__name__)

_REMEDY = "Return a fitted classifier of scikit-learn, a model of LightGBM or XGBoost, or a network of Keras."


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
    from threadpoolctl import threadpool_limits

    if author is None:
        raise ValueError("a candidate of this family needs its author's file")
    if imports_one_of(author, "keras", "tensorflow"):
        from perennial.train.mlp import load_keras

        load_keras().utils.set_random_seed(seed)
    whole, width = rows.read_whole(), len(rows.names)
    categories = tuple(range(width - rows.categories - len(rows.sizes), width))
    seed_libraries(seed)
    with threadpool_limits(1):
        model = call(author, "fit", AuthorRows(whole.rows.columns, whole.y, whole.late, rows.names, categories), Task(), seed)
    log.info("%s: %s on %s rows", author.file, type(model).__name__, rows.rows)
    return _read(model, width, author)


def _read(model: Any, width: int, author: Author) -> Fitted:
    """Return the model by its library. A class of LightGBM or XGBoost for scikit-learn is also one of scikit-learn."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "lightgbm" in libraries:
        booster = getattr(model, "booster_", model)
        _require_columns(booster.num_feature(), width, author)
        return _read_lightgbm(booster, author)
    if "xgboost" in libraries:
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        _require_columns(booster.num_features(), width, author)
        return _read_xgboost(booster, author)
    if "keras" in libraries:
        from perennial.train.keras_model import KerasModel, as_margin

        return KerasModel(as_margin(model, width, author, "fit"), author.file)
    if "sklearn" not in libraries:
        raise refuse_result(author, "fit", type(model).__name__, _REMEDY)
    classes = getattr(model, "classes_", None)
    if not hasattr(model, "predict_proba") or classes is None or list(classes) != [0, 1]:
        kind = f"{type(model).__name__} without predict_proba, or not fitted to the labels 0 and 1"
        raise refuse_result(author, "fit", kind, _REMEDY)
    _require_columns(model.n_features_in_, width, author)
    return Estimator(model, f"{author.file}: {type(model).__name__}")


def _require_columns(found: int, width: int, author: Author) -> None:
    if found != width:
        raise refuse_result(author, "fit", f"a model of {found} columns, expected {width}", "Fit it to all columns of rows.x.")


def _read_lightgbm(booster: Any, author: Author) -> Trees:
    from perennial.train.lightgbm_trees import from_lightgbm

    if not str(booster.dump_model().get("objective", "none")).startswith("binary"):
        raise refuse_result(author, "fit", "a model of LightGBM with another objective than binary", "Set objective: binary.")
    return Trees(booster, from_lightgbm, lambda rows: booster.predict(rows.as_floats(), raw_score=True, num_threads=1))


def _read_xgboost(booster: Any, author: Author) -> Trees:
    import json

    from perennial.train.xgboost_trees import from_xgboost

    if json.loads(booster.save_config())["learner"]["objective"]["name"] != "binary:logistic":
        raise refuse_result(author, "fit", "a model of XGBoost with another objective than binary:logistic", "Set objective.")
    if (best := booster.attr("best_iteration")) is not None:
        booster = booster[: int(best) + 1]  # as its own classifier predicts
    booster.set_param({"nthread": 1, "device": "cpu"})
    return Trees(booster, from_xgboost, lambda rows: booster.inplace_predict(rows.as_floats(), predict_type="margin"))
