"""Windows of trainings on disk, from tables in memory."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import pyarrow as pa

from perennial.config.pipeline import BinaryLabel, Inputs, Label
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


def prepare(window: Window) -> tuple[Dense, MatrixFiles]:
    """Fit the preprocessing of a window, and store its dense matrix."""
    view = Dense(window.inputs, fit_preprocessing(window))
    return view, store_matrix(window, view)
