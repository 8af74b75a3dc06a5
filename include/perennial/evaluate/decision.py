"""One decision: the object that holds the gate's result for one date, with every number. It contains no clock and no run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NotRequired, TypedDict

import numpy as np

from perennial.config.label import Constant
from perennial.evaluate.chain import Chain, Model, anchor, incumbent, is_barred
from perennial.evaluate.comparison import Challenger, Opponent, Verdict
from perennial.evaluate.force import Force, reject_barred, settle
from perennial.evaluate.gate import Judgement, judge, stored
from perennial.evaluate.gather import gather
from perennial.evaluate.judged import Holdout
from perennial.evaluate.opponents import find_opponents
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import Fingerprint, library_versions, make_fingerprint
from perennial.lake.lake import Lake
from perennial.lake.manifests import ModelManifest, constant_of
from perennial.lake.tables import RowsReader
from perennial.store.content_name import sha256
from perennial.store.json_value import Json
from perennial.train.trainings import read_model


class StoredCandidate(TypedDict):
    """The fields of a candidate in a stored decision that are read again. It also has its metrics, by name."""

    name: str
    version: str
    training: NotRequired[str]
    comparisons: NotRequired[list[Json]]


class StoredDecision(TypedDict):
    """The fields of a stored decision that are read again."""

    date: str
    decision: Verdict
    reasons: list[str]
    forced: dict[str, str] | None
    incumbent: str | None
    candidates: list[StoredCandidate]


_SMALL = 1e-3


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision object, and the values that the decision log needs."""

    body: Json
    decision: Verdict
    champion: Model | None
    incumbent: str | None
    anchor: str | None
    sets_anchor: bool


def decision_fingerprint(lake: Lake, day: date, chain: Chain, models: Mapping[str, str]) -> Fingerprint:
    """
    Return the fingerprint of D's decision: candidates, incumbent, anchor, gate and code. A forced decision is not part of it.

    :param models: the address of each candidate's manifest, which ends in the fingerprint of its training
    """
    root = lake.layout.root

    def place(uri: str) -> str:
        return uri.removeprefix(root)

    current, base = incumbent(chain, day), anchor(chain, day)
    return make_fingerprint(
        "evaluate",
        of={"pipeline": lake.pipeline.name, "date": day.isoformat()},
        code=code_digest("evaluate"),
        configuration={
            # The rows that max_rows leaves out are part of the candidates' fingerprints.
            "gate": lake.pipeline.gate.model_dump(mode="json", exclude_none=True, exclude={"max_rows"}),
            "inputs": lake.pipeline.inputs.model_dump(mode="json"),
        },
        libraries=library_versions("numpy", "onnxruntime"),
        dependencies={
            "candidates": [[name, place(uri)] for name, uri in models.items()],
            "incumbent": place(current.manifest) if current else None,
            "anchor": place(base.manifest) if base else None,
        },
    )


def decide(
    lake: Lake, day: date, chain: Chain, models: Mapping[str, str], key: str, force: Force | None, reader: RowsReader
) -> Decided:
    """Judge all candidates of `day` against the incumbent and the anchor. `reader` may still hold rows of the date before."""
    pipeline, gate = lake.pipeline, lake.pipeline.gate
    manifests = {name: read_model(lake, uri) for name, uri in models.items()}
    gathered = gather(lake, manifests, find_opponents(lake, day, chain), reader)
    holdout, met, p = gathered.holdout, gathered.opponents, gathered.predicted
    constant = constant_of(next(iter(manifests.values())))
    seed = int(sha256(f"{pipeline.name}/{day}/gate".encode())[:12], 16)
    judgements = [
        judge(Challenger(n, m["version"], p[n], m["metrics"], constant_of(m)), met, holdout, gate, seed)
        for n, m in manifests.items()
    ]
    barred = {j.version for j in judgements if is_barred(chain, j.version, day)}
    judgements = reject_barred(judgements, barred)
    verdict, winner, reasons = settle(judgements, force, barred)
    current, base = incumbent(chain, day), anchor(chain, day)
    champion = Model(winner.version, models[winner.name]) if winner else current
    body: Json = {
        "format": 1,
        "pipeline": pipeline.name,
        "space": lake.layout.space,
        "date": day.isoformat(),
        "key": key,
        "decision": verdict,
        "reasons": reasons,
        "forced": {"decision": force.decision, "reason": force.reason} if force else None,
        "champion": champion.version if champion else None,
        "incumbent": current.version if current else None,
        "anchor": base.version if base else None,
        "gate": holdout.task.settings_of(gate),
        "holdout": gathered.facts,
        "opponents": [_opponent(o, holdout, constant) for o in met],
        "candidates": [_candidate(j, manifests[j.name]) for j in judgements],
    }
    return Decided(
        body,
        verdict,
        champion,
        current.version if current else None,
        base.version if base else None,
        sets_anchor=winner is not None and winner.is_better,
    )


def _candidate(judgement: Judgement, manifest: ModelManifest) -> Json:
    metrics = {name: _finite(value) for name, value in manifest["metrics"].items()}
    against = next((c for c in judgement.comparisons if c.against == "incumbent" and not c.slice), None)
    delta = against.intervals if against else None
    return {**stored(judgement), "training": manifest["key"], **metrics, "delta": delta}


def _opponent(opponent: Opponent, holdout: Holdout, constant: Constant) -> Json:
    """Return the form that a decision stores. A skill is over the constant forecast of the first candidate's window."""
    metrics = holdout.task.metrics(holdout.y, opponent.p, constant) if opponent.p is not None else {}
    return {
        "role": opponent.role,
        "version": opponent.version,
        "age_days": opponent.age_days,
        "why_not_judged": opponent.why or None,
        "metrics": {name: _finite(value) for name, value in metrics.items()},
    }


def _finite(value: float | None) -> float | None:
    """Return a metric with nine decimals, or nine digits if it is small: labels may be tiny numbers."""
    if value is None or not np.isfinite(value):
        return None
    return round(float(value), 9) if abs(value) >= _SMALL else float(f"{value:.9g}")
