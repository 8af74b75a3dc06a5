"""
The interval of a number: two quantiles by boosted trees, moved by one amount until they hold enough labels of the holdout.

This is conformalised quantile regression (Romano, Patterson, Candès 2019). All candidates of a date share it, since it depends on
the rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from perennial.config.candidates import XGBoost
from perennial.config.label import NumberLabel
from perennial.train import xgboost
from perennial.train.matrix_files import MatrixFiles, store_matrix
from perennial.train.views import View, ViewGraph

if TYPE_CHECKING:
    from perennial.models.metrics import Floats
    from perennial.models.scoring import Numbers, Texts
    from perennial.train.graph import GraphBuilder
    from perennial.train.model import Fitted
    from perennial.train.target import Target
    from perennial.train.window import Window

_SETTINGS = XGBoost()


@dataclass(frozen=True, slots=True)
class Quantiles:
    """
    Two trained quantiles, the lower and the upper one.

    :param view: the columns that both learnt from
    """

    view: View
    fitted: tuple[Fitted, Fitted]
    target: Target

    def add(self, graph: GraphBuilder) -> str:
        """Add the nodes of both and return their answers in the unit of the label, [rows, 2]."""
        encoded = self.view.add(graph)
        margins = graph.beside(*(each.add(graph, encoded) for each in self.fitted))
        return graph.op("Add", graph.op("Mul", margins, graph.constant(self.target.spread)), graph.constant(self.target.center))

    def answer(self, numbers: Numbers, texts: Texts) -> Floats:
        """Return the answers of the library, [rows, 2]."""
        rows = ViewGraph(self.view).of(numbers, texts)
        return self.target.unscale(np.stack([each.margins(rows) for each in self.fitted], axis=1))


def fit_quantiles(window: Window, level: float, seed: int) -> Quantiles:
    """
    Train the two quantiles between which a share of the labels lies. It replaces the stored matrix of the window.

    :param level: that share
    """
    view = xgboost.prepare(window, _SETTINGS)
    files = store_matrix(window, view)
    low, high = (_fit(files, share, seed) for share in ((1 - level) / 2, (1 + level) / 2))
    return Quantiles(view, (low, high), window.target)


def _fit(files: MatrixFiles, share: float, seed: int) -> Fitted:
    target = files.window.target
    label = NumberLabel(column=target.label.column, predict=f"quantile {share:g}")
    window = replace(files.window, target=replace(target, label=label))
    return xgboost.fit(replace(files, window=window), _SETTINGS, seed)
