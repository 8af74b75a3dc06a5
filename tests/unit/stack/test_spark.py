"""What the embedded Spark is started with."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from perennial.display.printed_error import read_error
from perennial.spark.conf import cluster_conf
from perennial.spark.failures import describe_end
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


def run_script(folder: Path, java: str, **settings: Path) -> subprocess.CompletedProcess[str]:
    """Run the real script with a program in the place of Java, its state in `var`."""
    home = SparkHome(folder / "home")
    home.java.parent.mkdir(parents=True)
    home.java.write_text(f"#!/bin/sh\n{java}\n")
    home.java.chmod(0o755)
    script = folder / "submit"
    script.write_text(submit_script(home, folder))
    (folder / "var").mkdir(exist_ok=True)
    environment = {"PERENNIAL_VAR": str(folder / "var"), "PATH": "/usr/bin:/bin"} | {k: str(v) for k, v in settings.items()}
    command = ["sh", str(script), "job.py"]
    return subprocess.run(command, env=environment, umask=0o022, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("is_there", [False, True])
def test_other_users_read_no_rows_of_a_job_under_any_umask(tmp_path: Path, is_there: bool) -> None:
    """A Java that writes as Spark does. An earlier version may have left an open folder."""
    place = tmp_path / "var" / "spark"
    if is_there:
        place.mkdir(parents=True)
        place.chmod(0o755)
    done = run_script(tmp_path, 'mkdir "$SPARK_LOCAL_DIRS/blockmgr"\ntouch "$SPARK_LOCAL_DIRS/blockmgr/shuffle"')
    assert done.returncode == 0, done.stderr
    assert list(place.glob("job-*/blockmgr/shuffle"))
    assert {path.stat().st_mode & 0o077 for path in (place, *place.rglob("*"))} == {0}


def test_a_job_keeps_its_temporary_files_in_the_scratch_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "a disk"
    scratch.mkdir()
    done = run_script(tmp_path, 'touch "$SPARK_LOCAL_DIRS/shuffle" "$TMPDIR/of-python"\necho "$@"', PERENNIAL_SCRATCH=scratch)
    assert done.returncode == 0, done.stderr
    (job,) = scratch.glob(f"perennial-spark-{os.getuid()}/job-*")
    assert {path.name for path in job.iterdir()} == {"shuffle", "of-python"}
    assert f"-Djava.io.tmpdir={job}" in done.stdout
    assert f"spark.hadoop.fs.s3a.buffer.dir={job}/s3a" in done.stdout
    assert {path.stat().st_mode & 0o077 for path in (job.parent, *job.parent.rglob("*"))} == {0}
    assert list((tmp_path / "var").iterdir()) == []


def test_a_scratch_that_is_no_folder_ends_the_job_with_the_reason(tmp_path: Path) -> None:
    done = run_script(tmp_path, "exit 0", PERENNIAL_SCRATCH=tmp_path / "none")
    error = describe_end(done.returncode, "file:job", done.stdout.splitlines())
    assert str(error).startswith(f"PERENNIAL_SCRATCH is {tmp_path}/none, which is not a folder. Create it on a local disk")


def test_a_scratch_with_a_link_in_the_place_of_the_folder_of_jobs_is_refused(tmp_path: Path) -> None:
    """Other users may write to the folder, and a link of theirs could lead rows elsewhere."""
    scratch, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    scratch.mkdir()
    elsewhere.mkdir()
    (scratch / f"perennial-spark-{os.getuid()}").symlink_to(elsewhere)
    done = run_script(tmp_path, "exit 0", PERENNIAL_SCRATCH=scratch)
    assert done.returncode == 1
    assert "needs a folder of its own user" in read_error(done.stdout.splitlines())
    assert list(elsewhere.iterdir()) == []
