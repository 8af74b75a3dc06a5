"""Each check of the machine can fail, and then names the fix."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from perennial.config.pipeline import Pipeline
from perennial.runtime import environment
from stack import doctor, machine
from stack.config import REPO, StackConfig
from stack.plan import Part
from stack.process import Service, recorded, start, stop
from stack.unprivileged import Obstacle


def examine(tmp_path: Path, *parts: Part) -> dict[str, machine.Finding]:
    config = StackConfig(repo=tmp_path, var=tmp_path / "var", pipelines=tmp_path)
    return {finding.subject: finding for finding in doctor.examine(config, parts)}


def part(port: int) -> Part:
    return Part(name="one", service=Service(name="one", argv=(), is_ready=lambda: True, ports=(port,)))


def test_readme_asks_for_what_doctor_asks_for() -> None:
    assert (
        f"({machine.SETUP_GB} for the installation, {machine.DISK_GB} for data) and {machine.MEMORY_GB} GB of memory"
        in (REPO / "README.md").read_text()
    )


def test_missing_tools_and_pipelines_all_show_at_once(tmp_path: Path) -> None:
    findings = examine(tmp_path)
    ill = {subject for subject, finding in findings.items() if finding.fix}
    assert {"control plane", "object store", "spark", "spark-submit", "pipelines"} <= ill
    assert "make setup" in findings["spark"].fix


def test_a_pipeline_whose_libraries_are_not_installed_is_named(
    tmp_path: Path, pipeline_factory: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pipelines/machine_faults/candidates"
    folder.mkdir(parents=True)
    (folder / "net.py").write_text("def build(columns, task):\n    return 1\n")
    monkeypatch.setenv("PERENNIAL_TRUSTED_PIPELINES", "machine_faults")
    monkeypatch.setitem(environment.PYTHONS, environment.TORCH, tmp_path / "none")
    pipeline_factory(lambda document: document["training"].update(candidates={"net": {"family": "pytorch"}}))
    finding = examine(tmp_path / "pipelines")["candidates of machine_faults"]
    assert "Run `make torch`" in finding.found
    assert not finding.fix


def test_taken_port_names_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = examine(tmp_path, part(server.getsockname()[1]))["ports of one"]
    assert "is taken by" in finding.found
    assert "PERENNIAL_PORT_OFFSET" in finding.fix


def test_free_port_is_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not examine(tmp_path, part(port))["ports of one"].fix


def test_a_service_that_ended_by_itself_is_named(tmp_path: Path) -> None:
    config = StackConfig(repo=tmp_path, var=tmp_path / "var", pipelines=tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = part(server.getsockname()[1])
    start(config, Service(name="one", argv=("sleep", "60"), is_ready=lambda: True))
    assert examine(tmp_path, one)["ports of one"].found.endswith("in use by this stack")
    record = recorded(config, "one")
    assert record is not None
    killed = psutil.Process(record.pid)
    killed.kill()
    killed.wait(10)
    assert "one" not in examine(tmp_path, one)  # it keeps nothing from starting
    (finding,) = doctor.ended(config, [one])
    assert (finding.subject, finding.found.partition(";")[0]) == ("one", "has ended by itself")
    assert "make up" in finding.fix
    assert one.service is not None
    stop(config, one.service)
    assert doctor.ended(config, [one]) == []


def test_settings_that_a_service_would_refuse_are_found_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tmp_path / "tokens"
    monkeypatch.setenv("PERENNIAL_SERVER_TOKENS", str(tokens))
    monkeypatch.setenv("PERENNIAL_AIRFLOW_USERS", "ann:chief")
    findings = examine(tmp_path)
    assert "cannot be read" in findings["tokens of the model servers"].found
    assert str(tokens) in findings["tokens of the model servers"].fix
    assert "'ann:chief': expected a role" in findings["users of Airflow"].found
    assert findings["users of Airflow"].fix
    tokens.write_text("a" * 32)
    monkeypatch.setenv("PERENNIAL_AIRFLOW_USERS", "ann:op")
    findings = examine(tmp_path)
    assert findings["tokens of the model servers"] == machine.Finding("tokens of the model servers", f"{tokens}: 1 token")
    assert findings["users of Airflow"] == machine.Finding("users of Airflow", "admin (admin), ann (op)")


def test_services_of_root_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 0)
    monkeypatch.setattr(doctor, "find_obstacle", lambda _: Obstacle("a file is closed", "Open it."))
    finding = examine(tmp_path)["user of the services"]
    assert finding == machine.Finding("user of the services", "root, because a file is closed", advice="Open it.")


@pytest.mark.parametrize(("name", "subject"), [("DISK_GB", "disk"), ("MEMORY_GB", "memory")], ids=["disk", "memory"])
def test_too_little_is_said_in_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, subject: str) -> None:
    monkeypatch.setattr(machine, name, 10**9)
    finding = examine(tmp_path)[subject]
    assert "GB" in finding.found
    assert finding.fix


def test_a_socket_that_another_user_left_is_named_and_ones_own_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket_file = tmp_path / "left.sock"
    socket_file.touch()
    one = Part(name="one", service=Service(name="one", argv=(), is_ready=lambda: True, leaves=(socket_file,)))
    for user in (0, socket_file.stat().st_uid):
        monkeypatch.setattr(doctor.os, "geteuid", lambda user=user: user)
        assert "sockets of one" not in examine(tmp_path, one)
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 12345)
    finding = examine(tmp_path, one)["sockets of one"]
    assert str(socket_file) in finding.found
    assert "PERENNIAL_PORT_OFFSET" in finding.fix
