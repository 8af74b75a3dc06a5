"""The embedded runtime with the real model server: deploy, follow, roll back; and children that never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from lab import LAST, Lab

from perennial.config.pipeline import Training
from perennial.deploy.deploy import deploy
from perennial.deploy.protocol import read_golden
from perennial.deploy.rollback import rollback
from perennial.display.printed_error import FIRST
from perennial.errors import PerennialError, ReleaseUnprovenError
from perennial.evaluate.evaluate import evaluate
from perennial.runtime import process_serving
from perennial.runtime.base import EndpointMissingError, StageFailedError
from perennial.runtime.child_process import child
from perennial.runtime.endpoints import endpoint_url
from perennial.runtime.process_serving import ProcessRuntime
from perennial.runtime.process_training import train, trainers_at_once
from perennial.settings import server_environment

D1, D2 = LAST - timedelta(days=2), LAST - timedelta(days=1)


def promote(lab: Lab, day: object, weight: float) -> str:
    version = lab.train("mlp", day, weight)  # type: ignore[arg-type]
    lab.train("logistic", day, -0.05)  # type: ignore[arg-type]
    evaluate(lab.lake, day, run_id="run", force_decision="PROMOTE", force_reason="test")  # type: ignore[arg-type]
    return version


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_real_server_follows_a_deploy_and_a_rollback(lab: Lab, process_runtime: ProcessRuntime):
    port = endpoint_url(lab.pipeline.name).rsplit(":", 1)[1]
    with child("perennial.serve", ["--pipeline", lab.pipeline.name, "--port", port], server_environment()):
        good = promote(lab, D1, 0.1)
        first = deploy(lab.lake, D1, process_runtime)
        promote(lab, D2, 0.12)
        second = deploy(lab.lake, D2, process_runtime)
        golden = read_golden(lab.lake, second.released)
        answer = httpx.post(f"{process_runtime._url}/predict", json=list(golden.records), trust_env=False)
        assert answer.headers["x-release"] == second.released != first.released
        found = [item["probability"] for item in answer.json()["predictions"]]
        assert found == pytest.approx(list(golden.expected.answers), abs=1e-5)
        back = rollback(lab.lake, reason="it flags every machine", who="ann", runtime=process_runtime)
        assert back.version == good
        assert httpx.get(f"{process_runtime._url}/v2", trust_env=False).headers["x-release"] == back.released


def test_without_a_model_server_the_release_is_staged_and_checked_and_the_error_says_so(
    lab: Lab, process_runtime: ProcessRuntime
):
    process_runtime.follow_seconds = 0.5
    promote(lab, D1, 0.1)
    with pytest.raises(EndpointMissingError, match="Start it with `make up`"):
        deploy(lab.lake, D1, process_runtime)


def test_a_release_that_the_server_refuses_is_quoted_from_its_log(lab: Lab, process_runtime: ProcessRuntime):
    with pytest.raises(StageFailedError, match="There is no release '2026-03-12-aaaaaaaaaaaa'"):
        process_runtime.stage("2026-03-12-aaaaaaaaaaaa")


def test_a_staged_server_that_is_killed_says_nothing_about_its_release(lab: Lab, process_runtime: ProcessRuntime):
    def kill() -> None:
        while process_runtime._staged is None:
            time.sleep(0.01)
        os.kill(process_runtime._staged.pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(ReleaseUnprovenError, match="was ended by SIGKILL before it was ready"):
        process_runtime.stage("2026-03-12-aaaaaaaaaaaa")


def test_a_training_that_fails_quotes_its_last_lines():
    said: list[str] = []
    with pytest.raises(PerennialError, match="Its last lines:") as failure:
        train(["not an address"], said.append)
    assert said
    assert said[-1] in str(failure.value)


def test_the_error_of_a_training_begins_with_its_cause(lab: Lab):
    said: list[str] = []
    job = f"{lab.lake.layout.root}/none.json"
    with pytest.raises(PerennialError) as failure:
        train([job], said.append)
    cause, *_, end = str(failure.value).splitlines()
    assert said[-1] == FIRST + cause
    assert job in cause
    assert end == f"The training of {job} ended with 1."


def test_trainings_side_by_side_all_go_to_their_end_and_the_first_failure_is_told():
    said: list[str] = []
    with pytest.raises(PerennialError, match="The training of not an address, nor this ended with 1"):
        train(["not an address", "s3 neither", "nor this"], said.append, processes=2)
    assert {line[:4] for line in said} == {"[1] ", "[2] "}
    assert any("s3 neither" in line for line in said if line.startswith("[2] "))


def test_as_many_trainings_at_once_as_there_are_cores_and_work_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    assert [
        trainers_at_once(Training(), jobs, candidates=candidates)
        for candidates, jobs in ((1, 60), (2, 60), (3, 60), (1, 25), (1, 0), (8, 60))
    ] == [
        4,
        2,
        1,
        2,
        1,
        1,
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent(number: signal.Signals):
    script = (
        "import os, time\nfrom perennial.runtime.child_process import child\n"
        "with child('http.server', ['0', '--bind', '127.0.0.1'], os.environ) as process:\n"
        "    process.stdout.readline()  # it serves, so it has asked the kernel to end with its parent\n"
        "    print(process.pid, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        os.kill(parent.pid, number)
        parent.wait(10)
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_leaving_the_block_ends_the_child():
    with child("http.server", ["0", "--bind", "127.0.0.1"], os.environ) as started:
        assert started.poll() is None
    assert started.returncode is not None
    assert not is_alive(started.pid)


def test_the_server_of_another_pipeline_at_the_address_is_not_followed(lab: Lab, process_runtime: ProcessRuntime):
    process_runtime.follow_seconds = 1.0
    port = endpoint_url(lab.pipeline.name).rsplit(":", 1)[1]
    with child("perennial.serve", ["--pipeline", "another", "--port", port], server_environment()):
        deadline = time.monotonic() + 30
        while process_serving._status(httpx.Client(base_url=process_runtime._url), "/v2/health/live") is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with pytest.raises(EndpointMissingError, match="no model server of 'machine_faults' at"):
            process_runtime.switch("2026-03-12-aaaaaaaaaaaa")


def test_a_release_whose_file_was_lost_is_mended_by_the_next_deploy(lab: Lab, process_runtime: ProcessRuntime):
    port = endpoint_url(lab.pipeline.name).rsplit(":", 1)[1]
    promote(lab, D1, 0.1)
    with child("perennial.serve", ["--pipeline", lab.pipeline.name, "--port", port], server_environment()):
        released = deploy(lab.lake, D1, process_runtime).released
        assert deploy(lab.lake, D1, process_runtime).outcome == "unchanged"
    files = lab.lake.objects.read_existing(lab.lake.layout.release(released)).json()["files"]
    lab.lake.objects.delete(lab.lake.layout.blob(files["lookups/machine_rates.json"]["sha256"]))
    with child("perennial.serve", ["--pipeline", lab.pipeline.name, "--port", port], server_environment()):
        deadline = time.monotonic() + 30
        while process_serving._status(httpx.Client(base_url=process_runtime._url), "/v2/health/ready") != 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not process_runtime.follows(released)
        again = deploy(lab.lake, D1, process_runtime)
        assert (again.outcome, again.released) == ("done", released)
        assert process_runtime.follows(released)
