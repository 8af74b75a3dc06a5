"""The dates of the sources that each SQL file of a pipeline sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sees:
    """
    The dates of the sources that a file sees, as days after `date` of the view `dates`.

    :param first: the first of them, which training.lookback_days sets
    :param last: the last of them
    :param midnight: days from `date` to `as_of` of that view
    :param says: text of the problem for a query that asks for later days
    :param lookback_days: the pipeline's training.lookback_days
    """

    sources: tuple[str, ...]
    first: int
    last: int
    midnight: int
    says: str
    lookback_days: int


def features_see(sources: tuple[str, ...], lookback_days: int, known_after_days: int) -> Sees:
    """Return the dates that features.sql sees. If it selects the label, the text says how to read later days."""
    later = ". For a label that depends on later days, set label.known_after_days and select it in labels.sql"
    says = f"features.sql sees nothing after the date of a row{'' if known_after_days else later}"
    return Sees(sources, -lookback_days, 0, 0, says, lookback_days)


def labels_see(sources: tuple[str, ...], lookback_days: int, known_after_days: int) -> Sees:
    """Return the dates that labels.sql sees."""
    days = "1 day" if known_after_days == 1 else f"{known_after_days} days"
    says = (
        f"labels.sql sees {days} after a date (label.known_after_days). Raise that value, or limit the reads "
        "with `date < as_of` of the view dates"
    )
    return Sees(sources, -lookback_days, known_after_days, known_after_days + 1, says, lookback_days)


def lookups_see(sources: tuple[str, ...], lookback_days: int) -> Sees:
    """Return the dates that a lookup sees: its lookback counts from as_of, the day after `date`."""
    return Sees(sources, 1 - lookback_days, 0, 1, "a lookup sees no data of as_of or later", lookback_days)


def analyses_see(sources: tuple[str, ...], lookback_days: int) -> Sees:
    """Return the dates that an analysis sees."""
    return Sees(sources, -lookback_days, 0, 1, "an analysis sees nothing after its date", lookback_days)
