"""The model servers of the embedded stack: one process for each pipeline. It follows the pipeline's active release."""

from __future__ import annotations

from perennial.config.load import load_pipeline
from perennial.errors import PerennialError
from perennial.runtime.endpoints import read_places, with_places, write_places
from perennial.runtime.kind import runtime_of
from stack.config import StackConfig
from stack.probe import http_get
from stack.process import Service
from stack.roles import Role


def server_services(config: StackConfig) -> tuple[Service, ...]:
    """Return one service for each pipeline folder, each on the port of its slot."""
    names = config.pipeline_names()
    places = with_places(read_places(config.var), names)
    elsewhere = served_elsewhere(config)
    return tuple(_service(config, name, config.port("endpoint") + places[name]) for name in names if name not in elsewhere)


def served_elsewhere(config: StackConfig) -> list[str]:
    """Return the pipelines that serve on Kubernetes. A server here would answer, too, but no client should call it."""
    return [name for name in config.pipeline_names() if _runtime(config, name) == "kubernetes"]


def _runtime(config: StackConfig, name: str) -> str | None:
    try:
        return runtime_of(load_pipeline(name, config.pipelines))
    except PerennialError:
        return None  # Airflow's list of import errors shows the reason


def keep_places(config: StackConfig) -> None:
    """Store the slot of each pipeline, so that it keeps its port."""
    write_places(config.var, with_places(read_places(config.var), config.pipeline_names()))


def _service(config: StackConfig, pipeline: str, port: int) -> Service:
    return Service(
        name=f"server-{pipeline}",
        argv=(
            *(str(config.python), "-m", "perennial.serve", "--pipeline", pipeline, "--host", config.bind, "--port", str(port)),
            *("--newest-file", str(config.var / "serve" / pipeline)),
        ),
        role=Role.SERVING,
        ports=(port,),
        env={"PERENNIAL_SIGNING_KEY": ""},  # it verifies signatures and makes none
        # Liveness, not readiness: a server without a release is live but not ready.
        is_ready=lambda: http_get(f"http://127.0.0.1:{port}/v2/health/live") is not None,
    )
