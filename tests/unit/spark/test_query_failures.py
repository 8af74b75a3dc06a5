"""A query that fails on every try is refused; a failure of machines, memory or the store is tried again."""

from __future__ import annotations

import pytest

from perennial.spark.query_failures import find_query_failure

STAGE = "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 4 times"
SPARK_FRAME = "\tat org.apache.spark.sql.catalyst.expressions.FormatString.eval(stringExpressions.scala:1)"
COMES_AGAIN = {
    "org.apache.spark.SparkException: [RECURSION_LEVEL_LIMIT_EXCEEDED] Recursion level limit 100 reached": "Recursion level",
    f"{STAGE}\nCaused by: java.util.UnknownFormatConversionException: Conversion = 'q'\n{SPARK_FRAME}":
        "Spark fails with UnknownFormatConversionException: Conversion = 'q'",
    f": {STAGE}\nDriver stacktrace:\nCaused by: java.lang.NegativeArraySizeException: -5\n\tat com.univocity.A\n{SPARK_FRAME}":
        "Spark fails with NegativeArraySizeException: -5",
    "java.lang.IllegalArgumentException\n\tat org.apache.spark.rdd.X.y(X.scala:1)":
        "Spark fails with IllegalArgumentException: no reason given",
}  # fmt: skip
MAY_PASS = [
    f"{STAGE}: ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: heartbeat",
    f"{STAGE}\nCaused by: java.io.IOException: No space left on device\n\tat java.base/java.io.A.b(A.java:1)",
    f"{STAGE}\nCaused by: java.lang.OutOfMemoryError: Java heap space\n{SPARK_FRAME}",
    f"{STAGE}\nCaused by: org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file x",
    f"{STAGE}\nCaused by: org.apache.spark.shuffle.FetchFailedException: [X] lost",
    f"{STAGE}\nCaused by: org.apache.spark.SparkException: [INTERNAL_ERROR_STORAGE] no block",
    f"{STAGE}\nCaused by: software.amazon.awssdk.core.exception.SdkClientException: Unable to execute HTTP request",
    "java.lang.IllegalArgumentException: bucket is null\n\tat org.apache.hadoop.fs.s3a.X.y(X.java:1)\n" + SPARK_FRAME,
    "java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.",
    f"{STAGE}\nCaused by: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed): [X] lost",
]


@pytest.mark.parametrize("trace", COMES_AGAIN)
def test_a_failure_that_comes_again_has_a_message(trace: str) -> None:
    assert COMES_AGAIN[trace] in str(find_query_failure(trace))


@pytest.mark.parametrize("trace", MAY_PASS)
def test_a_failure_that_may_pass_has_none(trace: str) -> None:
    assert find_query_failure(trace) is None
