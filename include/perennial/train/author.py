"""A Python file of a pipeline's author, as a training gets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Author:
    """
    The file of a candidate.

    :param file: its name in errors, `candidates/<name>.py`
    :param source: its text
    """

    file: str
    source: str
