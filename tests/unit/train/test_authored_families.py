"""Candidates of scikit-learn, Keras and files of a pipeline's author: what is exact, what is refused, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from authors import FOREST, NETWORK, author_of, train
from windows import LABEL, prepare

from perennial.config.candidate_file import candidate_problems
from perennial.config.candidates import FAMILIES, Sklearn
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.metrics import log_loss
from perennial.models.scoring import score
from perennial.train import reproducible
from perennial.train.compare import MAX_DIFFERENCE, compare, rows_to_compare
from perennial.train.estimators import estimator_problems
from perennial.train.holdout import HoldoutWriter, StoredHoldout
from perennial.train.model import Model
from perennial.train.scratch import Scratch
from perennial.train.servable import check_size
from perennial.train.window import Window

pytestmark = pytest.mark.tensorflow

MakeRows = Callable[..., pa.Table]
WindowOf = Callable[[pa.Table, Inputs], Window]
NEW = ["sklearn", "keras", "file"]

LIGHTGBM = """
import lightgbm


def fit(rows, task, seed):
    model = lightgbm.LGBMClassifier(n_estimators=30, min_child_samples=5, random_state=seed, n_jobs=1, verbose=-1)
    return model.fit(rows.x, rows.y, categorical_feature=list(rows.categories))
"""
XGBOOST = """
import xgboost


def fit(rows, task, seed):
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=3, early_stopping_rounds=2, random_state=seed, n_jobs=1)
    return model.fit(rows.x[~rows.late], rows.y[~rows.late], eval_set=[(rows.x[:80], 1 - rows.y[:80])], verbose=False)
"""
STACK = """
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def fit(rows, task, seed):
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    trees = GradientBoostingClassifier(n_estimators=10, random_state=seed)
    parts = VotingClassifier([("linear", linear), ("trees", trees)], voting="soft", flatten_transform=False)
    return CalibratedClassifierCV(parts, cv=2).fit(rows.x, rows.y)
"""
SEQUENTIAL = """
import keras


def fit(rows, task, seed):
    model = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(rows.x, rows.y, epochs=2, verbose=0)
    return model
"""
ATTENTION = """
from __future__ import annotations
from dataclasses import dataclass
import keras


@dataclass
class Size:
    units: int = 4


def build(columns, task):
    rows = keras.Input((len(columns),))
    parts = keras.layers.Dense(Size().units, activity_regularizer="l2")(keras.layers.Reshape((len(columns), 1))(rows))
    parts = keras.layers.LayerNormalization()(keras.layers.MultiHeadAttention(2, 4)(parts, parts))
    end = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")])
    return keras.Model(rows, end(parts))
"""
INDICATOR = """
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def fit(rows, task, seed):
    return make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression(max_iter=1000)).fit(rows.x, rows.y)
"""
UNSEEDED = FOREST.replace("from sklearn", "import time\nfrom sklearn").replace(
    "random_state=seed", "random_state=time.time_ns() % 9999"
)
UNSEEDED_NETWORK = """
import keras
import numpy


def build(columns, task):
    class Chance(keras.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return numpy.random.default_rng().normal(size=shape)

    return keras.Sequential([keras.Input((len(columns),)), keras.layers.Dense(1, kernel_initializer=Chance())])
"""
PRECISE = NETWORK.replace("Dense(1,", 'Dense(1, dtype="float64",')

SHARED = """
import keras


def build(columns, task):
    rows = keras.Input((len(columns),))
    end = keras.layers.Dense(1, activation="sigmoid", name="end")
    again = keras.layers.Dense(len(columns))(end(rows))
    return keras.Model(rows, end(again))
"""
STEPS = """
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import *
from sklearn.random_projection import GaussianRandomProjection


def fit(rows, task, seed):
    steps = [
        StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), Normalizer(), Binarizer(), PowerTransformer(),
        QuantileTransformer(n_quantiles=50), PolynomialFeatures(), TargetEncoder(cv=3),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), PCA(3), IncrementalPCA(3),
        KernelPCA(3, kernel="rbf"), TruncatedSVD(3, random_state=seed),
        GaussianRandomProjection(4, random_state=seed), SelectKBest(k=4), SelectFromModel(LogisticRegression(max_iter=1000)),
        RFE(LogisticRegression(max_iter=1000)), VarianceThreshold(), SimpleImputer(),
        ColumnTransformer([("scaled", StandardScaler(), [0]), ("kept", "passthrough", [1, 2])]),
    ]
    union = FeatureUnion([(str(place), step) for place, step in enumerate(steps)])
    return make_pipeline(union, StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows.x, rows.y)
