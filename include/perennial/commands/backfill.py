"""`perennial backfill`: past dates, retrained and judged as if it had been that day, through Airflow's own backfill."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sized
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from perennial.commands.arguments import STACK_IS_DOWN, AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line, problems
from perennial.errors import PerennialError, RefusedError

POLL_SECONDS = 2.0
MOST_SHOWN = 10
RUNS_AT_ONCE = 4
"""One works ahead and the others wait for it; then most of a run is waiting for Airflow."""


class Again(StrEnum):
    """Which dates that have run before run again."""

    ALL = "all"
    FAILED = "failed"
    MISSING = "missing"
    STALE = "stale"


class Cadence(StrEnum):
    """How often an experiment retrains."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


REPROCESS = {Again.ALL: "completed", Again.FAILED: "failed", Again.MISSING: "none", Again.STALE: "completed"}


def backfill(
    pipeline: PipelineName = None,
    first: Annotated[str, typer.Option("--from", help="The first date, YYYY-MM-DD.")] = ...,  # type: ignore[assignment]
    last: Annotated[str, typer.Option("--to", help="The last date, YYYY-MM-DD.")] = ...,  # type: ignore[assignment]
    only_plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    again: Annotated[Again, typer.Option(help="Which of the dates that have run before run again.")] = Again.ALL,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Make it an experiment of that name.")] = None,
    window: Annotated[int | None, typer.Option(help="With --as: days of the training window.")] = None,
    candidates: Annotated[str | None, typer.Option(help="With --as: candidates, with commas between.")] = None,
    cadence: Annotated[Cadence, typer.Option(help="With --as: how often to retrain.")] = Cadence.DAILY,
    margin: Annotated[float | None, typer.Option(help="With --as: the gate's margin, of both metrics.")] = None,
    as_json: AsJson = False,
) -> None:
    """
    Retrain and judge past dates, each as if it had been that day.

    Nothing of it reaches the endpoint unless a date is the newest there is. Dates of which nothing has changed end at once.
    It can be stopped and started again: Airflow goes on meanwhile, and the same command joins it.

    With --as the dates run under other settings, without Airflow, in a space of their own that production never reads.
    """
    from perennial.history import plan_history

    lake = chosen_lake(pipeline)
    if name is not None:
        if only_plan or again is not Again.ALL:
            raise RefusedError("--plan and --again are not for experiments", remedy="Leave them out: what is done is kept.")
        wanted = None if candidates is None else tuple(one.strip() for one in candidates.split(","))
        settings = {"cadence": cadence.value, "window_days": window, "candidates": wanted, "margin": margin}
        _experiment(lake, name, settings, chosen_date(first), chosen_date(last), as_json=as_json)
        return
    if (window, candidates, cadence, margin) != (None, None, Cadence.DAILY, None):
        raise RefusedError(
            "--window, --candidates, --cadence and --margin are for experiments",
            remedy="Name one with --as NAME; what production does stands in pipeline.yaml.",
        )
    plan = plan_history(lake, chosen_date(first), chosen_date(last))
    if not as_json:
        for line in _plan_lines(plan):
            print_line(line)
    if only_plan:
        if as_json:
            print_json({"pipeline": lake.pipeline.name, "plan": plan.to_json()})
        return
    if len(plan.missing) == len(plan.dates):
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: none of the {len(plan.dates)} dates has landed",
            remedy="Land them first (docs/how-to/land-a-drop.md).",
        )
    summary = _run(lake, plan, again)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "plan": plan.to_json(), "result": summary})
    else:
        for line in _summary_lines(summary):
            print_line(line)
    if summary["failed"]:
        raise typer.Exit(1)


def _experiment(lake: Any, name: str, settings: dict[str, Any], first: date, last: date, *, as_json: bool) -> None:
    """Run an experiment and say what came of it."""
    from perennial.experiment import Settings, run_experiment

    began = time.monotonic()
    found = run_experiment(lake, name, Settings.model_validate(settings), first, last)
    seconds, counts = round(time.monotonic() - began, 1), Counter(found.decisions.values())
    if as_json:
        without = {day.isoformat(): reason for day, reason in found.without.items()}
        print_json(
            {"pipeline": lake.pipeline.name, "experiment": name, "seconds": seconds, "decisions": counts, "without": without}
        )
        return
    print_line(
        f"{name}: {len(found.decisions)} dates decided in {seconds} s: " + ", ".join(f"{n} {one}" for one, n in counts.items())
    )
    for day, reason in list(found.without.items())[:MOST_SHOWN]:
        print_line(f"  {day} not decided: {reason}")
    print_line(f"`perennial compare main {name} --from {first} --to {last}` sets it beside production", style="dim")


def _run(lake: Any, plan: Any, again: Again) -> dict[str, Any]:
    """Run what is to run, stretch by stretch, and sum up what came of it."""
    from perennial.airflow_client import AirflowClient
    from perennial.calendar import days
    from perennial.evaluate.chain_store import read_chain

    began = time.monotonic()
    backfills: list[int] = []
    ran: list[date] = []
    failed: list[date] = []
    with AirflowClient(*_access()) as airflow:
        for first, last in _stretches(airflow, lake, plan, again):
            one, lost = _run_stretch(airflow, lake, first, last, REPROCESS[again])
            backfills.append(one)
            ran += days(first, last)
            failed += lost
    entries = read_chain(lake).entries
    decided = [entries[d.isoformat()] for d in ran if d not in failed and d.isoformat() in entries]
    return {
        "backfills": backfills,
        "seconds": round(time.monotonic() - began, 1),
        "dates": len(ran),
        "failed": [d.isoformat() for d in failed],
        "decisions": {name: sum(e.decision == name for e in decided) for name in ("PROMOTE", "HOLD", "REJECT")},
        "stale": sum(entry.stale for entry in entries.values()),
    }


