"""The label of a pipeline: the column to predict, and for each task how it is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, field_validator

from perennial.config.contract import Contract
from perennial.config.values import Column, Distinct, Range, Scalar, TextOrWhole, refuse

Constant = float | Sequence[float]
"""The constant forecast of a window: the share of positive rows, or of each class, or a number in the unit of the label."""

_QUANTILE = r"quantile 0?\.[0-9]{1,9}"
LEAST_QUANTILE = 0.01
"""Fewer rows than one in a hundred say nothing about a quantile on a holdout of a few thousand."""

MAX_CLASSES = 100
MAX_CLASS_LENGTH = 128

PREDICTIONS = "mean, median, or a quantile from 0.01 to 0.99 such as quantile 0.9"


class _Label(Contract):
    """A column to predict. It is in features.sql, or in labels.sql if it is known later."""

    column: Column
    known_after_days: Annotated[int, Field(ge=0, le=60)] = 0
    """Days after its date until a label is known. If more than 0, labels.sql computes the label."""


class BinaryLabel(_Label):
    """The column to predict and its positive value."""

    task: Literal["binary"] = Field(default="binary", repr=False)
    positive: Scalar = True

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that decide a model, which are part of its fingerprint."""
        return {"column": self.column, "positive": self.positive}

    @property
    def outcome(self) -> str:
        """Return the outcome in words, as `perennial predict` shows it."""
        return f"{self.column} = {json.dumps(self.positive) if isinstance(self.positive, bool) else self.positive}"

    def describe(self) -> str:
        """Return the predicted outcome in words."""
        return f"{self.column} = {json.dumps(self.positive, ensure_ascii=False)}"


def _prediction(value: Any) -> Any:
    """Return a prediction in its only form. Refuse others with the list of those that exist: a pattern would not help."""
    if not isinstance(value, str) or value in ("mean", "median"):
        return value
    quantile = float(value.split()[1]) if re.fullmatch(_QUANTILE, value) else 0.0
    if not LEAST_QUANTILE <= quantile <= 1 - LEAST_QUANTILE:
        raise ValueError(f"expected {PREDICTIONS}")
    return "median" if quantile == 0.5 else f"quantile {quantile:g}"


Prediction = Annotated[str, BeforeValidator(_prediction)]
"""The number to predict of all possible ones."""


class NumberLabel(_Label):
    """
    The column of numbers to predict.

    `predict` fixes the loss by which models are trained and judged, and the constant forecast that they must beat: a model of the
    mean is judged by squared error, of the median by absolute error, of a quantile by its pinball loss.
    """

    task: Literal["regression"] = Field(default="regression", repr=False)
    predict: Prediction
    range: Range | None = None
    """The least and the greatest value of a label. Predictions keep to it."""

    interval: Annotated[float, Field(ge=0.5, le=0.98)] | None = None
    """The share of labels that the answered intervals should hold. None: answers have no interval."""

    @property
    def quantile(self) -> float | None:
        """Return the quantile to predict, 0.5 for the median; None for the mean."""
        if self.predict == "mean":
            return None
        return 0.5 if self.predict == "median" else float(self.predict.split()[1])

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that decide a model, which are part of its fingerprint."""
        optional = {"range": self.range, "interval": self.interval}
        given = {name: value for name, value in optional.items() if value is not None}
        return {"column": self.column, "predict": self.predict, **given}

    @property
    def outcome(self) -> str:
        """Return the outcome in words, as `perennial predict` shows it."""
        return f"{self.predict} of {self.column}"

    def describe(self) -> str:
        """Return the predicted number in words."""
        return f"the {self.predict} of {self.column}" + (f" within {self.range}" if self.range else "")


class ClassesLabel(_Label):
    """
    The column of classes to predict, and all of them, in the order of the answers.

    They are declared, not found in a window: then the models of all dates answer alike, and can be compared.
    """

    task: Literal["multiclass"] = Field(default="multiclass", repr=False)
    classes: Annotated[Distinct[TextOrWhole], Field(min_length=2, max_length=MAX_CLASSES)]

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: list[str | int]) -> list[str | int]:
        if len({type(value) for value in classes}) > 1:
            raise ValueError("found texts and whole numbers, expected one of the two: a column has one type")
        refuse(
            ((place,), f"expected a text of 1 to {MAX_CLASS_LENGTH} characters")
            for place, value in enumerate(classes)
            if isinstance(value, str) and not 0 < len(value) <= MAX_CLASS_LENGTH
        )
        return classes

    @property
    def names(self) -> list[str]:
        """Return the classes as texts, as answers name them."""
        return [str(value) for value in self.classes]

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that decide a model, which are part of its fingerprint."""
        return {"column": self.column, "classes": self.classes}

    @property
    def outcome(self) -> str:
        """Return the outcome in words, as `perennial predict` shows it."""
        return f"class of {self.column}"

    def describe(self) -> str:
        """Return the predicted outcome in words."""
        return f"the class of {self.column} among {', '.join(self.names)}"


Label = BinaryLabel | ClassesLabel | NumberLabel
TASKS: Mapping[str, type[Label]] = {"binary": BinaryLabel, "multiclass": ClassesLabel, "regression": NumberLabel}
LabelField = Annotated[Label, Field(discriminator="task")]


def read_label(stored: Mapping[str, Any]) -> Label:
    """Return a stored label. Those of earlier versions are binary and do not say so."""
    label: Label = TypeAdapter(LabelField).validate_python({"task": "binary", **stored})
    return label


def give_task(pipeline: Any) -> Any:
    """Return a pipeline whose label has the pipeline's task, by which it is read."""
    if not isinstance(pipeline, dict) or not isinstance(label := pipeline.get("label"), dict):
        return pipeline
    if "task" in label:
        refuse([(("label", "task"), "`task` belongs beside `label`, not into it")])
    return {**pipeline, "label": {**label, "task": task_of(pipeline)}}


def task_of(pipeline: Mapping[str, Any]) -> str:
    """Return the task of a pipeline that is not checked yet."""
    task = pipeline.get("task", "binary")
    return task if isinstance(task, str) and task in TASKS else "binary"
