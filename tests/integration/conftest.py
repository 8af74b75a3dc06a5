"""A whole stack for the integration tests, one for each process of tests: its own ports, its own state, small pipelines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from kube import node_address

from perennial.backfill.airflow_client import AirflowClient
from perennial.calendar import days
from perennial.config.load import FILE, read_pipeline
from perennial.lake.lake import Lake, open_lake
from perennial.runtime.endpoints import endpoint_url
from perennial.store.objects import split_uri
from stack.config import REPO, StackConfig
from stack.plan import plan
from stack.postgres import remove_postgres
from stack.probe import taken_by

SOURCE = REPO / "tests/pipelines/machine_faults"
ENDED, LIVE, KILLED, PODS = "machine_faults", "machine_faults_live", "machine_faults_killed", "machine_faults_pods"
HISTORY = "machine_faults_history"
FLIGHTS = "flight_delays"
RETURNS = "returned_orders"
HISTORY_DAYS = 8
RELAY_OFFSET = 9


@dataclass(frozen=True, slots=True)
class Stack:
    """The running stack, and a user of it."""

    config: StackConfig
    airflow: AirflowClient
    generator: ModuleType

    def lake(self, pipeline: str) -> Lake:
        return open_lake(read_pipeline(self.config.pipelines / pipeline / FILE))

    def endpoint(self, pipeline: str) -> str:
        return endpoint_url(pipeline)

    def put(self, lake: Lake, uri: str, body: bytes) -> None:
        bucket, key = split_uri(uri)
        lake.objects.client.put_object(Bucket=bucket, Key=key, Body=body)

    @staticmethod
    def wait_for(what: Callable[[], bool], seconds: float) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.2)

    def land(self, pipeline: str, first: date, last: date) -> None:
        """Land the drops of some dates, the manifest of each last."""
        lake = self.lake(pipeline)
        for day in days(first, last):
            for name, body in self.generator.drop(day).items():
                self.put(lake, lake.pipeline.sources[self.generator.SOURCE].drop_uri(day) + name, body)


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackConfig]:
    """Start a stack on free ports with small pipelines: data that has ended, data that goes on today, and real flights."""
    var = tmp_path_factory.mktemp("stack") / "with a space"
    pipelines = tmp_path_factory.mktemp("pipelines")
    _write_pipeline(pipelines / ENDED, {"end": date(2026, 3, 31), "scoring": {}})
    _write_pipeline(pipelines / KILLED, {"end": date(2026, 3, 31)})
    _write_pipeline(pipelines / HISTORY, {"end": date(2026, 3, 31)})
    if os.environ.get("KUBECONFIG"):
        # Small enough that both candidates find room beside the server on a node of two cores.
        small = {"cpu": "500m", "memory": "1500Mi"}
        _write_pipeline(pipelines / PODS, {"end": date(2026, 3, 31), "runtime": "kubernetes"}, small)
    _write_flights(pipelines / FLIGHTS)
    _write_returns(pipelines / RETURNS)
    _write_pipeline(pipelines / LIVE, {"start": datetime.now(UTC).date() - timedelta(days=HISTORY_DAYS)})
    config = next(one for offset in _offsets() if _is_free(one := StackConfig(REPO, var, offset, pipelines)))
    environment = {
        **os.environ,
        **_pod_environment(config),
        "PERENNIAL_VAR": str(var),
        "PERENNIAL_PORT_OFFSET": str(config.offset),
        "PERENNIAL_PIPELINES": str(pipelines),
        "PERENNIAL_AIRFLOW_USERS": "eva:viewer,ulf:user,ota:op",
    }

    def stack(command: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "stack", command]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600, check=False)

    started = stack("up")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield config
    finally:
        stopped = stack("down")
        remove_postgres(config)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert _is_free(config)


@pytest.fixture(scope="session")
def pod_environment(running_stack: StackConfig) -> dict[str, str]:
    """Return what pods need to know to reach the stack; empty without a cluster."""
    return _pod_environment(running_stack)


@pytest.fixture(scope="session")
def airflow(running_stack: StackConfig) -> Iterator[AirflowClient]:
    """Log in to the stack's Airflow."""
    password = (running_stack.secrets / "airflow_admin").read_text(encoding="utf-8")
    with AirflowClient(running_stack.airflow_url, password) as client:
        yield client


@pytest.fixture(scope="module")
def stack(running_stack: StackConfig, airflow: AirflowClient, machine_data: ModuleType) -> Iterator[Stack]:
    """Give a module of tests the stack, and put the stack's addresses into this process's environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in running_stack.shared_environment().items():
            patch.setenv(name, value)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield Stack(running_stack, airflow, machine_data)


def _pod_environment(config: StackConfig) -> dict[str, str]:
    """Return where the pods of the tests' cluster find the stack's S3: at the node, on the port after the last of the stack's."""
    if not os.environ.get("KUBECONFIG"):
        return {}
    return {"PERENNIAL_KUBERNETES_S3_ENDPOINT": f"http://{node_address()}:{config.port('s3') + RELAY_OFFSET}"}


def _write_pipeline(folder: Path, changes: dict[str, object], resources: dict[str, str] | None = None) -> None:
    """Copy the test pipeline under another name; its drops may be two days late, so that a run of yesterday waits at any hour."""
    shutil.copytree(SOURCE, folder)
    text = (SOURCE / FILE).read_text().replace("s3://landing/machine_faults/", f"s3://landing/{folder.name}/")
    document = {**yaml.safe_load(text), "name": folder.name, **changes}
    document["sources"]["readings"]["deadline_hours"] = 48
    if resources:
        document["training"]["resources"] = resources
    (folder / FILE).write_text(yaml.safe_dump(document, sort_keys=False))


def _write_flights(folder: Path) -> None:
    """Copy the demo's pipeline, with a short history: what its SQL and its lookups give does not depend on that."""
    shutil.copytree(REPO / "include/pipelines" / FLIGHTS, folder)
    document = yaml.safe_load((folder / FILE).read_text())
    document["training"] |= {"window_days": 6, "holdout_days": 3, "min_days": 8}
    document["gate"]["min_days"] = 3
    (folder / FILE).write_text(yaml.safe_dump(document, sort_keys=False))


def _write_returns(folder: Path) -> None:
    """Copy the pipeline whose labels are known later, for a feed that rests at weekends and on a Monday."""
    shutil.copytree(REPO / "tests/pipelines" / RETURNS, folder)
    document = yaml.safe_load((folder / FILE).read_text())
    document |= {
        "start": date(2026, 2, 16),
        "end": date(2026, 3, 31),
        "calendar": {"weekdays": ["mon", "tue", "wed", "thu", "fri"], "holidays": [date(2026, 3, 2)]},
    }
    document["training"] |= {"window_days": 5, "lookback_days": 4}
    (folder / FILE).write_text(yaml.safe_dump(document, sort_keys=False))
    lookup = folder / "lookups/category_rates.sql"
    lookup.write_text(lookup.read_text().replace("DATE_SUB(d.as_of, 2)", "DATE_SUB(d.as_of, 4)"))


def _offsets() -> range:
    """Return the port offsets of this process of tests: no other one that looks for free ports at this moment takes the same."""
    processes = ("gw0", "gw1", None)
    return range(200, 1000, 20)[processes.index(os.environ.get("PYTEST_XDIST_WORKER")) :: len(processes)]


def _is_free(config: StackConfig) -> bool:
    return not any(taken_by(port) for part in plan(config) if part.service for port in part.service.ports)
