"""What the scheduler imports for its tasks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.loaders import JSONFileLoader

import airflow_local_settings
from perennial.store.objects import Objects

FILE = Path(airflow_local_settings.__file__)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["airflow", "scheduler", "--skip-serve-logs"], True),
        (["airflow", "api-server"], False),
        (["airflow"], False),
        ([], False),
    ],
)
def test_the_scheduler_is_known_by_its_command(arguments: list[str], expected: bool) -> None:
    assert airflow_local_settings.is_scheduler(arguments) == expected


def test_the_scheduler_has_it_all_and_none_of_our_own_code() -> None:
    script = f"import sys; sys.argv = ['airflow', 'scheduler']; import runpy; runpy.run_path({str(FILE)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert loaded.issuperset(airflow_local_settings.USED_BY_TASKS)
    assert not [name for name in loaded if name.partition(".")[0] in ("perennial", "perennial_airflow")]


def test_a_task_finds_what_aws_says_of_s3_and_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    airflow_local_settings.import_for_tasks()
    known = boto3.DEFAULT_SESSION._session.get_component("data_loader")
    read: list[str] = []
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda loader, path: read.append(path))
    for number in range(2):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"key {number}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", f"eu-west-{number}")
        client = Objects().client
        assert client._request_signer._credentials.access_key == f"key {number}"
        assert client.meta.region_name == f"eu-west-{number}"
    assert read == []
    assert known is boto3.DEFAULT_SESSION._session.get_component("data_loader")
