"""
Networks of PyTorch: exact and reproducible ones, and refused ones.

They need the environment .torch of 5.7 GB, which CI does not install: run `make torch` before these tests. The refusals without
it are tested with the other candidates.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from authors import TORCH_NETWORK
from torch_cases import run_cases
from windows import with_grade, with_minutes

from perennial.config.candidate_file import candidate_problems
from perennial.config.pipeline import Inputs
from perennial.train.compare import MAX_DIFFERENCE

ATTENTION = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn


@dataclass
class Size:
    units: int = 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.units = nn.Linear(1, Size().units)
        self.attention = nn.MultiheadAttention(Size().units, 2, batch_first=True)
        self.normal = nn.LayerNorm(Size().units)
        self.places = nn.Embedding(3, 2)
        self.end = nn.LazyLinear(1)

    def forward(self, rows):
        parts = self.units(rows[:, :, None])
        parts = nn.functional.gelu(self.normal(self.attention(parts, parts, parts, need_weights=False)[0]))
        place = self.places(rows[:, 0].long().clamp(0, 2))
        return self.end(torch.cat([parts.reshape(rows.shape[0], -1), place], 1))


def build(columns, task):
    assert task.name == "binary"
    return Net()
"""


def of_forward(body: str, first: str = "") -> str:
    """Return a file with a network of one layer, `self.end`, and this code of its method `forward`, on line 12."""
    return f"""import torch
from torch import nn
{first}

class Net(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.end = nn.Linear(columns, 1)

    def forward(self, rows):
        {body}


def build(columns, task):
    return Net(len(columns))
"""


REFUSED = {
    "no network": ("def build(columns, task):\n    return 3\n", r"build returned int, expected a torch\.nn\.Module"),
    "an error": ("def build(columns, task):\n    return columns.x\n", r"line 2.*AttributeError.*columns\.x"),
    "two outputs": (TORCH_NETWORK.replace("task.outputs", "2"), r"answers 2 rows with \[2, 2\] of torch\.float32, expected"),
    "no column": (of_forward("return self.end(rows)[:, 0]"), r"answers 2 rows with \[2\].*End the network with"),
    "64 bits": (of_forward("return self.end(rows).double()"), r"of torch\.float64, expected \[2, 1\] of torch\.float32"),
    "a tuple": (of_forward("return self.end(rows), rows"), "answers with tuple, expected a tensor"),
    "no weights": (of_forward("return rows[:, :1]").replace("        self.end", "        end"), "without weights"),
    "sigmoid": (TORCH_NETWORK.replace("task.outputs)", "1), nn.Sigmoid()"), "ends with Sigmoid.*without an activation"),
    "relu": (of_forward("return self.end(rows).relu().reshape(-1, 1)"), "ends with Relu"),
    "wrong width": (
        of_forward("return self.end(rows[:, 1:])"),
        r"line 11.*RuntimeError.*`return self\.end\(rows\[:, 1:\]\)`",
    ),
    "an operator": (of_forward("return self.end(torch.special.i0(rows))"), "cannot become a graph.*'aten::i0'"),
    "fixed rows": (
        of_forward("return self.end(rows.reshape(len(rows), -1))"),
        "cannot become a graph for any number of rows",
    ),
    "nan": (of_forward("return self.end(rows) * (float('nan') if self.training else 1)"), r"the loss of epoch 1 of \d+ is nan"),
    "random": (
        of_forward("return self.end(nn.functional.dropout(rows, 0.5, training=True))"),
        "the exported graph differs from the library",
    ),
}
TRAINED: dict[str, dict[str, Any]] = {
    "network": {},
    "again": {},
    "another seed": {"seed": 2},
    "attention": {"source": ATTENTION, "epochs": 2},
    "classes": {"learns": "grade"},
    "mean": {"learns": "mean"},
    "median": {"learns": "median", "interval": 0.9, "epochs": 3},
    "quantile": {"learns": "quantile 0.9", "epochs": 3},
}


def test_the_graph_answers_as_the_network(
    tmp_path: Path, make_rows: Callable[..., pa.Table], inputs: Inputs, documented: Callable[[str, str], list[str]]
) -> None:
    source = documented("docs/how-to/bring-your-own-model.md", "python")[1]
    assert candidate_problems(source, "pytorch") == []
    cases = {
        **TRAINED,
        "documented": {"source": source},
        "documented, classes": {"source": source, "learns": "grade", "epochs": 2},
    }
    results = run_cases(tmp_path, with_grade(with_minutes(make_rows())), inputs, list(cases.values()))
    found = dict(zip(cases, results, strict=True))
    assert {name: result["error"] for name, result in found.items() if "error" in result} == {}
    assert all(result["difference"] < MAX_DIFFERENCE / 2 for result in results), found
    assert found["network"]["digest"] == found["again"]["digest"] != found["another seed"]["digest"]


def test_what_cannot_be_a_candidate_is_refused_with_its_cause(
    tmp_path: Path, make_rows: Callable[..., pa.Table], inputs: Inputs
) -> None:
    cases = [{"source": source, "epochs": 1} for source, _ in REFUSED.values()]
    results = run_cases(tmp_path, make_rows(days=1, per_day=60), inputs, cases)
    for (name, (_, expected)), result in zip(REFUSED.items(), results, strict=True):
        assert re.search(f"(?s)candidate.*{expected}", result.get("error", "")), (name, result)
