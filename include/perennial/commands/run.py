"""`perennial run`: all stages of one date, without Airflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_lake, day_of
from perennial.commands.output import print_json, print_line
from perennial.commands.progress import at_work, show_children

Facts = dict[str, Any]


def run(
    pipeline: PipelineName = None,
    day: Annotated[str, typer.Option("--date", help="The date to run, YYYY-MM-DD.")] = ...,  # type: ignore[assignment]
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Clean, analyse and train again although nothing changed; it must come out the same."),
    ] = False,
    force_decision: Annotated[
        str | None, typer.Option(help="PROMOTE, HOLD or REJECT instead of the gate's own decision.")
    ] = None,
    force_reason: Annotated[str | None, typer.Option(help="Why the decision is forced.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every line of Spark and of the trainings.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Run all stages of one date, without Airflow.

    They are collect, clean, analyse, train, evaluate and deploy; unchanged work is not done again.
    """
    from perennial.evaluate.force import read_force

    show_children(verbose)
    read_force(force_decision, force_reason)  # a mistake here is told now, and not after the training
    lake = chosen_lake(pipeline)
    chosen_day = day_of(lake.pipeline, day)
    began = time.monotonic()
    stages: dict[str, Facts] = {}
    for name, stage in _stages(lake, chosen_day, recompute, force_decision, force_reason):
        started = time.monotonic()
        with at_work(name):
            facts = stage()
        stages[name] = {**facts, "seconds": round(time.monotonic() - started, 2)}
        if not as_json:
            print_line(_line(name, stages[name]), style="green" if stages[name]["outcome"] == "done" else "")
            for warning in facts.get("warnings", ()):
                print_line(f"  ! {warning}", style="yellow")
    seconds = round(time.monotonic() - began, 2)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "date": chosen_day.isoformat(), "seconds": seconds, "stages": stages})
    else:
        print_line(f"{lake.pipeline.name} {chosen_day}: {seconds} s")


def _stages(
    lake: Any, day: date, recompute: bool, force_decision: str | None, force_reason: str | None
) -> list[tuple[str, Callable[[], Facts]]]:
    """Return the stages in order; each imports its room only when it begins."""

    def collect() -> Facts:
        from perennial.collect.collect import collect as collect_drops

        return collect_drops(lake, day)

    def clean() -> Facts:
        from perennial.clean.plan import finish_clean, plan_clean
        from perennial.spark.submit import submit

        submitted = submit(plan_clean(lake, day, recompute=recompute))
        return {**finish_clean(lake, day), "outcome": "done" if submitted else "unchanged"}

    def analyse() -> Facts:
        from perennial.analyse.plan import finish_analyse, plan_analyse
        from perennial.spark.submit import submit

        submitted = submit(plan_analyse(lake, day, recompute=recompute))
        return {**finish_analyse(lake, day), "outcome": "done" if submitted else "unchanged"}

    def evaluate() -> Facts:
        from perennial.evaluate.evaluate import evaluate as judge

        run_id = f"cli__{datetime.now(UTC).isoformat(timespec='seconds')}"
        return judge(lake, day, run_id=run_id, force_decision=force_decision, force_reason=force_reason)

    def deploy() -> Facts:
        from perennial.deploy.deploy import deploy as release
        from perennial.runtime.choice import open_runtime

        return release(lake, day, open_runtime(lake.pipeline))

    trained = [
        (f"train[{name}]", lambda name=name: _train(lake, day, name, recompute)) for name in lake.pipeline.training.candidates
    ]
    return [("collect", collect), ("clean", clean), ("analyse", analyse), *trained, ("evaluate", evaluate), ("deploy", deploy)]


def _train(lake: Any, day: date, candidate: str, recompute: bool) -> Facts:
    from perennial.runtime.choice import open_trainer
    from perennial.train.plan import finish_training
    from perennial.train.work import plan_work

    plan, work = plan_work(lake, day, candidate, recompute=recompute)
    if work is not None:
        open_trainer(lake).train(work)
    return finish_training(lake, plan) if plan.skipped is None else {"outcome": "skipped", "reason": plan.skipped}


def _line(name: str, facts: Facts) -> str:
    shown = {key: value for key, value in facts.items() if key in _SHOWN and value not in (None, "", {}, [])}
    details = ", ".join(f"{key} {_text(value)}" for key, value in shown.items())
    return f"{name:<16} {facts['outcome']:<9} {facts['seconds']:>7.1f} s  {details}"


_SHOWN = (
    "reason",
    "rows_landed",
    "pinned",
    "gaps",
    "at_rest",
    "rows",
    "quarantined",
    "unlabelled_rows",
    "unmatched_labels",
    "nulls",
    "earlier_columns",
    "roc_auc",
    "log_loss",
    "decision",
    "champion",
    "note",
    "released",
    "version",
)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
