"""A planned Spark job and its submission by the command line. In Airflow, SparkSubmitOperator submits the same plan."""

from __future__ import annotations

import logging
import subprocess
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from perennial.display.printed_error import MAX_LINES
from perennial.errors import PerennialError
from perennial.fingerprints.code import digests_of_job
from perennial.lake.lake import Lake
from perennial.settings import describe_missing, get_settings
from perennial.spark.conf import cluster_conf, iceberg_conf
from perennial.spark.failures import describe_end
from perennial.spark.job_file import FORMAT, CostRecord, SparkJob
from perennial.spark.limits import Limits
from perennial.spark.size import size_conf
from perennial.store.content_name import canonical_json, sha256

log = logging.getLogger(__name__)

SPARK_VERSION = "4.1.4"
"""The version that computes the tables: it is part of every fingerprint, and every job checks it."""

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class SparkPlan:
    """
    One Spark job.

    :param application: the script to submit
    :param job_uri: its only argument, the address of the job file; None if there is nothing to do
    :param todo: number of partitions that it computes or withdraws
    :param conf: Spark settings that give it access to the lake
    """

    application: str
    job_uri: str | None
    todo: int
    conf: dict[str, str] = field(default_factory=dict)


def application(package: str) -> str:
    """Return the script to submit for a package with a Spark job."""
    return str(_PACKAGE / package / "job.py")


def plan_job(
    lake: Lake, stage: str, job: SparkJob | None, todo: int, dates: Iterable[str], *, rows: int, interpreted: bool = False
) -> SparkPlan:
    """
    Store the job file, named by its content, and return the plan that submits it; `job` is None if there is nothing to do.

    :param dates: dates (ISO) that the job works for; they share its cost
    :param rows: number of rows that it reads
    :param interpreted: whether there are few rows, so that compiling the queries would cost more than it saves
    """
    script = application(stage)
    if job is None:
        return SparkPlan(script, None, 0)
    content = {"format": FORMAT, "kind": stage, "pipeline": lake.pipeline.name, "spark": SPARK_VERSION, **job.to_json()}
    content["code"] = digests_of_job(stage)
    shared = sorted(dates)
    digest = sha256(canonical_json(content))
    cost = CostRecord(lake.layout.cost(stage, shared[0], shared[-1], digest), shared) if shared else None
    body = canonical_json({**content, "cost": asdict(cost) if cost else None})
    uri = lake.layout.job(sha256(body))
    lake.objects.create(uri, body)
    settings = get_settings()
    conf = iceberg_conf(settings.metastore_uri, lake.layout.warehouse, settings.s3_endpoint)
    conf |= limits_of(lake.pipeline.name, shared).to_conf() | size_conf(rows)
    if interpreted:
        conf["spark.sql.codegen.factoryMode"] = "NO_CODEGEN"
    return SparkPlan(script, uri, todo, conf)


def limits_of(pipeline: str, dates: Iterable[str]) -> Limits:
    """Return the limits that the settings give the queries of a job for these dates (ISO)."""
    settings, days = get_settings(), sorted(dates)
    span = "" if not days else f", {days[0]}" if len(days) == 1 else f", {days[0]} to {days[-1]}"
    return Limits(
        work=f"Pipeline {pipeline!r}{span}",
        dates=max(1, len(days)),
        minutes=settings.query_minutes,
        rows=settings.query_rows,
        gb=settings.query_gb,
        disk_gb=settings.query_disk_gb,
    )


def submit(plan: SparkPlan, *, on_cluster: bool = False) -> bool:
    """
    Submit a planned job, log its output line by line and wait for its end; return False if there was nothing to do.

    :param on_cluster: whether it runs on the cluster of Airflow's jobs, if there is one, or on this machine
    :raises RefusedError: with the job's own text, if the job reports that a retry cannot help
    :raises PerennialError: if the job fails in another way
    """
    if plan.job_uri is None:
        return False
    program = get_settings().spark_submit
    if program is None:
        raise PerennialError(
            describe_missing("spark_submit"), remedy="Start the stack (`make up`), or set the variable to a spark-submit."
        )
    last: deque[str] = deque(maxlen=MAX_LINES)
    cluster, conf = _cluster(plan) if on_cluster else ([], plan.conf)
    settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    command = [program, *cluster, *settings, plan.application, plan.job_uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            log.info("%s", line.rstrip())
    if process.returncode != 0:
        raise describe_end(process.returncode, plan.job_uri, list(last))
    return True


def _cluster(plan: SparkPlan) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the configuration that submit a job to the Spark master of the settings."""
    settings = get_settings()
    master, properties = settings.spark_master, settings.spark_properties
    if master.startswith("local"):
        return [], plan.conf
    arguments = ["--master", master, *(["--properties-file", str(properties)] if properties else [])]
    return arguments, {**plan.conf, **cluster_conf(master, has_properties=properties is not None)}
