"""Builds releases with small graphs of ONNX's own operators, so that the server's tests need no training."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper
from serve_small_s3 import SmallS3

from perennial.config.pipeline import Inputs
from perennial.deploy.lookup_writer import write_lookup
from perennial.lake.layout import Layout
from perennial.store.content_name import canonical_json, sha256

CARRIERS = ["AA", "B6", "DL", "UA"]
RECORD = {
    "date": "2013-02-13",
    "dep_time": "08:30",
    "distance": 1089.5,
    "temp": None,
    "is_holiday": False,
    "carrier": "UA",
    "origin": "JFK",
    "tailnum": "N1",
}


def inputs_of(shape: str) -> Inputs:
    """Return the inputs of a small pipeline with every type of field, or of one as wide as the real one."""
    if shape == "small":
        return Inputs.model_validate(
            {
                "request": {
                    "date": "date",
                    "dep_time": "time",
                    "distance": "number",
                    "temp": "number?",
                    "is_holiday": "boolean",
                    "carrier": "category",
                    "origin": "category",
                    "tailnum": "category?",
                },
                "identifiers": ["tailnum"],
                "lookups": {
                    "tail_rates": {"key": ["tailnum"], "values": ["late_logit", "age"]},
                    "route_rates": {"key": ["origin", "carrier"], "values": ["late_logit"]},
                },
            }
        )
    raise ValueError(shape)


def lookups_of(inputs: Inputs, rows: int = 3) -> dict[str, dict[str, Any]]:
    """Return lookup files: `rows` keys each, N1 and (JFK, UA) among them; one value is null."""
    files = {}
    for name, spec in inputs.lookups.items():
        keys = [[RECORD.get(column, f"{column}0") for column in spec.key]]
        keys += [[f"{column}{index}" for column in spec.key] for index in range(1, rows)]
        files[name] = {
            "key": spec.key,
            "values": spec.values,
            "rows": [
                [*key, *(None if (at, index) == (1, 0) else 0.25 + at + index for at in range(len(spec.values)))]
                for index, key in enumerate(keys)
            ],
        }
    return files


def small_graph(
    inputs: Inputs, bias: float, hidden: tuple[int, ...] = (), scale: float = 1e-4, categories: Sequence[str] = CARRIERS
) -> bytes:
    """Return a graph: known carriers one-hot beside the numbers (NaN as 0, scaled), dense layers, sigmoid."""
    generator = np.random.default_rng(7)
    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    one_hot = [name for name in inputs.one_hot if name == "carrier"] or inputs.one_hot[:1]
    column = inputs.texts.index(one_hot[0])
    nodes += [
        helper.make_node("IsNaN", ["numbers"], ["missing"]),
        helper.make_node("Where", ["missing", constant("zero", np.float32(0)), "numbers"], ["filled"]),
        helper.make_node(
            "Mul",
            ["filled", constant("scale", np.array([[0.01 if "__" in name else scale for name in inputs.numbers]], np.float32))],
            ["scaled"],
        ),
        helper.make_node("Gather", ["texts", constant("column", np.array([column], np.int64))], ["picked"], axis=1),
        helper.make_node("OneHotEncoder", ["picked"], ["hot"], domain="ai.onnx.ml", cats_strings=list(categories), zeros=1),
        helper.make_node("Reshape", ["hot", constant("flat", np.array([-1, len(categories)], np.int64))], ["known"]),
        helper.make_node("Concat", ["scaled", "known"], ["layer0"], axis=1),
    ]
    width, last = len(inputs.numbers) + len(categories), "layer0"
    for index, units in enumerate([*hidden, 1], start=1):
        weights = generator.normal(0, 0.3, (width, units)).astype(np.float32)
        bias_of = np.full(units, bias if units == 1 else 0.0, np.float32)
        nodes.append(
            helper.make_node("Gemm", [last, constant(f"w{index}", weights), constant(f"b{index}", bias_of)], [f"dense{index}"])
        )
        activation = "Sigmoid" if index > len(hidden) else "Relu"
        nodes.append(helper.make_node(activation, [f"dense{index}"], [f"layer{index}"]))
        width, last = units, f"layer{index}"
    nodes.append(helper.make_node("Reshape", [last, constant("rows", np.array([-1], np.int64))], ["probability"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["N", len(inputs.numbers)]),
            helper.make_tensor_value_info("texts", TensorProto.STRING, ["N", len(inputs.texts)]),
        ],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)])
    model.ir_version = 8
    helper.set_model_props(model, {"categories": json.dumps({one_hot[0]: list(categories)})})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def with_classes(graph: bytes, names: Sequence[str]) -> bytes:
    """Return the graph of a probability as one of several classes: its complement, and equal parts of it."""
    model = onnx.load_from_string(graph)
    parts = len(names) - 1
    constants = {"one": np.float32(1), "parts": np.full((1, parts), 1 / parts, np.float32), "column": np.array([-1, 1], np.int64)}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"classes.{name}") for name, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Reshape", ["probability", "classes.column"], ["classes.p"]),
            helper.make_node("Sub", ["classes.one", "classes.p"], ["classes.rest"]),
            helper.make_node("Mul", ["classes.p", "classes.parts"], ["classes.shares"]),
            helper.make_node("Concat", ["classes.rest", "classes.shares"], ["probabilities"], axis=1),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(names)]))
    known = {item.key: item.value for item in model.metadata_props}
    helper.set_model_props(model, {**known, "classes": json.dumps(list(names))})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def with_interval(graph: bytes) -> bytes:
    """Return the graph of a number that also answers an interval: from a half to twice of it."""
    model = onnx.load_from_string(graph)
    constants = {"factors": np.array([[0.5, 2.0]], np.float32), "column": np.array([-1, 1], np.int64)}
    tensors = (numpy_helper.from_array(np.asarray(value), f"interval.{name}") for name, value in constants.items())
    model.graph.initializer.extend(tensors)
    model.graph.node.extend(
        [
            helper.make_node("Reshape", ["probability", "interval.column"], ["interval.value"]),
            helper.make_node("Mul", ["interval.value", "interval.factors"], ["interval"]),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("interval", TensorProto.FLOAT, ["N", 2]))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def large_file(table: dict[str, Any]) -> bytes:
    """Return a lookup file in the form of a large one."""
    names, file = [*table["key"], *table["values"]], io.BytesIO()
    rows = pa.table(dict(zip(names, zip(*table["rows"], strict=True), strict=True)))
    write_lookup(file, "lookup", rows, table["key"], table["values"])
    return file.getvalue()


def build_release(
    store: SmallS3,
    pipeline: str,
    inputs: Inputs,
    *,
    name: str = "2013-02-12-0123456789ab",
    bias: float = 0.0,
    hidden: tuple[int, ...] = (),
    scale: float = 1e-4,
    categories: Sequence[str] = CARRIERS,
    lookup_rows: int = 3,
    record: dict[str, Any] | None = None,
    damage: dict[str, Any] | None = None,
    large: bool = False,
) -> str:
    """
    Put a release into the store and return its id.

    `damage` replaces files ({"model.onnx": bytes}) after the digests were taken, or members of the manifest, so that the
    release must be refused.
    """
    layout, damage = Layout("s3://perennial", "main", pipeline), damage or {}
    graph = small_graph(inputs, bias, hidden, scale, categories)
    tables = lookups_of(inputs, lookup_rows)
    record = record or RECORD
    files = {
        f"lookups/{lookup}.{'table' if large else 'json'}": large_file(table) if large else canonical_json(table)
        for lookup, table in tables.items()
    }
    files["model.onnx"] = graph
    files["golden.json"] = damage.get("golden") or canonical_json(
        {"records": [record], "probabilities": [expected_probability(graph, inputs, tables, record)]}
    )
    manifest = {
        "format": 2 if large else 1,
        "release": name,
        "pipeline": pipeline,
        "space": "main",
        "date": "2013-02-12",
        "as_of": "2013-02-13",
        "version": f"mlp-{name}",
        "files": {file: {"sha256": sha256(body), "size": len(body)} for file, body in files.items()},
        "inputs": inputs.model_dump(mode="json"),
        "row_key": ["carrier"],
        "p99_ms": 50,
        "decision": "s3://perennial/decision.json",
    } | {member: value for member, value in damage.items() if member not in {*files, "golden"}}
    for file, body in files.items():
        store.objects[layout.blob(sha256(body))] = damage.get(file, body)
    store.objects[layout.release(name)] = canonical_json(manifest)
    return name


def point_at(store: SmallS3, pipeline: str, release: str) -> None:
    """Make a release the active one."""
    active = {"format": 1, "release": release, "previous": None}
    store.objects[Layout("s3://perennial", "main", pipeline).active] = canonical_json(active)


def expected_probability(graph: bytes, inputs: Inputs, tables: dict[str, Any], record: dict[str, Any]) -> float:
    """Return the graph's answer to a record, its tensors made here and not by the server's code."""
    import math
    from datetime import date

    import onnxruntime

    def number(name: str) -> float:
        value, kind = record[name], inputs.request[name].type
        if value is None:
            return math.nan
        if kind == "time":
            return int(value[:2]) * 60 + int(value[3:])
        if kind == "date":
            return (date.fromisoformat(value) - date(1970, 1, 1)).days
        return float(value)

    numbers = [number(name) for name in inputs.numbers if name in record]
    for name, spec in sorted(inputs.lookups.items()):
        key = [record[column] for column in spec.key]
        found = next((row[len(key) :] for row in tables[name]["rows"] if row[: len(key)] == key), [None] * len(spec.values))
        numbers += [math.nan if value is None else value for value in found]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    texts = np.array([[record[name] or "" for name in inputs.texts]], dtype=object)
    return float(session.run(["probability"], {"numbers": np.array([numbers], np.float32), "texts": texts})[0][0])


def infer(**changes: Any) -> dict[str, Any]:
    """Return the infer request of RECORD, with changes."""
    kinds = {str: "BYTES", bool: "BOOL", float: "FP64", type(None): "FP64"}
    tensors = [{"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]} for name, value in RECORD.items()]
    return {"inputs": tensors} | changes
