"""The stored form of the manifests of models and releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from perennial.config.label import Constant
from perennial.store.json_value import Json


class StoredFile(TypedDict):
    """A file of a model or a release; its digest gives its address."""

    sha256: str
    size: int


class Measured(TypedDict):
    """The cost of a training."""

    seconds: NotRequired[float]
    cpu_seconds: float
    difference: NotRequired[float]
    """The largest difference between the answers of the graph and of the library."""


class ModelManifest(TypedDict):
    """
    A trained candidate. Every field except `measured` is a function of its job.

    A skipped training has `skipped`, the reason, and none of the fields that describe inputs or a model.

    The digests and counts of labels exist only if labels have a table of their own. Dates are ISO texts. Manifests of earlier
    versions have no warnings and no settings. A blend names the manifests of its parts. If only some rows of the holdout are
    judged, `judged_below` bounds their hash, except on dates of few rows.
    """

    format: int
    version: str
    skipped: NotRequired[str]
    candidate: str
    settings: NotRequired[Json]
    parts: NotRequired[list[str]]
    date: str
    key: str
    pipeline: str
    inputs: Json
    label: Json
    row_key: list[str]
    seed: int
    begins: str | None
    versions: dict[str, str]
    files: dict[str, StoredFile]
    columns: str
    warnings: NotRequired[list[str]]
    window: list[str]
    holdout: list[str]
    judged_below: NotRequired[int]
    digests: dict[str, str]
    label_digests: NotRequired[dict[str, str]]
    unlabelled_rows: NotRequired[int]
    unmatched_labels: NotRequired[int]
    rows: dict[str, int]
    constant: Constant
    """The constant forecast of the window."""

    spread: NotRequired[float]
    """The standard deviation of the labels of the window; 1 for classes."""

    metrics: dict[str, float | None]
    measured: Measured


class ReleaseManifest(TypedDict):
    """A release: `model` and `decision` are addresses; `as_of` is the midnight of its lookups."""

    format: int
    release: str
    pipeline: str
    space: str
    date: str
    as_of: str
    version: str
    model: str
    files: dict[str, StoredFile]
    inputs: Json
    row_key: list[str]
    p99_ms: float
    decision: str


def constant_of(manifest: ModelManifest) -> Constant:
    """Return the constant forecast of a model's window. Earlier versions called it the base rate."""
    stored: Mapping[str, Any] = manifest
    constant: Constant = stored["constant"] if "constant" in stored else stored["base_rate"]
    return constant
