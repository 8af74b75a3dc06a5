"""The kind of a pipeline's runtime. It imports none of them, so the plan of a training may ask for it."""

from __future__ import annotations

from perennial.config.pipeline import Pipeline
from perennial.errors import RefusedError, did_you_mean
from perennial.settings import get_settings

RUNTIMES = ("process", "kubernetes")


def runtime_of(pipeline: Pipeline) -> str:
    """Return where the pipeline trains and serves: PERENNIAL_RUNTIME, or else the runtime in its YAML."""
    runtime = get_settings().runtime or pipeline.runtime
    if runtime not in RUNTIMES:
        raise RefusedError(
            f"PERENNIAL_RUNTIME is {runtime!r}, expected {' or '.join(RUNTIMES)}.{did_you_mean(runtime, RUNTIMES)}"
        )
    return runtime
