"""The losses of one family on one set, by one path: measured once, and kept until the data or the code changes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import candidate_direct as direct
import numpy as np
from candidate_losses import Floats, row_losses
from candidate_product import DEFAULT_LIST, PRODUCT, Product, describe_code
from candidate_sets import CandidateSet, read_frozen
from candidate_splits import Split

from perennial.store.content_name import canonical_json, sha256

VALIDATION_SHARE = 0.25
"""The last rows of those to train on, by which a family is chosen from the default list."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    One family on one set.

    :param losses: of each row to judge by, fold after fold
    :param validation: by fold, the loss on the last quarter of the rows to train on; empty for other than the default list
    :param cpu_seconds: the mean of a training on all rows
    :param parity: the largest difference between library and graph; None if it was not compared
    """

    losses: Floats
    validation: Floats
    cpu_seconds: float
    parity: float | None


class Records:
    """The records in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str, family: str, path: str) -> Record | None:
        """Return the record of a set and family by `product` or `direct`, None if it is missing or out of date."""
        file = self._file(name, family, path)
        if not file.exists():
            return None
        with np.load(file) as kept:
            about = json.loads(str(kept["about"]))
            if about["key"] != make_key(name, family, path):
                return None
            return Record(kept["losses"], kept["validation"], about["cpu_seconds"], about["parity"])

    def write(self, name: str, family: str, path: str, record: Record) -> None:
        """Keep a record."""
        about = {"key": make_key(name, family, path), "cpu_seconds": record.cpu_seconds, "parity": record.parity}
        file = self._file(name, family, path)
        part = file.with_suffix(".part.npz")
        np.savez(part, losses=record.losses, validation=record.validation, about=json.dumps(about))
        part.replace(file)

    def _file(self, name: str, family: str, path: str) -> Path:
        return self._folder / f"{name}-{family}-{path}.npz"


def make_key(name: str, family: str, path: str) -> str:
    """Return a digest of what decides a record: the set, the code and the libraries."""
    frozen = read_frozen()["sets"][name]
    code: Mapping[str, object] = describe_code(family) if path == "product" else _describe_direct(family)
    is_default = {"is_default": family in DEFAULT_LIST[frozen["task"]]} if path == "product" else {}
    return sha256(canonical_json({"set": frozen, "code": dict(code), **is_default}))


def has(task: str, family: str, path: str) -> bool:
    """Return whether a family has a task by a path."""
    if path == "product":
        return task in PRODUCT.get(family, ())
    return family in direct.FAMILIES and task in direct.FAMILIES[family].tasks


def measure(data: CandidateSet, family: str, path: str) -> Record:
    """Train a family on each fold of a set, and judge it."""
    return _measure_product(data, family) if path == "product" else _measure_direct(data, family)


def _measure_direct(data: CandidateSet, family: str) -> Record:
    losses, began = [], time.process_time()
    for seed, split in enumerate(data.splits):
        predictions = direct.FAMILIES[family].predict(data, split, seed)
        losses.append(row_losses(data.task, data.y[split.test], predictions))
    return Record(np.concatenate(losses), np.empty(0), (time.process_time() - began) / len(losses), None)


def _measure_product(data: CandidateSet, family: str) -> Record:
    product = Product(data)
    losses, seconds, parities, validation = [], [], [], []
    for seed, split in enumerate(data.splits):
        answers = product.answer(family, split, seed)
        losses.append(row_losses(data.task, data.y[split.test], answers.predictions))
        seconds.append(answers.cpu_seconds)
        parities.append(answers.parity)
        if family in DEFAULT_LIST[data.task]:
            inner = split_for_choice(split)
            predictions = product.answer(family, inner, seed).predictions
            validation.append(float(row_losses(data.task, data.y[inner.test], predictions).mean()))
    known = [parity for parity in parities if parity is not None]
    return Record(np.concatenate(losses), np.array(validation), float(np.mean(seconds)), max(known, default=None))


def split_for_choice(split: Split) -> Split:
    """Return the rows to train on as a split of their own: the first three quarters, and the last by which to choose."""
    end = len(split.train) - round(VALIDATION_SHARE * len(split.train))
    return Split(split.train[:end], split.train[end:])


def _describe_direct(family: str) -> dict[str, str]:
    code = sha256(Path(direct.__file__).read_bytes())
    return {"code": code, **{package: version(package) for package in ("numpy", *direct.FAMILIES[family].packages)}}
