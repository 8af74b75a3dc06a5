"""Asking a model server what a release must answer: golden requests within 1e-5, and how long they take."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from perennial.deploy.latency import CHANCE, too_slow
from perennial.errors import ReleaseFailedError, ReleaseUnprovenError
from perennial.store.json_value import Json

TOLERANCE = 1e-5
WARM_UP = 20
REQUESTS = 200
PAUSE_SECONDS = 0.05
SOAK_ANSWER_SECONDS = 3.0
RELEASE_HEADER = "x-release"
MAX_QUOTED = 3


Numbers = dict[str, float | int]


class TooSlowError(ReleaseFailedError):
    """More requests took longer than the bound than chance allows."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Requests with the answers that a release must give."""

    release: str
    records: Sequence[Json]
    probabilities: Sequence[float]
    p99_ms: float


@dataclass(slots=True)
class Observed:
    """What a round of requests showed."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def facts(self) -> Numbers:
        """Return the numbers that a report keeps."""
        ordered = sorted(self.latencies_ms)
        at = {
            name: ordered[min(len(ordered) - 1, int(len(ordered) * share))]
            for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
            if ordered
        }
        return {"requests": len(ordered), "errors": len(self.errors), **{name: round(value, 3) for name, value in at.items()}}


def serve_check(server: httpx.Client, golden: Golden) -> Observed:
    """
    Ask all golden requests at once, then one by one for the latency.

    The latency is the one that the server states, where it does: the way to a staged server, through an API server for example,
    is not the release's.

    :raises ReleaseFailedError: the answers that differ; TooSlowError when only the latency is wrong
    :raises ReleaseUnprovenError: the server does not answer, or not from this release
    """
    with server as client:
        problems, _ = _ask(client, golden, range(len(golden.records)))
        if problems:
            raise ReleaseFailedError(f"Release {golden.release}: serve-check, golden requests", _quoted(problems))
        for index in range(WARM_UP):
            _ask(client, golden, [index % len(golden.records)])
        observed = Observed()
        for index in range(REQUESTS):
            _observe(client, golden, index % len(golden.records), observed)
    return _judged(observed, golden, "serve-check")


def soak(server: httpx.Client, golden: Golden, seconds: float) -> Observed:
    """
    Ask the endpoint gently for a while, as users do; raises like serve_check, and as soon as it is sure: users wait meanwhile.

    The latency is looked at after each request, so that its chance to refuse a good release is shared out among all of them.
    """
    observed = Observed()
    deadline = time.monotonic() + seconds
    looks = 1 + math.ceil(seconds / PAUSE_SECONDS)
    server.timeout = httpx.Timeout(SOAK_ANSWER_SECONDS)
    index = 0
    with server as client:
        while True:
            _observe(client, golden, index % len(golden.records), observed)
            index += 1
            is_sure = observed.errors or too_slow(observed.latencies_ms, golden.p99_ms, CHANCE / looks)
            if is_sure or time.monotonic() >= deadline:
                break
            time.sleep(PAUSE_SECONDS)
    return _judged(observed, golden, "soak")


def _observe(client: httpx.Client, golden: Golden, index: int, observed: Observed) -> None:
    errors, latency_ms = _ask(client, golden, [index])
    observed.errors += errors
    observed.latencies_ms.append(latency_ms)


def _judged(observed: Observed, golden: Golden, what: str) -> Observed:
    if observed.errors:
        failed = f"{len(observed.errors)} of {len(observed.latencies_ms)} requests failed"
        raise ReleaseFailedError(f"Release {golden.release}: {what}, {failed}", _quoted(observed.errors))
    if slow := too_slow(observed.latencies_ms, golden.p99_ms):
        raise TooSlowError(f"Release {golden.release}: {what}, {slow}", remedy="deployment.p99_ms in pipeline.yaml is the bound.")
    return observed


def _quoted(problems: Sequence[str]) -> list[str]:
    """Return the first few problems: there is more to say about a failed release than which requests differ."""
    more = len(problems) - MAX_QUOTED
    return [*problems[:MAX_QUOTED], *([f"and {more} more requests"] if more > 0 else [])]


def _ask(client: httpx.Client, golden: Golden, indices: Sequence[int]) -> tuple[list[str], float]:
    """
    Send some golden records in one request; return what is wrong with the answer, and its latency in ms.

    No answer, or one of another release, says nothing about this one.
    """
    asked = f"golden requests {indices[0]} to {indices[-1]}" if len(indices) > 1 else f"golden request {indices[0]}"
    started = time.perf_counter()
    try:
        answer = client.post("/predict", json=[golden.records[index] for index in indices])
    except httpx.TransportError as error:
        reason = f"no answer ({type(error).__name__}: {error})"
        raise ReleaseUnprovenError(f"Release {golden.release}: {asked} to {client.base_url}", [reason]) from error
    passed_ms = (time.perf_counter() - started) * 1000
    serving = answer.headers.get(RELEASE_HEADER)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE or serving != golden.release:
        reason = f"HTTP {answer.status_code} by release {serving}: {answer.text[:300]}"
        raise ReleaseUnprovenError(f"Release {golden.release}: {asked} to {client.base_url}", [reason])
    return _wrong(answer, golden, indices, asked), _stated_ms(answer) or passed_ms


def _wrong(answer: httpx.Response, golden: Golden, indices: Sequence[int], asked: str) -> list[str]:
    if answer.status_code != httpx.codes.OK:
        return [f"{asked}: HTTP {answer.status_code}: {answer.text[:300]}"]
    try:
        found = [float(item["probability"]) for item in answer.json()["predictions"]]
    except (ValueError, KeyError, TypeError) as error:
        return [f"{asked}: not the answer of a model server ({type(error).__name__}: {error}): {answer.text[:200]}"]
    if len(found) != len(indices):
        return [f"{asked}: {len(found)} answers for {len(indices)} records"]
    return [
        f"golden request {index}: probability {ours:.6f}, expected {golden.probabilities[index]:.6f}, for {golden.records[index]}"
        for index, ours in zip(indices, found, strict=True)
        if not math.isclose(ours, golden.probabilities[index], rel_tol=0, abs_tol=TOLERANCE)
    ]


def _stated_ms(answer: httpx.Response) -> float | None:
    """Return how long the server says that it took (Server-Timing, in ms)."""
    found = re.search(r"(?:^|,)\s*app;dur=([0-9.]+)", answer.headers.get("server-timing", ""))
    return float(found[1]) if found else None
