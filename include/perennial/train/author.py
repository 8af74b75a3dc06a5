"""The Python of a pipeline's author, `candidates/<name>.py`: what it gets, and how its failures are told."""

from __future__ import annotations

import random
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.config.python_file import imported
from perennial.errors import RefusedError

if TYPE_CHECKING:
    from perennial.models.scoring import Numbers

_MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """
    The task of a candidate.

    :param name: "binary": the probability of a positive label
    """

    name: str = "binary"


@dataclass(frozen=True, slots=True)
class AuthorRows:
    """
    The rows of a window, in a random order that is the same in each training.

    :param x: [rows, columns]
    :param y: the label: 1 for positive, 0 for negative
    :param late: whether a row is of the last quarter of the window's dates
    :param columns: the names of the columns of x
    :param categories: the positions of columns that hold the places of classes, and not amounts
    """

    x: Numbers
    y: NDArray[np.int8]
    late: NDArray[np.bool_]
    columns: tuple[str, ...]
    categories: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Author:
    """
    A file of a pipeline's author.

    :param file: its name in errors
    """

    file: str
    source: str

    def imports(self, *packages: str) -> bool:
        """Return whether the file imports one of some packages."""
        return not imported(self.source).isdisjoint(packages)

    def call(self, function: str, *args: object) -> Any:
        """Execute the file and return what one of its functions returns; raise RefusedError with file and line if it fails."""
        module: dict[str, Any] = {"__name__": self.file.rpartition("/")[2].removesuffix(".py")}
        try:
            exec(compile(self.source, self.file, "exec", dont_inherit=True), module)  # noqa: S102
            return module[function](*args)
        except (Exception, SystemExit) as error:
            raise self._describe(error) from error

    def refuse(self, function: str, problem: str, remedy: str) -> RefusedError:
        """Return the refusal of what a function returned."""
        return RefusedError(f"{self.file}: {function} returned {problem}", remedy=remedy)

    def _describe(self, error: BaseException) -> RefusedError:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.file]
        line = frames[-1].lineno if frames else getattr(error, "lineno", None)
        lines = self.source.splitlines()
        code = f", in `{lines[line - 1].strip()[:200]}`" if line is not None and 0 < line <= len(lines) else ""
        text = " ".join(str(error).split())[:_MAX_TEXT]
        cause = f"{type(error).__name__}{f': {text}' if text else ''}{code}"
        return RefusedError(f"{self.file}, line {line}" if line else self.file, [cause], "Change the file.")


def seed_libraries(seed: int) -> None:
    """Seed the random numbers of Python and NumPy, for code that takes no seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
