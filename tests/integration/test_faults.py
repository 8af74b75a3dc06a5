"""Killed tasks and runs that meet: what comes out is what an undisturbed run gives, once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest
from locked_scheduler import administrator, kill_in_transaction, left_after, scheduler_of
from own_stack import STACK, run_stack

from perennial.calendar import DAY
from perennial.deploy.active import read_active
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake
from perennial.lake.tables import read_rows
from stack.process import recorded

PIPELINE = "machine_faults_killed"
DAG = f"retrain_{PIPELINE}"
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 6)
KILLED, MET, BEHEADED = LAST + DAY, LAST + 2 * DAY, LAST + 3 * DAY
RUN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Victim:
    """A task to kill once: some seconds after one of its processes shows that it is at work."""

    task: str
    is_at_work: Callable[[str], bool]
    after_seconds: float


VICTIMS = (
    Victim("clean", lambda command: "clean/job.py" in command, after_seconds=5.0),
    Victim("train", lambda command: "perennial.train" in command, after_seconds=1.0),
    Victim("deploy", lambda command: "perennial.serve" in command, after_seconds=0.3),
)


@dataclass
class Killer(threading.Thread):
    """Kills the whole process tree of the task of each victim, the first time that it is seen at work."""

    scheduler: psutil.Process
    killed: dict[str, int] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.done.wait(0.1):
            for victim in VICTIMS:
                if victim.task not in self.killed and (root := self._task_process(victim)):
                    time.sleep(victim.after_seconds)
                    self.killed[victim.task] = _kill_tree(root)

    def _task_process(self, victim: Victim) -> psutil.Process | None:
        """Return the task's process: the executor's child, below which the victim's work runs."""
        for process in self.scheduler.children(recursive=True):
            try:
                if victim.is_at_work(" ".join(process.cmdline())):
                    line = [process, *process.parents()]
                    # scheduler → worker of the executor → task → what the task started
                    return line[line.index(self.scheduler) - 2]
            except psutil.NoSuchProcess:
                continue
        return None


def _kill_tree(root: psutil.Process) -> int:
    tree = [*root.children(recursive=True), root]
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return len(tree)


@pytest.fixture(scope="module")
def lake(stack) -> Lake:
    stack.airflow.wait_for_dag(DAG)
    stack.airflow.unpause(DAG)
    stack.land(PIPELINE, FIRST, LAST)
    state, tasks = _run(stack, LAST)
    assert state == "success", tasks
    return stack.lake(PIPELINE)


def test_killed_tasks_are_tried_again_and_come_out_as_undisturbed(stack, lake: Lake) -> None:
    stack.land(PIPELINE, KILLED, KILLED)
    record = recorded(stack.config, "airflow-scheduler")
    assert record is not None
    killer = Killer(psutil.Process(record.pid))
    killer.start()
    try:
        state, tasks = _run(stack, KILLED)
    finally:
        killer.done.set()
        killer.join()

    assert set(killer.killed) == {victim.task for victim in VICTIMS}
    assert min(killer.killed.values()) >= 2  # the task, and what it had started
    assert state == "success", tasks
    tries = {name: number for name, (_, number) in tasks.items()}
    assert (tries["clean"], tries["deploy"]) == (2, 2)
    assert sorted([tries["train[mlp]"], tries["train[logistic]"]]) == [1, 2]
    disturbed = _digests(lake, KILLED)
    assert disturbed["rows"] == _landed_rows(stack, KILLED)

    state, tasks = _run(stack, KILLED, recompute=True)

    # With recompute the trainer itself refuses to end when a model comes out differently.
    assert state == "success", tasks
    assert {number for _, number in tasks.values()} == {1}
    assert _digests(lake, KILLED) == disturbed


