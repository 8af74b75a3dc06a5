"""`perennial impact`: list the results that a change of a pipeline, or of Perennial itself, makes stale, before any run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from perennial.commands.arguments import AsJson, PipelineName, checked_lake
from perennial.commands.output import counted, format_dates, print_json, print_line, print_table
from perennial.lake.days import REFERENCE, day_text

if TYPE_CHECKING:
    from datetime import date

    from perennial.calendar import DataDays
    from perennial.fingerprints.effects import Effect
    from perennial.impact.cost import Estimate
    from perennial.lake.lake import Lake
    from perennial.store.json_value import Json
    from perennial.train.needs import Needs

MAX_REASONS = 6


def impact(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """
    Show what an edit or an upgrade makes stale, and why.

    Compares the lake with the current files of the pipeline and the current code. Use it after an edit, a replaced drop, or an
    upgrade of Perennial. It changes nothing.
    """
    lake = checked_lake(pipeline).at_one_moment()
    scopes = [_scope(lake, *dates) for dates in _scopes(lake)]
    needs, problems = _needs(lake) if scopes else ([], [])
    unmade = list(dict.fromkeys(table for scope in scopes for table in scope.unmade))
    if as_json:
        print_json(
            {
                "pipeline": lake.pipeline.name,
                "unmade": unmade,
                "scopes": [scope.json for scope in scopes],
                "needs": [item.to_json() for item in needs],
                "cannot_fit": problems,
            }
        )
        return
    if not scopes:
        print_line("No drop has landed and no date has a decision yet, so nothing is stale.")
    if unmade:
        print_line(f"No partition yet: {', '.join(unmade)}. The effects on later stages are unknown until the first run.")
    for scope in scopes:
        print_line(scope.title, style="bold")
        for line in scope.lines:
            print_line(line)
        if scope.rows:
            print_table(("stage", "result", "count", "dates", "reasons"), scope.rows)
        print_line(scope.summary)
    if needs:
        print_line("A training takes, by estimate from the rows of the newest features", style="bold")
    for line in [*(item.describe() for item in needs), *problems]:
        print_line(f"  {line}")


def _needs(lake: Lake) -> tuple[list[Needs], list[str]]:
    """Return what the trainings of the next run take, and the reasons why some do not fit."""
    from perennial.train.needs import Limits, foresee_needs

    needs, limits = foresee_needs(lake, _today(lake)), Limits.of(lake.pipeline)
    return needs, [f"{item.candidate} does not fit: {problem}" for item in needs for problem in limits.find_problems(item)]


def _today(lake: Lake) -> date:
    return lake.pipeline.calendar.local_date(datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class _Scope:
    """The stale results of a range of dates: title, lines, table rows and summary for a person, JSON for a program."""

    title: str
    unmade: list[str]
    lines: list[str]
    rows: list[tuple[str, str, str, str, str]]
    summary: str
    json: Json


def _scopes(lake: Lake) -> list[tuple[str, date, date, list[date]]]:
    """Return two ranges, the next run and all decided dates: title, first and last date, and the dates to judge."""
    from perennial.collect.drops import latest_complete
    from perennial.evaluate.chain_store import read_chain

    calendar = lake.pipeline.calendar
    today = _today(lake)
    newest = latest_complete(lake, min(calendar.end or today, today))
    decided = read_chain(lake).days
    scopes = []
    if newest is not None:
        scopes.append((f"The run of {newest}, the newest date that has landed", newest, newest, [newest]))
    if decided:
        text = f"All {counted(len(decided), 'decided date')}, {decided[0]} to {decided[-1]}"
        scopes.append((f"{text}, as `perennial backfill --again stale` would", decided[0], decided[-1], decided))
    return scopes


def _scope(lake: Lake, title: str, first: date, last: date, decided: list[date]) -> _Scope:
    from perennial.collect.drops import landed_headers, unfit_drops
    from perennial.collect.lost import count_refused
    from perennial.impact.cost import estimate
    from perennial.impact.effects import find_effects, unmade_tables

    effects = find_effects(lake, first, last, decided)
    unmade = unmade_tables(lake, effects)
    cost = estimate(lake, effects)
    calendar = lake.pipeline.calendar
    needed = calendar.needed_dates(first, last)
    unfit = {source: drops for source in lake.pipeline.sources if (drops := unfit_drops(lake, source, needed))}
    return _Scope(
        title=title,
        unmade=unmade,
        lines=[
            f"  {text}"
            for source, drops in unfit.items()
            for text in count_refused(source, lake.pipeline.sources[source], drops, landed_headers(lake, source, needed), least=1)
        ],
        rows=[row for effect in effects for row in _rows(effect, calendar.data_days)],
        summary=_summary(effects, cost, is_known=not unmade),
        json={
            "from": first.isoformat(),
            "to": last.isoformat(),
            "effects": [_to_json(effect) for effect in effects],
            "unfit": {source: {day.isoformat(): problems for day, problems in drops.items()} for source, drops in unfit.items()},
            "seconds": cost.seconds,
            "cpu_seconds": cost.cpu_seconds,
        },
    )


def _rows(effect: Effect, data_days: DataDays) -> list[tuple[str, str, str, str, str]]:
    parts = ((effect.stale.keys(), _reasons(effect)), (effect.missing, "new"), (effect.withdrawn, "withdrawn"))
    return [
        (effect.stage, effect.name, str(len(days)), _format_days(days, data_days), reasons) for days, reasons in parts if days
    ]


def _format_days(days: Collection[date | None], data_days: DataDays) -> str:
    dates = [day for day in days if day is not None]
    return format_dates(dates, data_days) if dates else REFERENCE


def _reasons(effect: Effect) -> str:
    """Return the reasons, the most frequent first."""
    counts = Counter(reason for reasons in effect.stale.values() for reason in reasons)
    listed = [str(reason) for reason, _ in counts.most_common(MAX_REASONS)]
    more = len(counts) - len(listed)
    return "; ".join([*listed, *([f"and {more} more"] if more > 0 else [])])


def _summary(effects: Sequence[Effect], cost: Estimate, *, is_known: bool) -> str:
    """Summarize the effects. `is_known` is False if later stages have effects that are not known yet."""
    if not any(effect.changed for effect in effects):
        return "  Everything is current: a run changes nothing." if is_known else "  Nothing else is stale."
    if cost.seconds is None:
        return "  Cost unknown: there are no past jobs to estimate it from."
    cpu = f" ({cost.cpu_seconds:.0f} CPU seconds)" if cost.cpu_seconds is not None else ""
    return f"  About {cost.seconds:.0f} s of Spark and training{cpu} for these results, estimated from past jobs and trainings."


def _to_json(effect: Effect) -> Json:
    stale = sorted(effect.stale.items(), key=lambda item: str(item[0]))
    return {
        "stage": effect.stage,
        "name": effect.name,
        "missing": sorted(day_text(day) for day in effect.missing),
        "stale": [
            {"date": day_text(day), "reasons": [{"cause": reason.category.value, "what": reason.what} for reason in reasons]}
            for day, reasons in stale
        ],
        "withdrawn": sorted(day_text(day) for day in effect.withdrawn),
    }
