"""Windows of trainings on disk, from tables in memory."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow as pa

from perennial.config.label import BinaryLabel, ClassesLabel, Label, NumberLabel
from perennial.config.pipeline import Inputs
from perennial.train.matrix_files import MatrixFiles, store_matrix
from perennial.train.preprocess import fit_preprocessing
from perennial.train.scratch import Scratch
from perennial.train.views import Dense
from perennial.train.window import Window, WindowWriter

LABEL = BinaryLabel(column="failed", positive=True)


def store_window(folder: Path, table: pa.Table, inputs: Inputs, label: Label = LABEL, late: date | None = None) -> Window:
    """Write all rows of a table as a window, in a new folder below `folder`; from the date `late` on they are late."""
    writer = WindowWriter(Scratch(Path(mkdtemp(dir=folder))), inputs, label, table.num_rows, late=late)
    writer.add(table)
    return writer.finish()


def with_minutes(table: pa.Table, center: float = 40.0, spread: float = 12.0) -> pa.Table:
    """Return rows with a label that follows the load and the site, with noise that is larger on one side."""
    load, west = table["load"].to_numpy(), np.array(table["site"].to_pylist()) == "west"
    noise = np.random.default_rng(3).gamma(2.0, 0.3, table.num_rows)
    return table.append_column("minutes", pa.array(center + spread * ((load - 50) / 10 + west + noise)))


def store_minutes(folder: Path, table: pa.Table, inputs: Inputs, predict: str, **changes: Any) -> Window:
    """Write all rows of a table as a window whose label is its column `minutes`."""
    return store_window(folder, table, inputs, NumberLabel(column="minutes", predict=predict, **changes))


def with_grade(table: pa.Table) -> pa.Table:
    """Return rows with a label of three classes that follows the load and the site: good, worn and bad."""
    load, west = table["load"].to_numpy(), np.array(table["site"].to_pylist()) == "west"
    noise = np.random.default_rng(3).logistic(0, 0.4, table.num_rows)
    wear = (load - 50) / 10 + west + noise
    return table.append_column("grade", pa.array(np.array(["good", "worn", "bad"])[np.digitize(wear, [0.0, 1.5])].tolist()))


GRADES = ClassesLabel(column="grade", classes=["good", "worn", "broken", "bad"])
"""A label with a class that no row has."""


def prepare(window: Window) -> tuple[Dense, MatrixFiles]:
    """Fit the preprocessing of a window, and store its dense matrix."""
    view = Dense(window.inputs, fit_preprocessing(window))
    return view, store_matrix(window, view)
