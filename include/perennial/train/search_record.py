"""The searches of past dates: what they cost, chose and brought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from perennial.config.candidates import search_of
from perennial.config.search import Value
from perennial.display.metrics import format_metric
from perennial.lake.lake import Lake
from perennial.store.json_value import JsonValue
from perennial.tasks.task import task_of
from perennial.train.trainings import Trainings

COLUMNS = ("search", "date", "trials", "parameters", "gain in window", "holdout, YAML", "holdout, chosen", "CPU-s")
LEGEND = (
    "Gain in window: the loss that the best trial saved on the dates by which it was chosen, so it is optimistic. "
    "Holdout: the loss on dates that the search did not see, with the parameters of the YAML and with the chosen ones. "
    "A stopped search met its limit of CPU seconds, and the parameters before it stay."
)


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """
    One search that has ended.

    :param trials: the number of trials
    :param stopped: whether the limit of CPU seconds ended it without a result
    :param chosen: the parameters that differ from the YAML
    :param loss: the name of the loss
    :param gain: the loss that the best trial saved, compared with the parameters of the YAML: the mean of the dates by which it
        was chosen; None: the trials were not compared
    :param error: the standard error of that gain
    :param holdout_yaml: the loss of the model with the parameters of the YAML on the holdout of the search's date, which the
        search has not seen; None: no others were chosen, or that date was not run
    :param holdout_chosen: that of the model with the chosen parameters
    """

    candidate: str
    date: date
    trials: int
    stopped: bool
    chosen: Mapping[str, Value]
    loss: str
    gain: float | None
    error: float | None
    holdout_yaml: float | None
    holdout_chosen: float | None
    cpu_seconds: float

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as JSON values."""
        return {**asdict(self), "date": self.date.isoformat()}

    @property
    def cells(self) -> list[str | None]:
        """Return the record under `COLUMNS`."""
        chosen = ", ".join(f"{name} {value:.4g}" for name, value in self.chosen.items()) or "those of the YAML"
        gain = None if self.gain is None or self.error is None else f"{self.gain:.4g} ± {self.error:.2g}"
        losses = [None if loss is None else format_metric(loss) for loss in (self.holdout_yaml, self.holdout_chosen)]
        trials = f"stopped after {self.trials}" if self.stopped else str(self.trials)
        return [self.candidate, self.date.isoformat(), trials, chosen, gain, *losses, f"{self.cpu_seconds:.1f}"]


def search_records(lake: Lake, first: date, last: date) -> list[SearchRecord]:
    """Return the searches that have ended for the dates from `first` to `last`, by candidate and date."""
    dates = lake.pipeline.calendar.dates(first, last)
    names = [name for name, settings in lake.pipeline.training.candidates.items() if search_of(settings) is not None]
    return [record for name in names for record in _records(lake, name, dates)]


def _records(lake: Lake, candidate: str, dates: list[date]) -> list[SearchRecord]:
    searched, plain = Trainings(lake, candidate), Trainings(lake, candidate, is_searched=False)
    searches = searched.search
    if searches is None:
        return []
    begins = sorted({searches.date_for(day) for day in dates})
    ended = [begin for begin in begins if searches.dates(begin) is not None and searches.outcome(begin) is not None]
    return [_record(candidate, begin, searches.outcome(begin), *_compare(searched, plain, begin)) for begin in ended]


def _record(candidate: str, begin: date, outcome: Any, of_yaml: float | None, of_chosen: float | None) -> SearchRecord:
    return SearchRecord(
        candidate=candidate,
        date=begin,
        trials=len(outcome["trials"]),
        stopped=outcome.get("stopped", False),
        chosen=outcome["chosen"],
        loss=outcome["loss"],
        gain=outcome.get("gain"),
        error=outcome.get("error"),
        holdout_yaml=of_yaml,
        holdout_chosen=of_chosen,
        cpu_seconds=outcome["measured"]["cpu_seconds"],
    )


def _compare(searched: Trainings, plain: Trainings, begin: date) -> tuple[float | None, float | None]:
    """Return the losses on the holdout with the parameters of the YAML and with the chosen ones; None: not both are trained."""
    if not searched.is_compared(begin):
        return None, None
    name = task_of(searched.lake.pipeline.label).loss_name
    of_yaml, of_chosen = plain.metric(begin, name), searched.metric(begin, name)
    return (None, None) if of_yaml is None or of_chosen is None else (of_yaml, of_chosen)
