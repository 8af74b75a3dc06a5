"""The page that a user reads beside the DAG."""

from __future__ import annotations

from perennial.config.pipeline import Pipeline
from perennial.stages import STAGES


def doc_md(pipeline: Pipeline) -> str:
    """Return what the DAG does, from what, to what, and what to do when it fails."""
    sources = "\n".join(
        f"| `{name}` | one drop a day, due {source.deadline_hours:g} h after the day ends | `{source.uri}` |"
        for name, source in pipeline.sources.items()
    )
    references = "\n".join(f"| `{name}` | reference table | `{table.uri}` |" for name, table in pipeline.references.items())
    stages = "\n".join(f"| `{stage.name}` | {stage.summary} |" for stage in STAGES)
    training = pipeline.training
    resting = "" if pipeline.calendar.data_days.is_daily else " on which its feed does not rest"
    return f"""\
### {pipeline.title}

Every local day of {pipeline.time_zone} from {pipeline.start} to {pipeline.end or "today"}{resting}, this DAG takes what upstream landed for
one date, trains `{"`, `".join(training.candidates)}` on the {training.window_days} days before the last {training.holdout_days}, lets
the promotion gate compare them with the model that serves, and releases the winner.{_later_labels(pipeline)}

| Task | Does |
|---|---|
| `plan_run` | settles the date; ends the run when nothing has changed |
| `wait_for_drop` | waits for the manifest of every source |
{stages}

#### Inputs
| Name | Lands as | Where |
|---|---|---|
{sources}
{references}

#### Outputs
The tables of the database `main__{pipeline.name}`; models, decisions and releases in the lake; the endpoint that serves the label
`{pipeline.label.column}`. Every task's result is its return value (tab *Storage*, *XCom*).

#### When it fails
The log of the failed task says what was found, what was expected and what to do: in its last lines, or above the traceback beside
the name of the error. Clear the task once the cause is
mended: every task may be run again, nothing is lost or doubled. `wait_for_drop` fails when a drop is not there at its deadline;
`collect` and `clean` fail when a drop breaks its contract, and retries cannot mend that. More: `docs/runbooks/run-failed.md`.
"""


def _later_labels(pipeline: Pipeline) -> str:
    later = pipeline.label.known_after_days
    if not later:
        return ""
    return (
        f" The label of a date is known {later} {'day' if later == 1 else 'days'} after it: the dates that a run trains and judges on "
        "end that many days before its own."
    )
