"""
`make demo`: real flights land, Airflow retrains for two dates, the live model answers, and a summary lists the results.

`python -m stack.demo NAME` runs another pipeline of include/demos, which it copies beside the others.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.markup import escape

from perennial.access.token_file import token_headers
from perennial.backfill.airflow_access import open_airflow
from perennial.backfill.airflow_client import AirflowClient, TaskState
from perennial.calendar import DAY
from perennial.config.load import load_pipeline, pipelines_folder
from perennial.deploy.active import read_active
from perennial.deploy.protocol import read_golden
from perennial.display.console import ShowableConsole
from perennial.errors import PerennialError
from perennial.lake.lake import Lake, open_lake
from perennial.runtime.endpoints import endpoint_url
from perennial.settings import load_environment
from perennial.store.json_value import JsonValue
from stack.__main__ import main as stack
from stack.config import REPO, StackConfig
from stack.demo_flight import flight_record
from stack.demo_report import print_report, run_report
from stack.errors import StackError
from stack.files import write_file

PIPELINE = "flight_delays"
OTHERS = REPO / "include" / "demos"
"""Pipelines that are no part of a new checkout's lake until a person asks for them."""

FIRST, FIRST_RUN = date(2013, 1, 1), date(2013, 2, 12)
RUN_SECONDS = 1200

# Output to a file has no width, and tables cut at 80 columns are unreadable.
out = ShowableConsole(width=None if sys.stdout.isatty() else 120)
MARKS = {"success": "[green]✓[/]", "skipped": "[yellow]-[/]", "failed": "[red]✗[/]", "up_for_retry": "[yellow]↻[/]"}


def main(argv: list[str] | None = None) -> int:
    """Run the demo. Return 0 if everything succeeded, else 1."""
    names = [PIPELINE, *sorted(folder.name for folder in OTHERS.iterdir())]
    parser = argparse.ArgumentParser(prog="python -m stack.demo", description="Run the demo of a pipeline.")
    parser.add_argument("pipeline", nargs="?", choices=names, default=PIPELINE, help=f"one of {', '.join(names)}")
    pipeline = parser.parse_args(argv).pipeline
    begin = time.monotonic()
    config = StackConfig.from_environment()
    out.print("Real data of 2013, two dates, one live model: about four minutes on two cores, longer on a busy machine.")
    if pipeline != PIPELINE:
        _add(pipeline)
    if stack(["up"]) != 0:
        return 1
    load_environment()
    lake, dag = open_lake(load_pipeline(pipeline)), f"retrain_{pipeline}"
    summary: dict[str, Any] = {
        "pipeline": pipeline,
        "setup_seconds": _setup_seconds(config),
        "run_seconds": None,
        "airflow_url": config.airflow_url,
        "endpoint": endpoint_url(pipeline),
        "runs": [],
        "prediction": None,
    }
    file = config.var / "demo" / "summary.json"
    try:
        with open_airflow() as airflow:
            airflow.wait_for_dag(dag)
            airflow.unpause(dag)
            first = _first_run(lake)
            second = first + DAY
            _feed(lake, FIRST, first)
            summary["runs"].append(_run(airflow, dag, first))
            _feed(lake, second, second)
            summary["runs"].append(_run(airflow, dag, second))
            summary["prediction"] = _predict(endpoint_url(pipeline), _record(lake, second))
            summary["run_seconds"] = round(time.monotonic() - begin, 1)
            out.print("\n[bold]The same date again[/]: nothing has changed, so the first task ends the run")
            summary["runs"].append(_run(airflow, dag, second))
    except PerennialError as error:
        out.print("[red]✗[/]", end=" ")
        out.print(str(error), markup=False)
        return 1
    except httpx.TransportError as error:
        out.print(
            f"[red]✗[/] A service of the stack does not answer ({error}). "
            f"`make status` shows which one; logs are in {config.logs}"
        )
        return 1
    finally:
        _write(file, summary)
    print_report(out, summary, config, file)
    return 0


def _add(pipeline: str) -> None:
    """Copy a pipeline beside the others, unless it is there. Its folder belongs to the person from then on."""
    folder = pipelines_folder() / pipeline
    if folder.exists():
        return
    shutil.copytree(OTHERS / pipeline, folder)
    out.print(f"Added {folder.relative_to(REPO)}, a copy of {(OTHERS / pipeline).relative_to(REPO)}. Delete it to go back.")


