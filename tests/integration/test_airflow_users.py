"""Users of the embedded Airflow beside `admin`: each logs in with a password of their own and may do what their role says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from perennial.backfill.airflow_client import AirflowClient
from stack.config import StackConfig

DAG = "retrain_machine_faults"


@contextmanager
def log_in(config: StackConfig, name: str, password: str | None = None) -> Iterator[httpx.Client]:
    """Yield a client that is logged in as a user, if the password is right."""
    file = config.secrets / "airflow_users" / name
    with httpx.Client(base_url=config.airflow_url, timeout=60, trust_env=False) as client:
        answer = client.post("/auth/token", json={"username": name, "password": password or file.read_text(encoding="utf-8")})
        if answer.is_success:
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


@pytest.mark.parametrize(
    ("name", "may_trigger", "may_see_connections"), [("eva", False, False), ("ulf", True, False), ("ota", True, True)]
)
def test_a_role_limits_its_user(
    running_stack: StackConfig, airflow: AirflowClient, name: str, may_trigger: bool, may_see_connections: bool
) -> None:
    airflow.wait_for_dag(DAG)
    with log_in(running_stack, name) as client:
        assert client.get(f"/api/v2/dags/{DAG}").status_code == 200
        # An unknown key is refused after the check of the role, so no run begins.
        triggered = client.post(f"/api/v2/dags/{DAG}/dagRuns", json={"logical_date": None, "nonsense": 1}).status_code
        assert triggered == (422 if may_trigger else 403)
        assert client.get("/api/v2/connections").status_code == (200 if may_see_connections else 403)


def test_a_wrong_password_is_no_login(running_stack: StackConfig) -> None:
    with log_in(running_stack, "eva", "guess") as client:
        assert client.get(f"/api/v2/dags/{DAG}").status_code == 401


def test_the_run_of_a_user_names_them(running_stack: StackConfig, airflow: AirflowClient) -> None:
    airflow.wait_for_dag(DAG)
    with log_in(running_stack, "ulf") as client:
        run = client.post(f"/api/v2/dags/{DAG}/dagRuns", json={"logical_date": None, "conf": {"date": "1999-01-01"}}).json()
        assert run.get("triggering_user_name") == "ulf", run
        client.delete(f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}")
