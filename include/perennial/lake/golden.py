"""Golden requests as a release stores them: records, and the answers that it must give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perennial.store.json_value import Json

TOLERANCE = 1e-5
"""The largest difference of an answer: of a probability, or of a number in standard deviations of the label."""

ROUNDING = 2.0**-22
"""Relative difference of two numbers that 32-bit floats can round apart. For a probability it is far below TOLERANCE."""

PROBABILITY = "probability"

Answer = float | Sequence[float]
"""A probability, a number, or the probabilities of all classes."""


@dataclass(frozen=True, slots=True)
class GoldenAnswers:
    """
    Records and their answers.

    :param output: the name of the answer: `probability`, `probabilities` or `value`
    :param spread: the standard deviation of the labels of a regression; 1 for a probability
    """

    records: Sequence[Json]
    answers: Sequence[Answer]
    output: str = PROBABILITY
    spread: float = 1.0

    def is_close(self, index: int, answer: Answer) -> bool:
        """Return whether an answer to a record is the expected one."""
        found, expected = ([value] if isinstance(value, float) else value for value in (answer, self.answers[index]))
        return len(found) == len(expected) and all(
            math.isclose(value, other, rel_tol=ROUNDING, abs_tol=TOLERANCE * self.spread)
            for value, other in zip(found, expected, strict=True)
        )

    def to_json(self) -> Json:
        """Return the stored form. That of probabilities is what servers of earlier versions read."""
        if self.output == PROBABILITY:
            return {"records": list(self.records), "probabilities": list(self.answers)}
        return {"records": list(self.records), "answers": list(self.answers), "output": self.output, "spread": self.spread}


def read_golden_answers(stored: Any) -> GoldenAnswers:
    """Return stored golden requests."""
    if "probabilities" in stored:
        return GoldenAnswers(stored["records"], stored["probabilities"])
    return GoldenAnswers(stored["records"], stored["answers"], stored["output"], stored["spread"])
