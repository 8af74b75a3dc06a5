"""The candidates: the module that fits each, and the libraries that decide its result. Importing this module is cheap."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import library_versions
from perennial.store.objects import canonical_json, sha256

_SHARED_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyarrow", "safetensors", "scikit-learn")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """
    One kind of model. Its module and libraries are part of its fingerprint, so another candidate does not change it.

    :param module: it has `fit(matrix, y, seed, checkpoints, begin)`, which returns the layers
    :param libraries: libraries that it uses in addition to those that all candidates use
    :param start_mib: memory of a training of few rows, in MiB: Python, and the libraries
    :param is_warm: True if it can start from the weights of another date
    """

    module: str
    libraries: tuple[str, ...]
    start_mib: int
    is_warm: bool = False


_CANDIDATES = {
    "mlp": _Candidate("perennial.train.mlp", ("keras", "tensorflow"), 850, is_warm=True),
    "logistic": _Candidate("perennial.train.logistic", ("scipy",), 380),  # needs no warm start: it converges in three steps
}


def module_of(candidate: str) -> str:
    """Return the name of the module that fits a candidate."""
    return _CANDIDATES[candidate].module


def code_for(candidate: str) -> str:
    """Return a digest of the code that decides a candidate's training."""
    return code_digest("train", module_of(candidate))


def versions_for(candidate: str) -> dict[str, str]:
    """Return the installed versions of the libraries that decide the bytes of a candidate's model."""
    return library_versions(*_SHARED_LIBRARIES, *_CANDIDATES[candidate].libraries)


def start_bytes(candidate: str) -> int:
    """Return about how many bytes of memory a candidate's training takes before it reads rows."""
    return _CANDIDATES[candidate].start_mib * 2**20


def is_warm(candidate: str) -> bool:
    """Return whether a candidate can start from the weights of another date."""
    return _CANDIDATES[candidate].is_warm


def seed_for(pipeline: str, day: str, candidate: str) -> int:
    """Return the seed of one training. It depends only on the arguments, so a rerun draws the same numbers."""
    return int(sha256(canonical_json([pipeline, day, candidate]))[:8], 16) % 2**31
