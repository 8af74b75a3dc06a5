"""
The searches of a candidate by date, and the parameters that they chose.

A date has the parameters of the search of its period. The periods begin on the pipeline's start and have `every_days` days each.
A search learns from the dates that the windows of all dates of its period share, so each of them plans the same search.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from perennial.calendar import DAY
from perennial.config.candidates import Family, SearchableFamily
from perennial.config.label import NumberLabel
from perennial.config.search import Search, with_parameters
from perennial.fingerprints.fingerprint import Fingerprint, make_fingerprint
from perennial.store.content_name import sha256
from perennial.train.candidates import SEARCH_LIBRARIES, search_code_for, versions_for
from perennial.train.history import split_features
from perennial.train.job import Output
from perennial.train.search_outcome import MIN_DATES, read_outcome, stopped_address

if TYPE_CHECKING:
    from perennial.train.trainings import Trainings


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates that the trials of a search learn from, and the later ones on which they are judged."""

    early: tuple[date, ...]
    late: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class PlannedSearch:
    """
    A search that has not ended yet.

    :param result: the address of its result
    :param stopped: the address of the record that its limit of CPU seconds stopped it
    :param job: the address of its job file
    """

    date: date
    key: str
    result: str
    stopped: str
    job: str


class Searches:
    """
    The searches of one candidate. Answers are cached.

    :param settings: the candidate's settings, with the search
    """

    def __init__(self, trainings: Trainings, settings: SearchableFamily, search: Search) -> None:
        self._trainings = trainings
        self._settings = settings
        self._search = search
        label = trainings.lake.pipeline.label
        # Trials are compared by their predictions. The interval is the same for all of them.
        self._label = label.model_copy(update={"interval": None}) if isinstance(label, NumberLabel) else label
        self._dates: dict[date, Dates | None] = {}
        self._keys: dict[date, Fingerprint] = {}
        self._outcomes: dict[date, Any] = {}

    def date_for(self, day: date) -> date:
        """Return the date of the search whose parameters a date has: the first day of its period."""
        return day - DAY * ((day - self._trainings.lake.pipeline.start).days % self._search.every_days)

    def settings_on(self, day: date) -> Family | None:
        """
        Return the parameters of a date: those that its search chose, or those of the YAML if too few dates can be searched.

        None: the search has not ended yet.
        """
        begin = self.date_for(day)
        if self.dates(begin) is None:
            return self._trainings.settings
        outcome = self.outcome(begin)
        return None if outcome is None else with_parameters(self._settings, outcome["chosen"])

    def outcome(self, begin: date) -> Any:
        """Return the result of a search or the record that it was stopped, as it is stored; None: it has not ended yet."""
        if begin not in self._outcomes:
            lake, address = self._trainings.lake, self._result(begin)
            self._outcomes[begin] = read_outcome(lake.objects, address, self._search.cpu_seconds)
        return self._outcomes[begin]

    def key_for(self, day: date) -> Fingerprint:
        """Return the fingerprint of the search whose parameters a date has."""
        return self._key(self.date_for(day))

    def plan(self, days: Iterable[date]) -> list[PlannedSearch]:
        """Return the searches for some dates, in order, and write their job files."""
        return [self._plan(begin) for begin in sorted({self.date_for(day) for day in days})]

    def dates(self, begin: date) -> Dates | None:
        """Return the dates of a search. None: there are too few."""
        if begin not in self._dates:
            self._dates[begin] = self._divide(begin)
        return self._dates[begin]

    def _divide(self, begin: date) -> Dates | None:
        from perennial.train.prepare import first_late  # imports numpy, which reading a pipeline must not

        trainings = self._trainings
        calendar = trainings.lake.pipeline.calendar
        # The last date of the period no longer sees the dates before this one.
        first = calendar.features_from(begin + DAY * (self._search.every_days - 1))
        split = split_features(calendar, trainings.features, trainings.labels, begin)
        shared = [d for d in split.window if d >= first]
        late_from = first_late({d: trainings.features.partitions[d.isoformat()].rows for d in shared})
        late = tuple(d for d in shared if late_from is not None and d >= late_from)
        return Dates(tuple(d for d in shared if d not in late), late) if len(late) >= MIN_DATES else None

    def _key(self, begin: date) -> Fingerprint:
        if begin not in self._keys:
            trainings, dates = self._trainings, self._require_dates(begin)
            self._keys[begin] = make_fingerprint(
                "search",
                of=trainings.identity(begin),
                code=search_code_for(self._settings.family),
                data=trainings.data(early=dates.early, late=dates.late),
                configuration={
                    **trainings.configuration(trainings.settings, self._label, dates.late),
                    # The period and the limit of CPU seconds decide which searches end, not how they do.
                    "search": self._search.model_dump(mode="json", include={"trials", "ranges"}),
                    "log_scale": sorted(type(self._settings).LOG_SCALE & self._search.ranges.keys()),
                },
                libraries=self._versions(),
            )
        return self._keys[begin]

    def _plan(self, begin: date) -> PlannedSearch:
        trainings, dates, key = self._trainings, self._require_dates(begin), self._key(begin)
        layout, result = trainings.lake.layout, self._result(begin)
        before = begin - DAY * self._search.every_days
        job = trainings.job(
            self._settings,
            begin,
            key,
            self._label,
            dates.early,
            dates.late,
            before=self._result(before) if before >= trainings.lake.pipeline.start and self.dates(before) else None,
            versions=self._versions(),
            code=search_code_for(self._settings.family),
            output=Output(manifest=result, blobs=layout.blob("")),
        )
        body = job.encode()
        address = layout.job(sha256(body))
        trainings.lake.objects.create(address, body)
        return PlannedSearch(begin, key, result, stopped_address(result, self._search.cpu_seconds), address)

    def _result(self, begin: date) -> str:
        return self._trainings.lake.layout.search(self._trainings.candidate, begin, self._key(begin))

    def _require_dates(self, begin: date) -> Dates:
        dates = self.dates(begin)
        if dates is None:
            raise ValueError(f"too few dates for a search on {begin}")
        return dates

    def _versions(self) -> dict[str, str]:
        return versions_for(self._settings.family, self._label, *SEARCH_LIBRARIES)
