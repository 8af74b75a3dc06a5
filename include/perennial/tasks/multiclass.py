"""The task `multiclass`: the probabilities of several classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from perennial.config.label import ClassesLabel, Constant
from perennial.config.pipeline import Gate
from perennial.errors import MAX_PROBLEMS_SHOWN, RefusedError
from perennial.models.constant import constant_forecast
from perennial.models.metrics import SMALLEST, Floats, Labels, roc_auc
from perennial.models.sums import mean
from perennial.store.json_value import Json
from perennial.tasks.labels import known_labels

if TYPE_CHECKING:
    import pyarrow as pa

_MARGIN = 0.03
"""About the standard deviation of the weekly difference of two families, as a share of the constant forecast's loss."""

_MIN_OF_CLASS = 20
"""Rows of a class in a holdout below which its ROC AUC says little."""

_MIN_DATES = 4
"""Dates with rows of a class. With two of fourteen, a tenth of the bootstrap's draws have none, so the interval has no bounds."""

_SUM_TOLERANCE = 1e-4
"""Largest distance of the sum of a row's probabilities from 1: they are 32-bit floats."""


@dataclass(frozen=True, slots=True)
class MulticlassTask:
    """
    Labels are places in `label.classes`, predictions are [rows, classes], and the loss is the log loss.

    The constant forecast is the share of each class in the window. ROC AUC is the mean over the classes of that of one class
    against all others, over those with enough rows.
    """

    label: ClassesLabel
    output: ClassVar[str] = "probabilities"
    loss_name: ClassVar[str] = "log_loss"
    shown: ClassVar[tuple[str, str]] = ("log_loss", "roc_auc")
    is_classes: ClassVar[bool] = True
    constant_name: ClassVar[str] = "constant forecast"
    label_type: ClassVar[str] = "i1"
    invalid: ClassVar[str] = "a label that is no class, or probabilities outside 0..1 or with another sum than 1"
    difference: ClassVar[str] = "skill"
    least_of_class: ClassVar[int] = _MIN_OF_CLASS
    dates_of_class: ClassVar[int] = _MIN_DATES

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of classes."""
        return (len(self.label.classes),)

    def read_labels(self, table: pa.Table) -> Labels:
        """Return the place of each row's class. Refuse a row without a label, and one whose label is not declared."""
        import pyarrow as pa
        import pyarrow.compute as pc

        label = self.label
        column = known_labels(table, label)
        declared = pa.array(label.classes)
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if is_text != pa.types.is_string(declared.type) or not (is_text or pa.types.is_integer(column.type)):
            raise RefusedError(
                f"Label {label.column!r}: the column is of type {column.type}, but label.classes are "
                f"{'texts' if pa.types.is_string(declared.type) else 'whole numbers'}",
                remedy="List the values of the column in label.classes, or cast the label in the SQL.",
            )
        places = pc.index_in(column.cast(declared.type), declared)
        if places.null_count:
            foreign = pc.value_counts(column.filter(pc.is_null(places))).to_pylist()
            raise RefusedError(
                f"Label {label.column!r}: {places.null_count} of {table.num_rows} rows have a label that is not in label.classes",
                [f"{item['values']!r}: {item['counts']} rows" for item in foreign[:MAX_PROBLEMS_SHOWN]],
                "Add these values to label.classes, or change or leave out these rows in the SQL of the label.",
            )
        return np.asarray(places.to_numpy(), dtype=np.int8)

    def check_range(self, y: Labels) -> None:
        """Accept all labels: classes have no range."""

    def losses(self, y: Labels, p: Floats) -> Floats:
        """Return the log loss of each row."""
        own = np.asarray(p, dtype=np.float64)[np.arange(len(y)), y]
        losses: Floats = -np.log(np.clip(own, SMALLEST, 1.0))
        return losses

    def metrics(self, y: Labels, p: Floats, constant: Constant) -> dict[str, float | None]:
        """Return every metric by name. The accuracy is that of the likeliest class."""
        loss, of_constant = self._loss(y, p), self._loss(y, constant_forecast(constant, len(y)))
        return {
            "roc_auc": self._roc_auc(y, p),
            "log_loss": loss,
            "skill": 1 - loss / of_constant if of_constant > 0 else None,
            "accuracy": mean(lambda part: (p[part].argmax(axis=1) == y[part]).astype(np.float64), len(y)),
        }

    def rankings(self, y: Labels, p: Floats) -> Iterator[tuple[NDArray[np.bool_], Floats]]:
        """Yield for each class whether a row is of it, and its probability."""
        for place in range(len(self.label.classes)):
            yield y == place, np.ascontiguousarray(p[:, place])

    def are_valid(self, y: Labels, p: Floats) -> bool:
        """Return whether labels are places of classes, and predictions probabilities of all of them."""
        is_label = ((y >= 0) & (y < len(self.label.classes))).all()
        return bool(is_label and ((p >= 0) & (p <= 1)).all() and (np.abs(p.sum(axis=1) - 1) <= _SUM_TOLERANCE).all())

    def facts(self, y: Labels) -> Json:
        """Return the number of rows of each class."""
        return {"classes": dict(zip(self.label.names, self._count(y), strict=True))}

    def unit(self, y: Labels, constant: Constant) -> float:
        """Return the loss of the constant forecast, so that one margin fits any number of classes."""
        return self._loss(y, constant_forecast(constant, len(y))) or 1.0

    def margin(self, gate: Gate) -> float:
        """Return the margin as a share of the constant forecast's loss."""
        return _MARGIN if gate.margin.skill is None else gate.margin.skill

    def settings_of(self, gate: Gate) -> Json:
        """Return the settings of the gate without those of other tasks."""
        stored = gate.model_dump(mode="json", exclude_none=True)
        return {
            **stored,
            "margin": {"skill": self.margin(gate), "roc_auc": gate.margin.roc_auc},
            "floors": {name: value for name, value in stored["floors"].items() if name in ("rows", "roc_auc", "skill")},
        }

    def lacking(self, y: Labels, gate: Gate) -> list[tuple[str, int, int]]:
        """Return the number of classes with enough rows, found and needed."""
        found = sum(count >= _MIN_OF_CLASS for count in self._count(y))
        return [(f"classes with {_MIN_OF_CLASS} rows or more", found, 2)]

    def unsupported(self, y: Labels, constant: Constant) -> list[str]:
        """Return nothing: the loss of a single row is bounded."""
        return []

    def failed_floors(
        self, y: Labels, p: Floats, metrics: Mapping[str, float | None], constant: Constant, gate: Gate
    ) -> list[str]:
        """Return the floors that a challenger does not reach: those of ROC AUC and skill, and the constant forecast."""
        auc = metrics.get("roc_auc")
        if auc is None or np.isnan(auc):
            return [f"ROC AUC is undefined: no class has {_MIN_OF_CLASS} rows beside others"]
        failed = []
        if auc < gate.floors.roc_auc:
            failed.append(f"ROC AUC {auc:.4f}, the floor is {gate.floors.roc_auc:.4f}")
        loss, of_constant = self._loss(y, p), self._loss(y, constant_forecast(constant, len(y)))
        if not loss < of_constant:
            failed.append(f"log loss {loss:.4f}, not below the {of_constant:.4f} of the shares of the classes in the window")
        elif (least := gate.floors.skill) is not None and (skill := 1 - loss / of_constant) < least:
            failed.append(f"skill {skill:.4f}, the floor is {least:.4f}")
        return failed

    def _loss(self, y: Labels, p: Floats) -> float:
        return mean(lambda part: self.losses(y[part], p[part]), len(y))

    def _count(self, y: Labels) -> list[int]:
        counts: list[int] = np.bincount(y, minlength=len(self.label.classes)).tolist()
        return counts

    def _roc_auc(self, y: Labels, p: Floats) -> float | None:
        """Return the mean ROC AUC of one class against all others, over the classes with enough rows; None: there is none."""
        found = [
            auc
            for positive, of_class in self.rankings(y, p)
            if positive.sum() >= _MIN_OF_CLASS and (auc := roc_auc(positive.astype(np.int8), of_class)) is not None
        ]
        return sum(found) / len(found) if found else None
