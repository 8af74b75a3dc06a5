"""A graph that answers otherwise than the library that trained it is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from authors import TRAINED, train
from windows import LABEL

from perennial.config.candidates import Logistic
from perennial.config.pipeline import Inputs
from perennial.errors import RefusedError
from perennial.models.metrics import Floats
from perennial.models.scoring import Numbers, Texts, score
from perennial.train.compare import MAX_DIFFERENCE, compare, rows_to_compare
from perennial.train.graph import GraphBuilder
from perennial.train.holdout import HoldoutWriter, StoredHoldout
from perennial.train.model import train_model
from perennial.train.scratch import Scratch
from perennial.train.window import Window

MakeRows = Callable[..., pa.Table]
WindowOf = Callable[[pa.Table, Inputs], Window]
ROW_KEY = ["slot"]


@pytest.fixture
def holdout(make_rows: MakeRows, tmp_path: Path) -> StoredHoldout:
    folder = tmp_path / "holdout"
    folder.mkdir()
    writer = HoldoutWriter(Scratch(folder), ROW_KEY, LABEL)
    writer.add(make_rows(seed=9))
    return writer.finish()


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", TRAINED)
def test_the_graph_of_each_family_answers_as_its_library_does(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout, family: str
) -> None:
    window = window_of(make_rows(), inputs)
    model = train(family, window)
    rows = list(rows_to_compare(inputs, window, holdout, ROW_KEY))
    kinds = {some.name(row).rpartition(", row ")[0] or "holdout" for some in rows for row in range(len(some.numbers))}
    nulls = {f"window with {name} null" for name in [*inputs.numbers, *inputs.texts]}
    far = {f"window with {name} far {side}" for name in inputs.numbers for side in ("below", "above")}
    unseen = {f"window with {name} unseen" for name in inputs.texts}
    assert kinds == {"holdout", "window", "window, inputs of different rows", *far, *nulls, *unseen}
    assert len(rows) == 5, "a library takes longer for a call than for the rows of an input that is null"
    assert compare(model.onnx, model.answerer(), family, iter(rows)) < MAX_DIFFERENCE / 5


@pytest.mark.tensorflow
@pytest.mark.parametrize("family", TRAINED)
def test_the_shift_of_a_sample_that_has_a_thousandth_of_the_negatives_is_exact_too(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout, family: str
) -> None:
    window = replace(window_of(make_rows(), inputs), log_odds=math.log(1000))
    model = train(family, window)
    assert compare(model.onnx, model.answerer(), family, rows_to_compare(inputs, window, holdout, ROW_KEY)) < MAX_DIFFERENCE / 5


def test_answers_that_are_known_are_compared_as_they_are(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout
) -> None:
    model = train_model(Logistic(), window_of(make_rows(), inputs), seed=1)
    known = np.concatenate([score(model.onnx, part.table, inputs) for part in holdout.read()])
    fresh, given = (
        compare(model.onnx, model.answerer(), "net", rows_to_compare(inputs, None, holdout, ROW_KEY, found))
        for found in (None, known)
    )
    assert fresh == given
    known[7] += 1e-3
    with pytest.raises(RefusedError, match="trained it on 1 rows"):
        compare(model.onnx, model.answerer(), "net", rows_to_compare(inputs, None, holdout, ROW_KEY, known))


def test_rows_that_differ_are_named(inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout) -> None:
    window = window_of(make_rows(), inputs)
    model = train_model(Logistic(), window, seed=1)
    answer = model.answerer()
    pressure = inputs.numbers.index("pressure")

    def with_error(numbers: Numbers, texts: Texts) -> Floats:
        """Answer like a library that treats a null in another way."""
        return answer(numbers, texts) + 2e-5 * np.isnan(numbers[:, pressure])

    with pytest.raises(RefusedError) as refused:
        compare(model.onnx, with_error, "net", rows_to_compare(inputs, window, holdout, ROW_KEY))
    text = str(refused.value)
    assert "net: the exported graph differs from the library" in text
    assert "by up to 2e-05 (limit 1e-05)" in text
    assert "holdout, date 2024-02-26, slot" in text
    assert text.count("library 0.") == 5


def test_an_answer_that_is_no_number_is_refused(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout
) -> None:
    model = train_model(Logistic(), window_of(make_rows(), inputs), seed=1)

    def no_number(numbers: Numbers, texts: Texts) -> Floats:
        return np.full(len(numbers), np.nan)

    with pytest.raises(RefusedError, match="by up to inf"):
        compare(model.onnx, no_number, "net", rows_to_compare(inputs, None, holdout, ROW_KEY))


def test_a_model_whose_answers_to_far_inputs_are_no_numbers_is_refused(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout
) -> None:
    window = window_of(make_rows(), inputs)
    graph = GraphBuilder(inputs.numbers, inputs.texts)
    pressure = graph.number("pressure")
    filled = graph.op("Where", graph.op("IsNaN", pressure), graph.constant([[0.0]]), pressure)
    root = graph.op("Sqrt", graph.op("Add", filled, graph.constant([[50.0]])))
    model = graph.model(graph.op("Identity", root, output="p"), ["rows", 1])

    def library(numbers: Numbers, texts: Texts) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.nan_to_num(numbers[:, [inputs.numbers.index("pressure")]]) + np.float32(50)).astype(np.float64)

    with pytest.raises(RefusedError) as refused:
        compare(model, library, "net", rows_to_compare(inputs, window, holdout, ROW_KEY))
    assert "net: the answers to 20 rows are not finite" in str(refused.value)
    assert "window with pressure far below, row 0: nan" in str(refused.value)


def test_a_library_that_fails_on_an_unseen_class_is_refused(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout
) -> None:
    window = window_of(make_rows(), inputs)
    model = train_model(Logistic(), window, seed=1)

    def strict(numbers: Numbers, texts: Texts) -> Floats:
        if (texts == "a text that no window has").any():
            raise ValueError("Unknown Category")
        return model.answerer()(numbers, texts)

    with pytest.raises(RefusedError) as refused:
        compare(model.onnx, strict, "net", rows_to_compare(inputs, window, holdout, ROW_KEY))
    assert "net: the library that trained it cannot answer some rows" in str(refused.value)
    assert "null, row 0 and the rows after it: ValueError: Unknown Category" in str(refused.value)


def test_rows_of_mixed_inputs_find_a_difference_that_no_row_of_the_window_shows(
    inputs: Inputs, make_rows: MakeRows, window_of: WindowOf, holdout: StoredHoldout
) -> None:
    """In the window each text goes with one range of a number: only other combinations meet the difference."""
    table = make_rows()
    sites = np.array(table["site"].to_pylist())
    joined = table.set_column(table.schema.get_field_index("pressure"), "pressure", pa.array((sites == "north").astype(float)))
    window = window_of(joined, inputs)
    model = train_model(Logistic(), window, seed=1)
    answer = model.answerer()
    pressure, site = inputs.numbers.index("pressure"), inputs.texts.index("site")

    def odd(numbers: Numbers, texts: Texts) -> Floats:
        return answer(numbers, texts) + 1e-3 * ((numbers[:, pressure] == 1) & (texts[:, site] == "south"))

    rows = rows_to_compare(inputs, window, StoredHoldout(None, 0, LABEL), ROW_KEY)
    with pytest.raises(RefusedError, match="window, inputs of different rows, row"):
        compare(model.onnx, odd, "net", rows)
