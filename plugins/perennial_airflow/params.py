"""The form that a user sees when triggering a run."""

from __future__ import annotations

from airflow.sdk import Param

from perennial.config.pipeline import Pipeline
from perennial_airflow.run_request import DECISIONS, MAX_REASON_CHARACTERS


def run_params(pipeline: Pipeline) -> dict[str, Param]:
    """Return the DAG's params; their values are checked once more, together, by the first task."""
    last = "the day before the Logical Date" + (f", at most {pipeline.end}" if pipeline.end else "")
    last += "; when it can no longer land, the newest date that has"
    return {
        "date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Date",
            description=f"The date of the data, from {pipeline.start} to {pipeline.end or 'today'}. Empty: {last}. Leave it empty in a backfill: each run has the date of its interval.",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Work ahead until",
            description="For backfills, where it is the last date of the range: the first run also collects, cleans, analyses, trains and decides what has landed up to this date, at most 60 dates at a time. Never releases them.",
        ),
        "recompute": Param(
            False,
            type="boolean",
            title="Recompute",
            description="Clean, analyse and train again although nothing changed. The results must come out the same.",
        ),
        "force_decision": Param(
            None,
            type=["null", "string"],
            enum=[None, *DECISIONS],
            title="Force a decision",
            description="Overrule the promotion gate. Needs a reason; both are recorded with your name.",
        ),
        "force_reason": Param(
            None,
            type=["null", "string"],
            minLength=1,
            maxLength=MAX_REASON_CHARACTERS,
            title="Reason of the forced decision",
            description="Why the gate is overruled.",
        ),
    }
