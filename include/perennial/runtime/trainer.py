"""Where candidates are trained: the seam between what a training is and the machines below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from perennial.store.objects import Objects


@dataclass(frozen=True, slots=True)
class Training:
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

    def failed_ahead(self, objects: Objects) -> bool:
        """Tell of a training that failed whether only later dates did: their own runs train them, and say why they fail."""
        return self.has_ahead and self.is_done(objects)


class Trainer(Protocol):
    """A place where candidates are trained."""

    def train(self, training: Training) -> None:
        """
        Return when the wanted models are there.

        It can be repeated after a crash: a job goes on from its last checkpoint, and one that is done again gives the same model.
        A failure of jobs ahead is logged.

        :raises RefusedError: the trainer refused a job
        :raises PerennialError: a job failed; the error quotes the cause
        """
