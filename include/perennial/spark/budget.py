"""The budget of a query: a job whose query exceeds it ends at once, and names the query's file."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from uuid import uuid4

from pyspark.sql import SparkSession

from perennial.display.printed_error import mark_error
from perennial.errors import REFUSED_EXIT_CODE, RefusedError
from perennial.spark.limits import SETTING, Limits
from perennial.spark.usage import Usage, measure

log = logging.getLogger("perennial.spark")

LOOK_SECONDS = 5.0
_GROUP = "spark.jobGroup.id"


@contextmanager
def within_budget(spark: SparkSession, file: str) -> Iterator[None]:
    """
    End the process if the queries of the block exceed their budget. A block within another one belongs to its budget.

    Spark cannot be relied on to stop a query: neither its planner, which evaluates constants, nor a task in a loop that asks
    nothing can be interrupted. Without its process, it ends on all executors.
    """
    setting = spark.conf.get(SETTING, None)
    if setting is None or spark.sparkContext.getLocalProperty(_GROUP) is not None:
        yield
        return
    query = _Query(file, Limits.from_setting(setting), f"perennial-{uuid4()}")
    spark.sparkContext.setJobGroup(query.group, file)
    watch = _watch(spark)
    watch.queries.append(query)
    try:
        yield
    finally:
        watch.queries.remove(query)
        for name in (_GROUP, "spark.job.description", "spark.job.interruptOnCancel"):
            spark.sparkContext.setLocalProperty(name, None)


@dataclass(slots=True, eq=False)
class _Query:
    """A query that runs: its group of Spark jobs, when it was last seen, the seconds in which it did not wait, and its use."""

    file: str
    limits: Limits
    group: str
    seen: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    usage: Usage = Usage(0, 0, False)  # noqa: RUF009 (frozen)


class _Watch:
    """The thread that looks at all queries of a session."""

    def __init__(self, spark: SparkSession) -> None:
        self.queries: list[_Query] = []
        self._spark = spark
        manager = spark._jsc.sc().env().blockManager().diskBlockManager()
        self._folders = [Path(folder) for folder in manager.localDirsString()]

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            time.sleep(LOOK_SECONDS)
            for query in list(self.queries):
                self._look_at(query)
            self._look_at_disk()

    def _look_at(self, query: _Query) -> None:
        try:
            query.usage = measure(self._spark, query.group)
        except Exception:
            if query not in self.queries:  # it ended, and perhaps its session too
                return
            log.exception("%s: its budget cannot be watched", query.file)
            _end_process("", 1)
        last, query.seen = query.seen, time.monotonic()
        if not query.usage.waits:
            query.seconds += query.seen - last
        if excess := find_excess(query.limits, query.seconds, query.usage):
            _refuse(query, excess)

    def _look_at_disk(self) -> None:
        queries = sorted(self.queries, key=lambda query: query.usage.size, reverse=True)
        size = sum(_size(folder) for folder in self._folders) if queries else 0
        if queries and size > queries[0].limits.disk_gb * 1e9:
            _refuse(queries[0], describe_disk(queries[0].limits, size, [(query.file, query.usage.size) for query in queries]))


def find_excess(limits: Limits, seconds: float, usage: Usage) -> str | None:
    """Return how a query exceeds its limits, or None."""
    if seconds > limits.minutes * 60:
        return f"stopped after {limits.minutes:g} minutes, the most that a query may take (PERENNIAL_QUERY_MINUTES)"
    dates = "1 date" if limits.dates == 1 else f"each of {limits.dates} dates"
    if usage.rows > limits.max_rows:
        allowed = f"{limits.rows:,} allowed for {dates} (PERENNIAL_QUERY_ROWS)"
        return f"stopped when one of its steps had produced {usage.rows:,} rows, of {allowed}"
    if usage.size > limits.max_bytes:
        allowed = f"{limits.gb:g} GB allowed for {dates} (PERENNIAL_QUERY_GB)"
        return f"stopped when it had shuffled and spilled {usage.size / 1e9:.1f} GB, of {allowed}"
    return None


def describe_disk(limits: Limits, size: int, queries: list[tuple[str, int]]) -> str:
    """Return how the queries that run exceed the local disk, with the bytes that each has shuffled and spilled."""
    text = f"stopped with {size / 1e9:.1f} GB on the local disk, of {limits.disk_gb:g} GB allowed (PERENNIAL_QUERY_DISK_GB)"
    if len(queries) == 1:
        return text
    return f"{text}. {len(queries)} queries ran: {', '.join(f'{file} has shuffled {n / 1e9:.1f} GB' for file, n in queries)}"


def _refuse(query: _Query, excess: str) -> None:
    remedy = "Join on keys, bound its reads by date, or raise the limit (docs/reference/settings.md)."
    error = RefusedError(f"{query.limits.work}, {query.file}: {excess}", remedy=remedy)
    _end_process(mark_error(str(error)), REFUSED_EXIT_CODE)


def _end_process(text: str, code: int) -> None:
    log.error("%s", text)
    logging.shutdown()
    os._exit(code)


def _size(folder: Path) -> int:
    """Return the bytes of the files in a folder, which come and go meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


@cache
def _watch(spark: SparkSession) -> _Watch:
    """Return the watch of a session."""
    watch = _Watch(spark)
    threading.Thread(target=watch.run, name="budget of queries", daemon=True).start()
    return watch
