"""The non-zero cells of a matrix with codes, on scratch disk, and Newton's method with conjugate gradients on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.train.matrix import Floats, Matrix

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from perennial.train.matrix_files import MatrixFiles

_TOLERANCE = 1e-6
"""The largest gradient at which the solver stops; Newton's method usually ends below it by itself."""

_MAX_STEPS = 100
_PART_ROWS = 16_384
"""Rows of which the cells are in memory at once. The results have the same bits with any number."""


def newton_on_cells(matrix: MatrixFiles, strength: float) -> tuple[Floats, int]:
    """
    Return the weights [columns, classes of the codes, intercept] of a logistic regression, and the number of steps.

    A Cholesky solve needs memory for columns squared, which wide categories make large. Conjugate gradients need passes over the
    rows, and a row has few cells that are not zero. The solver is that of scikit-learn's "newton-cg", which asks only for sums
    over rows: these are added part by part. So it gives the weights of scikit-learn, from memory for one bucket.

    :param strength: the inverse strength of the penalty, scikit-learn's C; the intercept is not penalised
    """
    # scikit-learn's solver takes functions, but its public classes take arrays of all rows.
    from sklearn.utils.optimize import _newton_cg

    objective = _Objective(store_cells(matrix), 1.0 / (strength * matrix.rows))
    begin = np.zeros(matrix.columns + sum(matrix.sizes) + 1)
    weights, steps = _newton_cg(
        objective.gradient_and_hessian, objective.loss, objective.gradient, begin, tol=_TOLERANCE, maxiter=_MAX_STEPS
    )
    return weights, int(steps)


@dataclass(frozen=True, slots=True)
class CellFiles:
    """
    The rows of a window as their non-zero cells, some rows at a time.

    :param parts: the number of rows and of cells of each file, in order
    :param width: the number of columns, with one for each class of each code
    """

    matrix: MatrixFiles
    parts: list[tuple[int, int]]
    width: int

    def read(self) -> Iterator[tuple[slice, Cells]]:
        """Yield the place of some rows among all, and their cells, in order. The next cells take the place of the last ones."""
        begin, most = 0, max((count for _, count in self.parts), default=0)
        # Memory that is used again costs no page faults, which take longer than the arithmetic.
        stored, places, values, room = np.empty(most, "<f4"), np.empty(most, "<i4"), np.empty(most), np.empty(most)
        for part, (rows, count) in enumerate(self.parts):
            with _path(self.matrix, part).open("rb") as file:
                y, ends = np.fromfile(file, "i1", rows).astype(np.float64), np.fromfile(file, "<i4", rows + 1)
                file.readinto(places[:count].view("u1").data)
                file.readinto(stored[:count].view("u1").data)
            values[:count] = stored[:count]
            yield slice(begin, begin + rows), Cells(self.width, values[:count], places[:count], ends, y, room[:count])
            begin += rows


@dataclass(frozen=True, slots=True)
class Cells:
    """
    The non-zero cells of some rows, each row from its last column to its first.

    :param values: the cells
    :param places: their columns
    :param ends: the end of each row among the cells, after a 0
    :param room: as many numbers, for the results of `scale`
    """

    width: int
    values: Floats
    places: NDArray[np.int32]
    ends: NDArray[np.int32]
    y: Floats
    room: Floats

    def margins(self, weights: Floats) -> Floats:
        """Return the product of each row with the weights, of which the last is the intercept."""
        ends = self.ends[-1] - self.ends[::-1]
        products = self._multiply(ends, self.places[::-1].copy(), self.values[::-1].copy(), weights[:-1])
        result: Floats = products[::-1] + weights[-1]
        return result

    def scale(self, factors: Floats) -> Floats:
        """Return the values times the factors of their rows, until the next call."""
        return np.multiply(self.values, np.repeat(factors, np.diff(self.ends)), out=self.room)

    def products(self, values: Floats, vector: Floats) -> Floats:
        """Return the product of each row with a vector, for other values of the same cells."""
        return self._multiply(self.ends, self.places, values, vector)

    def add(self, sums: Floats, terms: Floats, values: Floats | None = None) -> None:
        """Add the rows times their terms to the sums by column, one row after the other."""
        # scipy's product of an array and a vector begins with new sums: added to the old ones, they would have other bits.
        from scipy.sparse._sparsetools import csc_matvec

        csc_matvec(self.width, len(terms), self.ends, self.places, self.values if values is None else values, terms, sums)

    def _multiply(self, ends: NDArray[np.int32], places: NDArray[np.int32], values: Floats, vector: Floats) -> Floats:
        from scipy.sparse._sparsetools import csr_matvec

        result = np.zeros(len(ends) - 1)
        csr_matvec(len(result), self.width, ends, places, values, vector, result)
        return result


