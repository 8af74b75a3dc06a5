"""The blend stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config.candidates import parts_of
from perennial.stages.train import Train

if TYPE_CHECKING:
    from perennial.config.pipeline import Pipeline
    from perennial.fingerprints.effects import Effect, Scope


class Blend(Train):
    """Make each blend of the trained candidates, where candidates are trained."""

    name = "blend"
    follows = ("train",)
    summary = "makes one model of the candidates that a blend names"

    def is_part_of(self, pipeline: Pipeline) -> bool:
        """Return whether the pipeline has a blend."""
        return bool(self.candidates(pipeline))

    def candidates(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Return the blends of the pipeline."""
        return tuple(name for name, settings in pipeline.training.candidates.items() if parts_of(settings))

    def find_effects(self, scope: Scope) -> list[Effect]:
        """Return nothing: the effects of the stage train contain those of blends."""
        return []
