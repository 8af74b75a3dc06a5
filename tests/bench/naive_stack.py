"""
The embedded stack as it would be without anybody's care for speed: `python tests/bench/naive_stack.py up`, for bench-history.

Airflow waits as long as it does by default, and Spark cuts work into as many pieces as it does by default.
Spark's JVM has Java's own compiler, collector and archive.
The remaining settings of ours favour this stack: the scheduler still imports what tasks use.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from stack import airflow
from stack.__main__ import main
from stack.config import StackConfig

TUNED_JVM = (
    "-XX:TieredStopAtLevel",
    "-XX:ReservedCodeCacheSize",
    "-XX:MetaspaceSize",
    "-Xms",
    "-Xmn",
    "-XX:+UseSerialGC",
    "-XX:SharedArchiveFile",
    "-Xlog:",
)
TUNED_SPARK = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled", "spark.driver.defaultJavaOptions")
TUNED_AIRFLOW = ("scheduler",)


def write_submit(config: StackConfig) -> Path:
    """Write a spark-submit without the settings that save time, beside the state."""
    spark = config.repo / ".spark"
    folder = config.var / "naive"
    folder.mkdir(parents=True, exist_ok=True)
    for name, tuned in (("java.arguments", TUNED_JVM), ("spark.properties", TUNED_SPARK)):
        lines = (spark / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if not line.lstrip('"').startswith(tuned)), encoding="utf-8")
    script = (spark / "bin" / "perennial-spark-submit").read_text(encoding="utf-8")
    for name in ("java.arguments", "spark.properties"):
        script = script.replace(str(spark / name), str(folder / name))
    found = folder / "spark-submit"
    found.write_text(script, encoding="utf-8")
    found.chmod(0o755)
    return found


def unhurried() -> None:
    """Let the stack of this process start with default settings."""
    tuned = airflow._settings

    def settings(config: StackConfig) -> Mapping[str, Mapping[str, str]]:
        return {name: section for name, section in tuned(config).items() if name not in TUNED_AIRFLOW}

    airflow._settings = settings
    StackConfig.spark_submit = property(write_submit)  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    unhurried()
    sys.exit(main(sys.argv[1:]))
