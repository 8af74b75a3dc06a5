"""What would keep the stack from starting, all of it at once, each with its fix."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack.config import StackConfig
from stack.plan import Part
from stack.probe import taken_by
from stack.process import is_running, log_path, recorded

DISK_GB = 4
MEMORY_GB = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `fix` is empty when it is well."""

    subject: str
    found: str
    fix: str = ""


def examine(config: StackConfig, parts: Sequence[Part]) -> list[Finding]:
    """Look at everything that the stack needs from its machine."""
    return [
        _python(),
        _disk(config),
        _memory(),
        *_tools(config),
        _writable(config),
        *(finding for part in parts if (finding := _ports(config, part))),
        _pipelines(config),
    ]


def ended(config: StackConfig, parts: Sequence[Part]) -> list[Finding]:
    """Look for services that were started and are gone. They keep nothing from starting: a start is what they need."""
    return [
        Finding(part.name, f"has ended by itself; its log is {log_path(config, part.name)}", "Start it again by `make up`.")
        for part in parts
        if recorded(config, part.name) is not None and not is_running(config, part.name)
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "python", version, "" if sys.version_info[:2] == (3, 11) else "Install Python 3.11 and run `make distclean setup`."
    )


def _disk(config: StackConfig) -> Finding:
    folder = _existing(config.var)
    free = shutil.disk_usage(folder).free / 1e9
    fix = (
        ""
        if free >= DISK_GB
        else f"Free {DISK_GB - free:.0f} GB on the disk of {folder}, or set PERENNIAL_VAR to a folder on another disk."
    )
    return Finding("disk", f"{free:.0f} GB free, {DISK_GB} needed", fix)


def _memory() -> Finding:
    total = psutil.virtual_memory().total / 1e9
    fix = "" if total >= MEMORY_GB else "Use a machine with more memory, or start less: `python -m stack up --only s3,postgres`."
    return Finding("memory", f"{total:.0f} GB, {MEMORY_GB} needed", fix)


def _tools(config: StackConfig) -> list[Finding]:
    needed = {
        "control plane": config.python,
        "object store": config.repo / ".venv/bin/weed",
        "spark": config.repo / ".spark/bin/python",
        "spark-submit": config.spark_submit,
    }
    return [
        Finding(name, str(path), "" if path.exists() else "It is missing: run `make setup`.") for name, path in needed.items()
    ]


def _writable(config: StackConfig) -> Finding:
    folder = _existing(config.var)
    probe = folder / ".perennial-doctor"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding(
            "state folder", f"{folder}: {error.strerror}", "Make it writable, or set PERENNIAL_VAR to a folder of yours."
        )
    return Finding("state folder", str(config.var))


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


def _pipelines(config: StackConfig) -> Finding:
    names = config.pipeline_names()
    fix = "" if names else "Set PERENNIAL_PIPELINES to a folder that holds <name>/pipeline.yaml."
    return Finding("pipelines", f"{', '.join(names) or 'none'} in {config.pipelines}", fix)


def _existing(path: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