"""
"""The steps that the reference calls exact, but for those that warn on the rows of these tests."""

OWN_STEP = """
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


class Squares(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        return self

    def transform(self, x):
        return x * x


def fit(rows, task, seed):
    return make_pipeline(Squares(), LogisticRegression()).fit(rows.x, rows.y)
"""
NEEDS_MORE = FOREST.replace("return ExtraTrees", "assert len(rows.y) != 120\n    return ExtraTrees")
DISCRIMINANT = """
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def fit(rows, task, seed):
    return LinearDiscriminantAnalysis().fit(rows.x, rows.y)
"""


@pytest.fixture
def holdout(make_rows: MakeRows, tmp_path: Path) -> StoredHoldout:
    folder = tmp_path / "holdout"
    folder.mkdir()
    writer = HoldoutWriter(Scratch(folder), ["slot"], LABEL)
    writer.add(make_rows(seed=9))
    return writer.finish()


@pytest.fixture
def difference(inputs: Inputs, holdout: StoredHoldout) -> Callable[[Model, Window], float]:
    """Return a function that compares a model with its library, by all rows that a training compares."""
    return lambda model, window: compare(
        model.onnx, model.answerer(), "candidate", rows_to_compare(inputs, window, holdout, ["slot"])
    )


Difference = Callable[[Model, Window], float]


@pytest.mark.parametrize(
    ("source", "view"),
    [(LIGHTGBM, "table"), (LIGHTGBM, "matrix"), (XGBOOST, "table"), (STACK, "matrix"), (SEQUENTIAL, "matrix")],
    ids=["lightgbm table", "lightgbm matrix", "xgboost table", "stack", "keras"],
)
def test_a_file_may_return_a_model_of_each_library(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference, source: str, view: str
) -> None:
    window = window_of(make_rows(), inputs)
    model = train("file", window, source=source, view=view)
    assert difference(model, window) < MAX_DIFFERENCE / 5
    assert train("file", window, source=source, view=view).onnx == model.onnx


def test_the_steps_of_the_reference_become_exact_graphs(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference
) -> None:
    window = window_of(make_rows(), inputs)
    assert difference(train("file", window, source=STEPS), window) <= MAX_DIFFERENCE


def test_a_network_of_many_layers_has_the_same_graph_twice(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference
) -> None:
    window = window_of(make_rows(), inputs)
    models = [train("keras", window, source=source, epochs=1) for source in (ATTENTION, NETWORK, ATTENTION)]
    assert models[0].onnx == models[2].onnx
    assert difference(models[0], window) < MAX_DIFFERENCE / 5


@pytest.mark.parametrize(
    "estimator",
    [
        "sklearn.ensemble.AdaBoostClassifier",
        "sklearn.ensemble.GradientBoostingClassifier",
        "sklearn.naive_bayes.GaussianNB",
        "sklearn.neighbors.KNeighborsClassifier",
        "sklearn.neural_network.MLPClassifier",
        "sklearn.tree.DecisionTreeClassifier",
        "sklearn.calibration.CalibratedClassifierCV",
    ],
)
def test_estimators_with_their_defaults_answer_as_their_graphs(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference, estimator: str
) -> None:
    window = window_of(make_rows(per_day=60), inputs)
    model = train("sklearn", window, estimator=estimator, params={})
    assert difference(model, window) < MAX_DIFFERENCE


@pytest.mark.parametrize(
    ("source", "view"), [(INDICATOR, "table"), (DISCRIMINANT, "matrix")], ids=["indicator", "discriminant analysis"]
)
def test_a_converter_that_lies_is_found_out_by_the_comparison(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference, source: str, view: str
) -> None:
    window = window_of(make_rows(), inputs)
    model = train("file", window, source=source, view=view)
    with pytest.raises(RefusedError, match=r"the exported graph differs from the library that trained it on [0-9,]+ rows"):
        difference(model, window)


def test_a_network_whose_answers_depend_on_the_rows_beside_is_found_out(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference
) -> None:
    window = window_of(make_rows(), inputs)
    model = train("keras", window, source=NETWORK.replace("BatchNormalization()", "UnitNormalization(axis=0)"))
    with pytest.raises(RefusedError, match="the answer to a row depends on the rows beside it"):
        difference(model, window)


@pytest.mark.parametrize("family", NEW)
def test_the_signal_is_learnt_with_a_constant_column(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, difference: Difference, family: str
) -> None:
    constant: Any = {"pressure": lambda n: pa.array([3.0] * n)}
    rows, later = make_rows(**constant), make_rows(seed=6, per_day=500, **constant)
    y = later["failed"].to_numpy()
    loss = log_loss(y, score(train(family, window_of(rows, inputs)).onnx, later, inputs))
    assert loss < 0.9 * log_loss(y, np.full(len(y), rows["failed"].to_numpy().mean()))


@pytest.mark.parametrize(
    ("family", "source", "text"),
    [
        ("keras", NETWORK.replace("silu", "gelu"), "operator Erfc"),
        ("keras", NETWORK.replace("keras.layers.Dense(1,", "keras.layers.Dense(2,"), r"outputs \[\(2,\)\]"),
        ("keras", NETWORK.replace("sigmoid", "relu"), "ends with Dense and the activation relu.*End the network with"),
        ("keras", NETWORK.replace("len(columns)", "3"), r"inputs \[\(3,\)\], expected \[\(41,\)\]"),
        ("keras", NETWORK.replace("Dropout(0.1)", "Rescaling(float('inf'))"), "the loss of epoch 1 of .* is nan.*Lower learn"),
        ("keras", "def build(columns, task):\n    return 3\n", "build returned int, expected a network of Keras"),
        ("keras", "def build(columns, task):\n    return columns.x\n", r"line 2.*AttributeError.*columns\.x"),
        ("file", "def fit(rows, task, seed):\n    return rows\n", "fit returned AuthorRows"),
        ("file", "import sklearn.svm\ndef fit(rows, task, seed):\n    return sklearn.svm.SVC()\n", "SVC, which has no predict"),
        ("file", XGBOOST.replace("40, ", "40, missing=0.0, "), "takes 0 for a null.*a null is NaN"),
        ("file", LIGHTGBM.replace("rows.y,", "1 - 2 * rows.y,"), "a model of the labels -1, 1, expected 0, 1"),
        ("keras", PRECISE, "answers in float64, expected float32.*set_floatx"),
        ("keras", SHARED, "uses its last layer, end, more than once"),
        ("file", OWN_STEP, "Pipeline without n_features_in_.*own cannot become a graph"),
        ("file", FOREST.replace("ExtraTrees", "HistGradientBoosting").replace("20, ", ""), "HistGradientBoostingClassifier"),
        ("file", "def fit(rows, task, seed):\n    raise SystemExit('no')\n", "line 2.*SystemExit: no"),
        ("file", FOREST.replace("fit(rows.x,", "fit(rows.x[:, :3],"), "a model of 3 columns, expected 41"),
        ("file", LIGHTGBM.replace("fit(rows.x,", "fit(rows.x[:, :3],"), "a model of 3 columns, expected 41"),
        ("file", XGBOOST.replace("rows.x[", "rows.x[:, :3]["), "a model of 3 columns, expected 41"),
        ("file", LIGHTGBM.replace("LGBMClassifier(", "LGBMRegressor("), "the objective regression, expected binary"),
        ("file", XGBOOST.replace("40, ", "40, objective='binary:hinge', "), "the objective binary:hinge, expected"),
        ("file", "import sklearn.svm\ndef fit(rows, task, seed):\n    return sklearn.svm.SVR()\n", "SVR, which is not a class"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_candidate_is_refused_with_its_cause(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, family: str, source: str, text: str
) -> None:
    with pytest.raises(RefusedError, match=f"(?s)candidates/{family}.py.*{text}"):
        train(family, window_of(make_rows(days=1, per_day=60), inputs), source=source)


def test_a_network_that_cannot_become_a_graph_is_refused_before_it_is_trained(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RefusedError, match="operator Erfc"):
        train("keras", window_of(make_rows(), inputs), source=NETWORK.replace("silu", "gelu"))
    assert "epoch" not in caplog.text


@pytest.mark.parametrize(("family", "source"), [("file", UNSEEDED), ("keras", UNSEEDED_NETWORK)])
def test_a_file_that_gives_another_model_each_time_is_refused(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, family: str, source: str
) -> None:
    text = f"candidates/{family}.py gives another model each time.*same 480 rows.*Give `seed` to all"
    with pytest.raises(RefusedError, match=f"(?s){text}"):
        train(family, window_of(make_rows(), inputs), source=source)


def test_a_file_with_threads_gives_the_same_model(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    """Threads of a forest add up its probabilities in an order of chance."""
    window = window_of(make_rows(), inputs)
    threads = FOREST.replace("ExtraTreesClassifier(20,", "ExtraTreesClassifier(80, n_jobs=4,")
    models = [train("file", window, source=threads) for _ in range(2)]
    assert models[0].onnx == models[1].onnx


def test_a_file_that_cannot_be_trained_on_few_rows_is_trained_on_all(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reproducible, "ROWS", 120)
    window = window_of(make_rows(), inputs)
    expected = train("file", window, source=FOREST)
    assert train("file", window, source=NEEDS_MORE).onnx == expected.onnx
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "not checked for the same model again, because a training on few of its rows fails" in warning


def test_a_graph_that_is_too_large_is_refused_with_numbers() -> None:
    check_size(bytes(50_000_000), "forest")
    with pytest.raises(
        RefusedError, match=r"forest: the exported graph has 50\.2 MB, at most 50 MB are allowed.*min_samples_leaf"
    ):
        check_size(bytes(50_200_000), "forest")


@pytest.mark.parametrize(
    ("estimator", "params", "place", "text"),
    [
        ("ensemble.RandomForestClassifier", {"n_estimator": 5}, "params.n_estimator", "Did you mean 'n_estimators'?"),
        ("ensemble.RandomForestClassifier", {"n_estimators": 0}, "params.n_estimators", "must be an int in the range"),
        ("ensemble.RandomForestClasifier", {}, "estimator", "Did you mean 'sklearn.ensemble.RandomForestClassifier'?"),
        ("nothing.RandomForestClassifier", {}, "estimator", "Did you mean 'sklearn.ensemble.RandomForestClassifier'?"),
        ("linear_model.Ridge", {}, "estimator", "is a regressor, and task: binary needs a classifier"),
        ("linear_model.SGDClassifier", {}, "estimator", "has no predict_proba with these params"),
        ("svm.SVC", {}, "estimator", "has no predict_proba with these params"),
    ],
)  # fmt: skip
def test_settings_that_scikit_learn_does_not_accept_are_named_with_their_place(
    estimator: str, params: dict[str, Any], place: str, text: str
) -> None:
    found = list(estimator_problems(Sklearn(estimator=f"sklearn.{estimator}", params=params), "binary"))
    assert [".".join(map(str, at)) for at, _ in found] == [place]
    assert text in found[0][1]
    allowed = Sklearn(estimator="sklearn.linear_model.SGDClassifier", params={"loss": "log_loss"})
    assert list(estimator_problems(allowed, "binary")) == []


def test_all_parameters_that_scikit_learn_does_not_accept_are_named_at_once() -> None:
    params = {"n_estimators": 0, "max_depth": 4, "criterion": "ginni", "min_leaf": 2}
    found = estimator_problems(Sklearn(estimator="sklearn.ensemble.RandomForestClassifier", params=params), "binary")
    assert [at for at, _ in found] == [("params", "n_estimators"), ("params", "criterion"), ("params", "min_leaf")]


def test_a_window_that_the_estimator_refuses_is_told(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    with pytest.raises(RefusedError, match="CalibratedClassifierCV cannot be fitted to this window: Requesting 50-fold"):
        train(
            "sklearn",
            window_of(make_rows(days=1, per_day=20), inputs),
            estimator="sklearn.calibration.CalibratedClassifierCV",
            params={"cv": 50},
        )


def test_a_file_gets_named_columns_and_labels(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    source = f"""{FOREST}
    raise ValueError([len(rows.columns), rows.x.shape, str(rows.x.dtype), rows.columns[0], rows.columns[-1], rows.categories])
"""
    source = source.replace("    return ExtraTrees", "    if False: return ExtraTrees")
    window = window_of(make_rows(), inputs)
    with pytest.raises(RefusedError, match=r"\[46, \(480, 46\), 'float32', 'load', 'site = west', \(\)\]"):
        train("file", window, source=source)
    with pytest.raises(RefusedError, match=r"\[11, \(480, 11\), 'float32', 'load', 'site', \(7, 8, 9, 10\)\]"):
        train("file", window, source=source, view="table")
    view, files = prepare(window)
    assert files.names == view.names
    assert author_of("logistic") is None
    assert set(NEW) < set(FAMILIES)


@pytest.mark.parametrize(("family", "place"), [("keras", 0), ("file", 2)])
def test_the_documented_files_can_be_trained(
    inputs: Inputs,
    make_rows: MakeRows,
    window_of: WindowOf,
    difference: Difference,
    documented: Callable[[str, str], list[str]],
    family: str,
    place: int,
) -> None:
    source = documented("docs/how-to/bring-your-own-model.md", "python")[place]
    assert candidate_problems(source, family) == []
    window = window_of(make_rows(), inputs)
    assert difference(train(family, window, source=source), window) < MAX_DIFFERENCE / 2
