"""The candidates: the module that fits each, and the libraries that decide what comes out. Importing this is cheap."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.fingerprints.code import code_digest
from perennial.fingerprints.keys import library_versions
from perennial.store.objects import canonical_json, sha256

_SHARED_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyarrow", "safetensors", "scikit-learn")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """
    One kind of model. Everything here is a part of the candidate's key, so that another candidate changes none of it.

    :param module: has `fit(matrix, y, seed, checkpoints, begin)`, which returns the layers
    :param libraries: those that it uses beside what all candidates use
    :param is_warm: whether it can begin with the weights of another date
    """

    module: str
    libraries: tuple[str, ...]
    is_warm: bool = False


_CANDIDATES = {
    "mlp": _Candidate("perennial.train.mlp", ("keras", "tensorflow"), is_warm=True),
    "logistic": _Candidate("perennial.train.logistic", ("scipy",)),  # done in three steps anyway
}


def module_of(candidate: str) -> str:
    """Return the name of the module that fits a candidate."""
    return _CANDIDATES[candidate].module


def code_for(candidate: str) -> str:
    """Return a digest of the code that decides a candidate's training."""
    return code_digest("train", module_of(candidate))


def versions_for(candidate: str) -> dict[str, str]:
    """Return the installed versions of the libraries that decide a candidate's bytes."""
    return library_versions(*_SHARED_LIBRARIES, *_CANDIDATES[candidate].libraries)


def is_warm(candidate: str) -> bool:
    """Tell whether a candidate can begin with the weights of another date."""
    return _CANDIDATES[candidate].is_warm


def seed_for(pipeline: str, day: str, candidate: str) -> int:
    """Return the seed of one training: a function of what is trained, so that a rerun draws the same numbers."""
    return int(sha256(canonical_json([pipeline, day, candidate]))[:8], 16) % 2**31
