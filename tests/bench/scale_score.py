"""The cost of a score: the job of score on the features of a made-up date, and its function alone."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import onnxruntime
import pyarrow as pa
from pyarrow import dataset
from windows import store_window

from perennial.config.candidates import Mlp
from perennial.config.pipeline import Pipeline
from perennial.score.job_file import DayToScore, PinnedRelease, ScoreJob, StoredFile
from perennial.score.worker import Columns, Scorer, answer, make_scorer
from perennial.serve.lookups import read_lookup
from perennial.serve.model import known_categories
from perennial.store.content_name import canonical_json, sha256
from perennial.train.model import train_model

TRAINED_ROWS, MAX_ALONE = 50_000, 1_000_000
BATCH_ROWS = 10_000
"""Rows that Spark sends to a worker at once."""

TYPES = {"number": pa.float64(), "category": pa.string(), "time": pa.int32(), "date": pa.date32(), "boolean": pa.bool_()}


class MadeUpRelease:
    """
    A release whose network is trained on rows of the features of a date, with the lookups of the next midnight.

    :param warehouse: the folder of the tables that analyse has made
    """

    def __init__(self, folder: Path, warehouse: Path, pipeline: Pipeline, day: date) -> None:
        self._folder, self._warehouse, self._pipeline, self._day = folder, warehouse, pipeline, day
        inputs = pipeline.inputs
        features = self._rows("features")
        self.rows = features.count_rows()
        window = store_window(folder, features.head(TRAINED_ROWS), inputs, pipeline.label)
        self._graph = train_model(Mlp(), window, seed=1).onnx
        self._documents = {name: self._document(name) for name in inputs.lookups}
        self._golden = self._request(features.head(1))
        self._answers = answer(self._scorer([]), self._golden)[0].tolist()

    def _rows(self, table: str) -> dataset.Dataset:
        return dataset.dataset(self._warehouse / table / "data", partitioning=None)

    def _document(self, name: str) -> dict[str, Any]:
        spec, as_of = self._pipeline.inputs.lookups[name], self._day + timedelta(days=1)
        columns = [*spec.key, *spec.values]
        rows = self._rows(f"lookup_{name}").to_table(columns, filter=dataset.field("as_of") == as_of).drop_null()
        return {"key": spec.key, "values": spec.values, "rows": [list(row.values()) for row in rows.to_pylist()]}

    def _request(self, rows: pa.Table) -> pa.Table:
        """Return the request fields of rows of the features in the types in which a worker gets them, and their key."""
        request = self._pipeline.inputs.request
        key = [name for name in self._pipeline.row_key if name not in request]
        columns = {name: rows[name].cast(TYPES[field.type]) for name, field in request.items()}
        return pa.table({**columns, **{name: rows[name] for name in key}})

    def _scorer(self, answers: list[float]) -> Scorer:
        inputs = self._pipeline.inputs
        session = onnxruntime.InferenceSession(self._graph, providers=["CPUExecutionProvider"])
        lookups = {
            name: (read_lookup(name, self._documents[name], spec, inputs), spec.values) for name, spec in inputs.lookups.items()
        }
        return Scorer(
            graph=self._graph,
            columns=Columns(inputs.numbers, inputs.texts),
            request={name: (field.type, field.nullable) for name, field in inputs.request.items()},
            lookups=lookups,
            files={},
            known={name: known for _, name, known in known_categories(session, inputs)},
            golden=self._golden,
            answers=answers,
            spread=1.0,
            onnxruntime=onnxruntime.__version__,
            row_key=self._pipeline.row_key,
        )

    def score_alone(self) -> float:
        """Score the rows by the worker's function in this process; return its CPU microseconds a row."""
        rows = self._request(self._rows("features").head(MAX_ALONE))
        began = time.process_time()
        for scores in make_scorer(self._scorer(self._answers))(iter(rows.to_batches(max_chunksize=BATCH_ROWS))):
            assert scores["p"].null_count == 0, scores["__problem"][0]
        return (time.process_time() - began) / rows.num_rows * 1e6

    def job(self, database: str) -> ScoreJob:
        """Return the job that scores the date."""
        request = self._pipeline.inputs.request
        golden = {name: self._golden[name] for name in request}
        days = {name: golden[name].cast(pa.int32()) for name, field in request.items() if field.type == "date"}
        release = PinnedRelease(
            id=f"{self._day}-0123456789ab",
            graph=self._stored(self._graph),
            lookups={name: self._stored(canonical_json(document)) for name, document in self._documents.items()},
            inputs=self._pipeline.inputs.model_dump(mode="json"),
            golden={name: column.to_pylist() for name, column in (golden | days).items()},
            answers=self._answers,
            spread=1.0,
            onnxruntime=onnxruntime.__version__,
        )
        wanted = {self._day.isoformat(): DayToScore("key", self.rows, None)}
        return ScoreJob(database, database, "features", None, "features", self._pipeline.row_key, "scores", release, wanted)

    def _stored(self, body: bytes) -> StoredFile:
        path = self._folder / sha256(body)
        path.write_bytes(body)
        return StoredFile(path.as_uri(), sha256(body))
