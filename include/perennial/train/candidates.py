"""The families of candidates: the module that fits each, and the libraries that decide its result. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError

from perennial.config.label import Label, NumberLabel
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import library_versions
from perennial.store.content_name import canonical_json, sha256

INTERVALS = "perennial.train.interval"
"""The module that fits the quantiles of intervals."""

_SHARED_LIBRARIES = ("numpy", "onnx", "onnxruntime", "pyarrow", "safetensors", "scikit-learn")
SEARCH_LIBRARIES = ("optuna",)
"""Libraries that decide a search, in addition to those of its family."""


@dataclass(frozen=True, slots=True)
class _Family:
    """
    One family of models. Its module and libraries are part of its fingerprint, so another family does not change it.

    :param module: it has `prepare` and `fit` (perennial.train.model.FamilyModule), but for that of the blend
    :param libraries: libraries that it uses in addition to those that all families use
    :param apart: libraries of an environment of its own, which the planner of a training does not have, with their versions
    :param start_mib: memory of a training of few rows, in MiB: Python, and the libraries
    :param is_warm: True if it can start from the weights of another date
    :param reads_parts: True if it holds a part of a bucket in memory, not a whole one
    :param row_bytes: memory of each row of the window
    :param cell_bytes: scratch of each cell of the matrix of a window of several buckets, beside the matrix
    :param copies: about how many copies of all rows of the matrix it holds at once; 0: it learns from a part of them at a time
    """

    module: str
    libraries: tuple[str, ...]
    start_mib: int
    is_warm: bool = False
    reads_parts: bool = False
    row_bytes: int = 0
    cell_bytes: int = 0
    copies: int = 0
    apart: Mapping[str, str] = field(default_factory=dict)


_FAMILIES = {
    "mlp": _Family("perennial.train.mlp", ("keras", "tensorflow"), 850, is_warm=True),
    "logistic": _Family(
        "perennial.train.logistic", ("scipy",), 380, reads_parts=True
    ),  # needs no warm start: it converges in three steps
    "linear": _Family("perennial.train.linear", ("scipy",), 380, reads_parts=True),
    "blend": _Family("perennial.train.blend", (), 300),
    "lightgbm": _Family("perennial.train.lightgbm", ("lightgbm",), 300, row_bytes=150),
    "xgboost": _Family("perennial.train.xgboost", ("xgboost-cpu",), 300, row_bytes=90, cell_bytes=3),
    # One copy is the matrix, two are one in 64 bits, which most estimators make.
    "sklearn": _Family("perennial.train.sklearn", ("scipy", "skl2onnx"), 350, reads_parts=True, row_bytes=64, copies=3),
    "keras": _Family("perennial.train.keras", ("keras", "tensorflow", "tf2onnx"), 900),
    # The version is that of include/images/trainer/requirements-torch.txt.
    "pytorch": _Family("perennial.train.pytorch", (), 1000, apart={"torch": "2.15.0"}),
    "file": _Family(
        "perennial.train.file",
        ("keras", "lightgbm", "scipy", "skl2onnx", "tensorflow", "tf2onnx", "xgboost-cpu"),
        450,
        reads_parts=True,
        row_bytes=64,
        copies=3,
    ),
}


def module_of(family: str) -> str:
    """Return the name of the module that fits a family."""
    return _FAMILIES[family].module


def code_for(family: str, label: Label) -> str:
    """Return a digest of the code that decides a family's training on a label."""
    return code_digest("train", module_of(family), *([INTERVALS] if _has_interval(family, label) else []))


def search_code_for(family: str) -> str:
    """Return a digest of the code that decides a search for a family's parameters."""
    return code_digest("search", module_of(family))


def versions_for(family: str, label: Label, *more: str) -> dict[str, str]:
    """
    Return the versions of the libraries that decide the bytes of a family's model of a label, for the plan of a training.

    :param more: other libraries
    """
    return {**library_versions(*_libraries_of(family, label), *more), **_FAMILIES[family].apart}


def installed_for(family: str, label: Label, *more: str) -> dict[str, str]:
    """Return the versions that this process has of the same libraries; one that it lacks is left out."""
    found: dict[str, str] = {}
    for name in (*_libraries_of(family, label), *more, *_FAMILIES[family].apart):
        with suppress(PackageNotFoundError):
            found |= library_versions(name)
    return found


def _libraries_of(family: str, label: Label) -> list[str]:
    """Return the names of the libraries that decide the bytes of a family's model, but for those of an environment of its own."""
    others = _FAMILIES["xgboost"].libraries if _has_interval(family, label) else ()
    return list(dict.fromkeys((*_SHARED_LIBRARIES, *_FAMILIES[family].libraries, *others)))


def _has_interval(family: str, label: Label) -> bool:
    """Return whether a training fits the quantiles of an interval. A blend takes those of its parts."""
    return isinstance(label, NumberLabel) and label.interval is not None and family != "blend"


def memory_of(family: str, rows: int) -> int:
    """Return about how many bytes of memory a family's training takes for its libraries and for the rows that it keeps."""
    return _FAMILIES[family].start_mib * 2**20 + _FAMILIES[family].row_bytes * rows


def reads_parts(family: str) -> bool:
    """Return whether a family holds a part of a bucket in memory, not a whole one."""
    return _FAMILIES[family].reads_parts


def cache_of(family: str, cells: int) -> int:
    """Return about how many bytes of scratch a family takes beside the matrix of a window of several buckets."""
    return _FAMILIES[family].cell_bytes * cells


def copies_of(family: str) -> int:
    """Return about how many copies of all rows of the matrix a family holds at once; 0: it learns from a part at a time."""
    return _FAMILIES[family].copies


def is_warm(family: str) -> bool:
    """Return whether a family can start from the weights of another date."""
    return _FAMILIES[family].is_warm


def seed_for(pipeline: str, day: str, candidate: str) -> int:
    """Return the seed of one training. It depends only on the arguments, so a rerun draws the same numbers."""
    return int(sha256(canonical_json([pipeline, day, candidate]))[:8], 16) % 2**31
