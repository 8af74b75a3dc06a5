"""Score incumbent and anchor on today's holdout, with their own graphs, on the rows on which challengers are judged."""

from __future__ import annotations

import json
from datetime import date
from typing import Literal

import numpy as np

from perennial.config.pipeline import Inputs, Pipeline
from perennial.evaluate.chain import Chain, Model, anchor, incumbent
from perennial.evaluate.comparison import Opponent
from perennial.evaluate.holdout import HoldoutRows, read_file
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest
from perennial.models.scoring import score
from perennial.train.plan import read_model


def opponents(lake: Lake, day: date, chain: Chain, rows: HoldoutRows) -> list[Opponent]:
    """Return the opponents of the challengers of `day`: the incumbent, and the anchor if it is another version."""
    current, base = incumbent(chain, day), anchor(chain, day)
    scored = []
    if current is not None:
        scored.append(_score(lake, day, "incumbent", current, rows))
    if base is not None and base != current:
        scored.append(_score(lake, day, "anchor", base, rows))
    return scored


def _score(lake: Lake, day: date, role: Literal["incumbent", "anchor"], model: Model, rows: HoldoutRows) -> Opponent:
    manifest = read_model(lake, model.manifest)
    inputs = Inputs.model_validate(manifest["inputs"])
    age_days = (day - date.fromisoformat(manifest["date"])).days
    problem = unfit(manifest, inputs, lake.pipeline) or _describe_leak(manifest, rows)
    if problem:
        return Opponent(role, model.version, None, age_days, problem)
    probabilities = score(read_file(lake, manifest, "model.onnx"), rows.table, inputs)
    return Opponent(role, model.version, np.asarray(probabilities, dtype=np.float64), age_days)


def unfit(manifest: ModelManifest, theirs: Inputs, pipeline: Pipeline) -> str:
    """
    Return why a model cannot be judged on today's features and labels, or an empty string.

    :param theirs: the inputs of the manifest
    """
    predicted, label = manifest["label"], pipeline.label
    if (predicted["column"], predicted["positive"]) != (label.column, label.positive):
        return (
            f"it predicts {predicted['column']} = {json.dumps(predicted['positive'])}, "
            f"and today's label is {label.column} = {json.dumps(label.positive)}"
        )
    todays = pipeline.inputs
    lacking = [
        f"{name} ({wanted.type})"
        for name, wanted in theirs.request.items()
        if name not in todays.request or todays.request[name].type != wanted.type
    ]
    known = set(todays.numbers) | set(todays.texts)
    lacking += [name for name in theirs.numbers if "__" in name and name not in known and name not in theirs.request]
    return f"today's features lack {', '.join(lacking)}, which it needs" if lacking else ""


def _describe_leak(manifest: ModelManifest, rows: HoldoutRows) -> str:
    days = sorted({day.isoformat() for day in rows.days} & set(manifest["window"]))
    return f"it was trained on {len(days)} days of this holdout ({', '.join(days)})" if days else ""
