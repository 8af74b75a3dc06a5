"""The model servers of the embedded stack: one process for each pipeline, which follows the pipeline's active release."""

from __future__ import annotations

from perennial.runtime.endpoints import read_places, with_places, write_places
from stack.config import StackConfig
from stack.probe import http_get
from stack.process import Service


def server_services(config: StackConfig) -> tuple[Service, ...]:
    """Return one service for each pipeline folder, each on the port of its place."""
    names = config.pipeline_names()
    places = with_places(read_places(config.var), names)
    return tuple(_service(config, name, config.port("endpoint") + places[name]) for name in names)


def keep_places(config: StackConfig) -> None:
    """Write down which pipeline has which place, so that it keeps it."""
    write_places(config.var, with_places(read_places(config.var), config.pipeline_names()))


def _service(config: StackConfig, pipeline: str, port: int) -> Service:
    return Service(
        name=f"server-{pipeline}",
        argv=(str(config.python), "-m", "perennial.serve", "--pipeline", pipeline, "--host", config.bind, "--port", str(port)),
        ports=(port,),
        # Liveness, not readiness: a server without a release yet lives and is not ready.
        is_ready=lambda: http_get(f"http://127.0.0.1:{port}/v2/health/live") is not None,
    )
