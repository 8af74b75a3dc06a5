"""The memory that a model server takes for a release, estimated from its graph and its lookups before a server loads them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass

from perennial.config.pipeline import Pipeline
from perennial.config.values import bytes_of
from perennial.deploy.lookups import MAX_JSON_KEYS
from perennial.deploy.release import ReleasePlan
from perennial.errors import RefusedError
from perennial.evaluate.holdout import read_file
from perennial.lake.lake import Lake
from perennial.runtime.kind import runtime_of
from perennial.serve.memory import find_memory
from perennial.settings import get_settings

SHARE = 4
"""A release may take this part of a server's memory: half is for requests, and the next release is loaded beside it."""

# From measurements with ONNX Runtime 1.32 on graphs of 0.03 to 54 MB (docs/benchmarks.md): an upper bound, at most twice as high.
_GRAPH_BYTES = 4 * 2**20
"""Any graph."""
_TEXT_BYTES = 320
"""A text of a graph, beside its letters: a class of a category, or the kind of a node of a tree."""
_PARSED = 6
"""Copies of the bytes of a graph, but for those of weights."""
_WEIGHTS = 2
"""Copies of the bytes of weights."""
_KEY_BYTES = 320
"""A key of a lookup in memory, with its values."""


@dataclass(frozen=True, slots=True)
class ReleaseMemory:
    """
    An estimate of the memory that a server takes for a release, in bytes.

    :param classes: by category, the number of texts that the graph knows
    """

    graph: int
    lookups: int
    classes: dict[str, int]

    @property
    def total(self) -> int:
        """Return the memory of graph and lookups."""
        return self.graph + self.lookups


def estimate_memory(graph: bytes, keys: list[int]) -> ReleaseMemory:
    """
    Estimate what a server takes for a graph and lookups.

    :param keys: the number of keys of each lookup
    """
    import onnx

    model = onnx.load_model_from_string(graph)
    texts = sum(len(attribute.strings) for node in model.graph.node for attribute in node.attribute)
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    known = json.loads({item.key: item.value for item in model.metadata_props}.get("categories", "{}"))
    return ReleaseMemory(
        _GRAPH_BYTES + _TEXT_BYTES * texts + _PARSED * (len(graph) - weights) + _WEIGHTS * weights,
        _KEY_BYTES * sum(count for count in keys if count <= MAX_JSON_KEYS),  # larger ones are mapped
        {name: len(values) for name, values in known.items()},
    )


def check_memory(lake: Lake, plan: ReleasePlan) -> None:
    """
    Refuse a release that is too large for the pipeline's model servers. No version is barred, and the present release serves on.

    :raises RefusedError: with the numbers, and the memory that would be enough
    """
    keys = [partition.rows for state in plan.lookups.values() if (partition := state.get(plan.as_of))]
    needed = estimate_memory(read_file(lake, plan.manifest, "model.onnx"), keys)
    memory, setting = _server_memory(lake.pipeline)
    if needed.total <= memory // SHARE:
        return
    problems = [f"the graph of {plan.model.version} takes about {_mib(needed.graph)} MiB of a server's memory"]
    if needed.lookups:
        problems.append(f"its lookups in memory take about {_mib(needed.lookups)} MiB")
    problems.append(
        f"a server has {_mib(memory)} MiB, of which a release may take a quarter ({_mib(memory // SHARE)} MiB): "
        "requests take half, and the next release is loaded beside this one"
    )
    wide = [f"{name} ({count:,} classes)" for name, count in Counter(needed.classes).most_common(1)]
    smaller = f"list {wide[0]} in inputs.identifiers if its values name single things, " if wide else ""
    raise RefusedError(
        f"Release {plan.id} is too large for its model servers",
        problems,
        f"Raise {setting} to {_mib(SHARE * needed.total)} MiB or more. Or make the model smaller: {smaller}"
        "or train fewer or smaller trees.",
    )


def _server_memory(pipeline: Pipeline) -> tuple[int, str]:
    """Return the memory of the pipeline's model servers in bytes, and the setting that raises it."""
    if runtime_of(pipeline) == "kubernetes":
        return bytes_of(pipeline.deployment.memory), "deployment.memory"
    mib = get_settings().server_memory_mib
    return mib * 2**20 if mib else find_memory(), "PERENNIAL_SERVER_MEMORY_MIB"


def _mib(size: int) -> str:
    return f"{math.ceil(size / 2**20):,}"
