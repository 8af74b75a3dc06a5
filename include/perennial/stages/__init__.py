"""The stages of a run, in their order. This is the only list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.stages.analyse import Analyse
from perennial.stages.blend import Blend
from perennial.stages.clean import Clean
from perennial.stages.collect import Collect
from perennial.stages.deploy import Deploy
from perennial.stages.evaluate import Evaluate
from perennial.stages.score import Score
from perennial.stages.stage import Run, SparkStage, Stage
from perennial.stages.train import Train

if TYPE_CHECKING:
    from perennial.config.pipeline import Pipeline

STAGES: tuple[Stage, ...] = (
    Collect(),
    Clean(),
    Analyse(),
    Train(),
    Blend(),
    Evaluate(),
    Deploy(),
    Score(),
)
"""Each stage comes after the stages that it follows."""

__all__ = ["STAGES", "Run", "SparkStage", "Stage", "stage_named", "stages_of"]


def stage_named(name: str) -> Stage:
    """Return the stage with the given name."""
    return next(stage for stage in STAGES if stage.name == name)


def stages_of(pipeline: Pipeline) -> tuple[Stage, ...]:
    """Return the stages that a pipeline has."""
    return tuple(stage for stage in STAGES if stage.is_part_of(pipeline))
