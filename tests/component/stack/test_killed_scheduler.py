"""
A scheduler that is killed in the middle of a transaction.

PostgreSQL and the executor's workers are real; there is no Airflow around them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from locked_scheduler import kill_in_transaction, left_after, scheduler_of

from stack.airflow import prepare_airflow
from stack.config import REPO, StackConfig
from stack.postgres import create_databases, database_password, postgres_service, prepare_postgres, remove_postgres
from stack.probe import taken_by
from stack.process import Service, log_path, start, stop

WORKERS = 2
SCHEDULER = """
import os, sys, time
import psycopg2
connection = psycopg2.connect(os.environ["TEST_DATABASE"])
with connection.cursor() as session:
    session.execute("SELECT 1 FROM run WHERE id = 1 FOR UPDATE")
from stack.executor import PromptLocalExecutor
executor = PromptLocalExecutor(parallelism=int(sys.argv[1]))
executor.start()
print("workers started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[StackConfig]:
    """Start a PostgreSQL on a free port."""
    offset = next(one for one in range(5000, 6000, 20) if not taken_by(StackConfig(REPO, tmp_path, one).port("postgres")))
    config = StackConfig(REPO, tmp_path, offset)
    prepare_postgres(config)
    service = postgres_service(config)
    try:
        start(config, service)
        create_databases(config)
        prepare_airflow(config)
        yield config
    finally:
        stop(config, service)
        remove_postgres(config)


def test_a_scheduler_killed_with_row_locks_leaves_no_process_and_no_lock(config: StackConfig) -> None:
    """Case 33: its workers lived on and held its connection, so the rows stayed locked."""
    password, port = database_password(config, "airflow"), config.port("postgres")
    database = f"postgresql://airflow:{password}@127.0.0.1:{port}/airflow"
    with closing(psycopg2.connect(database)) as user:
        user.autocommit = True
        session = user.cursor()
        session.execute("CREATE TABLE run (id int); INSERT INTO run VALUES (1)")
        scheduler = Service(
            name="airflow-scheduler",
            argv=(sys.executable, "-c", SCHEDULER, str(WORKERS)),
            is_ready=lambda: "workers started" in log_path(config, "airflow-scheduler").read_text(),
            env={"TEST_DATABASE": database},
        )
        start(config, scheduler)
        try:
            assert len(scheduler_of(config).children()) == WORKERS
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                session.execute("SELECT 1 FROM run FOR UPDATE NOWAIT")

            killed = kill_in_transaction(config)

            assert killed is not None
            assert len(killed.forks) == WORKERS
            assert left_after(config, killed) == ""
            session.execute("SELECT 1 FROM run FOR UPDATE NOWAIT")
        finally:
            stop(config, scheduler)
