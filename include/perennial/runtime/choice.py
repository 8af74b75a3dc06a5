"""Which runtime a pipeline has."""

from __future__ import annotations

from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError, did_you_mean
from perennial.runtime.base import Runtime
from perennial.settings import get_settings

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
        from perennial.runtime.process import ProcessRuntime

        return ProcessRuntime(pipeline.name, space)
    from perennial.runtime.kubernetes_serving import KubernetesRuntime

    return KubernetesRuntime(pipeline, space)
