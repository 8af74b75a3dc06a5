"""The end of a Spark job as its caller sees it: the job's own error, or the cause that its output and exit code show."""

from __future__ import annotations

import re
from collections.abc import Sequence

from perennial.display.printed_error import read_error
from perennial.errors import REFUSED_EXIT_CODE, PerennialError, RefusedError

_LAST_LINES = 15
_KILLED = frozenset((-9, 137))
_FATAL, _FATAL_MEMORY = 50, 52
"""The exit codes of a Spark that ends itself after an error of Java, or of its memory."""

_MEMORY = re.compile(r"java\.lang\.OutOfMemoryError(?:: (.+))?|ExecutorLostFailure|exit code 52\b|There is insufficient memory")
_NOISE = re.compile(r"^\s*(?:at |\.\.\. \d+ more|Traceback|File |\^|\{\"ts\")")
_NAMED = re.compile(r"^(?:Caused by: )?(?:[\w$]+\.)*[\w$]*(?:Error|Exception)\b")
_MORE_MEMORY = "Give Spark more memory (spark.driver.memory of its properties), or run fewer dates at once"

_OUTSIDE = re.compile(r"java\.lang\.SecurityException: (A table names the file .+)")
"""The refusal of LakeFileIO.java."""

OUT_OF_MEMORY = f"The Spark job ran out of memory. {_MORE_MEMORY}."


def describe_java_error(text: str) -> str:
    """Return the cause of a failure in the JVM, then the chain of its causes. Its stack traces have hundreds of lines."""
    causes = [line.strip().removeprefix(": ") for line in text.splitlines() if line.startswith(("Caused by:", ": "))]
    innermost = causes[-1].removeprefix("Caused by: ") if causes else text
    if "java.lang.OutOfMemoryError" in text:
        return "\n".join([OUT_OF_MEMORY, *dict.fromkeys(causes)])
    return "\n".join([f"Spark failed: {innermost}", *dict.fromkeys(causes)])


def find_refusal(text: str) -> str:
    """Return the refusal of a table whose files are outside the lake, or an empty text for any other failure in the JVM."""
    outside = _OUTSIDE.search(text)
    return f"{outside[1]}. Find out who changed the table's metadata or manifests." if outside else ""


def describe_end(code: int, job_uri: str, lines: Sequence[str]) -> PerennialError:
    """
    Return the error of a job that did not end well. Its first line is the cause.

    :param code: exit code of spark-submit, negative for a signal
    :param lines: the last lines of its output
    """
    error, code_text = read_error(lines), f"exit code {code}"
    # A trial keeps its job file on this machine only while it runs.
    job = [] if job_uri.startswith("file:") else [f"Job file: {job_uri}"]
    if code == REFUSED_EXIT_CODE:
        last = "\n".join(lines[-_LAST_LINES:]).strip()
        return RefusedError(error or last or "The Spark job refused its input without a reason", details="\n".join(job))
    if error:
        return PerennialError(error, details=", ".join([*job, code_text]))
    tail = "\n".join([f"{', '.join([*job, code_text])}. Its last lines:", *lines[-_LAST_LINES:]])
    memory = next((match for line in lines if (match := _MEMORY.search(line))), None)
    if memory is not None or code == _FATAL_MEMORY:
        said = f" ({memory[1].strip()})" if memory and memory[1] else ""
        return PerennialError(f"The Spark job ran out of memory{said}", remedy=f"{_MORE_MEMORY}.", details=tail)
    if code == _FATAL:
        cause = _find_cause(lines)
        remedy = "Look for a regular expression that repeats a group on long texts, such as (a|b)*, or give Spark more memory."
        return PerennialError(f"Spark ended itself after an error in a query ({cause or code_text})", remedy=remedy, details=tail)
    if code in _KILLED:
        remedy = f"If no person did, the machine ran out of memory: free some, or {_MORE_MEMORY[0].lower()}{_MORE_MEMORY[1:]}."
        return PerennialError("The Spark job was killed (signal 9)", remedy=remedy, details=tail)
    return PerennialError(f"The Spark job failed: {_find_cause(lines) or code_text}", details=tail)


def _find_cause(lines: Sequence[str]) -> str:
    """Return the innermost exception that the output names, or its last line that is no stack trace."""
    named = [line for line in lines if _NAMED.match(line)]
    said = named or [line for line in lines if line.strip() and not _NOISE.match(line)]
    return said[-1].removeprefix("Caused by: ").strip()[:500].rstrip(".") if said else ""
