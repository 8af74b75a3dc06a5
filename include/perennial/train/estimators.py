"""Estimators of scikit-learn: by import path, as a part of a model's graph, and the problems of the settings of one."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.config.candidates import Sklearn
from perennial.config.estimators import KINDS, MANAGED, NEGATIVE_LABELS
from perennial.config.values import Problem
from perennial.errors import RefusedError, did_you_mean
from perennial.train.graph import OPSETS, GraphBuilder

if TYPE_CHECKING:
    from perennial.models.scoring import Numbers
    from perennial.train.matrix import Floats, Matrix
    from perennial.train.views import Encoded

_MIN_PROBABILITY = 1e-6
"""A forest may answer 0, which has no logarithm of odds. The graph adds its trees in 32 bits, and may answer 6e-7 instead."""

_REMEDY = "Choose another estimator: docs/reference/candidates.md lists those that become exact graphs."


@dataclass(frozen=True, slots=True)
class Classifier:
    """
    A fitted classifier of scikit-learn with the classes 0 and 1, or the places of several classes.

    :param what: its name in errors
    :param outputs: the number of margins of a row
    """

    model: Any
    what: str
    outputs: int = 1
    weights: None = None

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the nodes that skl2onnx makes of it, and return the margin, [rows, outputs]."""
        shares = _convert(self.model, graph, view, self.what, {"zipmap": False})
        logs = graph.op("Log", graph.op("Clip", shares, graph.constant(_MIN_PROBABILITY), graph.constant(1.0)))
        if self.outputs > 1:
            return logs
        # The probability of the negative class has the digits that a probability near 1 has lost.
        return graph.op("Sub", graph.columns(logs, [1]), graph.columns(logs, [0]))

    def margins(self, rows: Matrix) -> Floats:
        """Return the margins by the probabilities of scikit-learn."""
        logs = np.log(np.clip(_call(self.model.predict_proba, rows), _MIN_PROBABILITY, 1.0))
        margins: Floats = logs if self.outputs > 1 else logs[:, 1] - logs[:, 0]
        return margins


@dataclass(frozen=True, slots=True)
class Regressor:
    """
    A fitted regressor of scikit-learn with one answer.

    :param what: its name in errors
    """

    model: Any
    what: str
    weights: None = None

    def add(self, graph: GraphBuilder, view: Encoded) -> str:
        """Add the nodes that skl2onnx makes of it, and return its answer, [rows, 1]."""
        return _convert(self.model, graph, view, self.what, None)

    def margins(self, rows: Matrix) -> Floats:
        """Return the answers of scikit-learn."""
        return _call(self.model.predict, rows).reshape(-1)


def _convert(model: Any, graph: GraphBuilder, view: Encoded, what: str, options: dict[str, Any] | None) -> str:
    """Add the nodes that skl2onnx makes of an estimator, and return its last output."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    from perennial.train.foreign import cause_of, include_model, refusal

    matrix = [("matrix", FloatTensorType([None, view.width + len(view.codes)]))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = convert_sklearn(model, initial_types=matrix, target_opset=dict(OPSETS), options=options)
    except Exception as error:  # skl2onnx has no class for the failures of its converters
        raise refusal(what, [f"skl2onnx: {cause_of(error, 200)}"], _REMEDY) from None
    return include_model(graph, converted, converted.graph.output[-1].name, view.as_floats(graph), what, _REMEDY)


def _call(predict: Callable[[Numbers], Any], rows: Matrix) -> Floats:
    """Return the answers of scikit-learn in 64 bits, on one thread."""
    with on_one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(predict(rows.as_floats()), dtype=np.float64)


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Run scikit-learn on one thread, also with another `n_jobs`: several add numbers in an order of chance."""
    from joblib import parallel_config  # type: ignore[import-untyped]
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), parallel_config(backend="sequential"):
        yield


def seed_libraries(seed: int) -> None:
    """Seed the random numbers of Python and NumPy, for code that takes no seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)


def make_estimator(settings: Sklearn, task: str, seed: int) -> Any:
    """Return the estimator of a candidate, not fitted; raise RefusedError with all problems of its settings."""
    if problems := [f"{'.'.join(map(str, place))}: {text}" for place, text in estimator_problems(settings, task)]:
        raise RefusedError(f"{settings.estimator} cannot be a candidate", problems, "See docs/reference/candidates.md.")
    kind = _find(settings.estimator)
    seeded = {"random_state": seed} if "random_state" in signature(kind).parameters else {}
    return kind(**settings.params, **seeded)


def estimator_problems(settings: Sklearn, task: str) -> Iterator[Problem]:
    """
    Yield the problems of the settings of a candidate, each with its place. It imports scikit-learn.

    :param task: the name of the pipeline's task
    """
    kind, path, needed = _find(settings.estimator), settings.estimator, KINDS[task]
    if kind is None:
        yield ("estimator",), f"scikit-learn has no {path}.{did_you_mean(path, _paths_of(needed))}"
        return
    if needed not in (kinds := _kinds_of(kind)):
        yield ("estimator",), f"{path} is {f'a {kinds[0]}' if kinds else 'not an estimator'}, and task: {task} needs a {needed}"
        return
    known = signature(kind).parameters
    if missing := [name for name, item in known.items() if item.default is Parameter.empty and name not in settings.params]:
        yield ("estimator",), f"{path} needs {', '.join(missing)}: other estimators belong in a file: family: file"
        return
    if problems := list(_parameter_problems(kind, settings.params)):
        yield from problems
    elif needed == "regressor":
        yield from _negative_problems(settings.params)
    elif not hasattr(kind(**settings.params), "predict_proba"):
        yield ("estimator",), f"{path} has no predict_proba with these params. Choose others, such as probability: true, or loss"


def _parameter_problems(kind: Any, params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the parameters that an estimator does not have, and the values that it refuses."""
    known = signature(kind).parameters
    required = {name for name, item in known.items() if item.default is Parameter.empty}
    allowed = [name for name in known if name not in MANAGED]
    for name in params:
        if name not in known:
            yield ("params", name), f"unknown parameter.{did_you_mean(name, allowed)} Allowed: {', '.join(allowed)}"
            continue
        try:
            # scikit-learn reports the first problem alone, so it sees one parameter at a time.
            kind(**{each: params[each] for each in {name, *required}})._validate_params()
        except ValueError as error:
            yield ("params", name), " ".join(str(error).split())


def _find(path: str) -> Any:
    """Return the class of an import path, or None."""
    module, _, name = path.rpartition(".")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(import_module(module), name, None)
    except ImportError:
        return None


def _negative_problems(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the parameters by which a regressor takes no negative labels."""
    for name in ("criterion", "loss"):
        if params.get(name) == "poisson":
            yield ("params", name), f"with poisson {NEGATIVE_LABELS}"
    if params.get("power", 0) >= 1:
        yield ("params", "power"), f"from 1 on {NEGATIVE_LABELS}"


def _kinds_of(kind: Any) -> list[str]:
    """Return the kinds of a class, classifier and regressor, that it is of."""
    from sklearn.base import ClassifierMixin, RegressorMixin

    mixins = {"classifier": ClassifierMixin, "regressor": RegressorMixin}
    return [name for name, mixin in mixins.items() if isinstance(kind, type) and issubclass(kind, mixin)]


def _paths_of(kind: str) -> list[str]:
    from sklearn.utils import all_estimators

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = all_estimators(type_filter=kind)
    return [f"{'.'.join(part for part in kind.__module__.split('.') if not part.startswith('_'))}.{name}" for name, kind in found]
