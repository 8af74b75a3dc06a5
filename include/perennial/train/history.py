"""The history of a training: the dates that it may use, and the dates for which it is insufficient."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from perennial.calendar import Calendar, Split
from perennial.clean.lost import lost_history
from perennial.clean.refusals import refused_dates
from perennial.collect.drops import complete_dates, unfit_drops
from perennial.lake.lake import Lake
from perennial.lake.tables import TableState


def split_of(lake: Lake, day: date) -> Split:
    """Return the window and the holdout of a date, chosen from the dates that have features."""
    return split_features(lake.pipeline.calendar, lake.tables.state("features"), labels_state(lake), day)


def labels_state(lake: Lake) -> TableState | None:
    """Return the state of the table of labels, or None if the features hold the label."""
    return lake.tables.state("labels") if lake.pipeline.label.known_after_days else None


def split_features(calendar: Calendar, features: TableState, labels: TableState | None, day: date) -> Split:
    """
    Split without the dates whose features or labels were written before an edit of their columns.

    A date without labels is not left out.
    """
    old = labels.reshaped if labels is not None else frozenset()
    usable = (d for d in calendar.feature_dates(day) if features.get_complete(d) is not None and d.isoformat() not in old)
    return calendar.split(day, usable)


def skip_reason(lake: Lake, day: date) -> str | None:
    """Return why the trainings of a date are skipped at present, or None if its history is sufficient."""
    reason = split_of(lake, day).too_little
    return explain_skip(lake, day, reason) if reason else None


def explain_skip(lake: Lake, day: date, reason: str) -> str:
    """Add the part of the history that the present contract refuses to the reason of a skipped training."""
    return "; ".join([reason, *lost_history(lake, day)])


def untrainable_dates(lake: Lake, wanted: Collection[date]) -> dict[date, str]:
    """
    Return the dates that training would skip even if everything that has landed were analysed, each with the reason.

    A drop that is refused, or that breaks the present contract, is a gap. Features of a drop that was deleted from the landing
    zone are still used. The answer does not depend on what has run so far, nor on the order of a backfill.
    """
    reasons = {day: split.too_little for day, split in whole_splits(lake, wanted).items()}
    return {day: explain_skip(lake, day, reason) for day, reason in reasons.items() if reason}


def whole_splits(lake: Lake, wanted: Collection[date]) -> dict[date, Split]:
    """Return the split of each date as it would be if everything that has landed were analysed."""
    calendar, usable = lake.pipeline.calendar, usable_history(lake, wanted)
    for source in lake.pipeline.sources:
        usable -= unfit_drops(lake, source, usable).keys()
    return {day: calendar.split(day, usable) for day in wanted}


def usable_history(lake: Lake, wanted: Collection[date]) -> set[date]:
    """Return the dates in the history of some dates that have features, or would have them if all that landed were analysed."""
    if not wanted:
        return set()
    calendar, features = lake.pipeline.calendar, lake.tables.state("features")
    history = {d for day in wanted for d in calendar.feature_dates(day)}
    kept = {d for d in history if features.get(d) is not None}
    return (complete_dates(lake, history) | kept) - refused_dates(lake, history).keys()
