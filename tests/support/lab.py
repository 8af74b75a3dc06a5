"""A lake with real tables and models, made in a moment: Iceberg files in the object store, tiny graphs, no Spark, no training."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from boto3.session import Session
from onnx import TensorProto, helper, numpy_helper
from pyiceberg.catalog.sql import SqlCatalog

from perennial.analyse.plan import analyse_fingerprints
from perennial.calendar import days
from perennial.clean.plan import pending_work
from perennial.collect.collect import collect
from perennial.config.pipeline import Inputs, Pipeline
from perennial.lake.files import file_io_properties
from perennial.lake.lake import Lake
from perennial.lake.sample import SAMPLE, SAMPLE_BITS
from perennial.lake.tables import Partition, TableState
from perennial.models.metrics import all_metrics
from perennial.models.scoring import score
from perennial.store.content_name import canonical_json, sha256
from perennial.train.history import split_of
from perennial.train.plan import plan_training

START, LAST = date(2026, 3, 1), date(2026, 3, 14)
ROWS = 120
WINDOW, HOLDOUT = 4, 7
MACHINES = [f"M{index:02d}" for index in range(8)]


def with_lookup(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Return an edit of machine_faults: a week of holdout, one lookup, short soak."""

    def edit(document: dict[str, Any]) -> None:
        document["training"] = {
            "window_days": WINDOW,
            "holdout_days": HOLDOUT,
            "min_days": 8,
            "lookback_days": 0,
            "candidates": ["mlp", "logistic"],
        }
        document["gate"] = {
            "floors": {"roc_auc": 0.6, "rows": 100, "positives": 20},
            "min_days": HOLDOUT,
            "slices": ["mode"],
            "slice_min_rows": 50,
        }
        document["inputs"]["lookups"] = {"machine_rates": {"key": ["machine"], "values": ["rate"]}}
        document["deployment"] = {"p99_ms": 250, "soak_seconds": 0.1}
        (folder / "lookups").mkdir(exist_ok=True)
        (folder / "lookups" / "machine_rates.sql").write_text(
            "SELECT d.as_of, r.machine, 0.1 AS rate FROM dates d JOIN readings r\n"
        )

    return edit


@dataclass
class FixedTables:
    """The state of tables as the lab wrote them; rows are read from the object store as ever."""

    states: dict[str, TableState] = field(default_factory=dict)

    def state(self, table: str) -> TableState:
        return self.states.get(table, TableState(table, None, None, {}))

    def at_one_moment(self) -> FixedTables:
        return self


@dataclass
class Lab:
    """A lake, and the means to put rows and models into it."""

    lake: Lake
    catalog: SqlCatalog

    @property
    def pipeline(self) -> Pipeline:
        return self.lake.pipeline

    def write_table(self, name: str, table: pa.Table, day_column: str) -> None:
        """Write a table anew and record a digest for each of its days."""
        identifier = f"lab.{name}"
        if self.catalog.table_exists(identifier):
            self.catalog.drop_table(identifier)
        written = self.catalog.create_table(identifier, table.schema)
        written.append(table)
        snapshot = written.current_snapshot()
        assert snapshot is not None
        partitions = {}
        for day in sorted(set(table[day_column].to_pylist())):
            rows = table.filter(pa.compute.equal(table[day_column], day))
            partitions[day.isoformat()] = Partition("key", sha256(repr(rows.to_pylist()).encode()), rows.num_rows)
        self.lake.tables.states[name] = TableState(name, written.metadata_location, snapshot.snapshot_id, partitions)  # type: ignore[attr-defined]

    def correct(self, day: date) -> None:
        """
        Give the features of a date another digest, as after a corrected drop.

        Every training that reads them then has another key.
        """
        state = self.lake.tables.state("features")
        known = state.partitions[day.isoformat()]
        corrected = replace(known, digest=sha256(known.digest.encode()))
        self.lake.tables.states["features"] = replace(state, partitions={**state.partitions, day.isoformat(): corrected})  # type: ignore[attr-defined]

    def settle(self, day: date) -> None:
        """Record that a run of `day` has collected, cleaned and analysed what has landed, with the rows that the tables hold."""
        collect(self.lake, day)
        for name in self.pipeline.sources:
            self._hold(f"clean_{name}", pending_work(self.lake, name, day, day)[0])
        for table, keys in analyse_fingerprints(self.lake, day, day).items():
            self._hold(table, keys)

    def _hold(self, table: str, keys: Mapping[Any, str]) -> None:
        empty, blank = TableState(table, "s3://none/metadata.json", 1, {}), Partition("", f"rows of {table}", ROWS)
        state = self.lake.tables.states.get(table, empty)  # type: ignore[attr-defined]
        made = {str(day): replace(state.partitions.get(str(day), blank), key=str(key)) for day, key in keys.items()}
        self.lake.tables.states[table] = replace(state, partitions={**state.partitions, **made})  # type: ignore[attr-defined]

    def train(
        self,
        candidate: str,
        day: date,
        weight: float,
        *,
        change: Callable[[pa.Table], pa.Table] = lambda table: table,
        **manifest: Any,
    ) -> str:
        """
        Store the result of a training of `day`, and return its version.

        The result is a model whose graph gives the temperature this weight, with its predictions.
        It is stored once, as by a training. To get another one for the same date, `correct` what it reads.
        """
        plan, split = plan_training(self.lake, day, candidate), split_of(self.lake, day)
        assert plan.manifest_uri is not None, plan.skipped
        assert plan.key is not None
        inputs = self.pipeline.inputs
        graph = small_graph(weight, inputs)
        table = features_table()
        rows = table.filter(pa.compute.is_in(table["date"], pa.array(split.holdout)))
        y = np.array(rows["fault"].to_pylist(), dtype=np.int_)
        p = score(graph, rows, inputs)
        predictions = change(pa.table({"date": rows["date"], "reading_id": rows["reading_id"], "y": y, "p": p}))
        buffer = io.BytesIO()
        pq.write_table(predictions, buffer)
        files = {"model.onnx": graph, "predictions.parquet": buffer.getvalue()}
        for body in files.values():
            self.lake.objects.create(self.lake.layout.blob(sha256(body)), body)
        state = self.lake.tables.state("features")
        body = {
            "format": 1,
            "version": f"{candidate}-{day}-{plan.key[:8]}",
            "candidate": candidate,
            "date": day.isoformat(),
            "key": plan.key,
            "pipeline": self.pipeline.name,
            "files": {name: {"sha256": sha256(content), "size": len(content)} for name, content in files.items()},
            "window": [d.isoformat() for d in split.window],
            "holdout": [d.isoformat() for d in split.holdout],
            "rows": {"window": ROWS * len(split.window), "holdout": rows.num_rows},
            "inputs": inputs.model_dump(mode="json"),
            "label": self.lake.pipeline.label.model_dump(mode="json", include={"column", "positive"}),
            "metrics": all_metrics(y, p),
            "constant": 0.4,
            "measured": {"cpu_seconds": 1.5},
            "digests": {d.isoformat(): state.partitions[d.isoformat()].digest for d in split.holdout},
            **manifest,
        }
        assert self.lake.objects.create(plan.manifest_uri, canonical_json(body)), f"{candidate} of {day} is trained already"
        return str(body["version"])


