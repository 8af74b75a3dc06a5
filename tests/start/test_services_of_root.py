"""As root, the services of the stack run as an unprivileged user where it can read the checkout."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from trial_clone import SPARK_JOB, Clones, python_of_everybody
from trial_user import User

from perennial.backfill.airflow_client import AirflowClient
from perennial.calendar import days
from perennial.config.load import FILE, read_pipeline
from perennial.lake.lake import open_lake
from perennial.store.objects import split_uri
from stack.config import REPO, StackConfig
from stack.postgres_home import SYSTEM_USER
from stack.roles import Role
from stack.service_user import SERVICE_USER

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

PIPELINE = "machine_faults"
DAY = date(2026, 3, 6)


def users(var: Path) -> set[str]:
    """Return the users of all processes of a stack, with their children: a task hides its environment."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("PERENNIAL_VAR") == str(var):
                found |= {one.username() for one in (process, *process.children(recursive=True))}
    return found


def owners(folder: Path) -> set[str]:
    """Return the owners of a folder and of everything in it."""
    return {pwd.getpwuid(path.lstat().st_uid).pw_name for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def config(
    clones: Clones, place: Path, free_offset: Callable[[], str], finish: Callable[[Path, User], None]
) -> Iterator[tuple[StackConfig, User]]:
    """Make a clone that every user may read, with the small pipeline of the tests; return its stack, and root."""
    folder = place / "pipelines" / PIPELINE
    shutil.copytree(REPO / "tests/pipelines" / PIPELINE, folder)
    with (folder / FILE).open("a") as file:
        file.write(f"\nend: {DAY}\n")  # a scheduled run that waits for the drop of yesterday would hold up the one of the test
    root = User(environment={"PERENNIAL_PORT_OFFSET": free_offset(), "PERENNIAL_PIPELINES": str(folder.parent)})
    (place / "services").mkdir(mode=0o700)
    clone = clones.make(place / "services" / "clone", python=python_of_everybody())
    finish(clone, root)
    offset = int(root.environment["PERENNIAL_PORT_OFFSET"])
    yield StackConfig(clone, clone / "var", offset, folder.parent), root
    (place / "services").chmod(0o755)


def test_roots_stack_becomes_one_of_an_unprivileged_user_and_runs_a_date(
    config: tuple[StackConfig, User], machine_data: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack first runs in a closed folder, as earlier versions left it. Then the folder is opened."""
    stack, root = config
    code, said = root.run(stack.repo, "make", "up", "ONLY=s3")
    assert (code, users(stack.var)) == (0, {"root"}), said
    assert f"{stack.repo.parent} is closed to it. Move the checkout to a folder that every user may enter" in said
    stack.repo.parent.chmod(0o755)
    code, said = root.run(stack.repo, "make", "up", "ONLY=s3")
    assert (code, users(stack.var)) == (0, {"root"}), said
    assert f"as root until you stop them; after that, as {SERVICE_USER}" in said
    assert root.run(stack.repo, "make", "down")[0] == 0

    code, said = root.run(stack.repo, "make", "up")
    assert code == 0, said
    assert "as root" not in said
    assert users(stack.var) == {SERVICE_USER, SYSTEM_USER}
    assert owners(stack.var / "s3") == {SERVICE_USER}
    obeyed = (stack.var, stack.environment_file, stack.run, stack.secrets, *map(stack.credentials, Role), stack.signing_key)
    assert {path.stat().st_uid for path in obeyed} == {0}
    assert {file.stat().st_mode & 0o037 for file in stack.secrets.rglob("*") if file.is_file() and file.suffix != ".pem"} == {0}

    code, said = root.run(stack.repo, "sh", "-ec", SPARK_JOB)  # root's own jobs leave nothing that stops those of the services
    assert code == 0, said
    for name, value in stack.shared_environment().items():
        monkeypatch.setenv(name, value)
    land(stack, machine_data)
    with AirflowClient(stack.airflow_url, (stack.secrets / "airflow_admin").read_text()) as airflow:
        dag = f"retrain_{PIPELINE}"
        airflow.wait_for_dag(dag)
        airflow.unpause(dag)
        state, tasks = airflow.wait(dag, airflow.trigger(dag, {"date": DAY.isoformat()}), 600, seen := Seen(stack.var))
        assert state == "success", [(task.name, task.state) for task in tasks]
    assert seen.users == {SERVICE_USER, SYSTEM_USER}
    assert owners(stack.var / "spark") == owners(stack.var / "airflow") == owners(stack.logs) == {SERVICE_USER}
    code, said = root.run(stack.repo, ".venv/bin/perennial", "predict", PIPELINE, "--example")
    assert code == 0, said


class Seen:
    """Note the users of all processes of a stack while a run goes on."""

    def __init__(self, var: Path) -> None:
        self._var, self.users = var, set[str]()

    def __call__(self, _: object) -> None:
        self.users |= users(self._var)


def land(stack: StackConfig, generator: ModuleType) -> None:
    lake = open_lake(read_pipeline(stack.pipelines / PIPELINE / FILE))
    for day in days(date(2026, 3, 1), DAY):
        for name, body in generator.drop(day).items():
            bucket, key = split_uri(lake.pipeline.sources[generator.SOURCE].drop_uri(day) + name)
            lake.objects.client.put_object(Bucket=bucket, Key=key, Body=body)
