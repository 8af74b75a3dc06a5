"""All problems that would keep the stack from starting, each with its fix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from perennial.config.load import FILE, read_pipeline
from perennial.errors import PipelineRefusedError
from perennial.runtime.environment import find_missing
from stack import machine
from stack.config import StackConfig
from stack.machine import Finding
from stack.plan import Part
from stack.probe import taken_by
from stack.process import is_running, log_path, recorded
from stack.service_user import SERVICE_USER
from stack.settings_check import examine_settings
from stack.unprivileged import find_obstacle


def examine(config: StackConfig, parts: Sequence[Part]) -> list[Finding]:
    """Check everything that the stack needs from its machine."""
    return [
        *machine.examine(config.repo, config.var),
        *_tools(config),
        *(finding for part in parts if (finding := _ports(config, part))),
        *(finding for part in parts if (finding := _foreign_files(part))),
        *_user(config),
        _pipelines(config),
        *_libraries(config),
        *examine_settings(),
    ]


def ended(config: StackConfig, parts: Sequence[Part]) -> list[Finding]:
    """Find services that were started and have ended. They do not block a start: `make up` restarts them."""
    return [
        Finding(part.name, f"has ended by itself; its log is {log_path(config, part.name)}", "Start it again with `make up`.")
        for part in parts
        if recorded(config, part.name) is not None and not is_running(config, part.name)
    ]


def _tools(config: StackConfig) -> list[Finding]:
    needed = {
        "control plane": config.python,
        "object store": config.repo / ".venv/bin/weed",
        "spark": config.repo / ".spark/bin/python",
        "spark-submit": config.spark_submit,
    }
    return [
        Finding(name, str(path), "" if os.path.exists(path) else "It is missing: run `make setup`.")
        for name, path in needed.items()
    ]


def _ports(config: StackConfig, part: Part) -> Finding | None:
    if part.service is None or not part.service.ports:
        return None
    ports = ", ".join(map(str, part.service.ports))
    name = f"ports of {part.name}"
    if is_running(config, part.name):
        return Finding(name, f"{ports}: in use by this stack")
    taken = [f"{port} is taken by {holder}" for port in part.service.ports if (holder := taken_by(port))]
    fix = (
        "Stop it (`make down` if it is left from this stack), or move all ports with another PERENNIAL_PORT_OFFSET."
        if taken
        else ""
    )
    return Finding(name, "; ".join(taken) or f"{ports}: free", fix)


def _foreign_files(part: Part) -> Finding | None:
    """Find files of another user's service in the places where this service creates its own."""
    files = part.service.leaves if part.service else ()
    foreign = [path for path in files if path.exists() and os.geteuid() not in (0, path.stat().st_uid)]
    if not foreign:
        return None
    found = f"{', '.join(map(str, foreign))} of another user, whose stack has the same ports"
    return Finding(f"sockets of {part.name}", found, "Remove them, or move all ports with another PERENNIAL_PORT_OFFSET.")


def _user(config: StackConfig) -> list[Finding]:
    """Find the user of the services, for root. As root they work as well."""
    if os.geteuid() != 0:
        return []
    obstacle = find_obstacle(config)
    found, advice = (f"root, because {obstacle.reason}", obstacle.remedy) if obstacle else (SERVICE_USER, "")
    return [Finding("user of the services", found, advice=advice)]


def _libraries(config: StackConfig) -> list[Finding]:
    """Find valid pipelines with candidates whose libraries are not installed."""
    found = []
    for name in config.pipeline_names():
        with suppress(PipelineRefusedError):  # `perennial validate` reports it
            pipeline = read_pipeline(config.pipelines / name / FILE)
            missing = {find_missing(settings.family) for settings in pipeline.training.candidates.values()}
            advice = "Until then the pipeline is refused."
            found += [Finding(f"candidates of {name}", text, advice=advice) for text in missing if text]
    return found


def _pipelines(config: StackConfig) -> Finding:
    names = config.pipeline_names()
    fix = "" if names else "Set PERENNIAL_PIPELINES to a folder that holds <name>/pipeline.yaml."
    return Finding("pipelines", f"{', '.join(names) or 'none'} in {config.pipelines}", fix)
