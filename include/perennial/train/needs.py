"""An estimate of the disk and the memory that a training takes, from the numbers of rows that the commits record."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from perennial.config.derived import parse_derived
from perennial.config.pipeline import MIN_ROWS, Inputs, Pipeline
from perennial.config.values import bytes_of
from perennial.errors import RefusedError
from perennial.lake.lake import Lake
from perennial.lake.parts import MAX_READ
from perennial.runtime.kind import runtime_of
from perennial.serve.memory import find_limit
from perennial.store.json_value import JsonValue
from perennial.train.classes import MAX_COLUMNS
from perennial.train.plan import rows_to_train
from perennial.train.preprocess import amounts
from perennial.train.window import count_buckets, record_type

MAX_ERROR = 1.3
"""Maximum factor between an estimate and what a training takes: `make bench-scale` compares them."""

_CLASSES = {"hour_of_day": 24, "weekday": 7, "is_missing": 2}
_CLASSES_OF_CATEGORY = 12
"""Classes of a category, whose number nothing knows before the rows are read."""

_MIB = 2**20
_START = {"mlp": 850 * _MIB, "logistic": 380 * _MIB}
"""Memory of a training of few rows: Python, and the libraries of the candidate."""

_READ_BYTES = 600
"""Memory of a row while it is read, for at most MAX_READ rows at once."""

_JUDGED_BYTES = 40
"""Memory of a row of the holdout: its label, its probability, and the same in order for the metrics."""

_KEPT_BYTES = 48
"""Scratch of a row of the holdout beside its inputs: its key, and its prediction."""


@dataclass(frozen=True, slots=True)
class Needs:
    """
    An estimate of what the training of a candidate takes.

    :param rows: the rows of the window, or of its sample
    :param scratch: bytes on scratch disk; `row_scratch` those of a row of the window
    :param memory: bytes of memory
    """

    candidate: str
    rows: int
    holdout_rows: int
    buckets: int
    row_scratch: int
    scratch: int
    memory: int

    def describe(self) -> str:
        """Describe the needs as a clause."""
        buckets = "one bucket" if self.buckets == 1 else f"{self.buckets} buckets"
        return (
            f"{self.candidate}: {self.rows:,} rows of the window in {buckets}, {self.holdout_rows:,} rows of the holdout, "
            f"about {_gigabytes(self.scratch)} of scratch and {_gigabytes(self.memory)} of memory"
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the needs as JSON values."""
        return {
            "candidate": self.candidate,
            "rows": self.rows,
            "holdout_rows": self.holdout_rows,
            "buckets": self.buckets,
            "scratch_bytes": self.scratch,
            "memory_bytes": self.memory,
        }


def estimate_needs(
    candidate: str,
    inputs: Inputs,
    rows: Mapping[date, int],
    window: Sequence[date],
    max_rows: int | None = None,
    max_judged: int | None = None,
) -> Needs:
    """
    Estimate what a training takes.

    :param rows: by date of window and holdout, the rows that its commit records
    :param max_rows: about how many rows of the window to choose; None: all
    :param max_judged: about how many rows of the holdout to judge; None: all
    """
    whole = sum(rows[day] for day in window)
    chosen, holdout = min(whole, max_rows or whole), sum(rows.values()) - whole
    at_once = min(whole + holdout, MAX_READ)
    holdout = min(holdout, max_judged or holdout)
    buckets = count_buckets(chosen)
    numbers = len(amounts(inputs))
    columns = numbers + min(_count_classes(inputs), MAX_COLUMNS)
    a_row = record_type(inputs).itemsize
    row_scratch = a_row + 4 * numbers + columns - numbers + 1
    scratch = chosen * row_scratch + holdout * (a_row + _KEPT_BYTES)
    memory = _START[candidate] + _READ_BYTES * at_once + _JUDGED_BYTES * holdout
    # A bucket is held as the matrix, beside the file that it is read from.
    memory += -(-chosen // buckets) * (4 * columns + row_scratch)
    return Needs(candidate, chosen, holdout, buckets, row_scratch, scratch, memory)


def foresee_needs(lake: Lake, last: date) -> list[Needs]:
    """Return what the trainings of the next run take, by the rows of the newest training up to a date. Empty: there is none."""
    if (known := rows_to_train(lake, last)) is None:
        return []
    rows, window = known
    pipeline, training = lake.pipeline, lake.pipeline.training
    return [
        estimate_needs(candidate, pipeline.inputs, rows, window, training.max_rows, pipeline.gate.max_rows)
        for candidate in training.candidates
    ]


def _count_classes(inputs: Inputs) -> int:
    """Return about how many one-hot columns the categories have."""
    derived = [parse_derived(inputs.derived[name]).function for name in inputs.categories]
    return sum(_CLASSES.get(function, _CLASSES_OF_CATEGORY) for function in [*derived, *inputs.one_hot])


@dataclass(frozen=True, slots=True)
class Limits:
    """
    The disk and the memory that a training may take.

    :param memory_of: the place whose memory that is
    """

    scratch: int
    memory: int
    memory_of: str

    @classmethod
    def of(cls, pipeline: Pipeline) -> Limits:
        """Return the limits of a pipeline's trainings: those of its pods, or those of this machine."""
        resources = pipeline.training.resources
        scratch = bytes_of(resources.scratch)
        if runtime_of(pipeline) == "kubernetes":
            return cls(scratch, bytes_of(resources.memory), f"training.resources.memory is {resources.memory}")
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(scratch, min(machine, find_limit() or machine), "this machine has no more")

    def find_problems(self, needs: Needs) -> list[str]:
        """Return what cannot fit, even if the estimate is too high by its largest error."""
        problems = []
        if needs.scratch > MAX_ERROR * self.scratch:
            fitting = needs.rows - (needs.scratch - self.scratch) // needs.row_scratch
            problems.append(
                f"scratch: about {_gigabytes(needs.scratch)} for {needs.rows:,} rows of the window "
                f"and {needs.holdout_rows:,} of the holdout, "
                f"training.resources.scratch allows {_gigabytes(self.scratch)}. "
                + (f"Raise it, or set training.max_rows to {fitting:,} or less" if fitting >= MIN_ROWS else "Raise it")
            )
        if needs.memory > MAX_ERROR * self.memory:
            problems.append(
                f"memory: about {_gigabytes(needs.memory)} with {needs.holdout_rows:,} rows of the holdout, "
                f"found {_gigabytes(self.memory)}: {self.memory_of}. "
                "Raise it, or set gate.max_rows"
            )
        return problems


def check_needs(needs: Needs, limits: Limits, what: str) -> None:
    """
    Refuse a training that cannot fit, with all reasons.

    :param what: the training, as the beginning of a sentence
    """
    if problems := limits.find_problems(needs):
        raise RefusedError(f"{what} cannot fit", problems, "The estimate follows from the rows that the commits record.")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
