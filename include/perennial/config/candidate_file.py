"""The rules of a candidate's Python file, `candidates/<name>.py`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perennial.config.python_file import Rules, file_problems

LIBRARIES = ("keras", "lightgbm", "numpy", "scipy", "sklearn", "tensorflow", "xgboost")
"""The packages that a file may import besides Python's own; their versions are a part of its fingerprint."""

FUNCTIONS: Mapping[str, str] = MappingProxyType({"keras": "build", "file": "fit"})
"""The families whose candidates have a file, and the function that it defines."""

_RULES = {
    "build": Rules("build", "two arguments, the columns and the task", 2, "def build(columns, task)", LIBRARIES),
    "fit": Rules("fit", "three arguments, the rows, the task and the seed", 3, "def fit(rows, task, seed)", LIBRARIES),
}


def candidate_problems(text: str, function: str) -> list[str]:
    """Return each reason why the file of a candidate cannot run, with its line."""
    return file_problems(text, _RULES[function])
