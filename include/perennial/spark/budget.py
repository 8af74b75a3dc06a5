"""The budget of a query: minutes and local disk. A query that exceeds it is stopped, and its file is named."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pyspark.sql import SparkSession

from perennial.errors import REFUSED_EXIT_CODE, RefusedError
from perennial.spark.conf import MAX_DISK_BYTES, MAX_SECONDS
from perennial.spark.failures import mark_error

log = logging.getLogger("perennial.spark")

REMEDY = "Join on keys, bound its reads by date, or raise PERENNIAL_QUERY_MINUTES or PERENNIAL_QUERY_DISK_GB."
_LOOK_SECONDS, _GRACE_SECONDS = 1.0, 60.0


@contextmanager
def within_budget(spark: SparkSession, file: str) -> Iterator[None]:
    """Stop the Spark jobs of the block when they exceed the budget of a query, and refuse the file."""
    seconds, size = (spark.conf.get(name, None) for name in (MAX_SECONDS, MAX_DISK_BYTES))
    is_within_another = spark.sparkContext.getLocalProperty("spark.jobGroup.id") is not None
    if seconds is None or size is None or is_within_another:
        yield
        return
    watch = _Watch(spark, file, float(seconds), int(size))
    spark.sparkContext.setJobGroup(watch.group, file, interruptOnCancel=True)
    watch.start()
    try:
        yield
    except Exception:
        if watch.excess is None:
            raise
        raise RefusedError(watch.excess, remedy=REMEDY) from None
    finally:
        watch.ended.set()
        for name in ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel"):
            spark.sparkContext.setLocalProperty(name, None)


class _Watch:
    """A thread that looks at the time and the disk of a query."""

    def __init__(self, spark: SparkSession, file: str, max_seconds: float, max_bytes: int) -> None:
        self.group = f"perennial-{uuid4()}"
        self.ended = threading.Event()
        self.excess: str | None = None
        self._spark, self._file, self._max_seconds, self._max_bytes = spark, file, max_seconds, max_bytes
        manager = spark._jsc.sc().env().blockManager().diskBlockManager()
        self._folders = [Path(folder) for folder in manager.localDirsString()]

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name=f"budget of {self._file}", daemon=True).start()

    def _run(self) -> None:
        began = time.monotonic()
        while not self.ended.wait(_LOOK_SECONDS):
            self.excess = self._find_excess(time.monotonic() - began)
            if self.excess is not None:
                log.warning("%s", self.excess)
                self._spark.sparkContext.cancelJobGroup(self.group)
                self._end_the_process()
                return

    def _find_excess(self, seconds: float) -> str | None:
        if seconds > self._max_seconds:
            return f"{self._file}: stopped after {self._max_seconds / 60:g} minutes, the most that a query may take"
        if (size := sum(_size(folder) for folder in self._folders)) > self._max_bytes:
            return f"{self._file}: stopped with {size / 1e9:.1f} GB on the local disk, of {self._max_bytes / 1e9:g} GB allowed"
        return None

    def _end_the_process(self) -> None:
        """End the process if the query goes on: Spark's planner, which evaluates constants, cannot be interrupted."""
        if not self.ended.wait(_GRACE_SECONDS):
            log.error("%s", mark_error(f"{self.excess}. {REMEDY}"))
            logging.shutdown()
            os._exit(REFUSED_EXIT_CODE)


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
