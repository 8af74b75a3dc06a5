"""The frame of every Spark job: open the session, read the job file, run the work, and exit with the right code."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

from py4j.protocol import Py4JJavaError  # type: ignore[import-not-found, import-untyped, unused-ignore]
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from perennial.display.printed_error import mark_error
from perennial.display.showable import make_logs_showable
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError
from perennial.fingerprints.code import digests_of_job
from perennial.spark.failures import describe_java_error, find_refusal
from perennial.spark.java import JavaObject, jvm
from perennial.spark.job_file import FORMAT, CostRecord
from perennial.spark.sql import without_plan
from perennial.store.content_name import check_job_name

log = logging.getLogger("perennial.spark")
_TABLES_AT_ONCE = 4
Value = TypeVar("Value")
Job = TypeVar("Job")
Read = Callable[[Mapping[str, Any]], Job]
"""A function that returns a stage's job from its stored form."""


def run_job(kind: str, arguments: list[str], read: Read[Job], work: Callable[[SparkSession, Job], None]) -> None:
    """Run a job. For an error of our own, log its text alone and exit; for any other error, log the traceback too."""
    spark, began = None, time.monotonic()
    try:
        spark, job, cost = open_job(kind, arguments, read)
        work(spark, job)
        _record_cost(spark, cost, time.monotonic() - began)
    except PerennialError as error:
        _fail(str(error), REFUSED_EXIT_CODE if isinstance(error, RefusedError) else 1)
    except AnalysisException as error:
        _fail(f"Spark cannot plan a query of Perennial: {without_plan(error)}", 1, error)
    except PySparkException as error:
        _fail(f"Spark failed: {error}", 1, error)
    except Py4JJavaError as error:
        if refusal := find_refusal(str(error)):
            _fail(refusal, REFUSED_EXIT_CODE)
        _fail(describe_java_error(str(error)), 1, error)
    finally:
        if spark is not None:
            spark.stop()


def _fail(text: str, code: int, error: BaseException | None = None) -> NoReturn:
    """Print the error of the job, with the place in our code if it is unexpected, and exit."""
    where = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
    log.error("%s", mark_error(f"{text}\n{where}".rstrip()))
    sys.exit(code)


