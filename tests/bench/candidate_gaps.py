"""How far the choice from the default list is above the best single family, and the targets that it misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from candidate_losses import Floats, constant_forecast, paired_interval, row_losses
from candidate_records import Record
from candidate_sets import MAX_DIRECT_GAP, MAX_EXCEPTIONS, MAX_GAP, MAX_PARITY, CandidateSet

NOT_SINGLE = frozenset({"blend"})
"""Families that are made of others: the choice is not compared with them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The records of a set, by family."""

    data: CandidateSet
    product: Mapping[str, Record]
    direct: Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the records of a set say.

    :param models: by family, what the report holds
    :param constant_loss: the loss of the shares or the mean of the rows trained on
    :param best: the single family of the lowest loss. By the library used directly where the product has no such family
    :param chosen: by family of the default list, the number of folds in which it was chosen; empty if the product lacks the task
    :param gap: the loss of the choice over that of the best family, less 1
    :param problems: the targets of a single model that it misses
    """

    models: dict[str, dict[str, float | None]]
    constant_loss: float
    best: str
    best_loss: float
    chosen: dict[str, int] = field(default_factory=dict)
    chosen_loss: float | None = None
    gap: float | None = None
    gap_interval: tuple[float, float] | None = None
    is_exception: bool = False
    problems: list[str] = field(default_factory=list)


def judge(measured: Measured, default_list: list[str]) -> Verdict:
    """
    Compare the records of a set. The default list is judged if the product has measured all of it.

    :param default_list: those of its families that the product has for the task of the set
    """
    data, product, direct = measured.data, measured.product, measured.direct
    units = np.concatenate([data.units[split.test] for split in data.splits])
    losses = {family: (product.get(family) or direct[family]).losses for family in {**direct, **product}}
    single = {family: each for family, each in losses.items() if family not in NOT_SINGLE}
    best = min(single, key=lambda family: (single[family].mean(), family))
    constant = _constant_losses(data)
    models = {family: _describe(product.get(family), direct.get(family)) for family in sorted(losses)}
    problems = list(_direct_problems(measured, units))
    if not default_list or not all(family in product for family in default_list):
        return Verdict(models, float(constant.mean()), best, float(losses[best].mean()), problems=problems)
    worst = max(default_list, key=lambda family: float(product[family].losses.mean()))
    if paired_interval(product[worst].losses, constant, units)[0] > 0:
        problems.append(f"{worst} {product[worst].losses.mean():.4f}, the constant forecast {constant.mean():.4f}")
    folds, chosen = choose(data, product, default_list)
    interval = paired_interval(chosen, losses[best], units)
    gap = float(chosen.mean() / losses[best].mean() - 1)
    return Verdict(
        models=models,
        constant_loss=float(constant.mean()),
        best=best,
        best_loss=float(losses[best].mean()),
        chosen=dict(Counter(folds)),
        chosen_loss=float(chosen.mean()),
        gap=gap,
        gap_interval=interval,
        is_exception=gap > MAX_GAP[data.task] and interval[0] > 0 and not data.has_trend,
        problems=problems,
    )


def choose(data: CandidateSet, product: Mapping[str, Record], default_list: list[str]) -> tuple[list[str], Floats]:
    """Return the family of the lowest validation loss in each fold, and the losses of these families on the rows to judge by."""
    ends = np.cumsum([len(split.test) for split in data.splits])[:-1]
    parts = {family: np.split(product[family].losses, ends) for family in default_list}
    judged = np.stack([product[family].validation for family in default_list])
    folds = [default_list[place] for place in judged.argmin(axis=0)]
    return folds, np.concatenate([parts[family][fold] for fold, family in enumerate(folds)])


def find_misses(verdicts: Mapping[str, Verdict], sets: Mapping[str, CandidateSet]) -> list[str]:
    """Return the targets that the product misses."""
    misses = [f"{name}: {problem}" for name, verdict in verdicts.items() for problem in verdict.problems]
    exceptions = [f"{name} {verdict.gap:+.1%}" for name, verdict in verdicts.items() if verdict.is_exception]
    if len(exceptions) > MAX_EXCEPTIONS:
        misses.append(
            f"the choice is above the best family on {len(exceptions)} sets, at most {MAX_EXCEPTIONS}: {', '.join(exceptions)}"
        )
    unjudged = [name for name in sets if name not in verdicts or verdicts[name].gap is None]
    if unjudged:
        misses.append(f"no choice from the default list on {len(unjudged)} sets: {', '.join(unjudged)}")
    models = [model for verdict in verdicts.values() for model in verdict.models.values() if model["loss"] is not None]
    if uncompared := sum(model["parity_max"] is None for model in models):
        misses.append(f"library and graph were not compared in {uncompared} of {len(models)} models")
    return misses


def worst_gap(verdicts: Mapping[str, Verdict]) -> float | None:
    """Return the largest gap of the choice among the judged sets."""
    return max((verdict.gap for verdict in verdicts.values() if verdict.gap is not None), default=None)


def _constant_losses(data: CandidateSet) -> Floats:
    parts = []
    for split in data.splits:
        forecast = constant_forecast(data.task, data.y[split.train], len(data.classes), len(split.test))
        parts.append(row_losses(data.task, data.y[split.test], forecast))
    return np.concatenate(parts)


def _describe(product: Record | None, direct: Record | None) -> dict[str, float | None]:
    """Return what the report holds of a family."""
    return {
        "loss": None if product is None else round(float(product.losses.mean()), 6),
        "direct_loss": None if direct is None else round(float(direct.losses.mean()), 6),
        "train_cpu_seconds": None if product is None else round(product.cpu_seconds, 3),
        "parity_max": None if product is None else product.parity,
    }


def _direct_problems(measured: Measured, units: Any) -> Iterator[str]:
    """Yield the families that are worse than their library by more than noise, or whose graph differs from it."""
    for family, record in measured.product.items():
        direct = measured.direct.get(family)
        if direct is not None:
            gap = record.losses.mean() / direct.losses.mean() - 1
            if gap > MAX_DIRECT_GAP and paired_interval(record.losses, direct.losses, units)[0] > 0:
                yield f"{family} is {gap:.1%} above its library, at most {MAX_DIRECT_GAP:.1%}"
        limit = MAX_PARITY * (measured.data.y.std() if measured.data.task == "regression" else 1.0)
        if record.parity is not None and record.parity > limit:
            yield f"{family}: library and graph differ by {record.parity:.2g}, at most {limit:.2g}"
