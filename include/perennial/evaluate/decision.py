"""One decision: the object that says, with every number, what the gate found on one date. No clock and no run in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from perennial.errors import RefusedError
from perennial.evaluate.chain import Chain, Model, anchor, incumbent
from perennial.evaluate.gate import Challenger, Holdout, Judgement, Opponent, Verdict, choose, judge, overall, stored
from perennial.evaluate.holdout import match, read_holdout, read_predictions
from perennial.evaluate.metrics import all_metrics
from perennial.evaluate.opponents import opponents
from perennial.lake.keys import code_digest, library_versions, make_key
from perennial.lake.lake import Lake
from perennial.lake.objects import sha256
from perennial.train.plan import TrainingPlan, read_model

VERDICTS: tuple[Verdict, ...] = ("PROMOTE", "HOLD", "REJECT")
REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Force:
    """A decision that a person makes instead of the gate, and why. Who: the run that carried it, in the chain."""

    decision: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision object, and what the chain has to know of it."""

    body: dict[str, Any]
    champion: Model | None
    incumbent: str | None
    anchor: str | None
    sets_anchor: bool


def read_force(decision: str | None, reason: str | None) -> Force | None:
    """Read the run's params; a forced decision without a reason is refused."""
    if decision is None:
        return None
    if decision not in VERDICTS:
        raise RefusedError(f"force_decision is {decision!r}", remedy=f"Give one of {', '.join(VERDICTS)}, or nothing.")
    if not reason or not reason.strip() or len(reason) > REASON_LENGTH:
        raise RefusedError(f"force_decision {decision} needs force_reason: 1 to {REASON_LENGTH} characters that say why")
    return Force(decision, reason.strip())


def decision_key(lake: Lake, day: date, chain: Chain, plans: Mapping[str, TrainingPlan]) -> str:
    """Return the key of D's decision: candidates, incumbent, anchor, gate and code. A forced decision is not part of it."""
    root = lake.layout.root

    def place(uri: str) -> str:
        return uri.removeprefix(root)

    current, base = incumbent(chain, day), anchor(chain, day)
    return make_key(
        "evaluate",
        pipeline=lake.pipeline.name,
        date=day.isoformat(),
        candidates=[[name, place(plan.manifest_uri)] for name, plan in plans.items()],
        incumbent=place(current.manifest) if current else None,
        anchor=place(base.manifest) if base else None,
        gate=lake.pipeline.gate.model_dump(mode="json"),
        inputs=lake.pipeline.inputs.model_dump(mode="json"),
        code=code_digest("evaluate", "lake/scoring.py"),
        libraries=library_versions("numpy", "onnxruntime", "scikit-learn"),
    )


def decide(lake: Lake, day: date, chain: Chain, plans: Mapping[str, TrainingPlan], key: str, force: Force | None) -> Decided:
    """Judge all candidates of `day` against what the chain leaves before it."""
    pipeline, gate = lake.pipeline, lake.pipeline.gate
    manifests = {name: read_model(lake, plan.manifest_uri) for name, plan in plans.items()}
    rows = read_holdout(lake, manifests)
    matched = {name: match(rows, read_predictions(lake, m), pipeline.row_key, name) for name, m in manifests.items()}
    y = next(iter(matched.values()))[0]
    for name, (labels, _) in matched.items():
        if not np.array_equal(labels, y):
            raise RefusedError(f"Candidate {name!r}: its labels differ from the other candidates' on the same rows. Train all again.")
    slices = {column: np.array(rows.table[column].to_pylist(), dtype=object) for column in gate.slices}
    holdout = Holdout(y, rows.day_index, len(rows.days), slices)
    met = opponents(lake, day, chain, rows)
    seed = int(sha256(f"{pipeline.name}/{day}/gate".encode())[:12], 16)
    judgements = [
        judge(Challenger(n, m["version"], matched[n][1], m["metrics"], m["base_rate"]), met, holdout, gate, seed)
        for n, m in manifests.items()
    ]
    verdict, winner, reasons = settle(judgements, force)
    current, base = incumbent(chain, day), anchor(chain, day)
    left = Model(winner.version, plans[winner.name].manifest_uri) if winner else current
    body = {
        "format": 1,
        "pipeline": pipeline.name,
        "space": lake.layout.space,
        "date": day.isoformat(),
        "key": key,
        "decision": verdict,
        "reasons": reasons,
        "forced": {"decision": force.decision, "reason": force.reason} if force else None,
        "champion": left.version if left else None,
        "incumbent": current.version if current else None,
        "anchor": base.version if base else None,
        "gate": gate.model_dump(mode="json"),
        "holdout": {"days": [d.isoformat() for d in rows.days], "rows": len(y), "positives": int(y.sum())},
        "opponents": [_opponent(o, y) for o in met],
        "candidates": [_candidate(j, manifests[j.name]["metrics"]) for j in judgements],
    }
    return Decided(
        body,
        left,
        current.version if current else None,
        base.version if base else None,
        sets_anchor=winner is not None and winner.is_better,
    )


def settle(judgements: Sequence[Judgement], force: Force | None) -> tuple[Verdict, Judgement | None, list[str]]:
    """Return the decision of the date, the challenger to promote (None: the incumbent stays), and the reasons."""
    verdict, winner = overall(judgements), choose(judgements)
    reasons = [f"{j.name}: {reason}" for j in judgements for reason in j.reasons]
    if winner is not None and sum(j.verdict == "PROMOTE" for j in judgements) > 1:
        reasons.append(f"{winner.name} has the lowest log loss of those that may be promoted: {winner.log_loss:.4f}")
    if force is None:
        return verdict, winner, reasons
    reasons.insert(0, f"forced to {force.decision}: {force.reason} (the gate says {verdict})")
    if force.decision != "PROMOTE":
        return force.decision, None, reasons
    return "PROMOTE", winner or min(judgements, key=lambda j: j.log_loss), reasons


def _candidate(judgement: Judgement, metrics: Mapping[str, Any]) -> dict[str, Any]:
    body = {**stored(judgement), **{name: _finite(value) for name, value in metrics.items()}}
    against = [c for c in body["comparisons"] if c["against"] == "incumbent" and c["slice"] is None]
    body["delta"] = {name: against[0][name] for name in ("log_loss", "roc_auc")} if against else None
    return body


def _opponent(opponent: Opponent, y: Any) -> dict[str, Any]:
    metrics = all_metrics(y, opponent.p) if opponent.p is not None else {}
    return {
        "role": opponent.role,
        "version": opponent.version,
        "age_days": opponent.age_days,
        "why_not_judged": opponent.why or None,
        "metrics": {name: _finite(value) for name, value in metrics.items()},
    }


def _finite(value: float | None) -> float | None:
    return round(float(value), 9) if value is not None and np.isfinite(value) else None
