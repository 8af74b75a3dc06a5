"""Progress of a backfill: the decided dates, and how far the running batch has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import cycle, takewhile

from botocore.exceptions import BotoCoreError, ClientError

from perennial.backfill.plan import HistoryPlan
from perennial.errors import UnreachableError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.stages import stages_of

TRAIN, EVALUATE, DEPLOY = "train", "evaluate", "deploy"
MIN_IDLE_LOOKS = 5
"""Looks without a running stage after which a batch is done: between two tasks of a run, none runs for a moment."""


@dataclass(frozen=True, slots=True)
class Progress:
    """
    The progress of a range with `total` dates.

    :param ended: the number of dates whose run has ended
    :param decided: the number of dates that this backfill has decided, or that were decided already and have not changed
    :param stages: the finished stages of the running batch, then the running one, such as `clean ✓` and `train 12/40`
    :param is_closing: whether all batches are done, so that the runs that have not ended find nothing left to do
    :param waits: the reason why it does not continue, if any
    """

    first: date
    last: date
    total: int
    ended: int = 0
    decided: int = 0
    stages: tuple[str, ...] = ()
    waits: str = ""
    is_closing: bool = False


class Tracker:
    """Follows the progress of one range. A look costs at most one small request to the lake."""

    def __init__(self, lake: Lake, plan: HistoryPlan, first: date, last: date) -> None:
        self._lake = lake
        self._plan = plan
        self._dates = lake.pipeline.calendar.dates(first, last)
        self._ended = -1
        self._decided: set[date] = set()
        self._trained: dict[str, set[date]] = {}
        self._turns = cycle(lake.pipeline.training.candidates)
        self._stages: tuple[str, ...] = ()
        self._is_last = False
        self._idle_looks = 0
        self.progress = Progress(first, last, len(self._dates))

    def look(self, unended: int, running: Mapping[str, datetime], began: datetime) -> Progress:
        """
        Return the progress, or raise UnreachableError if the object store does not answer.

        :param unended: the number of runs that have not ended
        :param running: the running tasks, each with the logical date of its run
        :param began: the time since which results belong to this backfill
        """
        ended = max(len(self._dates) - unended, 0)
        names = [stage.name for stage in stages_of(self._lake.pipeline)]
        stage = max((name for name in running if name in names), key=names.index, default=None)
        try:
            if stage == TRAIN:
                self._count_trained(self._batch(running[TRAIN]), began)
            elif stage == EVALUATE or ended != self._ended:
                self._count_decided(began)
        except (BotoCoreError, ClientError) as error:
            raise UnreachableError(f"The object store does not answer ({error}). See `make status`.") from error
        self._ended = ended
        if stage is not None:  # between two tasks of a run, the last stage is still the news
            passed = [f"{name} ✓" for name in names[: names.index(stage)]]
            batch = self._batch(running[stage])
            self._stages = (*passed, self._describe(stage, batch))
            self._idle_looks, self._is_last = 0, stage in (EVALUATE, DEPLOY) and batch[-1] == self._last_of_batches()
        elif ended == len(self._dates):
            self._stages = ()
        else:
            self._idle_looks += 1
        is_closing = self._is_last and self._idle_looks >= MIN_IDLE_LOOKS and ended < len(self._dates)
        stages = () if is_closing else self._stages
        first, last, total = self.progress.first, self.progress.last, len(self._dates)
        self.progress = Progress(first, last, total, ended, len(self._decided), stages, is_closing=is_closing)
        return self.progress

    def _last_of_batches(self) -> date | None:
        """Return the last date of the last batch of this range."""
        lasts = [last for first, last in self._plan.batches if first <= self.progress.last]
        return min(max(lasts), self.progress.last) if lasts else None

    def _batch(self, logical_date: datetime) -> list[date]:
        """Return the dates that the run of this logical date works on."""
        calendar = self._lake.pipeline.calendar
        day = calendar.local_date(logical_date)
        last = next((last for first, last in self._plan.batches if first <= day <= last), day)
        return calendar.dates(day, min(last, self.progress.last))

    def _describe(self, stage: str, batch: list[date]) -> str:
        if stage == TRAIN:
            done = sum(len(dates.intersection(batch)) for dates in self._trained.values())
            return f"{stage} {done}/{len(batch) * len(self._lake.pipeline.training.candidates)}"
        if stage == EVALUATE:
            return f"{stage} {len(self._decided.intersection(batch))}/{len(batch)}"
        return f"{stage} {batch[0]}" if len(batch) == 1 else f"{stage} {batch[0]} to {batch[-1]}"

    def _count_decided(self, began: datetime) -> None:
        unchanged, chain = set(self._plan.unchanged), read_chain(self._lake)
        entries = {day: chain.get(day) for day in self._dates}
        self._decided = {
            day for day, entry in entries.items() if entry and (day in unchanged or datetime.fromisoformat(entry.at) >= began)
        }

    def _count_trained(self, batch: list[date], began: datetime) -> None:
        """Count the models of one candidate: of each in its turn, from look to look."""
        candidate = next(self._turns)
        prefix = self._lake.layout.model_manifest(candidate, batch[0], "").rpartition(f"{batch[0]}/")[0]
        same = takewhile(lambda pair: pair[0] == pair[1], zip(str(batch[0]), str(batch[-1]), strict=True))
        found = self._lake.objects.listing(prefix + "".join(character for character, _ in same))
        manifests = [
            item.uri.removeprefix(prefix).split("/") for item in found if item.at >= began and item.uri.endswith(".json")
        ]
        self._trained[candidate] = {date.fromisoformat(day) for day, _ in manifests}
