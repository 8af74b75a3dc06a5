"""
The task `regression`: a number, predicted by its mean, its median or another quantile.

A model answers the question that its loss asks: trained on squared error it can be worse than the window's median by absolute
error. So `label.predict` fixes the loss of training, the loss by which models are judged, and the constant forecast together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from perennial.config.label import Constant, NumberLabel
from perennial.config.pipeline import Gate
from perennial.display.metrics import label_of
from perennial.errors import RefusedError
from perennial.models.constant import constant_forecast
from perennial.models.metrics import Floats, Labels
from perennial.models.sums import mean
from perennial.store.json_value import Json
from perennial.tasks.labels import known_labels

if TYPE_CHECKING:
    import pyarrow as pa

_LOSSES = {"mean": "squared_error", "median": "absolute_error"}
_MARGIN, _MARGIN_OF_QUANTILE = 0.1, 0.05
"""About the standard deviation of the weekly difference of two families, as a share of the constant forecast's loss."""

_MAX_SHARE = 0.5
"""Maximum share of the loss of a constant forecast that one row of a holdout may make up."""

_EQUAL = 1e-9
"""Relative difference below which two losses are equal."""

_BOTH = ("squared_error", "absolute_error")


@dataclass(frozen=True, slots=True)
class RegressionTask:
    """Labels are numbers. The constant forecast is the window's own mean, median or quantile."""

    label: NumberLabel
    shape: ClassVar[tuple[int, ...]] = ()
    least_of_class: ClassVar[int] = 1
    dates_of_class: ClassVar[int] = 1
    output: ClassVar[str] = "value"
    is_classes: ClassVar[bool] = False
    constant_name: ClassVar[str] = "constant forecast"
    label_type: ClassVar[str] = "<f8"
    invalid: ClassVar[str] = "a label or a value that is not finite"
    difference: ClassVar[str] = "skill"

    @property
    def loss_name(self) -> str:
        """Return the name of the loss among the metrics."""
        return _LOSSES.get(self.label.predict, "pinball_loss")

    @property
    def shown(self) -> tuple[str, str]:
        """Return the loss and the skill."""
        return self.loss_name, "skill"

    def read_labels(self, table: pa.Table) -> Labels:
        """Return the labels as 64-bit floats. Refuse a row without a label, and one that is not finite."""
        import pyarrow as pa

        label = self.label
        column = known_labels(table, label)
        if pa.types.is_boolean(column.type) or not (_is_number(column.type)):
            raise RefusedError(
                f"Label {label.column!r}: the column is of type {column.type}, but task: regression predicts numbers",
                remedy="Select a number in the SQL, such as CAST(… AS DOUBLE), or set task: binary.",
            )
        y = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        with np.errstate(over="ignore"):
            self._refuse(y, ~np.isfinite(y.astype(np.float32)), "a finite 32-bit number")
        return y

    def check_range(self, y: Labels) -> None:
        """Refuse labels outside of the range. Reports read labels of a time when it was wider."""
        if self.label.range is not None:
            least, most = self.label.range
            self._refuse(
                y, (y < least) | (y > most), f"a number from {least!r} to {most!r}, as label.range says", ", or widen label.range"
            )

    def _refuse(self, y: Labels, wrong: NDArray[np.bool_], allowed: str, or_else: str = "") -> None:
        if wrong.any():
            raise RefusedError(
                f"Label {self.label.column!r}: {int(wrong.sum())} of {len(y)} rows have a label that is not {allowed}; "
                f"the first is {float(y[np.argmax(wrong)])!r}",
                remedy=f"Leave these rows out in the SQL of the label, or limit it with LEAST and GREATEST{or_else}.",
            )

    def losses(self, y: Labels, p: Floats) -> Floats:
        """Return the squared error of each row, its absolute error, or its pinball loss."""
        return _losses(self.loss_name, y, p, self.label.quantile)

    def metrics(self, y: Labels, p: Floats, constant: Constant) -> dict[str, float | None]:
        """
        Return the loss, the skill (the share of the constant forecast's loss that the model saves) and other metrics, by name.

        `bias` is the mean of prediction minus label, and `coverage` the share of labels at or below the predicted quantile.
        """
        names = dict.fromkeys((self.loss_name, *_BOTH)) if self.loss_name in _BOTH else {self.loss_name: None}
        found: dict[str, float | None] = {"skill": self._skill(y, p, constant)}
        for name in names:
            found[name] = mean(lambda part, name=name: _losses(name, y[part], p[part], self.label.quantile), len(y))  # type: ignore[misc]
        if self.loss_name in _BOTH:
            found["bias"] = mean(lambda part: p[part] - y[part], len(y))
        else:
            found["coverage"] = mean(lambda part: (y[part] <= p[part]).astype(np.float64), len(y))
        return found

    def rankings(self, y: Labels, p: Floats) -> Iterator[tuple[NDArray[np.bool_], Floats]]:
        """Yield nothing: numbers have no classes."""
        yield from ()

    def are_valid(self, y: Labels, p: Floats) -> bool:
        """Return whether labels and predictions are finite."""
        return bool(np.isfinite(y).all() and np.isfinite(p).all())

    def facts(self, y: Labels) -> Json:
        """Return the mean label."""
        return {"mean_label": round(float(mean(lambda part: y[part], len(y))), 9) if len(y) else None}

    def unit(self, y: Labels, constant: Constant) -> float:
        """Return the loss of the constant forecast, so that one margin fits labels of any unit; 1 if that loss is zero."""
        return self._loss(y, constant_forecast(constant, len(y))) or 1.0

    def margin(self, gate: Gate) -> float:
        """Return the margin as a share of the constant forecast's loss."""
        if gate.margin.skill is not None:
            return gate.margin.skill
        return _MARGIN if self.loss_name in _BOTH else _MARGIN_OF_QUANTILE

    def settings_of(self, gate: Gate) -> Json:
        """Return the settings of the gate without those of classes."""
        stored = gate.model_dump(mode="json", exclude_none=True)
        return {
            **stored,
            "margin": {"skill": self.margin(gate)},
            "floors": {name: value for name, value in stored["floors"].items() if name in ("rows", "skill")},
        }

    def lacking(self, y: Labels, gate: Gate) -> list[tuple[str, int, int]]:
        """Return nothing: any labels can be judged."""
        return []

    def unsupported(self, y: Labels, constant: Constant) -> list[str]:
        """Refuse labels that all equal the constant forecast, and those of which one row decides the loss of all."""
        losses = self.losses(y, constant_forecast(constant, len(y)))
        total = float(losses.sum())
        if not total > 0:
            return [f"all labels of the holdout equal the constant forecast {constant:g} of the window"] if len(y) else []
        largest = int(losses.argmax())
        if losses[largest] <= _MAX_SHARE * total:
            return []
        share = round(100 * float(losses[largest]) / total)
        return [
            f"one row of the holdout, with the label {float(y[largest])!r}, makes up {share} % of the loss of the constant "
            "forecast. Limit labels by label.range or in the SQL (LEAST, GREATEST)"
        ]

    def failed_floors(
        self, y: Labels, p: Floats, metrics: Mapping[str, float | None], constant: Constant, gate: Gate
    ) -> list[str]:
        """Return the floors that a challenger does not reach: that of skill, and the constant forecast."""
        loss, of_constant = self._loss(y, p), self._loss(y, constant_forecast(constant, len(y)))
        name = label_of(self.loss_name)
        if not loss < of_constant * (1 - _EQUAL):
            return [f"{name} {loss:.4g}, not below the {of_constant:.4g} of the constant forecast {constant:.4g} of the window"]
        skill, least = 1 - loss / of_constant, gate.floors.skill
        if least is not None and skill < least:
            return [f"skill {skill:.4f}, the floor is {least:.4f}"]
        return []

    def _loss(self, y: Labels, p: Floats) -> float:
        return mean(lambda part: self.losses(y[part], p[part]), len(y))

    def _skill(self, y: Labels, p: Floats, constant: Constant) -> float | None:
        of_constant = self._loss(y, constant_forecast(constant, len(y)))
        return 1 - self._loss(y, p) / of_constant if of_constant > 0 and np.isfinite(of_constant) else None


def _losses(name: str, y: Labels, p: Floats, quantile: float | None) -> Floats:
    error = np.asarray(y, dtype=np.float64) - np.asarray(p, dtype=np.float64)
    if name == "squared_error":
        return error**2
    if name == "absolute_error" or quantile is None:
        return np.abs(error)
    return np.maximum(quantile * error, (quantile - 1) * error)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
