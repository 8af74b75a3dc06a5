"""The protocol of a learning task, and the task of a label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from perennial.config.label import BinaryLabel, ClassesLabel, Constant, Label
from perennial.config.pipeline import Gate
from perennial.models.metrics import Floats, Labels
from perennial.store.json_value import Json
from perennial.tasks.binary import BinaryTask
from perennial.tasks.multiclass import MulticlassTask
from perennial.tasks.regression import RegressionTask

if TYPE_CHECKING:
    import pyarrow as pa

Metrics = Mapping[str, float | None]


class LearningTask(Protocol):
    """
    One kind of question that a model answers about a row.

    Predictions are probabilities of the positive value, the probabilities of all classes, or numbers in the unit of the label.
    Each task has a proper loss by row, from which the gate's bootstrap needs nothing else, and a constant forecast, which every
    model must beat.
    """

    @property
    def output(self) -> str:
        """Return the name of the graph's output, which is also that of the server's answer."""

    @property
    def loss_name(self) -> str:
        """Return the name of the loss among the metrics."""

    @property
    def constant_name(self) -> str:
        """Return the name of the constant forecast, as reports show it."""

    @property
    def shown(self) -> tuple[str, str]:
        """Return the names of the two metrics that tables show: the loss and another one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the prediction of one row: () for a number."""

    @property
    def is_classes(self) -> bool:
        """Return whether labels are classes, whose order by prediction ROC AUC judges."""

    @property
    def least_of_class(self) -> int:
        """Return the least number of rows of a class for its ROC AUC to count."""

    @property
    def dates_of_class(self) -> int:
        """Return the least number of dates that have a class, for the difference of two ROC AUCs to count it."""

    @property
    def difference(self) -> str:
        """Return the name of the difference of two models' losses, in units."""

    @property
    def invalid(self) -> str:
        """Return the words for labels or predictions that are not valid."""

    @property
    def label_type(self) -> str:
        """Return numpy's type of labels in the rows of a window."""

    def read_labels(self, table: pa.Table) -> Labels:
        """Return the labels of rows. Refuse a row without one, and a label that does not fit the label's settings."""

    def check_range(self, y: Labels) -> None:
        """Refuse labels of a training that are outside of the label's range."""

    def losses(self, y: Labels, p: Floats) -> Floats:
        """Return the loss of each row."""

    def metrics(self, y: Labels, p: Floats, constant: Constant) -> dict[str, float | None]:
        """
        Return every metric by name.

        :param constant: the constant forecast of the window
        """

    def rankings(self, y: Labels, p: Floats) -> Iterator[tuple[NDArray[np.bool_], Floats]]:
        """Yield what ROC AUC judges: whether a row is of a class, and its probability; nothing for numbers."""

    def are_valid(self, y: Labels, p: Floats) -> bool:
        """Return whether labels and predictions have possible values."""

    def facts(self, y: Labels) -> Json:
        """Return the facts about the labels of a holdout that a decision stores."""

    def unit(self, y: Labels, constant: Constant) -> float:
        """Return the loss in which the margin of the gate is given."""

    def margin(self, gate: Gate) -> float:
        """Return the largest amount of loss, in units, by which a challenger may be worse."""

    def settings_of(self, gate: Gate) -> Json:
        """Return the settings of the gate that apply to the task."""

    def lacking(self, y: Labels, gate: Gate) -> list[tuple[str, int, int]]:
        """Return the names, numbers and least numbers of the kinds of rows that a verdict needs."""

    def unsupported(self, y: Labels, constant: Constant) -> list[str]:
        """Return why the labels of a holdout support no verdict, although there are enough of them."""

    def failed_floors(self, y: Labels, p: Floats, metrics: Metrics, constant: Constant, gate: Gate) -> list[str]:
        """Return the floors of the gate that a challenger does not reach, in words."""


def task_of(label: Label) -> LearningTask:
    """Return the task of a label."""
    if isinstance(label, BinaryLabel):
        return BinaryTask(label)
    return MulticlassTask(label) if isinstance(label, ClassesLabel) else RegressionTask(label)
