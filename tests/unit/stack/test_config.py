"""Where a stack lives, and what its processes are told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stack.config import PORTS, REPO, StackConfig
from stack.errors import StackError
from stack.plan import plan
from stack.roles import Role

StackOf = Callable[..., StackConfig]


@pytest.fixture
def stack_of(monkeypatch: pytest.MonkeyPatch) -> StackOf:
    """Return a function that makes a stack from these variables and no others."""

    def make(**variables: str) -> StackConfig:
        for name in [name for name in os.environ if name.startswith("PERENNIAL_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return StackConfig.from_environment()

    return make


def test_offset_moves_every_port(tmp_path: Path, stack_of: StackOf) -> None:
    config = stack_of(PERENNIAL_VAR=str(tmp_path), PERENNIAL_PORT_OFFSET="100")
    assert {config.port(name) - default for name, default in PORTS.items()} == {100}
    assert config.shared_environment()["AWS_ENDPOINT_URL_S3"] == f"http://127.0.0.1:{PORTS['s3'] + 100}"


def test_a_shell_need_not_know_the_offset_of_what_runs(tmp_path: Path, stack_of: StackOf) -> None:
    here = {"PERENNIAL_VAR": str(tmp_path)}
    stack_of(**here, PERENNIAL_PORT_OFFSET="100").write_environment()
    assert stack_of(**here).offset == 0
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "gone.json").write_text('{"pid": 999999999, "created": 0.0}')
    assert stack_of(**here).offset == 0
    (tmp_path / "run" / "s3.json").write_text(json.dumps({"pid": os.getpid(), "created": psutil.Process().create_time()}))
    assert stack_of(**here).offset == 100
    stack_of(**here).check_offset()
    other = stack_of(**here, PERENNIAL_PORT_OFFSET="200")
    with pytest.raises(StackError, match=r"PERENNIAL_PORT_OFFSET=100, found 200.*make down"):
        other.check_offset()


def test_no_two_services_share_a_port() -> None:
    assert len(set(PORTS.values())) == len(PORTS)


@pytest.mark.parametrize("text", ["-1", "abc", "1e3", "60000", "٣", " 5"])
def test_impossible_offset_is_refused_by_name(text: str, stack_of: StackOf) -> None:
    with pytest.raises(StackError, match="PERENNIAL_PORT_OFFSET"):
        stack_of(PERENNIAL_PORT_OFFSET=text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::1", "localhost", "172.18.0.1:8333"])  # noqa: S104  refused
def test_store_listens_at_one_address(text: str, stack_of: StackOf) -> None:
    with pytest.raises(StackError, match="PERENNIAL_S3_BIND"):
        stack_of(PERENNIAL_S3_BIND=text)


def test_store_of_a_container_listens_everywhere_and_has_a_name(stack_of: StackOf, tmp_path: Path) -> None:
    config = stack_of(PERENNIAL_VAR=str(tmp_path), PERENNIAL_S3_BIND="0.0.0.0", PERENNIAL_S3_HOST="s3")  # noqa: S104
    assert config.s3_bind == "0.0.0.0"  # noqa: S104
    assert config.shared_environment()["AWS_ENDPOINT_URL_S3"] == f"http://s3:{PORTS['s3']}"
    assert "s3" in config.process_environment()["NO_PROXY"].split(",")


def test_shells_know_where_releases_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_RUNTIME", "kubernetes")
    monkeypatch.setenv("PERENNIAL_SERVER_IMAGE", "perennial-server:1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    StackConfig(repo=tmp_path, var=tmp_path).write_environment()
    lines = (tmp_path / "stack.env").read_text().splitlines()
    assert {"PERENNIAL_RUNTIME=kubernetes", "PERENNIAL_SERVER_IMAGE=perennial-server:1"} <= set(lines)
    assert not any(line.startswith("KUBECONFIG") for line in lines)


def test_keys_of_the_users_shell_do_not_reach_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of another account")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "of another Airflow")
    monkeypatch.setenv("SPARK_HOME", "of another Spark")
    environment = StackConfig(repo=tmp_path, var=tmp_path).process_environment()
    assert not {"AWS_ACCESS_KEY_ID", "AIRFLOW__CORE__EXECUTOR", "SPARK_HOME"} & set(environment)
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_a_service_has_the_keys_of_its_role_alone(tmp_path: Path) -> None:
    config = StackConfig(repo=REPO, var=tmp_path)
    owner = str(config.credentials(Role.OWNER))
    assert config.shared_environment()["AWS_SHARED_CREDENTIALS_FILE"] == owner == str(tmp_path / "secrets" / "aws_credentials")
    roles = {part.name: part.service.role for part in plan(config) if part.service}
    assert {name: role for name, role in roles.items() if not name.startswith(("airflow", "server"))} == {
        "s3": None,
        "postgres": None,
        "metastore": Role.JOBS,
    }
    assert {role for name, role in roles.items() if name.startswith("airflow")} == {Role.JOBS}
    assert {role for name, role in roles.items() if name.startswith("server")} == {Role.SERVING}
    for role in {*roles.values()} - {None}:
        environment = config.process_environment(role=role)
        assert environment["AWS_SHARED_CREDENTIALS_FILE"] == str(tmp_path / "secrets" / role / "aws_credentials")
        assert owner not in environment.values()


def test_containers_without_other_secrets_have_a_folder_of_keys(tmp_path: Path) -> None:
    config = StackConfig(repo=tmp_path, var=tmp_path / "var", keys=tmp_path / "keys")
    assert {role: config.credentials(role).relative_to(tmp_path).parts[0] for role in Role} == {
        Role.OWNER: "var",
        Role.JOBS: "keys",
        Role.SERVING: "keys",
        Role.LANDING: "var",
    }


def test_a_proxy_of_the_users_shell_is_not_asked_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "intranet")
    environment = StackConfig(repo=tmp_path, var=tmp_path).process_environment()
    assert environment["no_proxy"] == "intranet,127.0.0.1,localhost"
    assert "127.0.0.1" in environment["NO_PROXY"]


def test_environment_file_holds_addresses_and_no_secret(tmp_path: Path) -> None:
    config = StackConfig(repo=tmp_path, var=tmp_path / "var")
    config.write_environment()
    lines = dict(line.split("=", 1) for line in config.environment_file.read_text(encoding="utf-8").splitlines())
    assert lines == config.shared_environment()
    assert not [key for key in lines if "SECRET" in key or "PASSWORD" in key]


def test_pipelines_are_counted_in_alphabetical_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pipeline.yaml").touch()
    (tmp_path / "no_pipeline").mkdir()
    assert StackConfig(repo=tmp_path, var=tmp_path, pipelines=tmp_path).pipeline_names() == ["a", "b", "c"]


def test_a_link_to_the_pipelines_may_be_switched_while_the_stack_runs(tmp_path: Path, stack_of: StackOf) -> None:
    for name in ("old", "new"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "pipeline.yaml").touch()
    link = tmp_path / "current"
    link.symlink_to("old")
    config = stack_of(PERENNIAL_PIPELINES=str(link))
    assert config.pipeline_names() == ["old"]
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(link)
    assert config.pipeline_names() == ["new"]
    assert config.shared_environment()["PERENNIAL_PIPELINES"] == str(link)


def test_a_store_of_the_users_takes_the_place_of_the_stacks_own(tmp_path: Path, stack_of: StackOf) -> None:
    (tmp_path / "keys").write_text("[default]\n")
    environment = {
        "PERENNIAL_VAR": str(tmp_path / "var"),
        "PERENNIAL_STORE_CREDENTIALS": str(tmp_path / "keys"),
        "PERENNIAL_LAKE": "s3://team-lake/",
    }
    config = stack_of(**environment)
    told = config.shared_environment()
    assert "AWS_ENDPOINT_URL_S3" not in told  # AWS
    assert (told["PERENNIAL_LAKE"], told["AWS_SHARED_CREDENTIALS_FILE"]) == ("s3://team-lake", str(tmp_path / "keys"))
    parts = {part.name: part for part in plan(config)}
    assert "s3" not in parts
    assert parts["metastore"].needs == ("postgres",)
    assert told["PERENNIAL_SERVING_CREDENTIALS"] == str(tmp_path / "keys")
    other = stack_of(**environment, PERENNIAL_STORE_ENDPOINT="https://s3.example.com")
    assert other.shared_environment()["AWS_ENDPOINT_URL_S3"] == "https://s3.example.com"


def test_model_servers_may_have_keys_of_their_own_for_a_store_of_the_users(tmp_path: Path, stack_of: StackOf) -> None:
    for name in ("keys", "reading"):
        (tmp_path / name).write_text("[default]\n")
    config = stack_of(
        PERENNIAL_VAR=str(tmp_path / "var"),
        PERENNIAL_STORE_CREDENTIALS=str(tmp_path / "keys"),
        PERENNIAL_SERVING_CREDENTIALS=str(tmp_path / "reading"),
        PERENNIAL_LAKE="s3://team-lake",
    )
    files = {role: config.process_environment(role=role)["AWS_SHARED_CREDENTIALS_FILE"] for role in (Role.JOBS, Role.SERVING)}
    assert files == {Role.JOBS: str(tmp_path / "keys"), Role.SERVING: str(tmp_path / "reading")}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"PERENNIAL_SERVING_CREDENTIALS": "/nowhere"}, "PERENNIAL_SERVING_CREDENTIALS points to /nowhere, which is not a file"),
        ({"PERENNIAL_STORE_CREDENTIALS": "/nowhere"}, "is not a file"),
        ({"PERENNIAL_LAKE": "team-lake"}, "expected s3://BUCKET"),
    ],
)
def test_a_store_without_keys_or_lake_is_refused(
    tmp_path: Path, stack_of: StackOf, changes: dict[str, str], problem: str
) -> None:
    (tmp_path / "keys").touch()
    environment = {"PERENNIAL_STORE_CREDENTIALS": str(tmp_path / "keys"), "PERENNIAL_LAKE": "s3://team-lake", **changes}
    with pytest.raises(StackError, match=problem):
        stack_of(**environment)
