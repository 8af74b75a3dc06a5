"""
Why the runs of a DAG wait, or cannot start, by the answers of Airflow's API.

The answers are those of a real one, played by a small server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from perennial.backfill.airflow_client import AirflowClient
from perennial.errors import PerennialError
from perennial.store.json_value import Json

DAG = "retrain_machine_faults"
TRACE = """\
Traceback (most recent call last):
  File "plugins/perennial_airflow/doc.py", line 5, in <module>
    import nothing
ModuleNotFoundError: No module named
  'nothing'
"""


@pytest.fixture
def answers() -> dict[str, Json]:
    """Return the answers of the API by path, which a test fills."""
    return {}


@pytest.fixture
def airflow(answers: dict[str, Json]) -> Iterator[AirflowClient]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.answer(201, {"access_token": "a token"})

        def do_GET(self) -> None:
            body = answers.get(self.path.partition("?")[0])
            self.answer(404 if body is None else 200, body or {"detail": "not found"})

        def answer(self, status: int, body: Json) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with AirflowClient(f"http://127.0.0.1:{server.server_port}", "the password") as client:
            yield client
        server.shutdown()


@pytest.mark.parametrize(
    ("facts", "errors", "reason"),
    [
        ({}, [], ""),
        ({"is_paused": True}, [], f"{DAG} is paused in Airflow: its runs wait until someone unpauses it"),
        ({"is_stale": True}, [], f"{DAG} is no longer among the DAGs that Airflow can import, so its runs wait."),
        (
            {"is_stale": True, "is_paused": True},
            [TRACE],
            f"{DAG} is no longer among the DAGs that Airflow can import, so its runs wait. No module named 'nothing'",
        ),
    ],
)
def test_a_dag_whose_runs_wait_names_its_reason(
    airflow: AirflowClient, answers: dict[str, Json], facts: Json, errors: list[str], reason: str
) -> None:
    answers[f"/api/v2/dags/{DAG}"] = {"is_stale": False, "is_paused": False, **facts}
    answers["/api/v2/importErrors"] = {"import_errors": [{"stack_trace": trace} for trace in errors]}
    assert airflow.reason_to_wait(DAG) == reason


def test_a_dag_that_airflow_refuses_names_the_reason_and_the_remedy(airflow: AirflowClient, answers: dict[str, Json]) -> None:
    answers["/api/v2/importErrors"] = {"import_errors": [{"stack_trace": TRACE}]}
    assert airflow.backfill_runs(DAG, order_by="duration", limit=1) == []
    with pytest.raises(PerennialError) as caught:
        airflow.wait_for_dag(DAG, seconds=0)
    assert f"Airflow has no DAG '{DAG}'" in str(caught.value)
    assert "No module named 'nothing'" in str(caught.value)
    assert "run `make down up` after a change" in str(caught.value)
