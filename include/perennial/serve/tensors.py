"""The Open Inference Protocol, version 2: one named tensor for each request field, one element a record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

from perennial.config.limits import MAX_NUMBER
from perennial.config.pipeline import Inputs
from perennial.errors import MAX_PROBLEMS_SHOWN, did_you_mean
from perennial.serve.limits import Limits
from perennial.serve.model import Answers, Model
from perennial.serve.refusal import Refusal, quoted, shown, too_many_records
from perennial.serve.release import Release
from perennial.store.json_value import JsonValue

_DATATYPES = {"number": "FP64", "boolean": "BOOL", "time": "BYTES", "date": "BYTES", "category": "BYTES"}
_INTEGERS = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)} | {
    f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)
}
"""The minimum and the maximum of each integer type."""
_MAX_FLOAT = {"FP16": 65504.0, "FP32": MAX_NUMBER, "FP64": math.inf}
_NUMBERS = {*_INTEGERS, *_MAX_FLOAT}
_UNSEEN, _CLASS = "unseen", "class"
_OPTIONAL_KEYS = {"id", "parameters", "outputs"}
"""Keys of a request that may be null, which means absent: clients of the protocol write all of its fields."""
_REQUEST_KEYS = {*_OPTIONAL_KEYS, "inputs"}
_TENSOR_KEYS = {"name", "shape", "datatype", "parameters", "data"}


def model_metadata(pipeline: str, release: Release) -> dict[str, JsonValue]:
    """Return the answer to GET /v2/models/{name}."""
    return {
        "name": pipeline,
        "versions": [release.id],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {
                "name": name,
                "datatype": _DATATYPES[field.type],
                "shape": [-1],
                "parameters": {"type": field.type, "nullable": field.nullable},
            }
            for name, field in release.model.inputs.request.items()
        ],
        "outputs": [_describe_output(release.model, name, -1) for name in _outputs(release.model)],
        "parameters": {"model_version": release.version, "as_of": release.as_of},
    }


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A well-formed infer request: its id, if any, its records, and the requested outputs."""

    id: str | None
    records: list[JsonValue]
    outputs: list[str]


