"""The candidates: how each is fitted, and the libraries whose versions decide what comes out. Importing this is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.lake.keys import library_versions
from perennial.lake.objects import canonical_json, sha256

if TYPE_CHECKING:
    import numpy as np

    from perennial.lake.scoring import Numbers
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.layers import Layer

_SHARED_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyarrow", "safetensors", "scikit-learn")
_LIBRARIES = {"mlp": ("keras", "tensorflow"), "logistic": ("scipy",)}


def versions_for(candidate: str) -> dict[str, str]:
    """Return the installed versions of the libraries that decide a candidate's bytes."""
    return library_versions(*_SHARED_LIBRARIES, *_LIBRARIES[candidate])


def is_warm(candidate: str) -> bool:
    """Tell whether a candidate can begin with the weights of another date: logistic regression is done in three steps anyway."""
    return candidate == "mlp"


def seed_for(pipeline: str, day: str, candidate: str) -> int:
    """Return the seed of one training: a function of what is trained, so that a rerun draws the same numbers."""
    return int(sha256(canonical_json([pipeline, day, candidate]))[:8], 16) % 2**31


def fit_candidate(
    candidate: str,
    matrix: Numbers,
    y: np.ndarray[Any, Any],
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: list[Layer] | None = None,
) -> list[Layer]:
    """Fit a candidate and return its layers; only the libraries that it needs are imported. Logistic is done in one step."""
    if candidate == "mlp":
        from perennial.train import mlp

        return mlp.fit(matrix, y, seed, checkpoints, begin)
    if candidate == "logistic":
        from perennial.train import logistic

        return logistic.fit(matrix, y, seed)
    raise ValueError(f"no candidate {candidate!r}")
