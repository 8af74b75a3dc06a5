"""The constant forecast of a window: a model that answers every row alike."""

from __future__ import annotations

import numpy as np

from perennial.config.label import Constant
from perennial.models.metrics import Floats


def constant_forecast(constant: Constant, rows: int) -> Floats:
    """Return the predictions of the constant forecast: [rows], or [rows, classes]."""
    forecast: Floats = np.broadcast_to(np.asarray(constant, dtype=np.float64), (rows, *np.shape(constant)))
    return forecast
