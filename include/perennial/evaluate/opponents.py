"""Score incumbent and anchor on today's holdout, with their own graphs, on the rows on which challengers are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from perennial.config.label import read_label
from perennial.config.pipeline import Inputs, Pipeline
from perennial.evaluate.chain import Chain, Model, anchor, incumbent
from perennial.evaluate.comparison import Opponent
from perennial.evaluate.holdout import read_file
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.models.metrics import Floats
from perennial.models.scoring import score
from perennial.train.trainings import read_model

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Scorer:
    """
    The incumbent or the anchor, which scores the holdout with its own graph.

    :param graph: None: it cannot be judged, for the reason `why`
    :param window: the dates of its training
    """

    role: Literal["incumbent", "anchor"]
    version: str
    age_days: int
    inputs: Inputs
    graph: bytes | None
    window: Sequence[str] = ()
    why: str = ""

    def score(self, rows: pa.Table) -> Floats | None:
        """Return the predictions of some rows, or None if it cannot be judged."""
        return None if self.graph is None else score(self.graph, rows, self.inputs)

    def judged(self, p: Floats | None, days: Sequence[date]) -> Opponent:
        """
        Return the opponent with its predictions on all rows. It is not judged on dates of its training.

        :param days: the dates that have rows
        """
        why, seen = self.why, sorted({day.isoformat() for day in days} & set(self.window))
        if seen:
            p, why = None, why or f"it was trained on {len(seen)} days of this holdout ({', '.join(seen)})"
        return Opponent(self.role, self.version, p, self.age_days, why)


def find_opponents(lake: Lake, day: date, chain: Chain) -> list[Scorer]:
    """Return the opponents of the challengers of `day`: the incumbent, and the anchor if it is another version."""
    current, base = incumbent(chain, day), anchor(chain, day)
    found = []
    if current is not None:
        found.append(_open(lake, day, "incumbent", current))
    if base is not None and base != current:
        found.append(_open(lake, day, "anchor", base))
    return found


def _open(lake: Lake, day: date, role: Literal["incumbent", "anchor"], model: Model) -> Scorer:
    manifest = read_model(lake, model.manifest)
    inputs = Inputs.model_validate(manifest["inputs"])
    age_days = (day - date.fromisoformat(manifest["date"])).days
    problem = unfit(manifest, inputs, lake.pipeline)
    graph = None if problem else read_file(lake, manifest, "model.onnx")
    return Scorer(role, model.version, age_days, inputs, graph, manifest["window"], problem)


def unfit(manifest: ModelManifest, theirs: Inputs, pipeline: Pipeline) -> str:
    """
    Return why a model cannot be judged on today's features and labels, or an empty string.

    :param theirs: the inputs of the manifest
    """
    predicted, label = read_label(manifest["label"]), pipeline.label
    if predicted.settings != label.settings:
        return f"it predicts {predicted.describe()}, and today's label is {label.describe()}"
    todays = pipeline.inputs
    lacking = [
        f"{name} ({wanted.type})"
        for name, wanted in theirs.request.items()
        if name not in todays.request or todays.request[name].type != wanted.type
    ]
    known = set(todays.numbers) | set(todays.texts)
    lacking += [name for name in theirs.numbers if "__" in name and name not in known and name not in theirs.request]
    return f"today's features lack {', '.join(lacking)}, which it needs" if lacking else ""
