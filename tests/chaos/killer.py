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

TASK, SPARK, TRAINER = "task", "spark", "trainer"
SCHEDULER, LOCKED = "scheduler", "scheduler with row locks"
S3, POSTGRES = "s3", "postgres"
WORK = (TASK, SPARK, TRAINER)
KINDS = (*WORK, *WORK, S3, POSTGRES, *[SCHEDULER] * 3, *[LOCKED] * 4)
"""Of a hundred kills 47 are to meet the scheduler, 27 of them while it holds row locks."""

PATIENCE_SECONDS = 20
"""How long a kill waits for the kind that its seed drew; then it takes any that is there."""


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
        """Return how many of each kind were killed."""
        counts = Counter(kind for _, kind in self.killed)
        return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))

    def _kill(self, chance: random.Random) -> str | None:
        """Kill a process of the kind drawn, or of another when there is none for too long; return the kind."""
        drawn, since = chance.choice(KINDS), time.monotonic()
        while not self.done.wait(0.2):
            if not self._is_busy():
                since = time.monotonic()  # a stack that has no work, or pauses before a retry, is not worth a kill
                continue
            late = time.monotonic() - since > PATIENCE_SECONDS
            for kind in chance.sample(KINDS, len(KINDS)) if late else [drawn]:
                if self._kill_one(kind, chance):
                    return kind
        return None

    def _is_busy(self) -> bool:
        try:
            with administrator(self.config) as session:
                session.execute("SELECT count(*) FROM task_instance WHERE state IN ('scheduled', 'queued', 'running')")
                return bool(session.fetchone()[0])
        except psycopg2.Error:
            return False

    def _kill_one(self, kind: str, chance: random.Random) -> bool:
        try:
            if kind in (SCHEDULER, LOCKED):
                return self._behead(kind)
            victims = self._work(kind) if kind in WORK else [self._service(kind)]
            if not victims:
                return False
            victim = chance.choice(victims)
            for process in [*victim.children(recursive=True), victim] if kind == TASK else [victim]:
                process.kill()
        except (psutil.NoSuchProcess, psycopg2.Error):
            return False
        return True

    def _behead(self, kind: str) -> bool:
        """Kill the scheduler; nothing that it had may be left."""
        killed: Killed | None
        if kind == LOCKED:
            killed = locked_scheduler.kill_in_transaction(self.config, PATIENCE_SECONDS)
        else:
            killed = locked_scheduler.kill(self.config)
        if killed is None:
            return False
        if left := left_after(self.config, killed):
            self.problem = f"A killed scheduler (process {killed.pid}) left something: {left}"
        return True

    def _work(self, kind: str) -> list[psutil.Process]:
        # scheduler → worker of the executor → task → what the task started
        tasks = [task for worker in scheduler_of(self.config).children() for task in worker.children()]
        if kind == TASK:
            return tasks
        marker = "org.apache.spark.deploy.SparkSubmit" if kind == SPARK else "perennial.train"
        return [one for task in tasks for one in task.children(recursive=True) if marker in " ".join(one.cmdline())]

    def _service(self, name: str) -> psutil.Process:
        record = recorded(self.config, name)
        if record is None:
            raise psutil.NoSuchProcess(0, name)
        return psutil.Process(record.pid)
