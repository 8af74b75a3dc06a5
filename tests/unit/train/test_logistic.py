"""The strength of the penalty, chosen inside the window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from windows import LABEL, prepare

from perennial.config.candidates import Logistic
from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.train import logistic
from perennial.train.climb import climb
from perennial.train.layers import linear_network
from perennial.train.matrix_files import MatrixFiles
from perennial.train.newton import NoSolutionError, late_losses, newton
from perennial.train.prepare import first_late
from perennial.train.scratch import Scratch
from perennial.train.window import Window, WindowWriter

FIRST = date(2024, 2, 26)


def window(folder: Path, noise: float, per_day: int = 400, late: date | None = FIRST + timedelta(days=3)) -> Window:
    """Write four dates whose label follows a number, with noise, to disk."""
    rng = np.random.default_rng(3)
    n = 4 * per_day
    load = rng.normal(size=n)
    others = {f"x{index}": pa.array(rng.normal(size=n)) for index in range(20)}
    rows = pa.table(
        {
            "date": pa.array([FIRST + timedelta(days=i // per_day) for i in range(n)], pa.date32()),
            "load": pa.array(load),
            **others,
            "failed": pa.array((load + noise * rng.logistic(size=n) > 0).tolist()),
            SAMPLE: pa.array(rng.integers(0, 2**SAMPLE_BITS, n), pa.int32()),
        }
    )
    inputs = Inputs.model_validate({"request": dict.fromkeys(["load", *others], "number")})
    writer = WindowWriter(Scratch(folder), inputs, LABEL, n, late=late)
    writer.add(rows)
    return writer.finish()


@pytest.mark.parametrize(("noise", "expected"), [(10.0, {0.03}), (0.01, {3.0, 30.0})])
def test_the_penalty_falls_as_far_as_the_last_dates_gain(tmp_path: Path, noise: float, expected: set[float]) -> None:
    _, rows = prepare(window(tmp_path, noise))
    assert logistic.choose_strengths(rows)[0] in expected


def test_the_last_dates_are_not_seen_by_the_fits_that_are_compared_on_them(tmp_path: Path) -> None:
    _, rows = prepare(window(tmp_path, 1.0))
    parts = list(rows.read())
    late = np.concatenate([part.late for part in parts])
    assert late.sum() == 400
    x, y = np.concatenate([part.rows.columns for part in parts]), np.concatenate([part.y for part in parts])
    before, after = (newton(rows, strength, early=True)[0] for strength in (0.001, 1.0))

    def losses(weights: np.ndarray) -> np.ndarray:
        margin = x[late].astype(float) @ weights[:-1] + weights[-1]
        return np.logaddexp(0, margin) - y[late] * margin

    for weights in (before, after):
        np.testing.assert_allclose(late_losses(rows, weights), losses(weights), rtol=1e-9)


@pytest.mark.parametrize("late", [None, FIRST])
def test_nothing_is_compared_without_rows_before_or_on_the_last_dates(tmp_path: Path, late: date | None) -> None:
    _, rows = prepare(window(tmp_path, 0.01, late=late))
    assert logistic.choose_strengths(rows) == [0.03]


NOTHING = np.full(3, np.nan)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({1: np.ones(3), 2: NOTHING, 3: np.zeros(3)}, 1),
        ({1: NOTHING, 2: np.ones(3), 3: np.full(3, 2.0)}, 2),
        ({1: NOTHING, 2: NOTHING, 3: np.zeros(3)}, 1),
        ({1: np.ones(3), 2: np.zeros(3), 3: np.array([0.0, np.inf, 0.0])}, 2),
    ],
)
def test_a_step_whose_losses_are_no_numbers_is_not_taken(losses: dict[int, np.ndarray], expected: int) -> None:
    assert climb([1, 2, 3], losses.__getitem__) == expected


def test_a_fit_without_a_solution_is_made_with_a_stronger_penalty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that fails from 3 on stands for classes that are nearly certain, on which it takes a minute to fail."""

    def solve(rows: MatrixFiles, strength: float, *, early: bool = False) -> tuple[np.ndarray, int]:
        if strength >= (3 if early else 0.3):
            raise NoSolutionError("1 step", strength, 1.0)
        return newton(rows, strength, early=early)

    _, rows = prepare(window(tmp_path, 0.01))
    monkeypatch.setattr(logistic, "newton", solve)
    assert logistic.choose_strengths(rows) == [0.3, 0.03]
    expected = linear_network(newton(rows, 0.03)[0]).weights
    assert logistic.fit(rows, Logistic(), 0).weights == expected
    with pytest.raises(NoSolutionError, match="no solution after 1 step with C 3, gradient 1"):
        logistic.fit(rows, Logistic(C=3.0), 0)


def test_a_strength_of_the_yaml_is_kept(tmp_path: Path) -> None:
    _, rows = prepare(window(tmp_path, 0.01))
    fixed, free = (logistic.fit(rows, settings, 0).weights for settings in (Logistic(C=0.03), Logistic()))
    assert fixed != free


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([10], None), ([10, 1], 1), ([10, 10, 10, 10], 3), ([10, 10, 10, 5], 2), ([1, 1, 1, 1, 100], 4), ([100, 1], 1)],
)
def test_the_last_dates_have_a_quarter_of_the_rows(counts: list[int], expected: int | None) -> None:
    rows = {FIRST + timedelta(days=index): count for index, count in enumerate(counts)}
    assert first_late(rows) == (None if expected is None else FIRST + timedelta(days=expected))


def test_a_window_with_codes_has_no_bins(
    inputs: Inputs, make_rows: Callable[..., pa.Table], window_of: Callable[[pa.Table, Inputs], Window], monkeypatch
) -> None:
    stored = window_of(make_rows(), inputs)
    assert any(logistic.prepare(stored, Logistic()).fitted.edges)
    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", 0)
    view = logistic.prepare(stored, Logistic())
    assert view.fitted.codes
    assert not any(view.fitted.edges)
