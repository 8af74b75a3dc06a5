"""The class archive (AppCDS), which halves the cost of a Spark job: the JVM maps loaded classes instead of reading jars."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from perennial.spark.conf import FILES
from stack.config import NEUTRAL
from stack.errors import StackError

WARM_UP = Path(__file__).with_name("spark_warm_up.py")


def archive_path(folder: Path, java: Path, class_path: Sequence[Path]) -> Path:
    """Return the archive's file. Its name changes with Java, each jar and the warm-up, so that a stale one is never used."""
    digest = hashlib.sha256(java.parents[1].joinpath("release").read_bytes() + WARM_UP.read_bytes())
    for jar in class_path:
        digest.update(f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}\n".encode())
    return folder / f"classes-{digest.hexdigest()[:16]}.jsa"


def ensure_archive(archive: Path, java: Path, class_path: Sequence[Path], spark_submit: Path) -> bool:
    """Build the archive from the classes that a warm-up job loads. Return False if it exists already."""
    if archive.exists():
        return False
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".archive-") as scratch:
        loaded, built = Path(scratch, "classes.txt"), Path(scratch, "classes.jsa")
        environment = {
            **os.environ,
            **NEUTRAL,
            "PERENNIAL_VAR": scratch,
            # The archive in the job's settings does not exist yet.
            "JDK_JAVA_OPTIONS": f'-Xshare:off "-XX:DumpLoadedClassList={loaded}"',
        }
        _run([spark_submit, *hadoop_catalog(Path(scratch)), WARM_UP, scratch], environment)
        dump = ["-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedClassListFile={loaded}", f"-XX:SharedArchiveFile={built}"]
        _run([java, *dump, "-cp", ":".join(map(str, class_path))], {**os.environ, **NEUTRAL})
        for old in archive.parent.glob("classes-*.jsa"):
            old.unlink()
        built.replace(archive)
    return True


def hadoop_catalog(folder: Path) -> list[str]:
    """Return the settings of an Iceberg catalog in a folder, because the warm-up runs without a metastore and S3."""
    settings = {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.ice": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.ice.type": "hadoop",
        "spark.sql.catalog.ice.io-impl": FILES,
        "spark.sql.catalog.ice.warehouse": f"file:{folder}/warehouse",
        "spark.sql.ansi.enabled": "true",
    }
    return [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise StackError(
            f"Spark's class archive: {Path(words[0]).name} ended with {done.returncode}: "
            f"{(done.stdout + done.stderr).strip()[-500:]}. "
            "Run `make setup` again. If it fails again, run `make distclean setup`."
        )