def read_infer(request: JsonValue, model: Model, limits: Limits) -> InferRequest:
    """Turn an infer request into records. The record reader checks their values, as for /predict."""
    inputs, known = model.inputs, list(_outputs(model))
    if not isinstance(request, dict):
        raise Refusal(422, f"Expected an object with inputs, found {shown(request)}")
    asked: dict[str, Any] = {key: value for key, value in request.items() if value is not None or key not in _OPTIONAL_KEYS}
    unknown = islice((key for key in asked if key not in _REQUEST_KEYS), MAX_PROBLEMS_SHOWN)
    problems = [f"unknown key {quoted(key)}.{did_you_mean(key[:80], _REQUEST_KEYS)}" for key in unknown]
    if not isinstance(asked.get("id", ""), str) or len(asked.get("id", "")) > limits.text_characters:
        problems.append(f"id: expected a text of at most {limits.text_characters} characters, found {shown(asked['id'])}")
    problems += _output_problems(asked.get("outputs", []), known)
    tensors = asked.get("inputs")
    if not isinstance(tensors, list):
        problems.append(
            f"inputs: expected a list of tensors, found {shown(tensors)}" if "inputs" in asked else "inputs is missing"
        )
        raise _refused(problems)
    columns: dict[str, list[JsonValue]] = {}
    for index, tensor in enumerate(tensors):
        problems += _read_tensor(index, tensor, inputs, columns)
        if len(problems) >= MAX_PROBLEMS_SHOWN:
            break
    problems += [f"input '{name}' is missing" for name in inputs.request if name not in columns and not problems]
    lengths = {len(data) for data in columns.values()}
    if max(lengths, default=0) > limits.records:  # before a record is made of each
        raise too_many_records(max(lengths), limits.records)
    if not problems and len(lengths) > 1:
        problems.append(f"the inputs have different lengths: {', '.join(map(str, sorted(lengths)[:5]))}")
    if problems:
        raise _refused(problems)
    return InferRequest(
        id=asked.get("id"),
        records=[dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        outputs=[output["name"] for output in asked.get("outputs", [])] or known,
    )


def infer_answer(request: InferRequest, pipeline: str, release: Release, answers: Answers) -> dict[str, JsonValue]:
    """Return the answer to an infer request: the requested outputs, or all."""
    model, predictions, rows = release.model, answers.predictions, len(answers.predictions)
    data: dict[str, JsonValue] = {_UNSEEN: [",".join(fields) for fields in answers.unseen]}
    if model.classes:
        data[model.output] = [share for row in predictions for share in row]
        data[_CLASS] = [model.likeliest(row) for row in predictions] if _CLASS in request.outputs else []
    elif model.numbers:
        data |= {name: [row[place] for row in predictions] for place, name in enumerate(model.numbers)}
    else:
        data[model.output] = predictions
    answer: dict[str, JsonValue] = {
        "model_name": pipeline,
        "model_version": release.id,
        "outputs": [{**_describe_output(model, name, rows), "data": data[name]} for name in request.outputs],
        "parameters": {"model_version": release.version, "as_of": release.as_of},
    }
    return answer if request.id is None else {"id": request.id, **answer}


def _read_tensor(index: int, tensor: JsonValue, inputs: Inputs, columns: dict[str, list[JsonValue]]) -> list[str]:
    """Put one tensor's elements into `columns`. Return its problems."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        return [f"inputs[{index}]: expected an object with a name, found {shown(tensor)}"]
    name = tensor["name"]
    if name not in inputs.request:
        return [f"inputs[{index}]: unknown input {quoted(name)}.{did_you_mean(name[:80], inputs.request)}"]
    if name in columns:
        return [f"inputs[{index}]: the input '{name}' is listed twice"]
    unknown = next((key for key in tensor if key not in _TENSOR_KEYS), None)
    if unknown is not None:
        return [f"input '{name}': unknown key {quoted(unknown)}.{did_you_mean(unknown[:80], _TENSOR_KEYS)}"]
    expected = _DATATYPES[inputs.request[name].type]
    datatype = tensor.get("datatype")
    if datatype != expected and not (expected == "FP64" and isinstance(datatype, str) and datatype in _NUMBERS):
        return [f"input '{name}': expected datatype {expected}, found {shown(datatype)}"]
    data, shape = tensor.get("data"), tensor.get("shape")
    if not isinstance(data, list):
        return [f"input '{name}': expected a list as data, found {shown(data)}"]
    if not isinstance(shape, list) or not all(type(part) is int for part in shape) or shape not in ([len(data)], [len(data), 1]):
        return [f"input '{name}': expected shape [{len(data)}] or [{len(data)}, 1] for its data, found {_describe_shape(shape)}"]
    if len(shape) == 2 and data and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if datatype in _NUMBERS and (wrong := next((value for value in data if not _fits(value, datatype)), None)) is not None:
        return [f"input '{name}': {shown(wrong)} is not a valid {datatype}"]
    columns[name] = data
    return []


def _fits(value: JsonValue, datatype: str) -> bool:
    """Return whether a number is valid in its declared type. The record reader refuses values that are not numbers."""
    if type(value) is not int and type(value) is not float:
        return True
    if datatype in _INTEGERS:
        minimum, maximum = _INTEGERS[datatype]
        return type(value) is int and minimum <= value <= maximum
    return abs(value) <= _MAX_FLOAT[datatype]


def _outputs(model: Model) -> dict[str, str]:
    """Return the outputs of a model with their types."""
    others = {_CLASS: "BYTES"} if model.classes else dict.fromkeys(model.numbers, "FP32")
    return {model.output: "FP32", **others, _UNSEEN: "BYTES"}


def _describe_output(model: Model, name: str, rows: int) -> dict[str, JsonValue]:
    """Return the name, type and shape of an output; for the probabilities of several classes also their names, in order."""
    found: dict[str, JsonValue] = {"name": name, "datatype": _outputs(model)[name], "shape": [rows]}
    if model.classes and name == model.output:
        return {**found, "shape": [rows, len(model.classes)], "parameters": {"classes": [*model.classes]}}
    return found


def _output_problems(outputs: JsonValue, known: list[str]) -> list[str]:
    if not isinstance(outputs, list):
        return [f"outputs: expected a list, found {shown(outputs)}"]
    names = [output.get("name") if isinstance(output, dict) else None for output in outputs[: len(known) + 1]]
    problems = [
        f"outputs[{index}]: expected one of {', '.join(known)}, found {shown(name)}"
        for index, name in enumerate(names)
        if not isinstance(name, str) or name not in known
    ]
    return problems or (["outputs: each may be listed once"] if len(outputs) > len(set(names)) else [])


def _describe_shape(shape: JsonValue) -> str:
    return (
        f"[{', '.join(shown(part).removeprefix('the number ') for part in shape[:3])}]"
        if isinstance(shape, list)
        else shown(shape)
    )


def _refused(problems: list[str]) -> Refusal:
    return Refusal(422, "The request does not fit the inputs of the model", problems)
