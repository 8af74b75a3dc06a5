"""Which runtime a pipeline has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError, did_you_mean
from perennial.runtime.base import Runtime
from perennial.settings import get_settings

if TYPE_CHECKING:
    from perennial.lake.lake import Lake
    from perennial.runtime.trainer import Trainer

RUNTIMES = ("process", "kubernetes")


def runtime_of(pipeline: Pipeline) -> str:
    """Return where the pipeline trains and serves: PERENNIAL_RUNTIME, or what its YAML says."""
    chosen = get_settings().runtime or pipeline.runtime
    if chosen not in RUNTIMES:
        raise RefusedError(f"PERENNIAL_RUNTIME is {chosen!r}, expected {' or '.join(RUNTIMES)}.{did_you_mean(chosen, RUNTIMES)}")
    return chosen


def open_runtime(pipeline: Pipeline, space: str = "main") -> Runtime:
    """Return the place where the pipeline's releases serve; nothing is contacted before the first use."""
    if runtime_of(pipeline) == "process":
        from perennial.runtime.process_serving import ProcessRuntime

        return ProcessRuntime(pipeline.name, space)
    from perennial.runtime.kubernetes_serving import KubernetesRuntime

    return KubernetesRuntime(pipeline, space)


def open_trainer(lake: Lake, *, candidates_at_once: int | None = None) -> Trainer:
    """
    Return the place where the pipeline's candidates are trained; nothing is contacted before the first use.

    :param candidates_at_once: how many candidates the caller trains beside each other; all of the pipeline's unless it is said
    """
    if runtime_of(lake.pipeline) == "process":
        from perennial.runtime.process_training import ProcessTrainer

        return ProcessTrainer(lake, candidates_at_once=candidates_at_once)
    from perennial.runtime.pod_training import PodTrainer

    return PodTrainer(lake)
