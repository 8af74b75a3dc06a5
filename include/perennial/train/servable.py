"""The check that a graph can be served, before the gate sees it: its size, and its time for a row."""

from __future__ import annotations

import time

from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.scoring import Graph, to_arrays
from perennial.train.holdout import StoredHoldout

MAX_GRAPH_BYTES = 50_000_000
"""A server holds the graphs of two releases, and the object store sends one to each server."""

_MIN_TRIES, _MAX_TRIES = 3, 20
_HOPELESS = 10.0
"""A graph that is this many times slower than the limit is refused after the first few tries."""


def check_size(graph: bytes, candidate: str) -> None:
    """Refuse a graph that is too large to serve."""
    if len(graph) > MAX_GRAPH_BYTES:
        raise RefusedError(
            f"{candidate}: the exported graph has {len(graph) / 1e6:,.1f} MB, "
            f"at most {MAX_GRAPH_BYTES / 1e6:,.0f} MB are allowed",
            remedy="Train a smaller model: fewer trees, more rows in a leaf (min_samples_leaf), fewer leaves (max_leaf_nodes), "
            "or a window of fewer rows (training.max_rows).",
        )


def check_speed(graph: bytes, candidate: str, holdout: StoredHoldout, inputs: Inputs, max_ms: float | None) -> None:
    """
    Refuse a graph that no server can answer with in time.

    The fastest of several runs counts, so that a busy machine refuses no model. A server also parses, looks up and derives.

    :param max_ms: the limit of a request, `deployment.p99_ms`; None: no limit
    """
    part = next(holdout.read(), None)
    if part is None or max_ms is None:
        return
    exported, (numbers, texts) = Graph(graph), to_arrays(part.table.slice(0, 1), inputs)
    fastest_ms = float("inf")
    for tries in range(1, _MAX_TRIES + 1):
        started = time.perf_counter()
        exported.answer(numbers, texts)
        fastest_ms = min(fastest_ms, (time.perf_counter() - started) * 1000)
        if fastest_ms <= max_ms:
            return
        if tries >= _MIN_TRIES and fastest_ms > _HOPELESS * max_ms:
            break
    raise RefusedError(
        f"{candidate}: the exported graph takes {fastest_ms:.3g} ms for one row at best, "
        f"and deployment.p99_ms allows a request {max_ms:g} ms",
        remedy="Train a smaller model, or raise deployment.p99_ms.",
    )
