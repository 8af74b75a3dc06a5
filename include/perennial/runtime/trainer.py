"""The interface between a training and the machines that it runs on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perennial.display.printed_error import read_error
from perennial.errors import REFUSED_EXIT_CODE, PerennialError
from perennial.store.objects import Objects

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingWork:
    """Jobs of one candidate, and the models that they produce."""

    candidate: str
    day: str
    """The date of the models, or the last of their dates."""

    key: str
    """Fingerprint of the training: callers with the same key want the same models."""

    manifests: Sequence[str]
    """The addresses of the wanted models."""

    jobs: Sequence[str]
    """The addresses of the jobs in order: the jobs of the wanted models come first."""

    has_ahead: bool = False
    """True if jobs of later dates follow the jobs of the wanted models."""

    stopped: Mapping[str, str] = field(default_factory=dict)
    """By the address of a wanted result of a search, that of the record that its limit of CPU seconds stopped it."""

    is_search: bool = False
    """True if the jobs search for parameters: results of searches take the place of models, and the trainings follow."""

    @property
    def name(self) -> str:
        """Return its name in errors."""
        return f"{'search' if self.is_search else 'training'} of {self.candidate} for {self.day}"

    def is_done(self, objects: Objects) -> bool:
        """Return whether all wanted models exist, or all wanted searches have ended."""

        def has_ended(address: str) -> bool:
            return objects.exists(address) or (address in self.stopped and objects.exists(self.stopped[address]))

        return all(map(has_ended, self.manifests))

    def raise_unless_ahead(self, error: PerennialError, objects: Objects) -> None:
        """Raise the error of the jobs, unless only later dates failed: their own runs train these, or report the failure."""
        if not self.has_ahead or not self.is_done(objects):
            raise error
        log.warning("Training of the batch ended early, the remaining dates train in their own runs: %s", error)


def trainer_error(code: int | None, lines: Sequence[str]) -> str:
    """Return the error that a trainer printed before it ended itself with it, or an empty text: it was killed, say."""
    return read_error(lines) if code in (1, REFUSED_EXIT_CODE) else ""


def trainer_arguments(job_uris: Sequence[str]) -> list[str]:
    """Return the arguments of a trainer's command line."""
    return [word for uri in job_uris for word in ("--job", uri)]


@dataclass(frozen=True, slots=True)
class TrainerLimits:
    """
    The limits of a trainer that are no part of a training's fingerprint.

    :param scratch: bytes that a training may hold on scratch disk; None: those that the disk has
    :param row_ms: the time that a model may take for one row, in ms; None: any
    """

    scratch: int | None = None
    row_ms: float | None = None


def trainer_variables(limits: TrainerLimits) -> dict[str, str]:
    """Return the environment variables of a trainer. One of an earlier version ignores those that it does not know."""
    values = {"PERENNIAL_MAX_SCRATCH": limits.scratch, "PERENNIAL_MAX_ROW_MS": limits.row_ms}
    # The order of a set of texts in an author's file would else differ from one process to the next, and the sums of a library's
    # threads from one machine to the next: OpenMP reads its variable when an author's file first loads it.
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    return {**{name: "" if value is None else str(value) for name, value in values.items()}, **fixed}


class Trainer(Protocol):
    """A place where candidates are trained."""

    def train(self, work: TrainingWork) -> None:
        """
        Train until the wanted models exist.

        The call can be repeated after a crash: a job continues from its last checkpoint, and a repeated job gives the same model.
        A failure of later dates in the batch is only logged.

        :raises RefusedError: the trainer refused a job
        :raises PerennialError: a job failed; the error quotes the cause
        """
