"""The product's own path of a candidate: window, preprocessing, training, and the answers of the exported graph."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pyarrow as pa
from candidate_losses import Floats
from candidate_sets import CandidateSet, Task, to_typed
from candidate_sources import LABEL
from candidate_splits import Places, Split
from windows import store_window

from perennial.config.candidates import FAMILIES, Blend, default_candidates
from perennial.config.pipeline import BinaryLabel, ClassesLabel, Inputs, Label, NumberLabel
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.models.scoring import Numbers, Texts, score, to_arrays
from perennial.train.blend import answerer, blend
from perennial.train.candidates import code_for, versions_for
from perennial.train.compare import Rows, compare, rows_to_compare
from perennial.train.holdout import StoredHoldout
from perennial.train.model import train_model
from perennial.train.prepare import first_late
from perennial.train.window import Window

PRODUCT: dict[str, frozenset[Task]] = {
    "logistic": frozenset({"binary", "multiclass"}),
    "linear": frozenset({"regression"}),
    "mlp": frozenset(get_args(Task)),
    "lightgbm": frozenset(get_args(Task)),
    "xgboost": frozenset(get_args(Task)),
    "blend": frozenset(get_args(Task)),
}
"""The families of the product, each with the tasks that it has. A new one is a line here."""

DEFAULTS = {task: default_candidates(task, "mean") for task in get_args(Task)}
DEFAULT_LIST: dict[Task, list[str]] = {task: [one.family for one in DEFAULTS[task].values()] for task in get_args(Task)}
_DAYS = 28
_PLAIN = BinaryLabel(column=LABEL)
"""A label without an interval, which is no part of these models."""


@dataclass(frozen=True, slots=True)
class Answers:
    """
    The predictions for the rows to judge by.

    :param cpu_seconds: of the training, writing the window and exporting the graph included
    :param parity: the largest difference between the library and the graph; None if the product does not compare them
    """

    predictions: Floats
    cpu_seconds: float
    parity: float | None


class Product:
    """The trainings on one set."""

    def __init__(self, data: CandidateSet) -> None:
        self._data = data
        self._inputs = make_inputs(data)
        self._table = make_table(data)

    def answer(self, family: str, split: Split, seed: int) -> Answers:
        """Train on rows of a split and answer its others."""
        _warm_up(family)
        return self._answer(family, split, seed)

    def _answer(self, family: str, split: Split, seed: int) -> Answers:
        with TemporaryDirectory() as folder:
            began = time.process_time()
            window = self._window(Path(folder), split.train)
            graph, answer = train(family, window, seed)
            spent = time.process_time() - began
            test = self._table.take(split.test)
            rows = [Rows(*to_arrays(test, self._inputs), "test, row {}".format)]
            no_holdout = StoredHoldout(None, 0, window.target.label)
            compared = chain(rows, rows_to_compare(self._inputs, window, no_holdout, []))
            parity = compare(graph, answer, family, compared, window.target.spread)
        return Answers(score(graph, test, self._inputs), spent, parity)

    def _window(self, folder: Path, rows: Places) -> Window:
        """Write rows as a window of 28 dates: in their order of time, or in a random order if they have none."""
        order = np.arange(len(rows)) if self._data.times is not None else np.random.default_rng(0).permutation(len(rows))
        dates = np.datetime64("2026-01-01") + order * _DAYS // len(rows)
        table = self._table.take(rows).append_column("date", pa.array(dates.astype("datetime64[D]")))
        counts = Counter(table["date"].to_pylist())
        return store_window(folder, table, self._inputs, make_label(self._data), first_late(counts))


def train(family: str, window: Window, seed: int) -> tuple[bytes, Callable[[Numbers, Texts], Floats]]:
    """Train with the defaults of a family and return the graph and the library. This is the only call of the training."""
    if family != "blend":
        model = train_model(FAMILIES[family](), window, seed=seed)
        return model.onnx, model.answerer()
    label = window.target.label
    defaults = DEFAULTS[label.task]
    settings = defaults["blend"]
    assert isinstance(settings, Blend)
    parts = [train_model(defaults[name], window, seed=seed).onnx for name in settings.of]
    return blend(parts, window.inputs.numbers, window.inputs.texts, label), answerer(parts, label)


def make_inputs(data: CandidateSet) -> Inputs:
    """Return the request fields of a set. A number without nulls is declared as one."""
    nulls = data.frame.isna().any()
    kinds = {name: "number" for name in data.numbers} | {name: "category" for name in data.categories}
    return Inputs.model_validate({"request": {name: kind + "?" * bool(nulls[name]) for name, kind in kinds.items()}})


def make_label(data: CandidateSet) -> Label:
    """Return the label of a set."""
    if data.task == "regression":
        return NumberLabel(column=LABEL, predict="mean")
    return (
        BinaryLabel(column=LABEL) if data.task == "binary" else ClassesLabel(column=LABEL, classes=list(map(str, data.classes)))
    )


def make_table(data: CandidateSet) -> pa.Table:
    """Return the rows of a set as the features table holds them, each with a seeded place among the buckets."""
    columns = {name: pa.array(data.frame[name], pa.float64(), from_pandas=True) for name in data.numbers}
    columns |= {name: pa.array(data.frame[name], pa.string(), from_pandas=True) for name in data.categories}
    places = np.random.default_rng(0).integers(0, 2**SAMPLE_BITS, len(data.frame), dtype=np.int64)
    labels = data.frame[LABEL].astype(str) if data.task == "multiclass" else data.frame[LABEL]
    return pa.table({**columns, LABEL: pa.array(labels), SAMPLE: pa.array(places, pa.int32())})


def describe_code(family: str) -> dict[str, str]:
    """Return what decides a family's trainings: a digest of the product's code, and the versions of its libraries."""
    parts = [part for task in DEFAULT_LIST.values() for part in task] if family == "blend" else [family]
    return {name: value for part in parts for name, value in {part: code_for(part, _PLAIN), **versions_for(part, _PLAIN)}.items()}


@cache
def _warm_up(family: str) -> None:
    """Import the libraries of a family, so that their seconds do not count."""
    import pandas as pd

    task: Task = "binary" if "binary" in PRODUCT[family] else "regression"
    y = np.arange(200) % 3 == 0 if task == "binary" else np.arange(200.0)
    frame = to_typed(pd.DataFrame({"x": np.arange(200.0), LABEL: y}))
    data = CandidateSet("warm up", task, "", frame, [], None, 1, has_trend=False)
    Product(data)._answer(family, Split(np.arange(150), np.arange(150, 200)), seed=0)
