"""The section `gate` of pipeline.yaml: the conditions under which a challenger becomes champion."""

from __future__ import annotations

from math import isqrt
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from perennial.config.contract import Contract
from perennial.config.values import Column, Count, Distinct, ManyRows, Positive, Share


class Margin(Contract):
    """The largest amount by which a challenger may be worse than the incumbent, in each metric, and still replace it."""

    log_loss: Annotated[float, Field(ge=0, le=100)] = 0.02
    roc_auc: Share = 0.02
    skill: Share | None = None
    """
    Of a regression or of several classes: a share of the loss of a constant forecast.

    None: 0.1 for a mean or a median, 0.05 for another quantile, 0.03 for classes.
    """


class Floors(Contract):
    """The minimum that every challenger must reach on the holdout, independent of the incumbent."""

    roc_auc: Share = 0.60
    skill: Share | None = None
    """Of a regression or of several classes: the share of a constant forecast's loss that a model must save. None: any."""

    rows: Count = 100
    positives: Count = 20


class Gate(Contract):
    """The promotion gate: the conditions under which a challenger becomes champion."""

    margin: Margin = Margin()
    floors: Floors = Floors()
    min_days: Positive = 7
    """Minimum number of dates in the holdout."""

    max_age_days: Positive = 28
    """Maximum age of the incumbent. An older one gives way to a challenger that is not rejected."""

    slices: Distinct[Column] = []
    """Request fields whose values are slices: challenger and incumbent are also compared on the rows of each value."""

    slice_min_rows: Count = 200
    max_rows: ManyRows | None = None
    """Rows of a holdout to judge on, about: the same share of each date. None: all."""

    @field_validator("max_rows")
    @classmethod
    def _check_max_rows(cls, max_rows: int | None, info: ValidationInfo) -> int | None:
        floors = info.data.get("floors")
        # Hashes choose the rows, so their number varies: at the floor itself, half of the holdouts would be too small.
        if max_rows is not None and floors is not None and max_rows < (least := floors.rows + 5 * isqrt(floors.rows)):
            raise ValueError(
                f"max_rows {max_rows} is less than {least}: the number of rows varies, "
                f"and some holdouts would have fewer than floors.rows {floors.rows}"
            )
        return max_rows
