"""The graph of a blend: the mean of its parts' margins, with shared nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pyarrow as pa
import pytest
from windows import LABEL

from perennial.config.candidates import Logistic, XGBoost
from perennial.config.pipeline import Inputs
from perennial.errors import PerennialError
from perennial.models.scoring import score, to_arrays
from perennial.train.blend import answerer, blend
from perennial.train.model import train_model
from perennial.train.window import Window

MakeRows = Callable[..., pa.Table]
WindowOf = Callable[[pa.Table, Inputs], Window]


def test_a_blend_is_the_mean_of_the_margins_and_shares_what_its_parts_compute_alike(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf
) -> None:
    rows = make_rows()
    parts = [train_model(settings, window_of(rows, inputs), seed=1).onnx for settings in (Logistic(), Logistic(C=1.0), XGBoost())]
    whole = blend(parts, inputs.numbers, inputs.texts, LABEL)
    assert blend(parts, inputs.numbers, inputs.texts, LABEL) == whole
    margins = [np.log(p / (1 - p)) for p in (score(part, rows, inputs) for part in parts)]
    expected = 1 / (1 + np.exp(-np.mean(margins, axis=0)))
    np.testing.assert_allclose(score(whole, rows, inputs), expected, atol=1e-6)
    np.testing.assert_allclose(answerer(parts, LABEL)(*to_arrays(rows, inputs)), expected, atol=1e-6)
    used = {name for node in onnx.load_from_string(whole).graph.node for name in node.input}
    assert {constant.name for constant in onnx.load_from_string(whole).graph.initializer} <= used, "ONNX Runtime warns of others"
    first, second, trees, together = (len(onnx.load_from_string(each).graph.node) for each in (*parts, whole))
    assert together < first + trees, (first, second, trees, together)


def test_models_of_two_windows_are_no_blend(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf) -> None:
    rows = make_rows()
    fewer = rows.filter(pa.compute.not_equal(rows["site"], "west"))
    parts = [train_model(Logistic(), window_of(some, inputs), seed=1).onnx for some in (rows, fewer)]
    with pytest.raises(PerennialError, match="not trained on one window"):
        blend(parts, inputs.numbers, inputs.texts, LABEL)