def _first_run(lake: Lake) -> date:
    """Return the first date to run: a later one if a training of the pipeline needs more dates."""
    training, label = lake.pipeline.training, lake.pipeline.label
    return max(FIRST_RUN, FIRST + DAY * (training.min_days + label.known_after_days))


def _record(lake: Lake, last: date) -> dict[str, JsonValue]:
    """Return a request: a flight of the next day, or for another pipeline one of the golden requests of its release."""
    if lake.pipeline.name == PIPELINE:
        return flight_record(last + DAY)
    release = read_active(lake).release
    if release is None:
        raise StackError(f"{lake.pipeline.name}: the gate released no model; `perennial decisions` shows the reasons.")
    return dict(read_golden(lake, release).records[0])


def _feed(lake: Lake, first: date, last: date) -> None:
    from perennial.demo.feed import feed

    begin = time.monotonic()
    done = feed(lake, first, last)
    rows = ", ".join(f"{count:,} {name}" for name, count in done["rows"].items())
    span = f"{first}" if first == last else f"{first} to {last}"
    out.print(f"\n[bold]Upstream lands {span}[/]: {rows} ({done['outcome']}, {time.monotonic() - begin:.1f} s)")


def _run(airflow: AirflowClient, dag: str, day: date) -> dict[str, Any]:
    """Trigger the DAG for a date as a user does, print its tasks as they end, and return the results of the run."""
    out.print(f"\n[bold]Airflow runs {day}[/]")
    begin = time.monotonic()
    run_id = airflow.trigger(dag, {"date": day.isoformat()}, f"demo__{day}__{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    with out.status(f"{day}: waiting for the scheduler") as status:
        state, tasks = airflow.wait(dag, run_id, RUN_SECONDS, _show_change(status.update, begin))
    seconds = round(time.monotonic() - begin, 1)
    if state != "success":
        raise StackError(_failure(airflow, dag, run_id, tasks))
    out.print(f"  {day} {state}, {seconds} s: {airflow.run_url(dag, run_id)}")
    report = run_report(airflow, dag, run_id, day, state, seconds, tasks)
    if all(stage["outcome"] == "unchanged" for stage in report["stages"].values()):
        out.print(f"  {', '.join(report['stages'])}: plan_run found them unchanged, so their tasks are skipped")
    return report


def _show_change(update: Callable[[str], None], begin: float) -> Callable[[TaskState], None]:
    running: set[str] = set()

    def show(task: TaskState) -> None:
        (running.add if task.state in ("running", "deferred") else running.discard)(task.name)
        if task.state in MARKS:
            took = f"{task.seconds:6.1f} s" if task.seconds else ""
            out.print(f"  {MARKS[task.state]} {escape(f'{task.name:<18}')} {task.state:<8} {took}")
        update(f"{escape(', '.join(sorted(running))) or 'between tasks'} · {time.monotonic() - begin:.0f} s")

    return show


def _failure(airflow: AirflowClient, dag: str, run_id: str, tasks: list[TaskState]) -> str:
    texts = [f"Run {run_id} failed. See {airflow.run_url(dag, run_id)} and docs/runbooks/run-failed.md."]
    for task in tasks:
        if task.state == "failed":
            texts.append(f"The end of the log of {task.name}:\n" + "\n".join(airflow.log(dag, run_id, task).splitlines()[-15:]))
    return "\n".join(texts)


def _predict(endpoint: str, record: dict[str, JsonValue]) -> dict[str, JsonValue]:
    with httpx.Client(base_url=endpoint, headers=token_headers(), timeout=30, trust_env=False) as client:
        client.get("/v2/health/ready").raise_for_status()  # opens the connection, so that only the answer is timed below
        begin = time.perf_counter()
        answer = client.post("/predict", json=[record])
        latency_ms = round((time.perf_counter() - begin) * 1000, 2)
    if answer.is_error:
        raise StackError(f"{endpoint}/predict answered {answer.status_code}: {answer.text[:500]}")
    return {"request": [record], "response": answer.json(), "latency_ms": latency_ms}


def _setup_seconds(config: StackConfig) -> float | None:
    """Return the duration of the last `make setup` that installed something. The Makefile records it."""
    with suppress(FileNotFoundError, ValueError):
        return float((config.var / "setup_seconds").read_text(encoding="utf-8"))
    return None


def _write(file: Path, summary: dict[str, JsonValue]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(file, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
