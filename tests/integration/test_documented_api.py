"""The requests of docs/how-to/trigger-through-the-api.md, run by a shell as they stand there."""

from __future__ import annotations

import json
import shlex
import subprocess

from stack.config import REPO

DOCUMENT = "docs/how-to/trigger-through-the-api.md"
DAG = "retrain_machine_faults"
NOT_LANDED = "2026-03-30"


def test_documented_requests_start_a_run_of_their_date(stack, documented) -> None:
    stack.airflow.wait_for_dag(DAG)
    trigger, follow = documented(DOCUMENT, "sh")
    for documented_value, own in (
        ("http://127.0.0.1:8080", stack.config.airflow_url),
        ("retrain_flight_delays", DAG),
        ("var/secrets/", f"{shlex.quote(str(stack.config.secrets))}/"),
        ("2013-02-14", NOT_LANDED),
    ):
        assert documented_value in trigger
        trigger = trigger.replace(documented_value, own)

    script = f"set -eu\n{trigger}\necho\n{follow}"
    done = subprocess.run(["bash", "-c", script], cwd=REPO, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    *_, newest = done.stdout.splitlines()
    (run,) = json.loads(newest)["dag_runs"]
    assert run["conf"] == {"date": NOT_LANDED}
    state, _ = stack.airflow.wait(DAG, run["dag_run_id"], 120)
    assert state == "failed"
    assert stack.airflow.result(DAG, run["dag_run_id"], "plan_run")["date"] == NOT_LANDED
