"""The dates of a new pipeline: the column that has them, and how much history there is."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from perennial.calendar import WEEKDAYS, DataDays
from perennial.config.values import FIRST_DAY, LAST_DAY
from perennial.errors import RefusedError
from perennial.scaffold.cells import infer_type, iso_text, local_date
from perennial.scaffold.columns import Column
from perennial.scaffold.date_formats import find_formats, reads
from perennial.scaffold.sample import Sample
from perennial.store.json_value import JsonValue

FULL_DAYS = 42
"""Dates from which on the defaults of training and gate fit."""

Ask = Callable[[str, Sequence[str]], Sequence[str]]
"""Asks the user to choose some of the names, and returns these."""

IS_DATE = "it is the date of the row, which the field date has"
_FIRST_EPOCH = 1_000_000_000  # September 2001
_MIN_SPAN = 21
_MAX_FORMS = 20
_ENDED_DAYS = 7
_FLOORS = {"rows": 100, "positives": 20}
_MAX_HOLDOUT = 28
_MAX_WINDOW = 182
_ENOUGH_ROWS = 5000
"""Rows of a window above which a longer one brings less than its age costs."""


@dataclass(frozen=True, slots=True)
class Dates:
    """Rows by date, in order of date."""

    rows: dict[date, int]

    @property
    def first(self) -> date:
        """Return the first date."""
        return min(self.rows)

    @property
    def last(self) -> date:
        """Return the last date."""
        return max(self.rows)

    def has_ended(self, today: date) -> bool:
        """Return whether the data ended more than a week before: then pipeline.yaml gets an `end`."""
        return self.last < today - timedelta(days=_ENDED_DAYS)

    @property
    def weekdays(self) -> list[str]:
        """Return the weekdays with data if others never had any, else an empty list."""
        found = {day.weekday() for day in self.rows}
        is_long = (self.last - self.first).days >= _MIN_SPAN
        return [WEEKDAYS[number] for number in sorted(found)] if is_long and len(found) < len(WEEKDAYS) else []

    @property
    def quarantine_share(self) -> float:
        """Return the share of bad rows above which a date is refused: 5 %, or two rows of the smallest date, at most a half."""
        return min(0.5, max(0.05, math.ceil(200 / min(self.rows.values())) / 100))

    @property
    def next(self) -> date:
        """Return the first date with data after the last one: that of the cases which a model is asked next."""
        return self._data_days.after(self.last)

    @property
    def _data_days(self) -> DataDays:
        return DataDays(frozenset(WEEKDAYS.index(name) for name in self.weekdays or WEEKDAYS))

    def training(self, positive_share: float | None) -> dict[str, int]:
        """
        Return the settings of `training` that suit this history.

        A long history of few rows gets a longer holdout, until it can decide something, and a longer window.

        :param positive_share: the share of positive rows; None: the label is no binary one
        """
        count = len(self.rows)
        data_days = self._data_days
        share = count / len(data_days.dates(self.first, self.last))  # less than 1 if dates are missing
        is_long = count >= FULL_DAYS
        holdout = max(1, min(7, round(35 * share) // 3) if is_long else min(7, count // 4))
        window = 28 if is_long else max(1, min(28, (self.last - self.first).days + 1 - holdout))
        if is_long:
            while holdout < min(_MAX_HOLDOUT, count // 4) and self._is_small(holdout, positive_share):
                holdout += 1
            before = (self._holdout(holdout)[0] - self.first).days
            while window + 7 <= min(_MAX_WINDOW, before) and self._rows(self._window(holdout, window)) < _ENOUGH_ROWS:
                window += 7
        likely = round((data_days.max_within(window) + holdout) * share)
        min_days = min(30, likely * 3 // 4) if is_long else likely * 2 // 3
        return {"window_days": window, "holdout_days": holdout, "min_days": max(2, min_days), "lookback_days": 28}

    def floors(self, positive_share: float | None) -> dict[str, int]:
        """
        Return the floors of the gate that the holdout of this history can reach.

        :param positive_share: the share of positive rows; None: the label is no binary one
        """
        expected = self._in_holdout(self.training(positive_share)["holdout_days"], positive_share)
        return {
            name: floor if count >= 2 * (floor := _FLOORS[name]) else max(1, int(count / 2)) for name, count in expected.items()
        }

    def describe_first_run(self, positive_share: float | None) -> str:
        """Return the rows that a run of the last date learns from and judges on."""
        training = self.training(positive_share)
        holdout = self._holdout(training["holdout_days"])
        window = self._window(training["holdout_days"], training["window_days"])
        rows = self._rows(holdout)
        positives = "" if positive_share is None else f", some {rows * positive_share:,.0f} of them positive,"
        return (
            f"a run of {self.last} learns from {self._rows(window):,} rows of {len(window)} dates, "
            f"and judges on {rows:,}{positives} of the last {len(holdout)}"
        )

    def _is_small(self, holdout: int, positive_share: float | None) -> bool:
        """Return whether a holdout is too small for the usual floors."""
        return any(count < 2 * _FLOORS[name] for name, count in self._in_holdout(holdout, positive_share).items())

    def _in_holdout(self, holdout: int, positive_share: float | None) -> dict[str, float]:
        """Return the rows and positives of a holdout, on average or in the last one if that has fewer."""
        rows = min(sum(self.rows.values()) / len(self.rows) * holdout, self._rows(self._holdout(holdout)))
        return {"rows": rows} if positive_share is None else {"rows": rows, "positives": rows * positive_share}

    def _holdout(self, holdout: int) -> list[date]:
        return sorted(self.rows)[-holdout:]

    def _window(self, holdout: int, window: int) -> list[date]:
        """Return the dates of the window before the last holdout."""
        end = self._holdout(holdout)[0]
        return [day for day in self.rows if end - timedelta(days=window) <= day < end]

    def _rows(self, days: Sequence[date]) -> int:
        return sum(self.rows[day] for day in days)


def choose_date_column(columns: Sequence[Column], wanted: Column | None, ask: Ask | None = None) -> Column:
    """
    Return the column with the date of each row; refuse a choice that is not clear. Its dates may fit several formats.

    :param ask: asks the user if several columns fit; None: the user cannot be asked
    """
    remedy = (
        "Write dates in digits and in one form, such as 2026-12-31 or 31.12.2026, "
        "or put {date} into the pattern where the names of the files have the date."
    )
    if wanted is not None:
        if not _has_dates(wanted):
            example = next(iter(wanted.counts), "")
            raise RefusedError(f"{wanted.header!r} is no column of dates, found {example!r}", remedy=remedy)
        if wanted.nulls:
            raise RefusedError(
                f"{wanted.header!r}: {wanted.nulls} rows of the sample have no date", remedy="Leave these rows out."
            )
        return wanted
    found = [column for column in columns if _has_dates(column) and not column.nulls and column.distinct]
    if len(found) == 1:
        return found[0]
    if found:
        by_name = {column.header: column for column in found}
        names = ", ".join(map(repr, by_name))
        if ask is not None:
            text = f"{len(found)} columns have dates. Which one has the row's date, which is known when a model is asked?"
            answer = next(iter(ask(text, list(by_name))), "")
            if answer in by_name:
                return by_name[answer]
            names += f"; {answer!r} is none of them"
        raise RefusedError(f"{len(found)} columns have dates: {names}", remedy="Name the one of the row's date: --date-column.")
    looks = [reason for column in columns if (reason := _explain(column))]
    raise RefusedError("No column has a date in each row", looks, remedy)


def choose_format(column: Column, ask: Ask | None = None) -> str:
    """Return the format of a date column whose texts fit several; refuse if the user cannot be asked."""
    example = max(column.counts, key=lambda text: len({iso_text(text, form) for form in column.formats}))
    readings = " and ".join(f"{iso_text(example, form)} as {form}" for form in column.formats)
    text = f"The dates of {column.header!r} fit {len(column.formats)} formats: {example!r} is {readings}"
    answer = next(iter(ask(f"{text}. Which one is it?", column.formats)), "") if ask is not None else ""
    if answer in column.formats:
        return answer
    text += f"; {answer!r} is none of them" if answer else ""
    raise RefusedError(text, remedy=f"Name the right one, such as --date-format {shlex.quote(column.formats[0])}.")


def _has_dates(column: Column) -> bool:
    return column.type in ("date", "timestamp") or len(column.formats) > 1


def _explain(column: Column) -> str | None:
    """Return why a column that looks like dates has not one in each row, or None."""
    if _has_dates(column):
        return f"{column.header!r} has none in {column.nulls} rows" if column.nulls and column.rows else None
    if column.type == "integer" and all(_is_epoch(text) for text in column.counts) and column.counts:
        return f"{column.header!r} may have seconds or milliseconds since 1970"
    if column.type != "string":
        return None
    others = _find_others(column)
    if not others and column.rows:
        return f"{column.header!r} has dates in some rows and timestamps in others"
    rows = sum(column.counts[text] for text in others)
    return f"{column.header!r} has none in {rows} rows, such as {others[0][:40]!r}" if rows < column.rows / 2 else None


def _find_others(column: Column) -> list[str]:
    """Return the texts that are no dates in the form of the most dates."""
    frequent = [text for text, _ in column.counts.most_common(_MAX_FORMS)]
    found = [[text for text in column.counts if infer_type([text]) not in ("date", "timestamp")]]
    for form in {form: None for text in frequent for form in find_formats([text])}:
        found.append([text for text in column.counts if not reads(form, [text])])
    return min(found, key=lambda texts: sum(column.counts[text] for text in texts))


def _is_epoch(text: str) -> bool:
    return _FIRST_EPOCH <= int(text) < 2 * _FIRST_EPOCH or _FIRST_EPOCH <= int(text) // 1000 < 2 * _FIRST_EPOCH


def read_days(sample: Sample, column: Column | None, index: int, zone: ZoneInfo) -> list[date | None]:
    """Return the date of each row of a sample; refuse a date that no pipeline can have."""
    if column is None:
        return list(sample.days)
    known: dict[str, date | None] = {}
    for text in column.counts:
        known[text] = day = local_date(column.type, text, zone)
        if day is None or not FIRST_DAY <= day <= LAST_DAY:
            raise RefusedError(f"{column.header!r}: {text!r} is outside the dates {FIRST_DAY} to {LAST_DAY}")
    return [known[text] for text in sample.cells(index)]


def match_days(columns: Sequence[Column], label: Column, sample: Sample, zone: ZoneInfo) -> tuple[Column | None, dict[str, str]]:
    """
    Return the one timestamp whose local date is that of the file in each row, or None; and why other columns are no inputs.

    Its time is an input, as if the names of the files had no date.
    """
    found: list[Column] = []
    reasons: dict[str, str] = {}
    for index, column in enumerate(columns):
        if column.type not in ("date", "timestamp") or column.nulls or not column.distinct or column is label:
            continue
        known = {text: local_date(column.type, text, zone) for text in column.counts}
        cells = zip(sample.cells(index), sample.days, strict=True)
        others = [(text, day) for text, day in cells if known[text] != day]
        if not others and column.type == "date":
            reasons[column.name] = IS_DATE
        elif not others:
            found.append(column)
        elif column.type == "timestamp" and len(others) < column.rows:
            text, day = others[0]
            reasons[column.name] = (
                f"a timestamp is no input, and its date in {zone.key} is not that of the file in {len(others)} of {column.rows}"
                f" rows, such as {text} in a file of {day}: choose --time-zone, or derive a time from it in features.sql"
            )
    if len(found) > 1:
        names = " and ".join(column.header for column in found)
        reason = f"{names} have the date of the file: name the one known to callers, with --date-column"
        return None, reasons | {column.name: reason for column in found}
    return (found[0] if found else None), reasons


def count_dates(days: Sequence[date | None], seen: int, file_days: Collection[date] = ()) -> Dates:
    """
    Return the dates of a sample, with rows as in all that was read to choose it.

    :param file_days: dates of files that the sample may have left out; they get the average of the others
    """
    counts = Counter(day for day in days if day is not None)
    rows = {day: round(count * seen / len(days)) for day, count in counts.items()}
    average = round(sum(rows.values()) / len(rows))
    return Dates({day: rows.get(day, average) for day in sorted({*rows, *file_days})})


def describe_dates(dates: Dates) -> dict[str, JsonValue]:
    """Return the dates as JSON."""
    return {"first": dates.first.isoformat(), "last": dates.last.isoformat(), "dates": len(dates.rows)}
