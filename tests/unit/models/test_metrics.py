"""The metrics are those of scikit-learn, and sums of parts have the bits of numpy's sums, however the rows are divided."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from perennial.models import sums
from perennial.models.metrics import all_metrics, losses, roc_auc

SIZES = (1, 2, 9, 127, 128, 129, 1000, 4099)


def drawn(rows: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(rows)
    p = chance.random(rows) ** 2
    if kind == "ties":
        p = np.round(p, 1)
    if kind == "constant":
        p = np.full(rows, 0.3)
    return (chance.random(rows) < p).astype(np.int8), p


def calibration(y: np.ndarray, p: np.ndarray) -> float:
    bins = [part for part in np.array_split(np.argsort(p, kind="stable"), 10) if len(part)]
    return float(sum(abs(p[part].mean() - y[part].mean()) * len(part) for part in bins) / len(y))


@pytest.mark.parametrize("kind", ["smooth", "ties", "constant"])
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("part_rows", [128, 1 << 16], ids=["many parts", "one part"])
def test_metrics_are_those_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch, rows: int, kind: str, part_rows: int) -> None:
    monkeypatch.setattr(sums, "PART_ROWS", part_rows)
    y, p = drawn(rows, kind)
    both = 0 < y.sum() < rows
    found = all_metrics(y, p)
    assert found["brier"] == float(np.mean((p - y) ** 2))
    assert found["accuracy"] == float(sklearn_metrics.accuracy_score(y, p.round()))
    assert found["calibration_error"] == calibration(y, p)
    expected = {
        "log_loss": sklearn_metrics.log_loss(y, p, labels=[0, 1]),
        "roc_auc": sklearn_metrics.roc_auc_score(y, p) if both else None,
        "pr_auc": sklearn_metrics.average_precision_score(y, p) if both else None,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("rows", SIZES)
def test_sums_of_parts_have_the_bits_of_numpy(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(sums, "PART_ROWS", 128)
    y, p = drawn(rows, "smooth")
    values = losses(y, p)
    assert sums.mean(lambda part: values[part], rows) == float(np.mean(values))
    assert sums.add_in_order(lambda part: values[part], rows) == float(np.bincount(np.zeros(rows, int), weights=values)[0])


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.5])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"missing or outside 0\.\.1"):
        roc_auc(np.array([0, 1]), np.array([0.5, wrong]))
