"""Kills processes of a stack at work, each drawn by a seed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import locked_scheduler
import psutil
import psycopg2
from locked_scheduler import Killed, administrator, left_after, scheduler_of
from own_stack import STACK, run_stack

from stack.config import StackConfig
from stack.process import recorded

TASK, SPARK, TRAINER, SCORER = "task", "spark", "trainer", "scorer"
SCHEDULER, LOCKED, MISSED = "scheduler", "scheduler with row locks", "scheduler that was to hold row locks and held none"
OF_SCHEDULER = (SCHEDULER, LOCKED, MISSED)
S3, POSTGRES = "s3", "postgres"
WORK = (TASK, SPARK, TRAINER, SCORER)
MARKERS = {
    SPARK: ("org.apache.spark.deploy.SparkSubmit",),
    TRAINER: ("perennial.train",),
    SCORER: ("org.apache.spark.deploy.SparkSubmit", "perennial/score/"),
}
"""The texts of a command line by which the process of a kind is known; a Python worker of a scorer counts as one too."""
KINDS = (*WORK, *WORK, S3, POSTGRES, *[SCHEDULER] * 7)
"""The seeds draw the scheduler for 41 of a hundred kills."""

MIN_SCHEDULER_PERCENT = 30
PATIENCE_SECONDS = 20
"""How long a kill waits for the kind that its seed drew; then it takes any that is there."""

SCORER_SECONDS = 240
"""The same for a scorer: it is the last stage of a batch, and a short one."""

LOCK_SECONDS = 5
"""Seconds that a kill waits for row locks. A busy scheduler takes some in each loop, at least once a second."""


def draw(chance: random.Random, before: Sequence[str]) -> str:
    """Draw the kind of the next kill. It is the scheduler where too few of the kills before were of it."""
    drawn = chance.choice(KINDS)
    due = MIN_SCHEDULER_PERCENT * (len(before) + 1) // 100
    return SCHEDULER if sum(kind in OF_SCHEDULER for kind in before) < due else drawn


def wants_locks(before: Sequence[str]) -> bool:
    """Return whether the next kill of the scheduler must meet row locks: at least half of these kills do."""
    return 2 * before.count(LOCKED) <= sum(kind in OF_SCHEDULER for kind in before)


@dataclass
class Killer(threading.Thread):
    """Kills a process by each seed: after a while that the seed draws, of the kind that it draws."""

    config: StackConfig
    seeds: Sequence[int]
    say: Callable[[str], None]
    killed: list[tuple[int, str]] = field(default_factory=list)
    problem: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    mends: threading.Event = field(default_factory=threading.Event)
    """Set while a killed service is started again."""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        try:
            for seed in self.seeds:
                chance = random.Random(seed)
                if self.done.wait(chance.uniform(2, 10)):
                    return
                kind = self._kill(chance)
                if kind is None or self.problem:
                    return
                self.killed.append((seed, kind))
                self.say(f"kill {len(self.killed)}, seed {seed}: {kind}")
                if kind not in WORK:
                    self.mends.set()
                    run_stack([*STACK, "up"])
                    self.mends.clear()
        except (SystemExit, Exception) as error:  # either ends a thread without a word
            self.problem = f"The trial itself failed: {type(error).__name__}: {error}"

    def summary(self) -> str:
        """Return how many of each kind were killed, and the shares of the scheduler and of its row locks."""
        counts = Counter(self._kinds())
        of_scheduler = sum(counts[kind] for kind in OF_SCHEDULER)
        return (
            ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            + f"; {of_scheduler} of {len(self.killed)} were of the scheduler, {counts[LOCKED]} of these met row locks"
        )

    def _kinds(self) -> list[str]:
        return [kind for _, kind in self.killed]

    def _kill(self, chance: random.Random) -> str | None:
        """Kill a process of the kind drawn, or of another when there is none for too long; return the kind."""
        drawn, since = draw(chance, self._kinds()), time.monotonic()
        while not self.done.wait(0.2):
            if not self._is_busy():
                since = time.monotonic()  # a stack that has no work, or pauses before a retry, is not worth a kill
                continue
            late = time.monotonic() - since > (SCORER_SECONDS if drawn == SCORER else PATIENCE_SECONDS)
            for kind in chance.sample(KINDS, len(KINDS)) if late else [drawn]:
                if killed := self._kill_one(kind, chance):
                    return killed
        return None

    def _is_busy(self) -> bool:
        try:
            with administrator(self.config) as session:
                session.execute("SELECT count(*) FROM task_instance WHERE state IN ('scheduled', 'queued', 'running')")
                return bool(session.fetchone()[0])
        except psycopg2.Error:
            return False

    def _kill_one(self, kind: str, chance: random.Random) -> str | None:
        """Kill a process of a kind; return what was killed, None when there is none."""
        try:
            if kind == SCHEDULER:
                return self._behead()
            victims = self._work(kind) if kind in WORK else [self._service(kind)]
            if not victims:
                return None
            victim = chance.choice(victims)
            for process in [*victim.children(recursive=True), victim] if kind == TASK else [victim]:
                process.kill()
        except (psutil.NoSuchProcess, psycopg2.Error):
            return None
        return kind

    def _behead(self) -> str:
        """Kill the scheduler, while it holds row locks if that is due; nothing that it had may be left."""
        killed: Killed | None = None
        kind = SCHEDULER
        if wants_locks(self._kinds()):
            killed = locked_scheduler.kill_in_transaction(self.config, LOCK_SECONDS)
            kind = LOCKED if killed else MISSED
        killed = killed or locked_scheduler.kill(self.config)
        if left := left_after(self.config, killed):
            self.problem = f"A killed scheduler (process {killed.pid}) left something: {left}"
        return kind

    def _work(self, kind: str) -> list[psutil.Process]:
        # scheduler → worker of the executor → task → what the task started
        tasks = [task for worker in scheduler_of(self.config).children() for task in worker.children()]
        if kind == TASK:
            return tasks
        below = [one for task in tasks for one in task.children(recursive=True)]
        found = [one for one in below if all(marker in " ".join(one.cmdline()) for marker in MARKERS[kind])]
        return [*found, *(worker for one in found for worker in one.children(recursive=True))] if kind == SCORER else found

    def _service(self, name: str) -> psutil.Process:
        record = recorded(self.config, name)
        if record is None:
            raise psutil.NoSuchProcess(0, name)
        return psutil.Process(record.pid)