def open_job(kind: str, arguments: list[str], read: Read[Job]) -> tuple[SparkSession, Job, CostRecord | None]:
    """Open the session and read the job file whose address is the only argument."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("perennial").setLevel(logging.INFO)
    make_logs_showable()
    # This logger writes a page of JSON for every error of a query, in addition to the error itself.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    if len(arguments) != 1:
        raise PerennialError(f"A {kind} job takes one argument, the address of its job file; found {len(arguments)}")
    spark = SparkSession.builder.appName(f"perennial-{kind}").config("spark.log.level", "ERROR").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    text = read_text(spark, arguments[0])
    check_job_name(arguments[0], text.encode())
    job = json.loads(text)
    if (job["format"], job["kind"]) != (FORMAT, kind):
        raise PerennialError(f"{arguments[0]}: expected a {kind} job of format {FORMAT}, found {job['kind']} of {job['format']}")
    if spark.version != job["spark"]:
        raise PerennialError(
            f"{arguments[0]}: planned for Spark {job['spark']}, found {spark.version}. "
            f"The version is part of every fingerprint. Use {job['spark']}, or change SPARK_VERSION in perennial/spark/submit.py."
        )
    if job.get("code") != digests_of_job(kind):  # versions before this one named none
        raise PerennialError(
            f"{arguments[0]}: Perennial's own files have changed since the job was planned", remedy="Run it again."
        )
    return spark, read(job), CostRecord(**job["cost"]) if job["cost"] else None


def _record_cost(spark: SparkSession, cost: CostRecord | None, seconds: float) -> None:
    """Record the time that the job took, for reports only. It does not include executors on other machines."""
    if cost is not None:
        measured = {"dates": cost.dates, "seconds": round(seconds, 2), "cpu_seconds": _cpu_seconds()}
        write_text(spark, cost.uri, json.dumps(measured))


def _cpu_seconds() -> float | None:
    """Return the CPU seconds of this process and of the JVM that started it; None if the system has no /proc."""
    stat = Path(f"/proc/{os.getppid()}/stat")
    if not stat.exists():
        return None
    ticks = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]  # utime and stime: proc(5)
    times = os.times()
    return round(times.user + times.system + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), 2)


def read_text(spark: SparkSession, uri: str) -> str:
    """Return a small text object, through Hadoop's file system: the job's environment has no other S3 client."""
    system, path = _path(spark, uri)
    stream = system.open(path)
    try:
        return str(jvm(spark).org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
    finally:
        stream.close()


def read_file(spark: SparkSession, uri: str, digest: str) -> bytes:
    """Return the bytes of an object; refuse them if their SHA-256 is not `digest`."""
    system, path = _path(spark, uri)
    stream = system.open(path)
    try:
        body = bytes(jvm(spark).org.apache.commons.io.IOUtils.toByteArray(stream))
    finally:
        stream.close()
    if (found := sha256(body).hexdigest()) != digest:
        raise RefusedError(f"{uri}: SHA-256 {found[:12]}…, expected {digest[:12]}…", remedy="The stored file was changed.")
    return body


def send_file(spark: SparkSession, uri: str, digest: str) -> None:
    """Send an object to all machines, as a file named by its SHA-256. Refuse it if its SHA-256 is not `digest`."""
    from pyspark import SparkFiles  # Airflow's own environment has PySpark without it

    system, path = _path(spark, uri)
    # Other machines fetch it from this folder as long as the job runs; Spark then removes the folder.
    folder = Path(SparkFiles.getRootDirectory())
    copy = folder / f"{digest}.{uuid4().hex}"
    system.copyToLocalFile(False, path, jvm(spark).org.apache.hadoop.fs.Path(copy.as_uri()), True)
    with copy.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if found != digest:
        copy.unlink()
        raise RefusedError(f"{uri}: SHA-256 {found[:12]}…, expected {digest[:12]}…", remedy="The stored file was changed.")
    spark.sparkContext.addFile(str(copy.replace(folder / digest)))


def write_text(spark: SparkSession, uri: str, text: str) -> None:
    """Write a small text object. Its address decides its content, so writing it again changes nothing."""
    system, path = _path(spark, uri)
    stream = system.create(path, True)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()


@contextmanager
def several_at_once() -> Iterator[ThreadPoolExecutor]:
    """
    Yield a pool for work on different tables, and wait for all submitted work.

    An error in the block cancels work that has not begun.
    For one day, a table costs the driver (planning, commits) more than the executors.
    One table after another would therefore leave cores idle.
    """
    pool = ThreadPoolExecutor(_TABLES_AT_ONCE, thread_name_prefix="table")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def all_of(work: Iterable[Callable[[], Value]]) -> list[Value]:
    """Return the result of each call. Refusals are raised together at the end, so that all files can be fixed at once."""
    results, refused = [], []
    for call in list(work):  # submit all work before waiting for the first result
        try:
            results.append(call())
        except RefusedError as error:
            refused.append(error)
        except Exception:
            for other in refused:
                log.error("%s", other)
            raise
    if len(refused) > 1:
        # One problem a line. The remedies of a single problem follow it; that of several is to change the file they name.
        texts = [
            [f"{error.what}: {item}" for item in error.problems] if len(error.problems) > 1 else [str(error)] for error in refused
        ]
        raise RefusedError("The pipeline's SQL is refused", [text.replace("\n", "\n    ") for some in texts for text in some])
    if refused:
        raise refused[0]
    return results


def _path(spark: SparkSession, uri: str) -> tuple[JavaObject, JavaObject]:
    path = jvm(spark).org.apache.hadoop.fs.Path(uri)
    return path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), path
