"""Runs the Python of a pipeline's author, `candidates/<name>.py`, and tells its failures with file and line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.label import NumberLabel
from perennial.config.python_file import imported
from perennial.errors import RefusedError

if TYPE_CHECKING:
    from perennial.models.metrics import Labels
    from perennial.models.scoring import Numbers
    from perennial.train.author import Author
    from perennial.train.target import Target

_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """
    The task of a candidate.

    :param name: "binary": the probability of a positive label; "multiclass": those of several classes; "regression": a number
    :param predict: the number to predict, of a regression: "mean", "median", or a quantile such as "quantile 0.9"
    :param quantile: its quantile, 0.5 for the median; None: the mean, or a probability
    :param outputs: the number of outputs of a model: one for each of several classes, or 1
    """

    name: str
    predict: str | None = None
    quantile: float | None = None
    outputs: int = 1

    @classmethod
    def of(cls, target: Target) -> Task:
        """Return the task that a window's labels are for."""
        label = target.label
        if isinstance(label, NumberLabel):
            return cls(label.task, label.predict, label.quantile)
        return cls(label.task, outputs=target.outputs)


@dataclass(frozen=True, slots=True)
class AuthorRows:
    """
    The rows of a window, in a random order that is the same in each training.

    :param x: [rows, columns]
    :param y: the label: 1 for positive, 0 for negative; 0, 1, 2 and so on for the classes that the window has; for a regression
        (label - center) / spread, as a 32-bit float
    :param late: whether a row is of the last quarter of the window's dates
    :param columns: the names of the columns of x
    :param categories: the positions of columns that hold the places of classes, and not amounts
    :param center: the mean of the labels, or the quantile to predict; 0 for classes
    :param spread: the standard deviation of the labels; 1 for classes
    """

    x: Numbers = field(repr=False)
    y: Labels = field(repr=False)
    late: NDArray[np.bool_] = field(repr=False)
    columns: tuple[str, ...]
    categories: tuple[int, ...]
    center: float
    spread: float


def imports_one_of(author: Author, *packages: str) -> bool:
    """Return whether a file imports one of some packages."""
    return not imported(author.source).isdisjoint(packages)


def call(author: Author, function: str, *args: object) -> Any:
    """Execute a file and return what one of its functions returns; raise RefusedError with file and line if it fails."""
    name = f"perennial_candidate_{author.file.rpartition('/')[2].removesuffix('.py')}"
    sys.modules[name] = module = ModuleType(name)  # dataclasses look their module up
    with failures_of(author):
        exec(compile(author.source, author.file, "exec", dont_inherit=True), vars(module))  # noqa: S102
        return vars(module)[function](*args)


@contextmanager
def failures_of(author: Author) -> Iterator[None]:
    """Raise RefusedError with file and line if the code of a file fails."""
    try:
        yield
    except RefusedError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise _describe(author, error) from error


def refuse_result(author: Author, function: str, problem: str, remedy: str) -> RefusedError:
    """Return the refusal of what a function of a file returned."""
    return RefusedError(f"{author.file}: {function} returned {problem}", remedy=remedy)


def _describe(author: Author, error: BaseException) -> RefusedError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == author.file]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    lines = author.source.splitlines()
    code = f", in `{lines[line - 1].strip()[:200]}`" if line is not None and 0 < line <= len(lines) else ""
    text = " ".join(str(error).split())[:_MAX_TEXT]
    cause = f"{type(error).__name__}{f': {text}' if text else ''}{code}"
    return RefusedError(f"{author.file}, line {line}" if line else author.file, [cause], "Change the file.")
