"""`python -m stack up|down|serve|status|clean|doctor|prepare`: run the embedded stack from a shell."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from perennial.config.load import load_pipeline
from perennial.display.console import ShowableConsole
from perennial.display.showable import dump_json
from perennial.errors import PerennialError, PipelineRefusedError
from perennial.fingerprints.known_sources import keep_sources
from perennial.runtime.endpoints import FILE as ENDPOINTS
from perennial.runtime.serving_objects import service_name
from perennial.settings import load_settings
from stack import doctor, status
from stack.config import REPO, StackConfig
from stack.errors import StackError
from stack.foreground import run_part
from stack.leftovers import end_leftovers
from stack.lock import LOCK, alone
from stack.machine import Finding
from stack.plan import Outcome, Part, bring_down, bring_up, choose, plan, strays
from stack.postgres import remove_postgres
from stack.process import is_running
from stack.roles import Role
from stack.server import keep_places, served_elsewhere
from stack.settings_check import examine_settings
from stack.signing import find_untrusted
from stack.spark import prepare_spark
from stack.unprivileged import settle_user

out = ShowableConsole()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return 0 if all is well, else 1."""
    options = _read_arguments(arguments)
    only = [word for word in getattr(options, "only", "").split(",") if word]
    load_settings()
    try:
        config = StackConfig.from_environment()
        if options.command in ("up", "down", "clean"):
            return change(config, options.command, only, is_restart=getattr(options, "restart", False))
        if options.command == "serve":
            return serve(config, options.pipeline)
        if options.command == "run":
            return run_part(config, options.part)
        if options.command == "status":
            return show_status(config, only, options.json)
        if options.command == "doctor":
            return show_doctor(config, options.json)
        return prepare(config)
    except PerennialError as error:
        out.print(f"[red]✗[/] {escape(str(error))}")
        return 1


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stack", description="The embedded stack: S3, PostgreSQL, metastore, Airflow, servers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in ("up", "down", "status"):
            command.add_argument("--only", default="", metavar="PART,PART", help="parts, for example s3,postgres or airflow")
        if name == "down":
            command.add_argument("--restart", action="store_true", help="stop only if the settings allow the next start")
        if name in ("status", "doctor"):
            command.add_argument("--json", action="store_true", help="machine-readable output")
        if name == "run":
            command.add_argument("part", help="one part, for example s3")
        if name == "serve":
            command.add_argument("pipeline", help="name of the pipeline")
    return parser.parse_args(arguments)


def change(config: StackConfig, command: str, only: Sequence[str], is_restart: bool = False) -> int:
    """Start, stop or remove the stack, one command at a time."""
    if is_restart and _print_problems(examine_settings()):
        out.print("Nothing was stopped, because the stack would not start again.")
        return 1
    if command == "up":
        config.var.mkdir(parents=True, exist_ok=True)
    with alone(config, lambda holder: out.print(f"Waiting for {holder}, which holds the lock of this stack")):
        if command == "clean":
            return clean(config)
        return up(config, only) if command == "up" else down(config, only)


COMMANDS = {
    "up": "Start the parts that are not running; print each with its seconds.",
    "down": "Stop everything; data is kept.",
    "serve": "Start the model server of a pipeline if the stack is up; exit with 1 if it is not.",
    "status": "Show the state of every service.",
    "clean": "Stop everything and remove the stack's data.",
    "doctor": "Show the problems that would keep the stack from starting, each with its fix.",
    "run": "Run one part in the foreground, as a container does.",
    "prepare": "Fetch Spark's jars, build its launcher, read the sources for fingerprints; a part of `make setup`.",
}


def up(config: StackConfig, only: Sequence[str]) -> int:
    """Start the stack, or some parts and the parts that they need."""
    begin = time.monotonic()
    parts = choose(plan(config), only)
    config.check_offset()
    _end_leftovers(config, only)  # they may hold ports of the stack
    if _print_problems(doctor.examine(config, parts)):
        return 1
    config.write_environment()
    keep_places(config)
    if note := settle_user(config):
        out.print(f"▸ {escape(note)}")
    idle = [part.name for part in parts if part.service and not is_running(config, part.name)]
    work = f"Starting {len(idle)} service{'s' if len(idle) > 1 else ''}" if idle else "Every service is already running"
    out.print(f"{work}; logs in {config.logs}")
    # The servers of deleted pipelines: otherwise only `down` would stop them.
    stopped = () if only else bring_down(config, strays(config, parts), _report)
    outcomes = [*stopped, *bring_up(config, parts, _report)]
    failed = [outcome for outcome in outcomes if outcome.problem]
    out.print(f"{'Not everything is up' if failed else 'The stack is up'}, after {time.monotonic() - begin:.1f} s")
    if not failed:
        _print_addresses(config, parts)
    for name in config.pipeline_names():
        try:
            load_pipeline(name, config.pipelines)
        except PipelineRefusedError as error:
            out.print(f"[red]✗[/] Pipeline {name} has no DAG: {escape(str(error))}")
    return 1 if failed else 0


