"""The demo's summary: var/demo/summary.json for programs, a page in the terminal for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from perennial.backfill.airflow_client import AirflowClient, TaskState
from perennial.display.metrics import found_in
from perennial.stages import STAGES
from stack.config import StackConfig

Facts = dict[str, Any]
METRICS = ("roc_auc", "pr_auc", "log_loss", "accuracy", "brier", "skill", "absolute_error", "bias")


def run_report(
    airflow: AirflowClient, dag_id: str, run_id: str, day: date, state: str, seconds: float, tasks: Sequence[TaskState]
) -> Facts:
    """Return the results of a finished run, from the return values of its tasks."""
    plan = airflow.result(dag_id, run_id, "plan_run") or {}
    stages = plan.get("stages") or _stages(airflow, dag_id, run_id, tasks)
    stages = {
        stage.name: stages[stage.name] for stage in STAGES if stage.name in stages
    }  # Airflow's database does not keep the order
    collected, cleaned, decision, deployed = (stages.get(name, {}) for name in ("collect", "clean", "evaluate", "deploy"))
    sources = collected.get("rows_landed", {})
    return {
        "date": day.isoformat(),
        "run_id": run_id,
        "state": state,
        "seconds": seconds,
        "stages": stages,
        "rows": {
            "landed": sum(sources.values()),
            "clean": sum(cleaned.get("rows", {}).get(name, 0) for name in sources),
            "quarantined": sum(cleaned.get("quarantined", {}).get(name, 0) for name in sources),
        },
        "candidates": decision.get("candidates", []),
        "decision": decision.get("decision"),
        "reasons": decision.get("reasons", []),
        "champion": decision.get("champion"),
        "released": deployed.get("released"),
    }


def _stages(airflow: AirflowClient, dag_id: str, run_id: str, tasks: Sequence[TaskState]) -> dict[str, Facts]:
    stages: dict[str, Facts] = {}
    names = [stage.name for stage in STAGES if any(task.task == stage.name for task in tasks)]
    for stage in names:
        copies = [task for task in tasks if task.task == stage]
        results = {task.index: airflow.result(dag_id, run_id, stage, task.map_index) for task in copies}
        known = {name: result or {"outcome": _outcome(copies)} for name, result in results.items()}
        if set(known) == {""}:
            stages[stage] = known[""]
        else:
            outcomes = {result["outcome"] for result in known.values()}
            stages[stage] = {"outcome": outcomes.pop() if len(outcomes) == 1 else "done", "candidates": known}
    return stages


def _outcome(tasks: Sequence[TaskState]) -> str:
    return "skipped" if all(task.state == "skipped" for task in tasks) else tasks[0].state


def print_report(out: Console, summary: Facts, config: StackConfig, file: Path) -> None:
    """Print the summary for a person."""
    runs = Table(title="Runs", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("date", "seconds", "stages", "landed", "clean", "bad", "decision", "released"):
        runs.add_column(column, no_wrap=True)
    for run in summary["runs"]:
        outcomes = Counter(stage["outcome"] for stage in run["stages"].values())
        stages = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        rows = (f"{run['rows'][name]:,}" for name in ("landed", "clean", "quarantined"))
        runs.add_row(run["date"], f"{run['seconds']:.0f}", stages, *rows, str(run["decision"]), str(run["released"]))
    out.print()
    out.print(runs)
    _print_models(out, summary["runs"][1])
    _print_prediction(out, summary["prediction"])
    out.print("\n[bold]Open[/]")
    out.print(f"  Airflow    {config.airflow_url}  user admin, password in {config.secrets / 'airflow_admin'}")
    out.print(f"  Endpoint   {summary['endpoint']}  GET /v2/models/{summary['pipeline']}, POST /predict, GET /metrics")
    out.print(f"  Summary    {file}")
    out.print(
        f"Set-up {summary['setup_seconds'] or 0:.0f} s, from start to prediction {summary['run_seconds']:.0f} s. "
        "The stack keeps running; stop it with `make down`."
    )


def _print_models(out: Console, run: Facts) -> None:
    metrics = found_in(run["candidates"], METRICS)
    models = Table(title=f"\nCandidates of {run['date']}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("name", *metrics, "gate"):
        models.add_column(column)
    for candidate in run["candidates"]:
        values = (f"{candidate[name]:.3f}" if candidate.get(name) is not None else "-" for name in metrics)
        models.add_row(candidate["name"], *values, candidate.get("decision") or "")
    out.print(models)
    out.print(f"{run['decision']}: {'; '.join(run['reasons'])}", markup=False)
    out.print(f"Champion: {run['champion']}", markup=False)


def _print_prediction(out: Console, prediction: Facts) -> None:
    record, answer = prediction["request"][0], prediction["response"]
    first = answer["predictions"][0]
    out.print(f"\n[bold]Prediction[/] {_outcome_of(record, first)}, answered in {prediction['latency_ms']} ms")
    out.print(f"  by {answer['model_version']}, release {answer['release']}, data before {answer['as_of']}")


def _outcome_of(record: Facts, answer: Facts) -> str:
    """Return a request and its answer in words."""
    if "class" in answer:
        shares = ", ".join(f"{name} {share:.3f}" for name, share in answer["probabilities"].items())
        return f"{record['origin']}, six hours from {record['date']} {record['observed_at']}: {answer['class']} ({shares})"
    when = f"{record['date']} {record['sched_dep_time']}"
    flight = f"{record['carrier']} {record.get('flight', '')} {record['origin']}-{record['dest']}, {when}"
    if "value" not in answer:
        return f"{flight}: late with probability {answer['probability']:.3f}"
    bounds = f" ({answer['low']:.0f} to {answer['high']:.0f})" if "low" in answer else ""
    return f"{flight}: {answer['value']:.1f} minutes late{bounds}"
