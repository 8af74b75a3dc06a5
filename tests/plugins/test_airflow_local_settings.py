"""What the scheduler imports for its tasks."""

from __future__ import annotations

import os
import shutil
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


def test_the_scheduler_imports_the_modules_of_tasks_and_no_heavy_ones() -> None:
    script = f"import sys; sys.argv = ['airflow', 'scheduler']; import runpy; runpy.run_path({str(FILE)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.issuperset(airflow_local_settings.USED_BY_TASKS)
    assert loaded.issuperset(airflow_local_settings.OWN_USED_BY_TASKS)
    assert not loaded & {"lightgbm", "onnx", "optuna", "pyspark", "tensorflow", "xgboost"}


FORKS = """
import os, sys
import airflow_local_settings

def fork() -> str:
    \"\"\"Return whether a fork inherits modules of Perennial, and whether it has the edited one.\"\"\"
    reader, writer = os.pipe()
    if os.fork() == 0:
        inherits = any(name.partition(".")[0] in airflow_local_settings.OWN_PACKAGES for name in sys.modules)
        try:
            from perennial.config import answers
            edited = hasattr(answers, "EDITED")
        except ImportError:
            edited = "missing"
        try:
            from perennial.deploy import trials_of_tests
            from perennial.fingerprints.code import _refuse_changed
            _refuse_changed(["perennial.deploy.trials_of_tests", "perennial.config.answers"])
        except ImportError:
            pass
        os.write(writer, f"{inherits} {edited}".encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    return os.read(reader, 100).decode()

airflow_local_settings.import_own_code()
print(fork())
other = sys.modules["perennial.deploy.deploy"].__file__.replace("deploy.py", "trials_of_tests.py")
open(other, "w").write("NEW = True\\n")
print(fork())
file = sys.modules["perennial.config.answers"].__file__
times = os.stat(file)
open(file, "a").write("EDITED = True\\n")
os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
print(fork())
os.remove(file)
print(fork())
"""


def test_a_task_inherits_our_own_modules_unless_a_file_has_changed(tmp_path: Path) -> None:
    for source in (FILE.parent, FILE.parents[1] / "include"):
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__", "pipelines"))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}/plugins:{tmp_path}/include"}
    done = subprocess.run([sys.executable, "-c", FORKS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True False", "True False", "False True", "False missing"], done.stderr


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
