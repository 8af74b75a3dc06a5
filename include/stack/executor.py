"""The executor of the embedded stack: tasks run beside the scheduler, which learns at once when one has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.jobs.job import Job, JobState
from airflow.models.taskinstance import TaskInstance
from airflow.utils.net import get_hostname
from airflow.utils.session import create_session
from sqlalchemy import update

from stack.bound_forks import bind_forks
from stack.logs import bound_logs

FIRST_WAIT_SECONDS = 0.25
MAX_WAIT_SECONDS = 1.0
"""Airflow's own interval. A run that is triggered while the scheduler is idle begins after half of this, on average."""
BOUND_SECONDS = 60.0
"""Interval between two looks at the logs of the stack's services."""

MAX_TRIES = 20
"""Limit up to which the death of a scheduler costs a task no try. A task that always kills its scheduler must fail in the end."""


class PromptLocalExecutor(LocalExecutor):
    """
    Airflow's LocalExecutor, except that the scheduler waits for the end of a task instead of sleeping for a fixed time.

    One loop of the scheduler costs 20 ms of CPU time, with or without work. With a fixed pause between loops, either each step
    of a run waits for the next loop, or an idle stack uses a tenth of a core. Here the end of a task starts the next loop at
    once, loops follow quickly after an event, and become rare when nothing happens.
    It needs `[scheduler] scheduler_idle_sleep_time` = 0.
    """

    def start(self) -> None:
        """Start the workers. They and the tasks that they fork end with this process."""
        self._fail_predecessors()
        bind_forks(generations=2)
        super().start()
        self._pause = 0.0
        self._next_bound = 0.0

    def _fail_predecessors(self) -> None:
        """
        Mark the killed schedulers of this machine as failed, so that this scheduler takes over their tasks at once.

        Airflow itself waits half a minute for their heartbeat, and checks again after five minutes. This stack has only one
        scheduler, and its tasks end with it.
        """
        if self.job_id is None:
            return
        host = get_hostname()  # type: ignore[no-untyped-call]
        others = (Job.job_type == "SchedulerJob", Job.state == JobState.RUNNING, Job.hostname == host)
        with create_session() as session:
            session.execute(update(Job).where(*others, Job.id != self.job_id).values(state=JobState.FAILED))

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Adopt none: they ended with their scheduler and run again. This costs them no try."""
        for task in tis:
            if task.max_tries < MAX_TRIES:
                task.max_tries += 1
        return super().try_adopt_task_instances(tis)

    def sync(self) -> None:
        """Wait for the end of a task, at most the current pause, and process ended tasks. Runs once a loop, in no transaction."""
        wait([self.result_queue._reader], self._pause)  # type: ignore[attr-defined]
        self._pause = min(max(FIRST_WAIT_SECONDS, 2 * self._pause), MAX_WAIT_SECONDS)
        super().sync()
        self._bound_logs()

    def _bound_logs(self) -> None:
        """Bound the logs of all services of the stack. This is its only process that runs all the time and has a loop of ours."""
        if time.monotonic() >= self._next_bound:
            self._next_bound = time.monotonic() + BOUND_SECONDS
            bound_logs(Path(os.environ["PERENNIAL_VAR"]) / "log")

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Record that a task has begun or ended, and run the next loop at once: other tasks may now be ready."""
        self._pause = 0.0
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._pause = FIRST_WAIT_SECONDS
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]
