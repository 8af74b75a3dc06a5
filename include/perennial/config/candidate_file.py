"""The rules of a candidate's Python file, `candidates/<name>.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from perennial.config.python_file import Rules, file_problems

_LIBRARIES = ("keras", "lightgbm", "numpy", "scipy", "sklearn", "tensorflow", "xgboost")
_BUILD = Rules("build", "two arguments, the columns and the task", 2, "def build(columns, task)", _LIBRARIES)
_FIT = Rules("fit", "three arguments, the rows, the task and the seed", 3, "def fit(rows, task, seed)", _LIBRARIES)

RULES: Mapping[str, Rules] = MappingProxyType(
    {"keras": _BUILD, "pytorch": replace(_BUILD, libraries=("numpy", "torch")), "file": _FIT}
)
"""
The families whose candidates have a file, and the rules of it.

The versions of the libraries that it may import are a part of the fingerprint of its candidate.
"""


def candidate_problems(text: str, family: str) -> list[str]:
    """Return each reason why the file of a candidate cannot run, with its line."""
    return file_problems(text, RULES[family])