def _stretches(airflow: Any, lake: Any, plan: Any, again: Again) -> Iterator[tuple[date, date]]:
    """
    Yield the first and last date of each range that is to run.

    Stale dates are asked for anew after each stretch: what a rerun decides otherwise makes later dates stale. One that runs already
    comes first, as it was asked for. Dates whose own drop is refused or gone are left out: they could only fail.
    """
    from perennial.calendar import DAY
    from perennial.stale import stale_dates

    first, last = plan.dates[0], plan.dates[-1]
    if again is not Again.STALE:
        yield first, last
        return
    running = airflow.open_backfill(f"retrain_{lake.pipeline.name}")
    if running is not None:
        local = [lake.pipeline.calendar.local_date(datetime.fromisoformat(running[key])) for key in ("from_date", "to_date")]
        if first <= local[0] <= local[1] <= last:
            yield local[0], local[1]
    while first <= last and (found := [day for day, one in stale_dates(lake, first, last).items() if not one.is_blocked]):
        length = next((n for n, day in enumerate(found) if day != found[0] + DAY * n), len(found))
        yield found[0], found[length - 1]
        first = found[length - 1] + DAY


def _run_stretch(airflow: Any, lake: Any, first: date, last: date, reprocess: str) -> tuple[int, list[date]]:
    """Create Airflow's backfill, or join the one that runs; return its id and the dates that failed once it has ended."""
    from perennial.calendar import midnight

    zone = lake.pipeline.calendar.time_zone
    begin, end = midnight(first, zone), midnight(last, zone)
    dag_id, began, total = f"retrain_{lake.pipeline.name}", time.monotonic(), (last - first).days + 1
    running = airflow.open_backfill(dag_id)
    if running is not None:
        _check_same(running, begin, end, dag_id)
        backfill_id = int(running["id"])
        problems.print(f"Joining backfill {backfill_id}, which runs already", markup=False)
    else:
        airflow.unpause(dag_id)
        backfill_id = airflow.backfill(
            dag_id, begin, end, {"until": last.isoformat()}, reprocess=reprocess, runs_at_once=RUNS_AT_ONCE
        )
    with problems.status("") as shown:
        while not airflow.backfill_is_done(backfill_id):
            ended = sum(airflow.count_runs(dag_id, begin, end, state) for state in ("success", "failed"))
            shown.update(f"{first} to {last}: {ended} of {total} dates, {time.monotonic() - began:.0f} s")
            time.sleep(POLL_SECONDS)
    lost = [datetime.fromisoformat(instant) for instant in airflow.logical_dates(dag_id, begin, end, "failed")]
    return backfill_id, sorted(lake.pipeline.calendar.local_date(instant) for instant in lost)


def _access() -> tuple[str, str]:
    """Return Airflow's address and the password of its user `admin`, as the stack wrote them down."""
    url, file = os.environ.get("PERENNIAL_AIRFLOW_URL"), os.environ.get("PERENNIAL_AIRFLOW_LOGIN")
    if not url or not file or not Path(file).exists():
        raise PerennialError(STACK_IS_DOWN)
    return url, Path(file).read_text(encoding="utf-8").strip()


def _check_same(running: dict[str, Any], first: datetime, last: datetime, dag_id: str) -> None:
    found = [datetime.fromisoformat(running[key]) for key in ("from_date", "to_date")]
    if found != [first, last]:
        raise RefusedError(
            f"{dag_id}: another backfill runs, {running['id']}, from {running['from_date']} to {running['to_date']}",
            remedy="Airflow runs one at a time for a DAG: wait for it, or cancel it in Airflow's page of backfills.",
        )


def _plan_lines(plan: Any) -> list[str]:
    lines = [
        f"{len(plan.dates)} dates, {plan.dates[0]} to {plan.dates[-1]}; "
        f"{len(plan.unchanged)} unchanged, {len(plan.stale)} stale, {len(plan.young)} with too little history, {len(plan.missing)} not landed"
    ]
    if plan.missing:
        shown = [str(day) for day in plan.missing[:MOST_SHOWN]]
        lines.append(f"  not landed: {', '.join(shown)}{_more(plan.missing)}; their runs will fail")
    if plan.stale:
        shown = [f"{day} ({one.reason})" for day, one in list(plan.stale.items())[:MOST_SHOWN]]
        lines.append(f"  stale: {', '.join(shown)}{_more(plan.stale)}")
    if plan.chunks:
        shown = [f"{first} to {last}" for first, last in plan.chunks[:MOST_SHOWN]]
        lines.append(f"  worked on in {len(plan.chunks)} chunks: {', '.join(shown)}{_more(plan.chunks)}")
    lines.append(f"  reaches the endpoint: {plan.deploys or 'nothing, later dates are there'}")
    return lines


def _more(items: Sized) -> str:
    return f" and {len(items) - MOST_SHOWN} more" if len(items) > MOST_SHOWN else ""


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    decisions = ", ".join(f"{count} {name}" for name, count in summary["decisions"].items() if count)
    return [
        f"{summary['dates']} dates in {summary['seconds']} s, {len(summary['failed'])} failed; decisions: {decisions or 'none'}",
        *([f"Failed, as the run of each in Airflow says: {', '.join(summary['failed'])}"] if summary["failed"] else []),
        *(
            [f"Stale decisions: {summary['stale']}. `--again stale` over their dates judges them anew"]
            if summary["stale"]
            else []
        ),
    ]