def build_lab(lake: Lake, folder: Path) -> Lab:
    """Return a lab with features and lookups of all dates."""
    catalog = SqlCatalog(
        "lab", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"{lake.layout.root}/lab", **file_io_properties(Session())
    )
    catalog.create_namespace("lab")
    tables = FixedTables()
    lab = Lab(replace(lake, tables=tables), catalog)  # type: ignore[arg-type]
    lab.write_table("features", features_table(), "date")
    dates = [as_of(day) for day in days(START, LAST)]
    rates = [{"as_of": when, "machine": name, "rate": rate(name, when)} for when in dates for name in MACHINES]
    lab.write_table("lookup_machine_rates", pa.Table.from_pylist(rates), "as_of")
    return lab


def as_of(day: date) -> date:
    """Return the next midnight: the lab's feed never rests."""
    return day + timedelta(days=1)


def rate(machine: str, when: date) -> float:
    """Return a lookup value that changes from day to day."""
    return (int(machine[1:]) - 3.5) / 4 + when.day / 1000


@cache
def features_table() -> pa.Table:
    """Return the features of all dates: hot readings fault more often."""
    rng = np.random.default_rng(4)
    rows = []
    for day in days(START, LAST):
        for index in range(ROWS):
            temperature = float(rng.normal(60, 15))
            machine = MACHINES[int(rng.integers(len(MACHINES)))]
            logit = (temperature - 60) / 10 + rate(machine, day)
            rows.append(
                {
                    "date": day,
                    "reading_id": (day - START).days * 1000 + index,
                    "temperature": temperature,
                    "pressure": None if index % 7 == 0 else float(rng.normal(8, 2)),
                    "machine": machine,
                    "mode": ["idle", "normal", "boost"][int(rng.integers(3))],
                    "fault": bool(rng.random() < 1 / (1 + np.exp(-logit))),
                    "machine_rates__rate": rate(machine, day),
                }
            )
    sample = pa.array(np.random.default_rng(5).integers(0, 2**SAMPLE_BITS, len(rows)), pa.int32())
    return pa.Table.from_pylist(rows).append_column(SAMPLE, sample)


def of_one_class(day: date) -> pa.Table:
    """Return the features of all dates, but no reading of a date's training window faults."""
    table = features_table()
    first = day - timedelta(days=HOLDOUT + WINDOW - 1)
    window = pa.compute.is_in(table["date"], pa.array(list(days(first, first + timedelta(days=WINDOW - 1)))))
    faults = pa.compute.if_else(window, False, table["fault"])
    return table.set_column(table.schema.get_field_index("fault"), "fault", faults)


def small_graph(weight: float, inputs: Inputs) -> bytes:
    """Return sigmoid(weight * (temperature - 60) + rate)."""
    column = np.zeros((len(inputs.numbers), 1), np.float32)
    column[inputs.numbers.index("temperature")] = weight
    column[inputs.numbers.index("machine_rates__rate")] = 1.0
    constants = {"zero": np.float32(0), "w": column, "b": np.array([-60 * weight], np.float32), "flat": np.array([-1], np.int64)}
    graph = helper.make_graph(
        [
            helper.make_node("IsNaN", ["numbers"], ["missing"]),
            helper.make_node("Where", ["missing", "zero", "numbers"], ["filled"]),
            helper.make_node("Gemm", ["filled", "w", "b"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["p"]),
            helper.make_node("Reshape", ["p", "flat"], ["probability"]),
        ],
        "small",
        [
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", len(inputs.numbers)]),
            helper.make_tensor_value_info("texts", TensorProto.STRING, ["N", len(inputs.texts)]),
        ],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
