"""`python -m stack up|down|status|clean|doctor|prepare`: the embedded stack from a shell."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from perennial.config.load import load_pipeline
from perennial.errors import PerennialError, PipelineRefusedError
from perennial.fingerprints.known_sources import keep_sources
from perennial.runtime.endpoints import FILE as ENDPOINTS
from perennial.runtime.serving_objects import service_name
from perennial.settings import load_settings
from stack import doctor, status
from stack.config import REPO, StackConfig
from stack.errors import StackError
from stack.foreground import is_healthy, run_part
from stack.leftovers import end_leftovers
from stack.lock import LOCK, alone
from stack.machine import Finding
from stack.plan import Outcome, Part, bring_down, bring_up, choose, plan, strays
from stack.postgres import remove_postgres
from stack.process import is_running
from stack.server import keep_places, served_elsewhere
from stack.spark import prepare_spark

out = Console(highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 when all is well, 1 when something is not."""
    parser = argparse.ArgumentParser(
        prog="python -m stack", description="The embedded stack: S3, PostgreSQL, metastore, Airflow, servers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in ("up", "down", "status"):
            command.add_argument("--only", default="", metavar="PART,PART", help="parts, for example s3,postgres or airflow")
        if name in ("status", "doctor"):
            command.add_argument("--json", action="store_true", help="machine-readable output")
        if name in ("run", "healthy"):
            command.add_argument("part", help="one part, for example s3")
    options = parser.parse_args(arguments)
    only = [word for word in getattr(options, "only", "").split(",") if word]
    load_settings()
    try:
        config = StackConfig.from_environment()
        if options.command in ("up", "down", "clean"):
            return change(config, options.command, only)
        if options.command == "run":
            return run_part(config, options.part)
        if options.command == "healthy":
            return 0 if is_healthy(config, options.part) else 1
        if options.command == "status":
            return show_status(config, only, options.json)
        if options.command == "doctor":
            return show_doctor(config, options.json)
        return prepare(config)
    except PerennialError as error:
        out.print(f"[red]✗[/] {escape(str(error))}")
        return 1


def change(config: StackConfig, command: str, only: Sequence[str]) -> int:
    """Start, stop or remove the stack, one command at a time."""
    if command == "up":
        config.var.mkdir(parents=True, exist_ok=True)
    with alone(config, lambda who: out.print(f"Waiting for {who}, which works on this stack")):
        if command == "clean":
            return clean(config)
        return up(config, only) if command == "up" else down(config, only)


COMMANDS = {
    "up": "Start what is not running; print each part with its seconds.",
    "down": "Stop everything; data is kept.",
    "status": "Show what runs.",
    "clean": "Stop everything and remove the stack's data.",
    "doctor": "Show what would keep the stack from starting, with the fix.",
    "run": "Run one part in the foreground, as a container does.",
    "healthy": "Exit with 0 when a part answers, 1 when it does not.",
    "prepare": "Fetch Spark's jars, make its launcher, read the sources for fingerprints; a part of `make setup`.",
}


def up(config: StackConfig, only: Sequence[str]) -> int:
    """Start the stack, or some parts with what they need."""
    begin = time.monotonic()
    parts = choose(plan(config), only)
    config.check_offset()
    _end_leftovers(config, only)  # they may hold ports
    ill = [finding for finding in doctor.examine(config, parts) if finding.fix]
    if ill:
        for finding in ill:
            _say(finding)
        return 1
    config.write_environment()
    keep_places(config)
    idle = [part.name for part in parts if part.service and not is_running(config, part.name)]
    what = f"Starting {len(idle)} service{'s' if len(idle) > 1 else ''}" if idle else "Every service runs already"
    out.print(f"{what}; logs in {config.logs}")
    # What a pipeline that is gone left running: nobody else would stop it before `down`.
    gone = () if only else bring_down(config, strays(config, parts), _report)
    outcomes = [*gone, *bring_up(config, parts, _report)]
    bad = [outcome for outcome in outcomes if outcome.problem]
    out.print(f"{'Not everything is up' if bad else 'The stack is up'}, after {time.monotonic() - begin:.1f} s")
    if not bad:
        _addresses(config, parts)
    for name in config.pipeline_names():
        try:
            load_pipeline(name, config.pipelines)
        except PipelineRefusedError as error:
            out.print(f"[red]✗[/] Pipeline {name} has no DAG: {escape(str(error))}")
    return 1 if bad else 0


def down(config: StackConfig, only: Sequence[str], keeps: bool = True) -> int:
    """Stop the stack, or some parts; what was down stays down. `keeps` tells whether the data will still be there."""
    begin = time.monotonic()
    every = plan(config)
    parts = choose(every, only, with_needs=False)
    stray = () if only else strays(config, every)
    outcomes = bring_down(config, (*parts, *stray), _report)
    _end_leftovers(config, only)
    bad = [outcome for outcome in outcomes if outcome.problem]
    kept = f"; data kept in {config.var}" if keeps and config.var.exists() else ""
    out.print(f"{'Not everything is down' if bad else 'Down'}, after {time.monotonic() - begin:.1f} s{kept}")
    return 1 if bad else 0


def show_status(config: StackConfig, only: Sequence[str], as_json: bool) -> int:
    """Print the state of every service."""
    states = status.look(config, choose(plan(config), only, with_needs=False))
    if as_json:
        out.print_json(json.dumps([asdict(state) for state in states]))
    else:
        table = Table("service", "state", "pid", "port", "MB", "up", box=None)
        for one in states:
            colour = {"ready": "green", "down": "dim"}.get(one.state, "red")
            cells = (one.pid, ", ".join(map(str, one.ports)), one.memory_mb, f"{one.up_seconds} s" if one.pid else None)
            table.add_row(one.name, f"[{colour}]{one.state}[/]", *("" if cell is None else str(cell) for cell in cells))
        out.print(table)
    return 0 if all(state.state == "ready" for state in states) else 1


def show_doctor(config: StackConfig, as_json: bool) -> int:
    """Print every finding; those that need a hand say which."""
    parts = plan(config)
    findings = [*doctor.examine(config, parts), *doctor.ended(config, parts)]
    if as_json:
        out.print_json(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            _say(finding)
    return 1 if any(finding.fix for finding in findings) else 0


def clean(config: StackConfig) -> int:
    """Stop the stack, say what goes, and remove it; the environments stay."""
    if config.var != REPO / "var" and not config.environment_file.exists() and config.var.exists():
        raise StackError(
            f"{config.var} was not made by this stack (no stack.env in it): nothing is removed. Check PERENNIAL_VAR."
        )
    if down(config, (), keeps=False):
        return 1
    remove_postgres(config)
    # A model keeps its port, and with it the addresses that people have noted.
    kept = {config.var / ENDPOINTS, config.var / LOCK}
    for path in sorted({*config.var.iterdir()} - kept) if config.var.exists() else ():
        out.print(f"Removing {path}")
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return 0


def prepare(config: StackConfig) -> int:
    """Make ready what needs more than Python packages."""
    begin, said = time.monotonic(), []

    def say(text: str) -> None:
        said.append(text)
        out.print(f"▸ {text}")

    prepare_spark(config, say)
    if said:
        out.print(f"✓ Spark is ready: {time.monotonic() - begin:.0f} s")
    with suppress(OSError):  # a checkout that is read-only: tasks parse what they need
        keep_sources()
    return 0


def _end_leftovers(config: StackConfig, only: Sequence[str]) -> None:
    if not only and (count := end_leftovers(config)):
        out.print(f"  [green]✓[/] {count} process{'es' if count > 1 else ''} of a killed stack ended")


def _say(finding: Finding) -> None:
    mark = "[red]✗[/]" if finding.fix else "[green]✓[/]"
    out.print(f"{mark} {escape(finding.subject)}: {escape(finding.found + ('. ' + finding.fix if finding.fix else ''))}")


def _report(outcome: Outcome) -> None:
    if outcome.state == "nothing to stop":
        return
    mark = "[red]✗[/]" if outcome.problem else "[green]✓[/]"
    out.print(f"  {mark} {outcome.part.name:<24} {outcome.state:<9} {outcome.seconds:5.1f} s")
    for text in filter(None, (outcome.note, outcome.problem)):
        out.print(f"    {text}", markup=False)


def _addresses(config: StackConfig, parts: Sequence[Part]) -> None:
    names = {part.name for part in parts}
    if "airflow-api" in names:
        out.print(f"  Airflow   {config.airflow_url}  user admin, password in {config.secrets / 'airflow_admin'}")
    for part in parts:
        if part.service and part.name.startswith("server-"):
            out.print(f"  {part.name.removeprefix('server-')}  http://127.0.0.1:{part.service.ports[0]}")
    if "s3" in names or "airflow-api" in names:
        for name in served_elsewhere(config):
            out.print(f"  {name}  serves on Kubernetes, as Service {service_name(name)}")
    if "s3" in names:
        out.print(f"  S3        {config.s3_url}  keys in {config.credentials}")


if __name__ == "__main__":
    sys.exit(main())
