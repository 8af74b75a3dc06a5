"""The task `binary`: the probability that a label has its positive value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from perennial.config.label import BinaryLabel, Constant
from perennial.config.pipeline import Gate
from perennial.errors import RefusedError
from perennial.models.constant import constant_forecast
from perennial.models.metrics import Floats, Labels, all_metrics, log_loss, losses
from perennial.store.json_value import Json
from perennial.tasks.labels import known_labels

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class BinaryTask:
    """Labels are 0 and 1, and the loss is the log loss. The constant forecast is the share of positive rows of the window."""

    label: BinaryLabel
    shape: ClassVar[tuple[int, ...]] = ()
    least_of_class: ClassVar[int] = 1
    dates_of_class: ClassVar[int] = 1
    output: ClassVar[str] = "probability"
    loss_name: ClassVar[str] = "log_loss"
    shown: ClassVar[tuple[str, str]] = ("log_loss", "roc_auc")
    is_classes: ClassVar[bool] = True
    constant_name: ClassVar[str] = "base rate"
    label_type: ClassVar[str] = "i1"
    invalid: ClassVar[str] = "a label other than 0 and 1, or a probability outside 0..1"
    difference: ClassVar[str] = "log_loss"

    def read_labels(self, table: pa.Table) -> Labels:
        """Return 1 for rows whose label is the positive value, else 0. Refuse a row without a label."""
        import pyarrow.compute as pc

        label = self.label
        column = known_labels(table, label)
        first = column[0].as_py() if table.num_rows else label.positive
        if type(first) is not type(label.positive):
            raise RefusedError(
                f"Label {label.column!r}: the column holds {type(first).__name__}, but label.positive is {label.positive!r}",
                remedy="Set label.positive to a value of the column.",
            )
        return np.asarray(pc.equal(column, label.positive).to_numpy(), dtype=np.int8)

    def check_range(self, y: Labels) -> None:
        """Accept all labels: classes have no range."""

    def losses(self, y: Labels, p: Floats) -> Floats:
        """Return the log loss of each row."""
        return losses(y, p)

    def metrics(self, y: Labels, p: Floats, constant: Constant) -> dict[str, float | None]:
        """Return every metric by name."""
        return all_metrics(y, p)

    def rankings(self, y: Labels, p: Floats) -> Iterator[tuple[NDArray[np.bool_], Floats]]:
        """Yield whether a row is positive, and its probability."""
        yield y == 1, p

    def are_valid(self, y: Labels, p: Floats) -> bool:
        """Return whether labels are 0 and 1, and predictions probabilities."""
        return bool(np.isin(y, (0, 1)).all() and np.isfinite(p).all() and ((p >= 0) & (p <= 1)).all())

    def facts(self, y: Labels) -> Json:
        """Return the number of positive rows."""
        return {"positives": int(y.sum())}

    def unit(self, y: Labels, constant: Constant) -> float:
        """Return 1: the margin is a difference of log losses."""
        return 1.0

    def margin(self, gate: Gate) -> float:
        """Return the margin of the log loss."""
        return gate.margin.log_loss

    def settings_of(self, gate: Gate) -> Json:
        """Return the settings of the gate."""
        return gate.model_dump(mode="json", exclude_none=True)

    def lacking(self, y: Labels, gate: Gate) -> list[tuple[str, int, int]]:
        """Return the numbers of rows of both classes, found and needed."""
        return [("positives", int(y.sum()), gate.floors.positives), ("negatives", int((y == 0).sum()), 1)]

    def unsupported(self, y: Labels, constant: Constant) -> list[str]:
        """Return nothing: the loss of a single row is bounded."""
        return []

    def failed_floors(
        self, y: Labels, p: Floats, metrics: Mapping[str, float | None], constant: Constant, gate: Gate
    ) -> list[str]:
        """Return the floors that a challenger does not reach: that of ROC AUC, and the constant forecast."""
        auc = metrics.get("roc_auc")
        if auc is None or np.isnan(auc):
            return ["ROC AUC is undefined: the holdout has only one class"]
        failed = []
        if auc < gate.floors.roc_auc:
            failed.append(f"ROC AUC {auc:.4f}, the floor is {gate.floors.roc_auc:.4f}")
        loss = log_loss(y, p)
        of_constant = log_loss(y, constant_forecast(constant, len(y)))
        if not loss < of_constant:
            failed.append(
                f"log loss {loss:.4f}, not below the {of_constant:.4f} of the constant base rate {constant:.4f} of the window"
            )
        return failed
