"""The reason why a date has no clean rows: a drop that is missing, refused, or not read yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from perennial.clean.plan import row_refusals
from perennial.collect.accept import refused_problems
from perennial.collect.drops import landed_drops, unfit_drops
from perennial.lake.lake import Lake


@dataclass(frozen=True, slots=True)
class Unclean:
    """A source without clean rows of a date, why it has none, and what to do."""

    source: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        """Return source and reason in one line."""
        return f"{self.source}: {self.reason}"


def unclean_sources(lake: Lake, day: date) -> list[Unclean]:
    """Return the sources whose table has no rows of a date."""
    return [
        _explain(lake, source, day) for source in lake.pipeline.sources if lake.tables.state(f"clean_{source}").get(day) is None
    ]


def _explain(lake: Lake, source: str, day: date) -> Unclean:
    name = lake.pipeline.name
    run = f"`perennial run {name} --date {day}`"
    landed = landed_drops(lake, source, [day]).get(day)
    if landed is None:
        return Unclean(source, "its drop has not landed", "Land it (docs/how-to/land-a-drop.md).")
    if landed.drop is None:
        unfit = unfit_drops(lake, source, [day]).get(day)
        if problems := unfit or refused_problems(lake, source, day, landed.found):
            reason = f"its drop is refused: {'; '.join(problems)}"
            return Unclean(source, reason, f"Land the drop of {source} again, or correct the contract in pipeline.yaml.")
        return Unclean(source, "its drop has not been collected yet", f"{run} collects and cleans it.")
    if refusal := row_refusals(lake, source, [day]).get(day):
        shows = f"`perennial try {name} {source} --date {day}` shows its rows."
        return Unclean(source, f"clean refused its drop: {refusal.cause()}", shows)
    return Unclean(source, "its drop has not been cleaned yet", f"{run} cleans it.")
