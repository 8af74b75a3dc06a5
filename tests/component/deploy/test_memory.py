"""A release that is too large for its model servers is refused before a server loads it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lab as lab_module
import numpy as np
import onnx
import pytest
from lab import Lab, small_graph
from scripted_runtime import ScriptedRuntime
from steps import D1, decide

from perennial.config.pipeline import Inputs
from perennial.deploy.active import read_active
from perennial.deploy.deploy import deploy
from perennial.deploy.memory import estimate_memory
from perennial.errors import RefusedError
from perennial.evaluate.chain_store import read_chain
from perennial.train.graph import GraphBuilder

INPUTS = Inputs.model_validate({"request": {"load": "number", "customer": "category"}})
MIB = 2**20

OPEN = """
import json, sys
from pathlib import Path
from perennial.serve.memory import use_few_arenas
use_few_arenas()
from perennial.config.pipeline import Inputs
from perennial.serve.limits import Limits
from perennial.serve.model import Model

def anonymous():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024

body, inputs = Path(sys.argv[1]).read_bytes(), Inputs.model_validate_json(sys.argv[2])
before = anonymous()
model = Model(body, inputs, {}, Limits())
model.answer([{"load": 1.0, "customer": "c"}])
print(anonymous() - before)
"""


def with_classes(count: int, letters: int = 10, weights: int = 0) -> bytes:
    """Return a graph that gives each customer a place among the weights of its class, as training exports it."""
    graph, names = GraphBuilder(INPUTS.numbers, INPUTS.texts), [f"{index:0{letters}}" for index in range(count)]
    code = graph.op(
        "LabelEncoder",
        graph.text("customer"),
        domain="ai.onnx.ml",
        default_int64=0,
        keys_strings=names,
        values_int64s=list(range(count)),
    )
    table = graph.constant(np.arange(max(count, weights), dtype=np.float32))
    margin = graph.op("Add", graph.op("Gather", table, code), graph.columns("numbers", [0]))
    answer = graph.op("Reshape", graph.op("Sigmoid", margin), graph.constant([-1], np.int64), output="probability")
    return graph.model(answer, ["rows"], {"categories": {"customer": names}})


@pytest.mark.parametrize(
    ("count", "letters", "weights"),
    [(40_000, 6, 0), (40_000, 36, 0), (10, 10, 2_000_000)],
    ids=["short classes", "long classes", "weights"],
)
def test_the_estimate_is_an_upper_bound_of_what_a_graph_takes(tmp_path: Path, count: int, letters: int, weights: int) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(with_classes(count, letters, weights))
    command = [sys.executable, "-c", OPEN, str(file), INPUTS.model_dump_json()]
    found = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    estimate = estimate_memory(file.read_bytes(), [])
    assert found <= estimate.graph <= 2 * found + 4 * MIB
    assert estimate.classes == {"customer": count}


def test_lookups_in_memory_count_and_mapped_ones_do_not() -> None:
    graph = with_classes(10)
    few, many = estimate_memory(graph, [100_000, 50_000]), estimate_memory(graph, [100_000, 50_000, 10_000_000])
    assert few == many
    assert few.lookups >= 300 * 150_000


def test_a_release_that_is_too_large_is_refused_with_numbers_and_bars_nothing(
    lab: Lab, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(lab_module, "small_graph", lambda weight, inputs: widen(small_graph(weight, inputs)))
        decide(lab, D1)
    monkeypatch.setenv("PERENNIAL_SERVER_MEMORY_MIB", "64")
    with pytest.raises(RefusedError, match="is too large for its model servers") as refused:
        deploy(lab.lake, D1, runtime)
    text = str(refused.value)
    graph = re.search(r"takes about (\d+) MiB of a server's memory", text)
    assert graph is not None
    assert 20 <= int(graph[1]) <= 30
    assert "a server has 64 MiB, of which a release may take a quarter (16 MiB)" in text
    enough = re.search(r"Raise PERENNIAL_SERVER_MEMORY_MIB to (\d+) MiB or more", text)
    assert enough is not None
    assert "list customer (50,000 classes) in inputs.identifiers" in text
    with monkeypatch.context() as patched:
        patched.setenv("PERENNIAL_RUNTIME", "kubernetes")
        deployment = lab.pipeline.deployment.model_copy(update={"memory": "64Mi"})
        pods = replace(lab.lake, pipeline=lab.pipeline.model_copy(update={"deployment": deployment}))
        with pytest.raises(RefusedError, match=f"Raise deployment.memory to {enough[1]} MiB or more"):
            deploy(pods, D1, runtime)
    assert runtime.staged_releases == []
    assert read_active(lab.lake).release is None
    assert not read_chain(lab.lake).interventions
    monkeypatch.setenv("PERENNIAL_SERVER_MEMORY_MIB", enough[1])
    assert deploy(lab.lake, D1, runtime).outcome == "done"


def widen(graph: bytes) -> bytes:
    """Return a graph with a node that knows 50,000 customers, as one of a wide category."""
    model = onnx.load_model_from_string(graph)
    names = [f"{index:05}" for index in range(50_000)]
    node = onnx.helper.make_node("LabelEncoder", ["texts"], ["codes"], domain="ai.onnx.ml", keys_strings=names)
    node.attribute.append(onnx.helper.make_attribute("values_int64s", list(range(len(names)))))
    model.graph.node.append(node)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"categories": json.dumps({"customer": names})})
    if not any(item.domain == "ai.onnx.ml" for item in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    return bytes(model.SerializeToString())
