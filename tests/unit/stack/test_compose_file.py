"""`docker-compose.yaml`: who meets whom in a network, who sees which secret, and which settings reach the parts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from perennial.settings import Settings, variables_of
from stack.config import REPO, StackConfig
from stack.plan import plan
from stack.spark_cluster import DRIVER

FILE = yaml.safe_load((REPO / "docker-compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = FILE["services"]
AIRFLOW = {"airflow-database", "airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}


def networks(service: str) -> set[str]:
    return set(SERVICES[service].get("networks", ()))


def mounts(target: str) -> dict[str, str]:
    """Return the services that mount something other than a scratch disk at a path of theirs, and how: `ro` or `rw`."""
    found = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            if isinstance(volume, str):
                source, at, *mode = volume.split(":")
                if at == target and not source.startswith("scratch-"):
                    found[name] = mode[0] if mode else "rw"
            elif volume["target"] == target:
                found[name] = "ro" if volume["read_only"] else "rw"
    return found


def test_only_the_parts_that_share_a_loopback_reach_postgres_and_the_metastore() -> None:
    inside = {name for name, service in SERVICES.items() if service.get("network_mode") == "service:net"}
    assert inside == AIRFLOW | {"postgres", "metastore", "signing"}


def test_a_model_server_and_a_spark_worker_share_no_network() -> None:
    assert networks("server") == {"serving"}
    assert networks("spark-worker") == networks("spark-master") == {"spark"}
    assert networks("s3") == networks("net") == {"serving", "spark"}
    assert all("networks" in service or "network_mode" in service for service in SERVICES.values())
    assert FILE["networks"]["spark"] == {"internal": True}


def test_executors_find_the_driver() -> None:
    assert SERVICES["net"]["networks"]["spark"] == {"aliases": [DRIVER]}


def test_each_part_of_the_stack_is_checked_by_its_own_record() -> None:
    checked = {name: service["healthcheck"]["test"] for name, service in SERVICES.items() if "healthcheck" in service}
    by_record = {name: test[-1] for name, test in checked.items() if FILE["x-is-recent"] in test}
    assert by_record == {name: name for name in ("s3", "postgres", "metastore", *AIRFLOW - {"airflow-database"})}


def test_ports_are_published_on_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"net", "server"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_kubeconfig_is_where_tasks_and_triggers_run() -> None:
    users = {"airflow-scheduler", "airflow-triggerer"}
    assert mounts("/run/kubeconfig") == dict.fromkeys(users, "ro")
    assert {name for name, service in SERVICES.items() if "KUBECONFIG" in service.get("environment", {})} == users


def test_each_part_sees_the_secrets_that_it_needs() -> None:
    keys = "/var/lib/perennial-keys"
    assert mounts("/var/lib/perennial").keys() == AIRFLOW | {"s3", "postgres", "metastore", "signing", "spark-cluster"}
    assert mounts(f"{keys}/signing") == {"signing": "rw", "airflow-scheduler": "ro"}
    assert mounts(f"{keys}/serving") == {"s3": "rw", "signing": "rw", "airflow-scheduler": "ro", "server": "ro"}
    spark = {"spark-cluster": "rw", "spark-master": "ro", "spark-worker": "ro", "airflow-scheduler": "ro"}
    assert mounts(f"{keys}/spark") == spark
    jobs = (AIRFLOW | {"metastore", "signing", "spark-worker"}) - {"airflow-database"}
    assert mounts(f"{keys}/jobs") == {"s3": "rw", **dict.fromkeys(jobs, "ro")}
    assert mounts("/run/server_tokens") == {"airflow-scheduler": "ro", "server": "ro"}


def test_every_started_part_is_in_the_plan(tmp_path: Path) -> None:
    parts = {part.name for part in plan(StackConfig(repo=REPO, var=tmp_path, pipelines=tmp_path, keys=tmp_path))}
    assert {service["command"][1] for service in SERVICES.values() if service.get("command", [""])[0] == "run"} == parts


def test_every_container_is_confined() -> None:
    for name, service in SERVICES.items():
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("10001:10001", True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name


MADE_BY_THE_STACK = {
    *(
        "PERENNIAL_MAX_ROW_MS",
        "PERENNIAL_MAX_SCRATCH",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SHARED_CREDENTIALS_FILE",
    ),
    *("PERENNIAL_AIRFLOW_LOGIN", "PERENNIAL_AIRFLOW_URL", "PERENNIAL_LAKE", "PERENNIAL_METASTORE_URI"),
    *("PERENNIAL_SERVING_CREDENTIALS", "PERENNIAL_SIGNING_KEY", "PERENNIAL_SPARK_SUBMIT", "PERENNIAL_TRUSTED_KEYS"),
}
FIXED_IN_CONTAINERS = {
    "PERENNIAL_PIPELINES",
    "PERENNIAL_VAR",
    "PERENNIAL_PORT_OFFSET",
    "PERENNIAL_ENDPOINT_PORT",
    "PERENNIAL_SCRATCH",
}
"""Folders are mounted at their default places, and each container has its own ports."""

NOT_IN_CONTAINERS = {"PERENNIAL_STORE_CREDENTIALS", "PERENNIAL_STORE_ENDPOINT", "PERENNIAL_STORE_REGION"}


def test_every_setting_reaches_the_scheduler_or_has_its_place_in_the_stack() -> None:
    all_settings = {name for field in Settings.model_fields for name in variables_of(field)}
    passed = set(SERVICES["airflow-scheduler"]["environment"]) - {"HOME"}
    assert passed == all_settings - MADE_BY_THE_STACK - FIXED_IN_CONTAINERS - NOT_IN_CONTAINERS


def test_large_lookups_of_a_model_server_lie_on_a_volume() -> None:
    """Its /tmp is in memory."""
    server = SERVICES["server"]
    assert f"scratch-serving:{server['environment']['PERENNIAL_SCRATCH']}" in server["volumes"]
    dockerfile = (REPO / "include/images/server/Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -o 10001 -g 10001 -m 700 {server['environment']['PERENNIAL_SCRATCH']}\n" in dockerfile


def test_a_model_server_gets_its_settings() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in (REPO / "include/perennial/serve").glob("*.py"))
    fields = set(re.findall(r"settings\(?\)?\.(\w+)", source)) & set(Settings.model_fields)
    assert {"server_memory_mib", "server_tokens", "server_address_connections"} <= fields
    needed = {variables_of(field)[0] for field in fields}
    assert needed <= set(SERVICES["server"]["environment"])