def test_two_runs_of_one_date_at_once_leave_one_result(stack, lake: Lake) -> None:
    """One by Airflow, one from a shell: Airflow alone would not let two runs of the DAG meet."""
    stack.land(PIPELINE, MET, MET)
    command = [str(Path(sys.executable).with_name("perennial")), "run", PIPELINE, "--date", MET.isoformat(), "--json"]
    shell = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        state, tasks = _run(stack, MET)
        out, said = shell.communicate(timeout=RUN_SECONDS)
    finally:
        shell.kill()

    assert state == "success", tasks
    assert shell.returncode == 0, out + said
    assert _digests(lake, MET)["rows"] == _landed_rows(stack, MET)
    chain = read_chain(lake)
    assert chain.get(MET).revision == 1
    assert not any(entry.stale for entry in chain.entries.values())
    assert read_active(lake).release.startswith(MET.isoformat())
    releases = [uri for uri in lake.objects.list(f"{lake.layout.root}/releases/") if MET.isoformat() in uri]
    assert len(releases) == 1


def test_a_scheduler_killed_with_row_locks_leaves_nothing_and_the_run_ends(stack, lake: Lake) -> None:
    """Case 33: its workers lived on and held its row locks, so no scheduler touched the run again."""
    stack.land(PIPELINE, BEHEADED, BEHEADED)
    run_id = stack.airflow.trigger(DAG, {"date": BEHEADED.isoformat()})
    stack.wait_for(lambda: any("clean/job.py" in line for line in _commands(stack)), 120)

    killed = kill_in_transaction(stack.config)

    assert killed is not None
    assert left_after(stack.config, killed) == ""
    run_stack([*STACK, "up"])
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    assert state == "success", tasks
    assert {task.name: task.try_number for task in tasks}["clean"] == 2
    assert _stored_rows(lake, BEHEADED) == _landed_rows(stack, BEHEADED)
    with administrator(stack.config) as session:
        session.execute("SELECT max_tries - try_number FROM task_instance WHERE run_id = %s AND task_id = 'clean'", [run_id])
        assert session.fetchone() == (1,)  # two tries are left to it, as to a task that was never killed


def _commands(stack) -> list[str]:
    lines = []
    for process in scheduler_of(stack.config).children(recursive=True):
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            continue
    return lines


def _run(stack, day: date, **conf: Any) -> tuple[str, dict[str, tuple[str, int]]]:
    """Run the date through Airflow; return the run's state, and state and tries of each task."""
    run_id = stack.airflow.trigger(DAG, {"date": day.isoformat(), **conf})
    state, tasks = stack.airflow.wait(DAG, run_id, RUN_SECONDS)
    return state, {task.name: (task.state, task.try_number) for task in tasks}


def _digests(lake: Lake, day: date) -> dict[str, Any]:
    """Return everything that a date leaves: its partitions, the rows in them, its models' files, its decision and its release."""
    tables = ["clean_readings", "features", "profile", "analysis_faults_by_mode"]
    partitions = {name: lake.tables.state(name).get(day) for name in tables}
    entry = read_chain(lake).get(day)
    models = {
        uri.rpartition("/")[2]: lake.objects.read_existing(uri).json()["files"]
        for uri in lake.objects.list(f"{lake.layout.root}/models/")
        if day.isoformat() in uri
    }
    assert entry is not None
    assert len(models) == len(lake.pipeline.training.candidates)
    return {
        "partitions": {name: (found.key, found.digest, found.rows) for name, found in partitions.items()},
        "rows": _stored_rows(lake, day),
        "models": models,
        "decision": (entry.uri, entry.decision, entry.champion),
        "release": read_active(lake).release,
    }


def _stored_rows(lake: Lake, day: date) -> Counter[int]:
    state = lake.tables.state("clean_readings")
    table = read_rows(state.metadata_location, state.snapshot_id, [day], ["reading_id"])
    return Counter(table.column("reading_id").to_pylist())


def _landed_rows(stack, day: date) -> Counter[int]:
    """Return the ids of what landed: a doubled or a lost row would show."""
    return Counter(int(line.partition(",")[0]) for line in stack.generator.rows(day))
