"""The server's metrics, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from perennial.serve.release import Release

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one server. Labels come from closed sets (routes, status codes, declared fields), never from a request."""

    def __init__(self, pipeline: str) -> None:
        """Create a separate registry, so that two servers in one process do not share counters."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # otherwise each counter has a second, unused series
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.pipeline = pipeline
        self._requests = Counter("perennial_requests", "Requests by route and status", ["route", "code"], registry=self.registry)
        self._seconds = Histogram(
            "perennial_request_seconds",
            "Time from the headers to the answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.rows = Counter("perennial_rows", "Records answered", registry=self.registry)
        self._unseen = Counter(
            "perennial_unseen", "Records with a value the model has not seen", ["field"], registry=self.registry
        )
        self._release = Gauge(
            "perennial_release_info",
            "1 for the release that serves",
            ["pipeline", "release", "version", "as_of"],
            registry=self.registry,
        )
        self.loads = Counter("perennial_release_loads", "Releases loaded and switched to", registry=self.registry)
        self.load_failures = Counter(
            "perennial_release_load_failures", "Releases that could not be loaded", registry=self.registry
        )
        self.follow_failures = Counter(
            "perennial_follow_failures", "Failed attempts to read the pointer to the active release", registry=self.registry
        )
        self._requests_children: dict[tuple[str, int], Counter] = {}
        self._seconds_children: dict[str, Histogram] = {}

    def count(self, route: str, code: int, seconds: float) -> None:
        """Count one answered request."""
        requests = self._requests_children.get((route, code))
        if requests is None:
            requests = self._requests_children[(route, code)] = self._requests.labels(route, str(code))
        requests.inc()
        histogram = self._seconds_children.get(route)
        if histogram is None:
            histogram = self._seconds_children[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def count_unseen(self, unseen: list[tuple[str, ...]]) -> None:
        """Count the records' unseen fields."""
        for fields in unseen:
            for field in fields:
                self._unseen.labels(field).inc()

    def watch_pointer(self, age: Callable[[], float]) -> None:
        """Publish the seconds since the pointer to the active release was last read."""
        Gauge(
            "perennial_pointer_age_seconds",
            "Seconds since the pointer to the active release was last read",
            registry=self.registry,
        ).set_function(age)

    def watch_tokens(self, count: Callable[[], int]) -> None:
        """Publish the number of tokens with which a prediction is answered."""
        Gauge(
            "perennial_tokens", "Tokens that the server accepts; with 0, it answers no prediction", registry=self.registry
        ).set_function(count)

    def switched(self, release: Release) -> None:
        """Publish which release serves now, and end the series of the previous one."""
        self._release.clear()
        self._release.labels(self.pipeline, release.id, release.version, release.as_of).set(1)
        self.loads.inc()

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self.registry)
