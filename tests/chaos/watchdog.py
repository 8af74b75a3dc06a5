"""Watches a backfill: no run may be without progress for a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg2
from locked_scheduler import administrator, scheduler_of

from stack.config import StackConfig

MAX_STILL_SECONDS = 60.0
LOOK_SECONDS = 2.0
AT_WORK_CPU_SECONDS = 0.02
"""CPU time between two looks from which on a task is at work; one that only waits for an answer takes less."""

MAX_RETRY_SECONDS = 45.0
"""The longest pause before a retry (`max_retry_delay` in dags/retrain.py), and the scheduler's look after it."""

WAITING = ("deferred", "up_for_retry", "scheduled", "queued")
NO_RUN = "the backfill, of which no run is running"

TASKS = """
    SELECT task.run_id, task.task_id, task.map_index, task.try_number, task.state, task.pid,
           extract(epoch FROM now() - task.end_date)
    FROM dag_run AS run JOIN task_instance AS task USING (dag_id, run_id)
    WHERE run.state = 'running' ORDER BY 1, 2, 3
"""
SESSIONS = """
    SELECT pid, client_port, datname, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by,
           backend_xid, now() - xact_start AS transaction, left(regexp_replace(query, '\\s+', ' ', 'g'), 160) AS query
    FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start NULLS LAST
"""
LOCKS = """
    SELECT pid, locktype, mode, granted, relation::regclass FROM pg_locks
    WHERE pid <> pg_backend_pid() AND (NOT granted OR mode IN ('RowShareLock', 'RowExclusiveLock', 'ExclusiveLock'))
    ORDER BY granted, pid LIMIT 60
"""


class Progress:
    """
    Knows since when each run of a backfill has been without progress.

    Progress of a run: one of its tasks changes its state, its running task uses CPU time, or an object is written. A run whose
    tasks wait for others or for a retry is as still as all the runs together.
    """

    def __init__(self) -> None:
        self._moved: dict[str, float] = {}
        self._states: dict[str, list[Any]] = {}

    def look(self, now: float, tasks: Iterable[Sequence[Any]], at_work: Collection[int], written: bool) -> dict[str, float]:
        """
        Take in a look and return for how many seconds each run has been without progress.

        :param tasks: the rows of TASKS
        :param at_work: processes of tasks that used CPU time since the last look
        :param written: whether an object was written since then
        """
        by_run: dict[str, list[Task]] = {}
        for run, *facts in tasks:
            by_run.setdefault(run, []).append(Task(*facts))
        if not by_run:
            by_run[NO_RUN] = []
        states = {run: [(task.name, task.index, task.tries, task.state) for task in group] for run, group in by_run.items()}
        works = {run for run, group in by_run.items() if any(one.state == "running" for one in group)}
        moving = {run for run in by_run if self._states.get(run) != states[run]}
        moving |= {run for run, group in by_run.items() if any(one.state == "running" and one.pid in at_work for one in group)}
        moving |= works if written else set()
        if written or moving or any(one.pauses for group in by_run.values() for one in group):
            moving |= {run for run, group in by_run.items() if any(one.state in WAITING for one in group)}
        self._states = states
        self._moved = {run: now if run in moving else self._moved.get(run, now) for run in by_run}
        return {run: now - since for run, since in self._moved.items()}


@dataclass(frozen=True, slots=True)
class Task:
    """A row of TASKS, without its run."""

    name: str
    index: int
    tries: int
    state: str | None
    pid: int | None
    ended_seconds: float | None

    @property
    def pauses(self) -> bool:
        return self.state == "up_for_retry" and float(self.ended_seconds or 0) < MAX_RETRY_SECONDS


@dataclass
class Watchdog(threading.Thread):
    """Ends a trial when a run makes no progress. Its clock does not run while a killed service starts again: `is_paused`."""

    config: StackConfig
    is_paused: Callable[[], bool]
    on_stall: Callable[[str], Any]
    done: threading.Event = field(default_factory=threading.Event)
    max_seconds: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._clock = self._looked = 0.0
        self._progress = Progress()
        self._cpu: dict[int, float] = {}
        self._bytes = 0

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        since = time.monotonic()
        while not self.done.wait(LOOK_SECONDS):
            passed, since = time.monotonic() - since, time.monotonic()
            if self.is_paused():
                continue
            self._clock += passed
            try:
                with administrator(self.config) as session:
                    session.execute(TASKS)
                    still = self._progress.look(self._clock, session.fetchall(), self._at_work(), self._written())
                    self.max_seconds = max([self.max_seconds, *still.values()])
                    if self.max_seconds > MAX_STILL_SECONDS:
                        self.on_stall(f"Seconds without progress: {still}\n{_explain(session)}")
                        return
                    self._looked = self._clock
            except psycopg2.Error as error:  # killed a moment ago
                if self._clock - self._looked > MAX_STILL_SECONDS:
                    self.on_stall(f"PostgreSQL does not answer: {error}")
                    return
            except Exception as error:
                # A trial without its watchdog would prove nothing.
                self.on_stall(f"The watchdog itself failed: {type(error).__name__}: {error}")
                raise

    def _at_work(self) -> set[int]:
        """Return the processes of tasks that used CPU time since the last look, by themselves or by what they started."""
        try:
            tasks = [task for worker in scheduler_of(self.config).children() for task in worker.children()]
        except psutil.NoSuchProcess:
            tasks = []
        before, self._cpu = self._cpu, {task.pid: _cpu_seconds(task) for task in tasks}
        return {pid for pid, seconds in self._cpu.items() if seconds - before.get(pid, 0.0) > AT_WORK_CPU_SECONDS}

    def _written(self) -> bool:
        before, self._bytes = self._bytes, sum(path.stat().st_size for path in (self.config.var / "s3/data").glob("*.dat"))
        return self._bytes != before


def _cpu_seconds(task: psutil.Process) -> float:
    total = 0.0
    try:
        processes = [task, *task.children(recursive=True)]
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return total
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _explain(session: Any) -> str:
    """Return what holds the runs: PostgreSQL's sessions, its locks, the tasks."""
    said = []
    for name, query in (("Sessions", SESSIONS), ("Locks", LOCKS), ("Tasks", TASKS)):
        session.execute(query)
        columns = [column.name for column in session.description]
        said += [f"{name}:", *(f"  {dict(zip(columns, map(str, row), strict=True))}" for row in session.fetchall())]
    return "\n".join(said)
