"""The rows of a window as a candidate sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.models.scoring import Numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matrix:
    """
    Columns, and codes that replace the one-hot columns of wide categories.

    A layer's kernel has a row for each column, then a row for each class of each code.

    :param columns: [rows, columns]
    :param codes: [rows, codes]; a code equal to its size is none of the classes
    :param sizes: the number of classes of each code
    """

    columns: Numbers
    codes: NDArray[np.int32]
    sizes: tuple[int, ...]

    def as_floats(self) -> Numbers:
        """Return the rows with their codes as the last columns: a float holds every code exactly."""
        return np.hstack([self.columns, self.codes.astype(np.float32)]) if self.sizes else self.columns
