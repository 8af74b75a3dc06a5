"""What the embedded Spark is started with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from perennial.spark.conf import cluster_conf
from stack.config import REPO, StackConfig
from stack.metastore import hive_site
from stack.spark import SparkHome, properties, submit_script
from stack.spark_archive import archive_path
from stack.spark_cluster import prepare_spark_cluster


def test_changed_jar_never_uses_a_stale_archive(tmp_path: Path) -> None:
    java, jar = tmp_path / "runtime" / "bin" / "java", tmp_path / "one.jar"
    java.parent.mkdir(parents=True)
    (tmp_path / "runtime" / "release").write_text("21", encoding="utf-8")
    jar.write_bytes(b"1")
    before = archive_path(tmp_path, java, [jar])

    jar.write_bytes(b"22")

    assert archive_path(tmp_path, java, [jar]) != before


def test_settings_of_the_machine_leave_the_lake_to_the_job() -> None:
    text = properties(Path("/logging"), Path("/archive"), [Path("/jars"), Path("/own")])

    assert "catalog" not in text
    assert "fs.s3a" not in text


def test_folder_with_a_blank_is_quoted() -> None:
    script = submit_script(SparkHome(Path("/a b/.spark")), Path("/a b/include"))

    assert "PYTHONPATH='/a b/include'" in script
    assert "@'/a b/.spark/java.arguments'" in script


def test_password_with_markup_stays_one_value() -> None:
    assert "<value>&lt;&amp;&gt;</value>" in hive_site({"javax.jdo.option.ConnectionPassword": "<&>"})


def test_jobs_of_a_local_spark_need_a_secret_and_those_of_a_cluster_cannot() -> None:
    assert "spark.authenticate true\n" in properties(Path("/logging"), Path("/archive"), [Path("/jars"), Path("/own")])
    assert cluster_conf("local[4]") == {}
    assert cluster_conf("spark://127.0.0.1:7077") == {"spark.authenticate": "false"}
    assert cluster_conf("spark://127.0.0.1:7077", has_properties=True) == {}


def test_master_workers_and_drivers_share_one_secret(tmp_path: Path) -> None:
    config = StackConfig(repo=REPO, var=tmp_path / "var", keys=tmp_path / "keys")
    prepare_spark_cluster(config)
    file = tmp_path / "keys/spark/spark.properties"
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "spark.authenticate true\n" in text
    secret = re.search(r"^spark\.authenticate\.secret (\S{40,})$", text, re.MULTILINE)
    assert secret
    assert "127.0.0.1" not in text, "executors could not reach the driver"
    prepare_spark_cluster(config)
    assert file.read_text() == text


@pytest.mark.parametrize("is_there", [False, True])
def test_other_users_read_no_rows_of_a_job_under_any_umask(tmp_path: Path, is_there: bool) -> None:
    """The real script, with a Java that writes as Spark does. An earlier version may have left an open folder."""
    home, place = SparkHome(tmp_path / "home"), tmp_path / "var" / "spark"
    home.java.parent.mkdir(parents=True)
    home.java.write_text('#!/bin/sh\nmkdir "$SPARK_LOCAL_DIRS/blockmgr"\ntouch "$SPARK_LOCAL_DIRS/blockmgr/shuffle"\n')
    home.java.chmod(0o755)
    if is_there:
        place.mkdir(parents=True)
        place.chmod(0o755)
    script = tmp_path / "submit"
    script.write_text(submit_script(home, tmp_path))
    environment = {"PERENNIAL_VAR": str(tmp_path / "var"), "PATH": "/usr/bin:/bin"}
    (tmp_path / "var").mkdir(exist_ok=True)
    subprocess.run(["sh", script, "job.py"], env=environment, umask=0o022, timeout=60, check=True)
    assert list(place.glob("job-*/blockmgr/shuffle"))
    assert {path.stat().st_mode & 0o077 for path in (place, *place.rglob("*"))} == {0}
