"""`perennial backfill`: retrain and judge past dates with the data of that day, through Airflow's own backfill."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sized
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.backfill.again import Again
from perennial.commands.arguments import AsJson, PipelineName, checked_lake, chosen_date
from perennial.commands.output import counted, format_dates, format_details, print_json, print_line, problems
from perennial.commands.progress import show_children
from perennial.errors import RefusedError

if TYPE_CHECKING:
    from perennial.backfill.airflow_client import AirflowClient
    from perennial.backfill.plan import HistoryPlan
    from perennial.backfill.progress import Progress
    from perennial.backfill.run import HistorySummary
    from perennial.lake.lake import Lake
    from perennial.store.json_value import Json

MAX_SHOWN = 10
SHOWN_IN_SECONDS = 180
LINE_SECONDS = 5
"""Minimum seconds between two progress lines when there is no terminal for a spinner."""
SILENT_SECONDS = 60
"""Seconds after which a progress line is repeated although only the time has changed."""
DAG_SECONDS = 60
"""Seconds in which Airflow reads the file of a new DAG."""


class Cadence(StrEnum):
    """Interval at which an experiment retrains."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


def backfill(
    pipeline: PipelineName = None,
    *,
    first: Annotated[str, typer.Option("--from", help="The first date, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="The last date, YYYY-MM-DD.")],
    only_plan: Annotated[bool, typer.Option("--plan", help="Print the plan and do nothing.")] = False,
    again: Annotated[Again, typer.Option(help="Which dates that have already run are run again.")] = Again.ALL,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Run as an experiment with this name.")] = None,
    window: Annotated[int | None, typer.Option(help="With --as: length of the training window in days.")] = None,
    candidates: Annotated[str | None, typer.Option(help="With --as: candidates, separated by commas.")] = None,
    cadence: Annotated[Cadence, typer.Option(help="With --as: how often to retrain.")] = Cadence.DAILY,
    margin: Annotated[float | None, typer.Option(help="With --as: the gate's margin for both metrics.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="With --as: show all output of Spark and of the trainings.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Retrain and judge past dates, each with the data of that day.

    Only the newest date reaches the endpoint. Dates without changes end at once. You can stop the command: Airflow continues, and
    the same command joins it again.

    With --as, the dates run under other settings and without Airflow, in a separate space that production never reads.
    """
    from perennial.backfill.airflow_access import open_airflow
    from perennial.backfill.plan import plan_history

    show_children(verbose)
    lake = checked_lake(pipeline)
    if name is not None:
        if only_plan or again is not Again.ALL:
            raise RefusedError(
                "--plan and --again are not for experiments",
                remedy="Leave them out: an experiment keeps the dates that are done.",
            )
        wanted = None if candidates is None else tuple(candidate.strip() for candidate in candidates.split(","))
        settings = {"cadence": cadence.value, "window_days": window, "candidates": wanted, "margin": margin}
        _experiment(lake, name, settings, chosen_date(first), chosen_date(last), as_json=as_json)
        return
    if (window, candidates, cadence, margin, verbose) != (None, None, Cadence.DAILY, None, False):
        raise RefusedError(
            "--window, --candidates, --cadence, --margin and --verbose are for experiments",
            remedy="Add --as NAME to run an experiment. Production takes these settings from pipeline.yaml.",
        )
    only_stale = again is Again.STALE
    plan = plan_history(lake, chosen_date(first), chosen_date(last), only_stale=only_stale)
    with open_airflow() as airflow:
        expected = _estimate_seconds(airflow, lake, plan, only_stale=only_stale)
        if not as_json:
            for line in _plan_lines(plan, expected, only_stale=only_stale):
                print_line(line)
        planned = {**plan.to_json(), "expected_seconds": None if expected is None else round(expected)}
        if only_plan:
            if as_json:
                print_json({"pipeline": lake.pipeline.name, "plan": planned})
            return
        if len(plan.missing) == len(plan.dates):
            raise RefusedError(
                f"Pipeline {lake.pipeline.name!r}: none of the {len(plan.dates)} dates has landed",
                remedy="Land them first (docs/how-to/land-a-drop.md).",
            )
        summary = _run(airflow, lake, plan, again, expected if again is Again.ALL else None)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "plan": planned, "result": asdict(summary)})
    else:
        for line in _summary_lines(summary):
            print_line(line)
    if summary.failed:
        raise typer.Exit(1)


def _experiment(lake: Lake, name: str, settings: Json, first: date, last: date, *, as_json: bool) -> None:
    """Run an experiment and print its result."""
    from perennial.display.metrics import format_metric, label_of
    from perennial.evaluate.chain import incumbent
    from perennial.evaluate.chain_store import read_chain
    from perennial.experiments.experiment import ExperimentSettings, open_experiment, run_experiment
    from perennial.tasks.task import task_of

    began = time.monotonic()
    result = run_experiment(lake, name, ExperimentSettings.model_validate(settings), first, last)
    seconds, counts = round(time.monotonic() - began, 1), Counter(str(one.decision) for one in result.decisions.values())
    if as_json:
        without = {day.isoformat(): reason for day, reason in result.without.items()}
        print_json(
            {"pipeline": lake.pipeline.name, "experiment": name, "seconds": seconds, "decisions": counts, "without": without}
        )
        return
    print_line(
        f"{name}: {counted(len(result.decisions), 'date')} decided in {seconds} s: "
        + ", ".join(f"{count} {decision}" for decision, count in counts.items())
    )
    loss = task_of(lake.pipeline.label).loss_name
    if len(result.decisions) > MAX_SHOWN:
        print_line(f"The last {MAX_SHOWN} of them:")
    for day, decided in list(result.decisions.items())[-MAX_SHOWN:]:
        losses = [f"{candidate} {format_metric(value)}" for candidate, value in decided.values_of(loss).items()]
        print_line(f"  {day}: {format_details(decided.details())}; {label_of(loss)}: {', '.join(losses)}")
    for day, reason in list(result.without.items())[:MAX_SHOWN]:
        print_line(f"  {day} not decided: {reason}")
    if any(incumbent(read_chain(one), last) is None for one in (lake, open_experiment(lake, name))):
        return  # nothing to compare: a champion predicts the dates after its own
    compare = f"perennial compare main {name} --pipeline {lake.pipeline.name} --from {first} --to {last}"
    print_line(f"`{compare}` compares it with production", style="dim")


def _run(airflow: AirflowClient, lake: Lake, plan: HistoryPlan, again: Again, expected: float | None) -> HistorySummary:
    """Run the backfill and show its progress."""
    from perennial.backfill.airflow_client import dag_of
    from perennial.backfill.run import run_history

    dag = dag_of(lake.pipeline.name)
    airflow.wait_for_dag(dag, DAG_SECONDS)
    problems.print(f"  Airflow shows the runs at {airflow.backfills_url(dag)}")
    began = printed = time.monotonic()
    shown = None
    with problems.status("") as spinner:

        def show(now: Progress) -> None:
            nonlocal printed, shown
            seconds = time.monotonic() - began
            text = f"  {_progress_text(now, seconds, expected)}"
            spinner.update(text.strip())
            silent = time.monotonic() - printed
            if not problems.is_terminal and silent >= (LINE_SECONDS if now != shown else SILENT_SECONDS):
                printed, shown = time.monotonic(), now
                problems.print(text, markup=False)

        try:
            return run_history(airflow, lake, plan, again, show)
        except KeyboardInterrupt:
            problems.print(
                "  The backfill continues in Airflow; the same command joins it again. "
                "To end it, cancel it on Airflow's page of backfills."
            )
            raise


def _estimate_seconds(airflow: AirflowClient, lake: Lake, plan: HistoryPlan, *, only_stale: bool) -> float | None:
    """Estimate the duration from past backfills; return None if there were none."""
    from perennial.backfill.airflow_client import dag_of
    from perennial.backfill.estimate import expected_seconds, past_seconds
    from perennial.backfill.run import RUNS_AT_ONCE

    led, quick = past_seconds(airflow, dag_of(lake.pipeline.name), lake.pipeline.calendar.data_days)
    batches = [sum(first <= day <= last for day in plan.dates) for first, last in plan.batches]
    runs = len(plan.again if only_stale else plan.dates)
    return expected_seconds(led, quick, batches, runs - len(batches), RUNS_AT_ONCE)


def _progress_text(now: Progress, seconds: float, expected: float | None) -> str:
    """Describe the progress of a range in one line."""
    parts = [
        f"{now.first} to {now.last}: {now.decided} of {counted(now.total, 'date')} decided",
        *now.stages,
        f"{now.ended} of {counted(now.total, 'run')} ended" + (", the others find nothing left to do" if now.is_closing else ""),
        f"{int(seconds) // 60}:{int(seconds) % 60:02}",
        *([] if expected is None else [f"about {_format_duration(max(expected - seconds, 0))} left"]),
        *(["waiting"] if now.waits else []),
    ]
    return " · ".join(parts)


def _plan_lines(plan: HistoryPlan, expected: float | None, *, only_stale: bool) -> list[str]:
    lines = [
        f"{counted(len(plan.dates), 'date')}, {plan.dates[0]} to {plan.dates[-1]}; "
        f"{len(plan.unchanged)} unchanged, {len(plan.stale)} stale, {len(plan.young)} with insufficient history, "
        f"{len(plan.missing)} not landed" + (f"; {counted(plan.rest, 'rest date')} skipped" if plan.rest else "")
    ]
    if plan.missing:
        listed = [str(day) for day in plan.missing[:MAX_SHOWN]]
        what = "they are left out" if only_stale else "their runs will fail"
        lines.append(f"  not landed: {', '.join(listed)}{_more(plan.missing)}; {what}")
    if plan.stale:
        listed = [f"{day} ({staleness.reason})" for day, staleness in list(plan.stale.items())[:MAX_SHOWN]]
        lines.append(f"  stale: {', '.join(listed)}{_more(plan.stale)}")
    if only_stale:
        lines.append(f"  run again: {len(plan.again)} stale dates, and the dates that become stale through them")
    if plan.batches:
        listed = [f"{first} to {last}" for first, last in plan.batches[:MAX_SHOWN]]
        count = "1 batch" if len(plan.batches) == 1 else f"{len(plan.batches)} batches"
        lines.append(f"  processed in {count}: {', '.join(listed)}{_more(plan.batches)}")
    if plan.perhaps_again and not only_stale:
        owner = "its" if len(plan.perhaps_again) == 1 else "their"
        lines.append(f"  may be judged again: {format_dates(plan.perhaps_again)}; {owner} incumbent may change")
    lines.append(f"  reaches the endpoint: {_describe_deploy(plan)}")
    duration = (
        "not known yet, no earlier backfill to estimate it from" if expected is None else f"about {_format_duration(expected)}"
    )
    lines.append(f"  time: {duration}")
    return lines


def _describe_deploy(plan: HistoryPlan) -> str:
    if plan.newest is None:
        return "nothing, the newest date is not among these dates"
    if plan.serves and plan.newest in plan.unchanged:
        return f"nothing new, the newest date {plan.newest} is unchanged and serves already"
    return f"{plan.deploys or f'nothing, the newest date {plan.newest} does not run again'}"


def _format_duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < SHOWN_IN_SECONDS else f"{seconds / 60:.0f} min"


def _more(items: Sized) -> str:
    return f" and {len(items) - MAX_SHOWN} more" if len(items) > MAX_SHOWN else ""


def _summary_lines(summary: HistorySummary) -> list[str]:
    decisions = ", ".join(f"{count} {name}" for name, count in summary.decisions.items() if count) or "none"
    return [
        f"{counted(summary.dates, 'date')} in {summary.seconds} s, {len(summary.failed)} failed; decisions: {decisions}",
        *([f"Failed (see the run of each date in Airflow): {', '.join(summary.failed)}"] if summary.failed else []),
        *(
            [f"Stale decisions: {summary.stale}. Run their dates with `--again stale` to judge them again"]
            if summary.stale
            else []
        ),
    ]
