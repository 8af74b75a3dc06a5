"""The form that a user sees when triggering a run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from perennial.config.pipeline import Pipeline
from perennial_airflow.run_request import DECISIONS, MAX_REASON_CHARACTERS


def _or_empty(**schema: Any) -> dict[str, Any]:
    """
    Return the schema of a param whose value may also be null or an empty text.

    Airflow's form reads the outer keywords: they draw a date picker or a list. The check of a value reads only `$ref`: up to
    Draft 7 of JSON Schema, the keywords beside a reference are ignored.
    """
    return {
        **schema,
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": "#/definitions/value",
        "definitions": {"value": {"anyOf": [{"type": "null"}, {"const": ""}, schema]}},
    }


def run_params(pipeline: Pipeline) -> dict[str, Param]:
    """Return the DAG's params. The first task checks their values again, together."""
    last = "the day before the Logical Date" + (f", at most {pipeline.end}" if pipeline.end else "")
    last += "; or the latest date that has landed, if that day can no longer land"
    return {
        "date": Param(
            None,
            **_or_empty(type=["null", "string"], format="date"),
            title="Date",
            description=f"The date of the data, from {pipeline.start} to {pipeline.end or 'today'}. If empty: {last}. "
            "Leave it empty in a backfill: each run has the date of its interval.",
        ),
        "until": Param(
            None,
            **_or_empty(type=["null", "string"], format="date"),
            title="Work ahead until",
            description="For backfills, the last date of the range: the first run also collects, cleans, analyses, trains and "
            "decides the landed dates up to this one, at most 60 dates at a time. It never releases them.",
        ),
        "recompute": Param(
            False,
            **_or_empty(type="boolean"),
            title="Recompute",
            description="Clean, analyse and train again even if nothing has changed. The results must be identical.",
        ),
        "force_decision": Param(
            None,
            **_or_empty(type=["null", "string"], enum=[None, *DECISIONS]),
            title="Force a decision",
            description="Overrule the promotion gate. Needs a reason; both are recorded with your name.",
        ),
        "force_reason": Param(
            None,
            **_or_empty(type=["null", "string"], minLength=1, maxLength=MAX_REASON_CHARACTERS),
            title="Reason for the forced decision",
            description="The reason for overruling the gate.",
        ),
    }