def serve(config: StackConfig, pipeline: str) -> int:
    """Start the model server of a pipeline that is newer than the start of the stack."""
    if not is_running(config, "airflow-scheduler"):
        out.print("The stack is not up.")
        return 1
    return change(config, "up", [f"server-{pipeline}"])


def down(config: StackConfig, only: Sequence[str], keeps: bool = True) -> int:
    """Stop the stack, or some parts. `keeps` says whether the data will be kept."""
    begin = time.monotonic()
    planned = plan(config)
    parts = choose(planned, only, with_needs=False)
    stray = () if only else strays(config, planned)
    outcomes = bring_down(config, (*parts, *stray), _report)
    _end_leftovers(config, only)
    failed = [outcome for outcome in outcomes if outcome.problem]
    kept = f"; data kept in {config.var}" if keeps and config.var.exists() else ""
    out.print(f"{'Not everything is down' if failed else 'Down'}, after {time.monotonic() - begin:.1f} s{kept}")
    return 1 if failed else 0


def show_status(config: StackConfig, only: Sequence[str], as_json: bool) -> int:
    """Print the state of every service."""
    states = status.look(config, choose(plan(config), only, with_needs=False))
    if as_json:
        out.print(dump_json([asdict(state) for state in states]), markup=False)
    else:
        table = Table("service", "state", "pid", "port", "MB", "up", box=None)
        for state in states:
            colour = {"ready": "green", "down": "dim"}.get(state.state, "red")
            cells = (state.pid, ", ".join(map(str, state.ports)), state.memory_mb, f"{state.up_seconds} s" if state.pid else None)
            table.add_row(state.name, f"[{colour}]{state.state}[/]", *("" if cell is None else str(cell) for cell in cells))
        out.print(table)
    return 0 if all(state.state == "ready" for state in states) else 1


def show_doctor(config: StackConfig, as_json: bool) -> int:
    """Print every finding; problems include their fix."""
    parts = plan(config)
    findings = [*doctor.examine(config, parts), *doctor.ended(config, parts), *find_untrusted(config)]
    if as_json:
        out.print(dump_json([finding._asdict() for finding in findings]), markup=False)
    else:
        for finding in findings:
            _print_finding(finding)
    return 1 if any(finding.fix for finding in findings) else 0


def clean(config: StackConfig) -> int:
    """Stop the stack, remove its data and print what is removed. The environments stay."""
    if config.var != REPO / "var" and not config.environment_file.exists() and config.var.exists():
        raise StackError(
            f"{config.var} was not created by this stack (it has no stack.env): nothing is removed. Check PERENNIAL_VAR."
        )
    if down(config, (), keeps=False):
        return 1
    remove_postgres(config)
    # Models keep their ports, so that the addresses that users have noted stay valid.
    kept = {config.var / ENDPOINTS, config.var / LOCK}
    for path in sorted({*config.var.iterdir()} - kept) if config.var.exists() else ():
        out.print(f"Removing {path}")
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return 0


def prepare(config: StackConfig) -> int:
    """Set up the parts that need more than Python packages: Spark, and the sources for fingerprints."""
    begin, steps = time.monotonic(), []

    def say(text: str) -> None:
        steps.append(text)
        out.print(f"▸ {text}")

    prepare_spark(config, say)
    if steps:
        out.print(f"✓ Spark is ready: {time.monotonic() - begin:.0f} s")
    with suppress(OSError):  # a read-only checkout: each task parses the sources that it needs
        keep_sources()
    return 0


def _end_leftovers(config: StackConfig, only: Sequence[str]) -> None:
    if not only and (count := end_leftovers(config)):
        out.print(f"  [green]✓[/] Ended {count} process{'es' if count > 1 else ''} of a killed stack")


def _print_problems(findings: Sequence[Finding]) -> bool:
    """Print the findings that keep the stack from starting. Return whether there is one."""
    problems = [finding for finding in findings if finding.fix]
    for finding in problems:
        _print_finding(finding)
    return bool(problems)


def _print_finding(finding: Finding) -> None:
    mark = "[red]✗[/]" if finding.fix else "[yellow]![/]" if finding.advice else "[green]✓[/]"
    text = ". ".join(filter(None, (finding.found, finding.fix, finding.advice)))
    out.print(f"{mark} {escape(finding.subject)}: {escape(text)}")


def _report(outcome: Outcome) -> None:
    if outcome.state == "nothing to stop":
        return
    mark = "[red]✗[/]" if outcome.problem else "[green]✓[/]"
    out.print(f"  {mark} {outcome.part.name:<24} {outcome.state:<9} {outcome.seconds:5.1f} s")
    for text in filter(None, (outcome.note, outcome.problem)):
        out.print(f"    {text}", markup=False)


def _print_addresses(config: StackConfig, parts: Sequence[Part]) -> None:
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
        out.print(f"  S3        {config.s3_url}  keys in {config.credentials(Role.OWNER)}")


if __name__ == "__main__":
    sys.exit(main())
