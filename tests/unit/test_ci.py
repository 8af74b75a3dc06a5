"""The script that CI runs: which suites must run, and what it says of those that did not. `make` and docker are stand-ins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from stack.config import REPO

pytestmark = pytest.mark.exhaustive

TOOLS = "awk bash cat cp cut dirname getconf grep mkdir nice nproc rm sed sleep sort tail tee timeout touch".split()
"""All that the script finds on the PATH, so that a program of this machine does not count."""

Script = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a function that writes a program into the place of this test."""

    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/bash\n{text}\n")
        file.chmod(0o755)

    return write


@pytest.fixture
def run(tmp_path: Path, script: Script) -> Run:
    """Return a function that runs the script in a checkout beside which nothing is; all that `make` is asked for succeeds."""
    shutil.copytree(REPO / ".ci", tmp_path / "checkout/.ci")
    script("bin/make", 'echo "made $1"')
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))

    def execute(**environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "REQUIRE_"))}
        return subprocess.run(
            [tmp_path / "checkout/.ci/run"],
            env={**inherited, "PATH": f"{tmp_path}/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return execute


def made(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return what `make` was asked for."""
    return {line.removeprefix("made ") for line in done.stdout.splitlines() if line.startswith("made ")}


CHECKOUT = {"setup", "lint", "test", "test-start"}
CONTAINERS = {"images", "test-kubernetes", "test-compose"}


def test_a_machine_without_docker_and_a_cluster_passes_and_is_told_what_did_not_run(run: Run) -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert made(done) == CHECKOUT
    assert "kubernetes: KUBECONFIG names no cluster" in done.stdout.partition("Did not run:")[2]
    assert "compose: this machine has no docker" in done.stdout.partition("Did not run:")[2]


def test_all_suites_run_where_docker_and_a_cluster_are(run: Run, script: Script, tmp_path: Path) -> None:
    script("bin/docker", "")
    script("bin/kubeconform", "")
    done = run(KUBECONFIG=str(tmp_path / "config"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert made(done) == CHECKOUT | CONTAINERS
    assert "nothing: all suites ran" in done.stdout.partition("Did not run:")[2]


def test_the_cluster_and_the_containers_are_made_by_the_scripts_beside_the_checkout(
    run: Run, script: Script, tmp_path: Path
) -> None:
    daemon = "sleep 70 >/dev/null 2>&1 </dev/null &"  # it stays, and nothing waits for it
    script("shared/docker/up", f"{daemon}\ncp {tmp_path}/shared/docker/base-images {tmp_path}/bin/docker")
    for name in ("docker/base-images", "docker/compose-plugin", "kubelocal/build", "kubelocal/load-image"):
        script(f"shared/{name}", "")
    script("shared/kubelocal/up", "echo /the/kubeconfig")
    script("shared/kubelocal/down", f"touch {tmp_path}/stopped")
    script("bin/kubeconform", "")
    script("bin/make", 'echo "made $1"; [[ $1 != test-kubernetes ]] || echo "with $KUBECONFIG"')
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert made(done) == CHECKOUT | CONTAINERS
    assert "with /the/kubeconfig" in done.stdout
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize(
    ("environment", "scripts", "said"),
    [
        (
            {"REQUIRE_KUBERNETES": "1"},
            {"bin/kubeconform": ""},
            "kubernetes: KUBECONFIG is not set, and starting a cluster failed",
        ),
        ({"REQUIRE_COMPOSE": "1"}, {}, "compose: docker compose does not run"),
        ({"KUBECONFIG": "/k"}, {}, "kubernetes: kubeconform is not on the PATH, and Go cannot install it"),
        ({}, {"bin/docker": "[[ $1 != compose ]]"}, "compose: docker compose does not run"),
        (
            {},
            {"bin/kubeconform": "", "shared/kubelocal/build": "echo no compiler; exit 1", "shared/kubelocal/up": ""},
            "kubernetes: KUBECONFIG is not set, and starting a cluster failed",
        ),
        (
            {},
            {"bin/kubeconform": "", "shared/kubelocal/build": "", "shared/kubelocal/up": "exit 1"},
            "kubernetes: KUBECONFIG is not set, and starting a cluster failed",
        ),
        ({}, {"shared/docker/up": "echo no daemon; exit 1"}, "compose: docker compose does not run"),
    ],
    ids=["cluster asked for", "containers asked for", "no kubeconform", "no compose", "no programs", "no cluster", "no docker"],
)
def test_a_suite_that_must_run_and_cannot_fails_the_run(
    run: Run, script: Script, environment: dict[str, str], scripts: dict[str, str], said: str
) -> None:
    for path, text in scripts.items():
        script(path, text)
    done = run(**environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout.partition("Did not run:")[2]
    assert made(done) >= CHECKOUT


def test_a_suite_that_a_machine_is_excused_from_is_listed(run: Run, script: Script) -> None:
    script("shared/docker/up", "exit 1")
    script("shared/kubelocal/up", "exit 1")
    done = run(REQUIRE_KUBERNETES="0", REQUIRE_COMPOSE="0")
    assert done.returncode == 1  # docker itself was to be had
    assert "kubernetes: REQUIRE_KUBERNETES=0" in done.stdout


@pytest.mark.parametrize("failing", ["lint", "test", "images", "test-kubernetes", "test-compose"])
def test_a_suite_that_fails_fails_the_run_and_stops_no_other(run: Run, script: Script, failing: str) -> None:
    script("bin/docker", "")
    script("bin/kubeconform", "")
    script("bin/make", f'echo "made $1"; [[ $1 != {failing} ]]')
    done = run(KUBECONFIG="/k")
    assert done.returncode == 1
    assert made(done) == CHECKOUT | CONTAINERS
    assert done.stdout.count("FAILED") == 1


@pytest.mark.parametrize(("lane", "suite"), [("first", "test"), ("second", "images")])
def test_a_lane_that_ends_early_fails_the_run(run: Run, script: Script, lane: str, suite: str) -> None:
    script("bin/docker", "")
    script("bin/make", f'echo "made $1"; [[ $1 != {suite} ]] || kill -9 $(cut -d" " -f4 /proc/$PPID/stat)')
    done = run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{lane} lane: it ended before its last suite" in done.stdout.partition("Did not run:")[2]


def test_tests_that_were_skipped_are_listed(run: Run, script: Script) -> None:
    script("bin/make", 'echo "made $1"; echo "SKIPPED [1] tests/$1.py:7: no browser"')
    listed = run().stdout.partition("Did not run:")[2]
    assert "[1] tests/test.py:7: no browser" in listed


@pytest.mark.parametrize(
    ("budget", "whole", "last"),
    [
        (1, 0, [r"Over its budget: slow took \d+ s of 1 s", r"Over its budget: the whole took \d+ s of 0 s"]),
        (500, 500, ["Did not run:", "  nothing: all suites ran, and all of their tests"]),
    ],
    ids=["over", "within"],
)
def test_what_outgrows_its_budget_is_told_in_the_last_lines(tmp_path: Path, budget: int, whole: int, last: list[str]) -> None:
    script = (
        f"source '{REPO}/.ci/suites.sh'; begin_results {tmp_path}/results 600; suite slow {budget} sleep 2; print_results {whole}"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert [bool(re.fullmatch(line, said)) for line, said in zip(last, done.stdout.splitlines()[-2:], strict=True)] == [
        True
    ] * 2, done.stdout


def test_a_suite_that_does_not_end_is_ended_with_all_that_it_started_and_the_table_is_printed(tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    hangs.write_text(f"#!/bin/bash\n(trap '' TERM; exec sleep 300) & echo $! >{tmp_path}/child\nwait\n")
    hangs.chmod(0o755)
    program = (
        f"source .ci/suites.sh; begin_results {tmp_path}/logs 60; suite slow 1 {hangs}; suite quick 1 true; print_results 60"
    )
    done = subprocess.run(["bash", "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Ended after 3 s" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    slow = next(line for line in lines if line[:1] == ["slow"])
    assert slow[2:] == ["1", "FAILED,", "ended", "after", "3", "s"]
    assert int(slow[1]) >= 3  # on a busy machine, its end takes a while
    assert [line[3] for line in lines if line[:1] == ["quick"]] == ["passed"]
    assert not is_running(int((tmp_path / "child").read_text()))


def test_no_suite_begins_when_the_time_of_all_is_over(tmp_path: Path) -> None:
    program = f"source .ci/suites.sh; begin_results {tmp_path}/logs 0; suite late 1 touch {tmp_path}/begun; print_results 60"
    done = subprocess.run(["bash", "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "late: the 0 s of all suites are over" in done.stdout.partition("Did not run:")[2]
    assert not (tmp_path / "begun").exists()


def test_a_lane_that_is_ended_takes_its_suite_along(tmp_path: Path) -> None:
    program = f"source .ci/suites.sh; begin_results {tmp_path}/logs 60; suite slow 9 sleep 300"
    with subprocess.Popen(["bash", "-c", program], cwd=REPO, stdout=subprocess.DEVNULL) as lane:
        suite = wait_for_child(lane.pid)
        lane.terminate()
        assert lane.wait(20) == 143
    assert not is_running(suite)


def wait_for_child(pid: int) -> int:
    """Return the program that a suite of this shell runs, once it does."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # the shell's own helpers come and go
                if child.name() == "sleep":
                    return int(child.pid)
        time.sleep(0.05)
    raise AssertionError("the suite did not begin")


def is_running(pid: int) -> bool:
    """Tell whether a process is there and is not only waiting to be reaped; what was just ended has a moment."""
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    return False


def test_a_browser_is_installed_where_there_is_none_and_apt_can(run: Run, script: Script, tmp_path: Path) -> None:
    script("bin/apt-get", f'echo "$*" >>{tmp_path}/asked')
    assert run().returncode == 0
    assert (tmp_path / "asked").read_text().splitlines() == ["update", "install --yes --no-install-recommends chromium"]
    (tmp_path / "asked").unlink()
    script("bin/chromium-browser", "")
    assert run().returncode == 0
    assert not (tmp_path / "asked").exists()
