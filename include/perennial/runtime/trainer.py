"""Where candidates are trained: the seam between what a training is and the machines below it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from perennial.errors import PerennialError
from perennial.store.objects import Objects

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingWork:
    """Jobs of one candidate, and the models that they are for."""

    candidate: str
    day: str
    """The date of the models, or the last of their dates."""

    key: str
    """Names the training: callers with the same key want the same models."""

    manifests: Sequence[str]
    """The addresses of the wanted models."""

    jobs: Sequence[str]
    """The addresses of the jobs in their order: those of the wanted models first."""

    has_ahead: bool = False
    """Whether jobs of later dates follow those of the wanted models."""

    def is_done(self, objects: Objects) -> bool:
        """Tell whether all wanted models are there."""
        return all(objects.exists(manifest) for manifest in self.manifests)

    def raise_unless_ahead(self, error: PerennialError, objects: Objects) -> None:
        """Raise the error of the jobs, unless only later dates failed: their own runs train these, or say why they cannot."""
        if not self.has_ahead or not self.is_done(objects):
            raise error
        log.warning("Training ahead ended early, the dates that are left train in their own runs: %s", error)


class Trainer(Protocol):
    """A place where candidates are trained."""

    def train(self, work: TrainingWork) -> None:
        """
        Return when the wanted models are there.

        It can be repeated after a crash: a job goes on from its last checkpoint, and one that is done again gives the same model.
        A failure of jobs ahead is logged.

        :raises RefusedError: the trainer refused a job
        :raises PerennialError: a job failed; the error quotes the cause
        """
