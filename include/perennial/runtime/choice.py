"""The choice of a pipeline's runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config.pipeline import Pipeline
from perennial.runtime.base import Runtime
from perennial.runtime.kind import runtime_of

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.runtime.trainer import Trainer


def open_runtime(pipeline: Pipeline, space: str = "main") -> Runtime:
    """Return the runtime that serves the pipeline's releases. Nothing is contacted before the first use."""
    if runtime_of(pipeline) == "process":
        from perennial.runtime.process_serving import ProcessRuntime

        return ProcessRuntime(pipeline.name, space)
    from perennial.runtime.kubernetes_serving import KubernetesRuntime

    return KubernetesRuntime(pipeline, space)


def open_trainer(lake: Lake, *, candidates_at_once: int | None = None) -> Trainer:
    """
    Return the trainer of the pipeline's candidates. Nothing is contacted before the first use.

    :param candidates_at_once: number of candidates that the caller trains in parallel; default: all of the pipeline's
    """
    if runtime_of(lake.pipeline) == "process":
        from perennial.runtime.process_training import ProcessTrainer

        return ProcessTrainer(lake, candidates_at_once=candidates_at_once)
    from perennial.runtime.pod_training import PodTrainer

    return PodTrainer(lake)