def store_cells(matrix: MatrixFiles) -> CellFiles:
    """Write the non-zero cells of each bucket in place of its matrix, which the caller no longer reads."""
    scratch = matrix.window.scratch
    parts: list[tuple[int, int]] = []
    for bucket in range(len(matrix.bucket_rows)):
        rows, y, _ = matrix.read_bucket(bucket)
        scratch.delete(scratch.folder / f"{bucket}.matrix")
        for begin in range(0, len(y), _PART_ROWS):
            some = slice(begin, begin + _PART_ROWS)
            cells = _cells_of(Matrix(rows.columns[some], rows.codes[some], rows.sizes))
            with scratch.create(_path(matrix, len(parts))) as file:
                for array in (y[some], cells.indptr.astype("<i4"), cells.indices.astype("<i4", order="C"), cells.data.copy()):
                    scratch.append(file, array)
            parts.append((cells.shape[0], cells.nnz))
    return CellFiles(matrix, parts, matrix.columns + sum(matrix.sizes))


def _path(matrix: MatrixFiles, part: int) -> Path:
    return matrix.window.scratch.folder / f"{part}.cells"


def _cells_of(matrix: Matrix) -> csr_array:
    """
    Return the rows of a matrix with a one-hot column for each class of each code, from the last column to the first.

    scikit-learn adds the products of a row in that order, but for the margins.
    """
    from scipy.sparse import csr_array, hstack

    parts, count = [csr_array(matrix.columns)], len(matrix.codes)
    for code, size in zip(matrix.codes.T, matrix.sizes, strict=True):
        known = np.flatnonzero(code < size)
        parts.append(csr_array((np.ones(len(known), np.float32), (known, code[known])), shape=(count, size)))
    rows = csr_array(hstack(parts))
    rows.sort_indices()
    upwards = rows[::-1]
    return csr_array((upwards.data[::-1], upwards.indices[::-1], rows.indptr), shape=rows.shape)


class _Objective:
    """
    The mean loss of the rows with a penalty, in the form in which scikit-learn's solver asks for it.

    Every sum is added in the order in which scikit-learn adds it, because the solver may stop a step earlier or later when a last
    digit changes: sums by column row after row, through all buckets, and sums over rows in one call on all rows.

    :param penalty: the strength of the penalty
    """

    def __init__(self, cells: CellFiles, penalty: float) -> None:
        from sklearn._loss.loss import HalfBinomialLoss

        self._cells = cells
        self._penalty = penalty
        self._loss = HalfBinomialLoss()
        rows, scratch = cells.matrix.rows, cells.matrix.window.scratch
        self._terms, self._factors, self._margins = (scratch.map(name, rows) for name in ("terms", "factors", "margins"))
        self._weights: Floats | None = None
        """The weights of which the margins are kept: the solver asks for the loss and both derivatives at the same ones."""

    def loss(self, weights: Floats) -> float:
        """Return the mean loss with the penalty."""
        for place, cells in self._read(weights):
            self._loss.loss(cells.y, self._margins[place], loss_out=self._terms[place])
        mean = float(self._terms.sum() / len(self._terms))
        return mean + float(0.5 * self._penalty * (weights[:-1] @ weights[:-1]))

    def gradient(self, weights: Floats) -> Floats:
        """Return the first derivative."""
        sums = np.zeros(len(weights) - 1)
        for place, cells in self._read(weights):
            terms = self._terms[place]
            self._loss.gradient(cells.y, self._margins[place], gradient_out=terms)
            terms /= len(self._terms)
            cells.add(sums, terms)
        return np.append(sums + self._penalty * weights[:-1], self._terms.sum())

    def gradient_and_hessian(self, weights: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
        """Return the first derivative, and a function that multiplies the second one with a vector."""
        gradient = self.gradient(weights)
        by_column = np.zeros(len(weights) - 1)
        for place, cells in self._read(weights):
            _, factors = self._loss.gradient_hessian(cells.y, self._margins[place], hessian_out=self._factors[place])
            factors /= len(self._factors)
            cells.add(by_column, np.ones(len(factors)), cells.scale(factors))
        total = self._factors.sum()

        def multiply(vector: Floats) -> Floats:
            sums = np.zeros(len(vector) - 1)
            for place, cells in self._cells.read():
                cells.add(sums, cells.products(cells.scale(self._factors[place]), vector[:-1]))
            sums += self._penalty * vector[:-1]
            sums += vector[-1] * by_column
            return np.append(sums, by_column @ vector[:-1] + total * vector[-1])

        return gradient, multiply

    def _read(self, weights: Floats) -> Iterator[tuple[slice, Cells]]:
        """Yield the cells; the margins of the rows before them, and of their own, are those of the weights."""
        is_kept = self._weights is not None and np.array_equal(weights, self._weights)
        for place, cells in self._cells.read():
            if not is_kept:
                self._margins[place] = cells.margins(weights)
            yield place, cells
        self._weights = weights.copy()
