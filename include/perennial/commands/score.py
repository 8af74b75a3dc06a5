"""`perennial score`: every row of some dates, answered by a release, without a request."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import counted, print_json, print_line
from perennial.commands.progress import at_work, show_children
from perennial.errors import RefusedError
from perennial.lake.result import Outcome

if TYPE_CHECKING:
    from perennial.lake.lake import Lake


def score(
    pipeline: PipelineName = None,
    *,
    day: Annotated[str | None, typer.Option("--date", help="The date to score, YYYY-MM-DD.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="The first date of a range, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last date of the range, YYYY-MM-DD.")] = None,
    release: Annotated[str | None, typer.Option(help="The release that answers; the active one when not given.")] = None,
    table: Annotated[
        str, typer.Option(help="Its rows are scored: features, clean_SOURCE, or PIPELINE.TABLE of another pipeline.")
    ] = "features",
    recompute: Annotated[bool, typer.Option("--recompute", help="Score again; the scores must be identical.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all output of Spark.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Answer every row of some dates by one release, in Spark.

    The answers are those of the model server. They go to the table `scores`, by date and release.
    """
    from perennial.score.of_run import require_active
    from perennial.score.plan import find_scorable, find_scoring, finish_scores, plan_scores
    from perennial.spark.submit import submit

    show_children(verbose)
    lake = chosen_lake(pipeline)
    scorable = find_scorable(lake, table)
    scoring = find_scoring(lake, release or require_active(lake), scorable, _read_days(scorable.lake, day, first, last))
    with at_work("score"):
        did_work = submit(plan_scores(scoring, recompute=recompute), on_cluster=True)
        result = finish_scores(scoring)
    if not did_work:
        result = replace(result, outcome=Outcome.UNCHANGED)
    if as_json:
        print_json(result.to_json())
        return
    rows = sum(result.rows.values())
    text = f"{counted(rows, 'row')} of {counted(len(result.rows), 'date')} scored by {result.release} ({result.version})"
    print_line(f"✓ {text}" if did_work else f"{text} already; nothing to do", style="green" if did_work else "")
    for gap, reason in result.gaps.items():
        print_line(f"  gap {gap}: {reason}")


def _read_days(lake: Lake, day: str | None, first: str | None, last: str | None) -> list[date]:
    """Return the dates with data that the options name."""
    if (day is None) == (first is None and last is None) or (first is None) != (last is None):
        raise RefusedError("Scoring needs dates", remedy="Give --date, or --from and --to.")
    begin, end = (chosen_date(str(text)) for text in ((day, day) if day is not None else (first, last)))
    if begin > end:
        raise RefusedError(f"--from {begin} is after --to {end}", remedy="Exchange them.")
    days = lake.pipeline.calendar.dates(begin, end)
    if not days:
        raise RefusedError(f"No date from {begin} to {end} has data under the pipeline's calendar", remedy="Choose other dates.")
    return days
