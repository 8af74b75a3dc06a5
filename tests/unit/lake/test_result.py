"""Results of stages as JSON, which Airflow, the command line and the demo read."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date
from typing import Any

import pytest

from perennial.analyse.plan import Analysed
from perennial.clean.plan import Cleaned
from perennial.collect.collect import Collected
from perennial.deploy.deploy import Deployed
from perennial.evaluate.chain import Intervention
from perennial.evaluate.recorded import Evaluated
from perennial.lake.result import Outcome, Result, Skipped
from perennial.train.plan import Trained

DAY, TEXT = date(2026, 3, 5), "2026-03-05"
BAR = Intervention(TEXT, None, "mlp-1", "ann", "it lies", "2026-03-06T00:00:00+00:00")
COLLECTED = Collected(Outcome.DONE, DAY, {"orders": 2}, 4, 1, {"2026-03-01": "not landed"}, ["2026-03-02"], ["many"])
CLEANED = Cleaned(Outcome.UNCHANGED, DAY, {"orders": 2}, {"orders": 1}, {"orders": "d"}, {}, [TEXT], {"orders.n": 3}, {}, [])
ANALYSED = Analysed(Outcome.DONE, DAY, 7, None, {"features": 2}, {"features": "d"}, {}, [])
TRAINED = Trained(
    Outcome.DONE, "mlp", "mlp-1", "s3://m", {"window": 9, "holdout": 3}, None, 0, {"roc_auc": None, "brier": 0.25}, []
)
EVALUATED = Evaluated(
    Outcome.DONE, DAY, "HOLD", ["why"], None, "mlp-0", "mlp-0", "promoted", "", (BAR,), [{"name": "mlp", "delta": None}]
)
DEPLOYED = Deployed(
    Outcome.DONE, DAY, released="r", version="mlp-1", as_of=TEXT, serve_check={"requests": 200}, switch_seconds=0.1
)
STORED: list[tuple[Result, dict[str, Any]]] = [
    (COLLECTED, {
        "outcome": "done", "date": TEXT, "rows_landed": {"orders": 2}, "pinned": 4, "new": 1,
        "gaps": {"2026-03-01": "not landed"}, "at_rest": ["2026-03-02"], "warnings": ["many"],
    }),
    (CLEANED, {
        "outcome": "unchanged", "date": TEXT, "rows": {"orders": 2}, "quarantined": {"orders": 1}, "digests": {"orders": "d"},
        "gaps": {}, "kept": [TEXT], "nulls": {"orders.n": 3}, "earlier_columns": {}, "warnings": [],
    }),
    (ANALYSED, {
        "outcome": "done", "date": TEXT, "feature_dates": 7, "rows": {"features": 2}, "digests": {"features": "d"},
        "earlier_columns": {}, "warnings": [],
    }),
    (TRAINED, {
        "outcome": "done", "candidate": "mlp", "version": "mlp-1", "manifest": "s3://m", "rows": {"window": 9, "holdout": 3},
        "unmatched_labels": 0, "warnings": [], "roc_auc": None, "brier": 0.25,
    }),
    (EVALUATED, {
        "outcome": "done", "date": TEXT, "decision": "HOLD", "reasons": ["why"], "forced": None, "incumbent": "mlp-0",
        "champion": "mlp-0", "why": "promoted", "note": "",
        "barred": [{
            "date": TEXT, "release": None, "barred": "mlp-1", "who": "ann", "reason": "it lies",
            "at": "2026-03-06T00:00:00+00:00", "target": None
        }],
        "candidates": [{"name": "mlp", "delta": None}],
    }),
    (DEPLOYED, {
        "outcome": "done", "date": TEXT, "reason": "", "released": "r", "version": "mlp-1", "as_of": TEXT, "note": "",
        "serve_check": {"requests": 200}, "switch_seconds": 0.1,
    }),
    (Deployed(Outcome.SKIPPED, DAY, reason="too early"), {
        "outcome": "skipped", "date": TEXT, "reason": "too early", "released": None, "version": None, "as_of": None, "note": "",
    }),
    (Skipped(date=DAY, reason="3 of 30 days"), {"outcome": "skipped", "date": TEXT, "reason": "3 of 30 days"}),
    (Skipped(candidate="mlp", reason="3 of 30 days"), {"outcome": "skipped", "candidate": "mlp", "reason": "3 of 30 days"}),
]  # fmt: skip


@pytest.mark.parametrize(("result", "expected"), STORED)
def test_a_result_is_the_json_that_its_readers_know_in_the_same_order(result: Result, expected: dict[str, Any]) -> None:
    found = result.to_json()
    assert json.dumps(found) == json.dumps(expected)
    assert found == json.loads(json.dumps(found)), "Airflow would store a tuple or a date with the name of its class"
    assert type(found["outcome"]) is str


def test_the_command_line_prints_the_values_that_a_result_names_and_that_hold_something() -> None:
    assert COLLECTED.details() == {
        "rows_landed": {"orders": 2},
        "pinned": 4,
        "gaps": {"2026-03-01": "not landed"},
        "at_rest": ["2026-03-02"],
    }
    assert TRAINED.details() == {"rows": {"window": 9, "holdout": 3}, "unmatched_labels": 0}
    assert EVALUATED.details() == {"decision": "HOLD", "champion": "mlp-0", "reason": "why"}
    assert Skipped(date=DAY, reason="3 of 30 days").details() == {"reason": "3 of 30 days"}


@pytest.mark.parametrize("kind", [Collected, Cleaned, Analysed, Evaluated, Deployed, Skipped])
def test_the_printed_values_are_fields_of_the_result(kind: type[Result]) -> None:
    assert kind.SHOWN <= {field.name for field in fields(kind)}
