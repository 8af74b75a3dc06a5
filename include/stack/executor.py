"""The executor of the embedded stack: tasks run beside the scheduler, which hears at once when one has ended."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.jobs.job import Job, JobState
from airflow.models.taskinstance import TaskInstance
from airflow.utils.net import get_hostname
from airflow.utils.session import create_session
from sqlalchemy import update

from stack.bound_forks import bind_forks

FIRST_WAIT_SECONDS = 0.25
MAX_WAIT_SECONDS = 1.0
"""Airflow's own pace: a run that somebody triggers while nothing happens begins after half of this, on average."""
MAX_TRIES = 20
"""Up to here the death of a scheduler costs a task no try; a task that kills its scheduler each time must fail at last."""


class PromptLocalExecutor(LocalExecutor):
    """
    Airflow's LocalExecutor, where the scheduler waits for the end of a task instead of sleeping for a fixed time.

    A look of the scheduler costs 20 ms of CPU time whether there is work or not. With a fixed pause between them either each
    step of a run waits for the next look, or a stack that does nothing costs a tenth of a core. Here a task that ends brings the
    next look forward, looks follow soon after something has happened, and grow rare when nothing does.
    `[scheduler] scheduler_idle_sleep_time` is 0 beside it.
    """

    def start(self) -> None:
        """Start the workers; they and the tasks that they fork end with this process."""
        self._bury_predecessors()
        bind_forks(generations=2)
        super().start()
        self._pause = 0.0

    def _bury_predecessors(self) -> None:
        """
        Mark the killed schedulers of this machine as failed: the next thing that this scheduler does is to take over their tasks.

        Airflow itself waits half a minute for their heartbeat, and looks again after five. This stack has one scheduler, and its
        tasks end with it.
        """
        if self.job_id is None:
            return
        host = get_hostname()  # type: ignore[no-untyped-call]
        others = (Job.job_type == "SchedulerJob", Job.state == JobState.RUNNING, Job.hostname == host)
        with create_session() as session:
            session.execute(update(Job).where(*others, Job.id != self.job_id).values(state=JobState.FAILED))

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Adopt none: they ended with their scheduler and run again. That costs them no try."""
        for task in tis:
            if task.max_tries < MAX_TRIES:
                task.max_tries += 1
        return super().try_adopt_task_instances(tis)

    def sync(self) -> None:
        """Wait for the end of a task, no longer than is due, and take in what has ended: called once a look, in no transaction."""
        wait([self.result_queue._reader], self._pause)  # type: ignore[attr-defined]
        self._pause = min(max(FIRST_WAIT_SECONDS, 2 * self._pause), MAX_WAIT_SECONDS)
        super().sync()

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """Take in that a task has begun or ended: what that makes possible is looked for at once."""
        self._pause = 0.0
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._pause = FIRST_WAIT_SECONDS
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]
