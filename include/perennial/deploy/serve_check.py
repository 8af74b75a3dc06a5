"""Check a model server: it must answer golden requests within 1e-5 of the expected answers, and fast enough."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from perennial.config.answers import BOUNDS
from perennial.deploy.latency import CHANCE, too_slow
from perennial.errors import ReleaseFailedError, ReleaseUnprovenError
from perennial.lake.golden import Answer, GoldenAnswers
from perennial.store.json_value import Json

MAX_BATCH = 2**20
"""Bytes of golden records in one request. A longer record is sent alone."""

WARM_UP = 20
REQUESTS = 200
PAUSE_SECONDS = 0.05
SOAK_ANSWER_SECONDS = 3.0
RELEASE_HEADER = "x-release"
MAX_QUOTED = 3


Numbers = dict[str, float | int]


class TooSlowError(ReleaseFailedError):
    """More requests exceeded the latency limit than chance can explain."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Requests with the answers that a release must give."""

    release: str
    expected: GoldenAnswers
    p99_ms: float

    @property
    def records(self) -> Sequence[Json]:
        """Return the records."""
        return self.expected.records


@dataclass(slots=True)
class Observed:
    """The latencies and errors of a round of requests."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def facts(self) -> Numbers:
        """Return the numbers for a report."""
        ordered = sorted(self.latencies_ms)
        at = {
            name: ordered[min(len(ordered) - 1, int(len(ordered) * share))]
            for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
            if ordered
        }
        return {"requests": len(ordered), "errors": len(self.errors), **{name: round(value, 3) for name, value in at.items()}}


def serve_check(server: httpx.Client, golden: Golden) -> Observed:
    """
    Send all golden requests in as few bodies as the server takes, then one by one to measure the latency.

    Use the latency that the server reports, if it does.
    The path to a staged server, for example through an API server, is not part of the release.

    :raises ReleaseFailedError: answers differ; TooSlowError if only the latency is too high
    :raises ReleaseUnprovenError: the server does not answer, or answers with another release
    """
    with server as client:
        if problems := [problem for batch in _batches(golden.records) for problem in _ask(client, golden, batch)[0]]:
            raise ReleaseFailedError(f"Release {golden.release}: serve-check, golden requests", _shorten(problems))
        for index in range(WARM_UP):
            _ask(client, golden, [index % len(golden.records)])
        observed = Observed()
        for index in range(REQUESTS):
            _observe(client, golden, index % len(golden.records), observed)
    return _judge(observed, golden, "serve-check")


def soak(server: httpx.Client, golden: Golden, seconds: float) -> Observed:
    """
    Send requests to the endpoint at a gentle rate for a while. Raise the errors of serve_check.

    It raises as soon as it is certain, because users are waiting.
    The latency is checked after each request, so the probability of failing a good release is divided by the number of checks.
    """
    observed = Observed()
    deadline = time.monotonic() + seconds
    checks = 1 + math.ceil(seconds / PAUSE_SECONDS)
    server.timeout = httpx.Timeout(SOAK_ANSWER_SECONDS)
    index = 0
    with server as client:
        while True:
            _observe(client, golden, index % len(golden.records), observed)
            index += 1
            is_sure = observed.errors or too_slow(observed.latencies_ms, golden.p99_ms, CHANCE / checks)
            if is_sure or time.monotonic() >= deadline:
                break
            time.sleep(PAUSE_SECONDS)
    return _judge(observed, golden, "soak")


def _observe(client: httpx.Client, golden: Golden, index: int, observed: Observed) -> None:
    errors, latency_ms = _ask(client, golden, [index])
    observed.errors += errors
    observed.latencies_ms.append(latency_ms)


def _judge(observed: Observed, golden: Golden, what: str) -> Observed:
    if observed.errors:
        failed = f"{len(observed.errors)} of {len(observed.latencies_ms)} requests failed"
        raise ReleaseFailedError(f"Release {golden.release}: {what}, {failed}", _shorten(observed.errors))
    if slow := too_slow(observed.latencies_ms, golden.p99_ms):
        raise TooSlowError(f"Release {golden.release}: {what}, {slow}", remedy="deployment.p99_ms in pipeline.yaml is the limit.")
    return observed


def _shorten(problems: Sequence[str]) -> list[str]:
    """Return the first few problems, because the error of a failed release has more to report than differing requests."""
    more = len(problems) - MAX_QUOTED
    return [*problems[:MAX_QUOTED], *([f"and {more} more requests"] if more > 0 else [])]


def _batches(records: Sequence[Json]) -> list[list[int]]:
    """Divide the positions of records into batches, each of which a server of little memory takes in one request."""
    batches: list[list[int]] = [[]]
    size = 0
    for index, record in enumerate(records):
        length = len(json.dumps(record, ensure_ascii=False).encode()) + 1
        if batches[-1] and size + length > MAX_BATCH - 2:
            batches.append([])
            size = 0
        batches[-1].append(index)
        size += length
    return batches


def _ask(client: httpx.Client, golden: Golden, indices: Sequence[int]) -> tuple[list[str], float]:
    """
    Send golden records in one request, and return the problems of the answer and its latency in ms.

    No answer, an answer of another release, or a server that asks for another token is inconclusive.
    """
    asked = f"golden requests {indices[0]} to {indices[-1]}" if len(indices) > 1 else f"golden request {indices[0]}"
    started = time.perf_counter()
    try:
        answer = client.post("/predict", json=[golden.records[index] for index in indices])
    except httpx.TransportError as error:
        reason = f"no answer ({type(error).__name__}: {error})"
        raise ReleaseUnprovenError(f"Release {golden.release}: {asked}, sent to {client.base_url}", [reason]) from error
    passed_ms = (time.perf_counter() - started) * 1000
    serving = answer.headers.get(RELEASE_HEADER)
    if answer.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.UNAUTHORIZED) or serving != golden.release:
        reason = f"HTTP {answer.status_code} from release {serving}: {answer.text[:300]}"
        raise ReleaseUnprovenError(f"Release {golden.release}: {asked}, sent to {client.base_url}", [reason])
    return _find_problems(answer, golden, indices, asked), _reported_ms(answer) or passed_ms


def _find_problems(answer: httpx.Response, golden: Golden, indices: Sequence[int], asked: str) -> list[str]:
    if answer.status_code != httpx.codes.OK:
        return [f"{asked}: HTTP {answer.status_code}: {answer.text[:300]}"]
    expected = golden.expected
    try:
        answers = [_prediction(item, expected) for item in answer.json()["predictions"]]
    except (ValueError, KeyError, TypeError) as error:
        return [f"{asked}: not the answer of a model server ({type(error).__name__}: {error}): {answer.text[:200]}"]
    if len(answers) != len(indices):
        return [f"{asked}: {len(answers)} answers for {len(indices)} records"]
    return [
        f"golden request {index}: {expected.output} {_show(p)}, expected {_show(expected.answers[index])}, "
        f"for {golden.records[index]}"
        for index, p in zip(indices, answers, strict=True)
        if not expected.is_close(index, p)
    ]


def _prediction(item: Any, expected: GoldenAnswers) -> Answer:
    """Return a prediction: the probabilities of classes in their order, or a number with the bounds of its interval."""
    answer = item[expected.output]
    if isinstance(answer, dict):
        return [float(share) for share in answer.values()]
    has_interval = not isinstance(expected.answers[0], float)
    return [float(item[name]) for name in (expected.output, *BOUNDS)] if has_interval else float(answer)


def _show(answer: Answer) -> str:
    return f"{answer:.6f}" if isinstance(answer, float) else ", ".join(f"{share:.6f}" for share in answer)


def _reported_ms(answer: httpx.Response) -> float | None:
    """Return the duration that the server reports (Server-Timing, in ms), or None."""
    timing = re.search(r"(?:^|,)\s*app;dur=([0-9.]+)", answer.headers.get("server-timing", ""))
    return float(timing[1]) if timing else None
