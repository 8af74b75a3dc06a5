"""The end of a Spark job in one sentence: its own error, or the cause that its output and its exit code show."""

from __future__ import annotations

import pytest

from perennial.display.printed_error import FIRST, GUTTER, mark_error, read_error
from perennial.errors import PerennialError, RefusedError
from perennial.spark.failures import describe_end, describe_java_error

URI = "s3://lake/main/p/jobs/00ff.json"
ERROR = "features.sql, line 2: division by zero in `1 / x`. Define the result.\n   2 |   1 / x\n     |   ^^^^^"
JAVA = [
    "20:26:31 ERROR Executor: Exception in task 0.0 in stage 0.0 (TID 0)",
    "org.apache.spark.SparkArithmeticException: [DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012",
    "== SQL (line 2, position 3) ==",
    "  1 / x AS r",
    "  ^^^^^",
    "",
    "\tat org.apache.spark.sql.errors.QueryExecutionErrors$.divideByZeroError(QueryExecutionErrors.scala:198)",
    "20:26:31 ERROR TaskSetManager: Task 0 in stage 0.0 failed 1 times; aborting job",
]


def test_the_jobs_own_error_is_found_among_javas_lines() -> None:
    marked = mark_error(ERROR).splitlines()
    assert read_error([*JAVA, *marked[:2], "20:26:32 ERROR ShutdownHook: closed", *marked[2:]]) == ERROR


def test_a_log_without_indentation_keeps_that_of_the_error() -> None:
    """Airflow strips each line."""
    assert read_error([line.strip() for line in mark_error(f"{ERROR}\n\nend").splitlines()]) == f"{ERROR}\n\nend"


def test_a_table_that_a_file_prints_is_no_error() -> None:
    table = ["┌─────┐", "│ x   │", "│ 1.0 │", "└─────┘"]
    assert read_error(table) == ""
    assert read_error([*table, "✗ a check of its own", *table, *mark_error(ERROR).splitlines()]) == ERROR


OUT = "java.lang.OutOfMemoryError: Java heap space"
MORE = "ive Spark more memory (spark.driver.memory of its properties), or run fewer dates at once."
HEAP = f"The Spark job ran out of memory (Java heap space). G{MORE}"
KILLED = f"The Spark job was killed (signal 9). If no person did, the machine ran out of memory: free some, or g{MORE}"
FATAL = (
    "Spark ended itself after an error in a query (java.lang.StackOverflowError). "
    "Look for a regular expression that repeats a group on long texts, such as (a|b)*, or give Spark more memory."
)
NO_MODULE = "ModuleNotFoundError: No module named 'perennial.x'"
TRACEBACK = ["Traceback (most recent call last):", '  File "job.py", line 3, in main', "    f()", NO_MODULE]
REFUSED = [
    "org.apache.spark.SparkException: Could not parse Master URL: 'x'",
    "\tat org.apache.spark.SparkContext$.x",
    "Caused by: java.net.ConnectException: Connection refused",
    "\t... 9 more",
]


@pytest.mark.parametrize(
    ("code", "lines", "first", "refused"),
    [
        (65, [*JAVA, *mark_error(ERROR).splitlines()], ERROR.partition("\n")[0], True),
        (65, ["Cannot read"], "Cannot read", True),
        (65, [], "The Spark job refused its input without a reason", True),
        (1, [*JAVA, *mark_error("Spark failed: no space left").splitlines()], "Spark failed: no space left", False),
        (1, [*JAVA, OUT], HEAP, False),
        (52, ["ERROR SparkUncaughtExceptionHandler", OUT, "\tat java.util.Arrays.copyOf"], HEAP, False),
        (
            1,
            ["There is insufficient memory for the Java Runtime Environment"],
            f"The Spark job ran out of memory. G{MORE}",
            False,
        ),
        (137, ["clean_orders: 3 dates"], KILLED, False),
        (-9, [], KILLED, False),
        (1, TRACEBACK, f"The Spark job failed: {NO_MODULE}", False),
        (1, REFUSED, "The Spark job failed: java.net.ConnectException: Connection refused", False),
        (3, [], "The Spark job failed: exit code 3", False),
        (50, ["java.lang.StackOverflowError", "\tat java.util.regex.Pattern$Loop.match(Pattern.java:1)"], FATAL, False),
        (52, ["clean_orders: 3 dates"], f"The Spark job ran out of memory. G{MORE}", False),
    ],
)
def test_the_first_line_is_the_cause(code: int, lines: list[str], first: str, refused: bool) -> None:
    error = describe_end(code, URI, lines)
    assert str(error).partition("\n")[0].rstrip(".") == first.rstrip(".")
    assert type(error) is (RefusedError if refused else PerennialError)
    assert URI in str(error).partition("\n")[2]


def test_the_last_lines_come_after_the_cause_and_the_jobs_address() -> None:
    lines = [f"line {number}" for number in range(30)]
    text = str(describe_end(137, URI, lines)).splitlines()
    assert text[1] == f"Job file: {URI}, exit code 137. Its last lines:"
    assert text[2:] == lines[-15:]
    assert not any(line.startswith((FIRST, GUTTER)) for line in text)


JAVA_ERROR = """An error occurred while calling o81.overwrite.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2935)
Caused by: org.apache.iceberg.exceptions.RuntimeIOException: Failed to write
\t... 30 more
Caused by: java.io.IOException: {cause}
\tat sun.nio.ch.FileDispatcherImpl.write0(Native Method)"""


def test_a_failure_in_the_jvm_begins_with_its_innermost_cause() -> None:
    assert describe_java_error(JAVA_ERROR.format(cause="No space left on device")).splitlines() == [
        "Spark failed: java.io.IOException: No space left on device",
        "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times",
        "Caused by: org.apache.iceberg.exceptions.RuntimeIOException: Failed to write",
        "Caused by: java.io.IOException: No space left on device",
    ]


def test_a_jvm_without_memory_says_so_first() -> None:
    text = describe_java_error(JAVA_ERROR.format(cause="x").replace("java.io.IOException: x", OUT))
    assert text.splitlines()[0] == f"The Spark job ran out of memory. G{MORE}"
    assert OUT in text


def test_what_a_query_reads_cannot_steer_the_log_of_its_job() -> None:
    text = "raise_error: \x1b]52;c;x\x07\u202e\nsecond\x0bline"
    assert mark_error(text) == f"{FIRST}raise_error: \\x1b]52;c;x\\x07\\u202e\n{GUTTER}second\\x0bline"
