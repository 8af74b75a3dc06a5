"""`perennial run`: run all stages of one date, without Airflow."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, checked_lake, day_of
from perennial.commands.output import counted, format_dates, format_details, print_json, print_line
from perennial.commands.progress import at_work, leave_out_results, show_children
from perennial.lake.result import Outcome
from perennial.store.json_value import JsonValue

if TYPE_CHECKING:
    from perennial.calendar import DataDays
    from perennial.lake.result import Result
    from perennial.stages import Run, Stage

MAX_SHOWN = 10
"""Maximum number of reasons of gaps that a stage prints."""


def run(
    pipeline: PipelineName = None,
    *,
    day: Annotated[str, typer.Option("--date", help="The date to run, YYYY-MM-DD.")],
    recompute: Annotated[
        bool,
        typer.Option("--recompute", help="Clean, analyse and train again even if nothing changed; the result must be identical."),
    ] = False,
    force_decision: Annotated[
        str | None, typer.Option(help="PROMOTE, HOLD or REJECT instead of the gate's own decision.")
    ] = None,
    force_reason: Annotated[str | None, typer.Option(help="Reason for forcing the decision.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all output of Spark and of the trainings.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Run all stages of one date, without Airflow.

    The stages are collect, clean, analyse, train, evaluate and deploy, blend if pipeline.yaml has a blend, and score if it has
    `scoring`.
    Unchanged work is not done again.
    """
    from perennial.commands.os_user import get_os_user
    from perennial.evaluate.force import read_force
    from perennial.stages import Run, stages_of

    show_children(verbose)
    if not as_json:
        leave_out_results()
    read_force(force_decision, force_reason)  # report a mistake now, not after the training
    lake = checked_lake(pipeline)
    chosen_day = day_of(lake.pipeline, day)
    date_run = Run(
        lake=lake,
        day=chosen_day,
        run_id=f"cli__{datetime.now(UTC).isoformat(timespec='seconds')}",
        recompute=recompute,
        force_decision=force_decision,
        force_reason=force_reason,
        by=get_os_user(),
    )
    began = time.monotonic()
    stages: dict[str, dict[str, JsonValue]] = {}
    for name, work in run_stages(date_run, stages_of(lake.pipeline)):
        started = time.monotonic()
        with at_work(name):
            result = work()
        took = round(time.monotonic() - started, 2)
        stages[name] = {**result.to_json(), "seconds": took}
        if not as_json:
            print_line(_format_result(name, result, took), style="green" if result.outcome == Outcome.DONE else "")
            for line in _gap_lines(result.details().get("gaps"), lake.pipeline.calendar.data_days):
                print_line(line)
            for warning in getattr(result, "warnings", ()):
                print_line(f"  ! {warning}", style="yellow")
    seconds = round(time.monotonic() - began, 2)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "date": chosen_day.isoformat(), "seconds": seconds, "stages": stages})
    else:
        print_line(f"{lake.pipeline.name} {chosen_day}: {seconds} s")


def run_stages(run: Run, stages: Sequence[Stage]) -> Iterator[tuple[str, Callable[[], Result]]]:
    """
    Yield the name of each stage and a function that runs it, in order.

    If a stage ends the run, the later stages are skipped with its reason.
    """
    from perennial.stages.stage import Skips

    skips = Skips()

    def work(stage: Stage, candidate: str | None) -> Result:
        if (skipped := skips.find(stage)) is not None:
            return skipped
        result = stage.run(run, candidate)
        skips.add(stage, result)
        return result

    for stage in stages:
        for candidate in stage.candidates(run.lake.pipeline) or (None,):
            name = stage.name if candidate is None else f"{stage.name}[{candidate}]"
            yield name, partial(work, stage, candidate)


def _format_result(name: str, result: Result, seconds: float) -> str:
    return f"{name:<16} {result.outcome:<9} {seconds:>7.1f} s  {format_details(result.details())}"


def _gap_lines(gaps: JsonValue, data_days: DataDays) -> list[str]:
    """Return a line for each reason of gaps, with the dates that share it, the earliest first."""
    dates: dict[str, list[date]] = defaultdict(list)
    for day, reason in sorted(gaps.items()) if isinstance(gaps, dict) else ():
        dates[str(reason)].append(date.fromisoformat(day))
    lines = [f"  gap {format_dates(days, data_days)}: {reason}" for reason, days in dates.items()]
    more = len(lines) - MAX_SHOWN
    return lines if more <= 0 else [*lines[:MAX_SHOWN], f"  and {counted(more, 'more reason')} of gaps; --json shows all"]
