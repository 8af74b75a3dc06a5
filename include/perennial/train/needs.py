"""An estimate of the disk and the memory that a training takes, from the numbers of rows that the commits record."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from perennial.config.candidates import Family, Linear, Logistic, parts_of
from perennial.config.derived import parse_derived
from perennial.config.label import NumberLabel
from perennial.config.pipeline import Inputs, Label, Pipeline
from perennial.config.values import MIN_ROWS, bytes_of
from perennial.errors import RefusedError
from perennial.lake.lake import Lake
from perennial.lake.parts import MAX_READ
from perennial.runtime.kind import runtime_of
from perennial.store.cgroups import find_memory
from perennial.store.json_value import JsonValue
from perennial.store.scratch import scratch_folder
from perennial.train.candidates import cache_of, copies_of, memory_of, reads_parts
from perennial.train.classes import MAX_COLUMNS
from perennial.train.matrix_files import PART_ROWS
from perennial.train.plan import rows_to_train
from perennial.train.preprocess import amounts
from perennial.train.wide import is_certain_of_codes
from perennial.train.window import count_buckets, record_type

MAX_ERROR = 1.3
"""Maximum factor between an estimate and the cost of a training of the benchmark: `make bench-scale` compares them."""

_CLASSES = {"hour_of_day": 24, "weekday": 7, "is_missing": 2}
_CLASSES_OF_CATEGORY = 12
"""Classes of a category, whose number nothing knows before the rows are read."""

_CELL_BYTES = 8
"""A cell that is not zero, and its column."""

_CELLS_BYTES = 30
"""Scratch of a row beside its cells: its label, the place of its end, three numbers of the solver, and its share of a file."""

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
    :param scratch: bytes on scratch disk
    :param min_scratch: those of them that do not depend on guesses: the rows of the window, and their numbers in the matrix
    :param memory: bytes of memory
    :param min_memory: those of them without libraries, whose pages the kernel can drop, and without guesses
    :param judged_memory: those of them for the rows of the holdout
    :param whole_memory: those of them for the rows of the window, which the family holds all at once; 0: it does not
    """

    candidate: str
    rows: int
    holdout_rows: int
    buckets: int
    scratch: int
    min_scratch: int
    memory: int
    min_memory: int
    judged_memory: int
    whole_memory: int = 0

    def with_holdout(self, inputs: Inputs) -> Needs:
        """Return the needs if memory also holds the matrix of the holdout."""
        columns = len(amounts(inputs)) + min(_count_classes(inputs), MAX_COLUMNS)
        numbers = 4 * len(amounts(inputs)) * self.holdout_rows
        return replace(
            self,
            memory=self.memory + 4 * columns * self.holdout_rows,
            min_memory=self.min_memory + numbers,
            judged_memory=self.judged_memory + numbers,
        )

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
    settings: Family,
    inputs: Inputs,
    label: Label,
    rows: Mapping[date, int],
    window: Sequence[date],
    max_rows: int | None = None,
    max_judged: int | None = None,
    *,
    has_codes: bool = False,
) -> Needs:
    """
    Estimate what a training takes.

    :param settings: the family of the candidate, and its parameters
    :param rows: by date of window and holdout, the rows that its commit records
    :param max_rows: about how many rows of the window to choose; None: all
    :param max_judged: about how many rows of the holdout to judge; None: all
    :param has_codes: whether it is certain that categories are codes, as `is_certain_of_codes` finds out
    """
    whole = sum(rows[day] for day in window)
    chosen, holdout = min(whole, max_rows or whole), sum(rows.values()) - whole
    at_once = min(whole + holdout, MAX_READ)
    holdout = min(holdout, max_judged or holdout)
    buckets = count_buckets(chosen)
    numbers = len(amounts(inputs))
    bins = numbers * _count_bins(settings, has_codes=has_codes)
    columns = numbers + bins + min(_count_classes(inputs), MAX_COLUMNS)
    a_row = record_type(inputs, label).itemsize
    min_row = a_row + 4 * numbers + 2
    row_scratch = min_row + 4 * bins + columns - numbers - bins
    if has_codes and isinstance(settings, Logistic):  # its cells take the place of its matrix
        row_scratch = max(row_scratch, a_row + _CELL_BYTES * _count_cells(inputs) + _CELLS_BYTES)
    judged, bucket = _JUDGED_BYTES * holdout, -(-chosen // buckets)
    if reads_parts(settings.family):
        bucket = min(bucket, PART_ROWS)
    fixed = _READ_BYTES * at_once + judged
    # The quantiles of an interval are trees, too.
    families = (
        [settings.family, "xgboost"] if isinstance(label, NumberLabel) and label.interval is not None else [settings.family]
    )
    cache = max(cache_of(family, chosen * columns) for family in families) if buckets > 1 else 0
    copies = copies_of(settings.family)
    whole_matrix = 4 * numbers * chosen if copies else 0
    return Needs(
        candidate,
        chosen,
        holdout,
        buckets,
        scratch=chosen * row_scratch + holdout * (a_row + _KEPT_BYTES) + cache,
        min_scratch=chosen * min_row,
        # A bucket is held as the matrix, beside the file that it is read from.
        memory=memory_of(settings.family, chosen) + fixed + bucket * (4 * columns + row_scratch) + 4 * columns * copies * chosen,
        min_memory=fixed + bucket * (4 * numbers + min_row) + whole_matrix,
        judged_memory=judged,
        whole_memory=whole_matrix,
    )


def foresee_needs(lake: Lake, last: date) -> list[Needs]:
    """Return what the trainings of the next run take, by the rows of the newest training up to a date. Empty: there is none."""
    if (known := rows_to_train(lake, last)) is None:
        return []
    rows, window = known
    pipeline, training = lake.pipeline, lake.pipeline.training
    return [
        estimate_needs(
            name,
            settings,
            pipeline.inputs,
            pipeline.label,
            rows,
            window,
            training.max_rows,
            pipeline.gate.max_rows,
            has_codes=is_certain_of_codes(lake, settings, rows, window),
        )
        for name, settings in training.candidates.items()
        if not parts_of(settings)
    ]


def _count_bins(settings: Family, *, has_codes: bool) -> int:
    """Return the number of bins of each amount: `logistic` has none beside codes."""
    if isinstance(settings, Logistic) and has_codes:
        return 0
    return settings.bins if isinstance(settings, Logistic | Linear) else 0


def _count_cells(inputs: Inputs) -> int:
    """Return about how many cells of a row are not zero: its numbers, the marks of its nulls, and a class of each category."""
    nulls = sum(field.nullable and field.type != "category" for field in inputs.request.values())
    return len(amounts(inputs)) + nulls + len(inputs.one_hot) + len(inputs.categories)


def _count_classes(inputs: Inputs) -> int:
    """Return about how many one-hot columns the categories have."""
    derived = (parse_derived(inputs.derived[name]).function for name in inputs.categories)
    return sum(_CLASSES.get(function, _CLASSES_OF_CATEGORY) for function in derived) + _CLASSES_OF_CATEGORY * len(inputs.one_hot)


class Limit(NamedTuple):
    """
    The bytes that a training may take of one resource.

    :param source: the setting or the place that allows them, as the beginning of a clause that ends with the bytes
    :param remedy: the way to more of them, as a sentence without its full stop
    """

    size: int
    source: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The disk and the memory that a training may take."""

    scratch: Limit
    memory: Limit

    @classmethod
    def of(cls, pipeline: Pipeline) -> Limits:
        """Return the limits of a pipeline's trainings: those of its pods, or those of this machine."""
        resources = pipeline.training.resources
        is_pod = runtime_of(pipeline) == "kubernetes"
        if is_pod or resources.scratch is not None:
            scratch = Limit(bytes_of(resources.pod_scratch), "training.resources.scratch allows", "Raise it")
        else:
            scratch = cls.of_machine().scratch
        if is_pod:
            return cls(scratch, Limit(bytes_of(resources.memory), "training.resources.memory allows", "Raise it"))
        return cls(scratch, cls.of_machine().memory)

    @classmethod
    def of_machine(cls) -> Limits:
        """Return the limits of this machine."""
        folder = scratch_folder()
        remedy = "Free space on it, set PERENNIAL_SCRATCH to a folder on a larger disk"
        scratch = Limit(shutil.disk_usage(folder).free, f"the disk of {folder} has", remedy)
        return cls(scratch, Limit(find_memory(), "this machine has", "Train on a larger machine"))

    def find_problems(self, needs: Needs) -> list[str]:
        """Return the resources that do not suffice for any values of the rows."""
        problems = []
        if needs.min_scratch > self.scratch.size:
            fitting = self.scratch.size // (needs.min_scratch // needs.rows)
            problems.append(
                f"scratch: at least {_gigabytes(needs.min_scratch)} for {needs.rows:,} rows of the window, "
                f"{self.scratch.source} {_gigabytes(self.scratch.size)}. {self.scratch.remedy}"
                + (f", or set training.max_rows to {fitting:,} or less" if fitting >= MIN_ROWS else "")
            )
        if needs.min_memory > MAX_ERROR * self.memory.size:
            window = f"all {needs.rows:,} rows of the window at once and " if needs.whole_memory else ""
            problems.append(
                f"memory: needs about {_gigabytes(needs.min_memory)} with {window}{needs.holdout_rows:,} rows of the holdout, "
                f"{self.memory.source} {_gigabytes(self.memory.size)}. {self.memory.remedy}"
                + self._fewer_rows(needs)
                + (", or set gate.max_rows" if 2 * needs.judged_memory > needs.min_memory else "")
            )
        return problems

    def _fewer_rows(self, needs: Needs) -> str:
        """Return the remedy for a family that holds all rows of the window at once, as the end of a sentence."""
        if not needs.whole_memory:
            return ""
        left = self.memory.size - (needs.min_memory - needs.whole_memory)
        fitting = left * needs.rows // needs.whole_memory
        return f", or set training.max_rows to {fitting:,} or less" if fitting >= MIN_ROWS else ""


def check_needs(needs: Needs, limits: Limits, what: str) -> None:
    """
    Refuse a training that cannot fit, with all reasons.

    :param what: the training, as the beginning of a sentence
    """
    if problems := limits.find_problems(needs):
        raise RefusedError(f"{what} does not fit", problems)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
