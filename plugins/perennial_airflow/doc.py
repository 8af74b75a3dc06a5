"""The documentation page of a DAG in Airflow's UI."""

from __future__ import annotations

from perennial.config.pipeline import Pipeline
from perennial.display.showable import make_showable
from perennial.stages import stages_of


def doc_md(pipeline: Pipeline) -> str:
    """Return the DAG's steps, inputs and outputs, and what to do if it fails, as Markdown."""
    sources = "\n".join(
        f"| `{name}` | one drop a day, due {source.deadline_hours:g} h after the day ends | `{source.uri}` |"
        for name, source in pipeline.sources.items()
    )
    references = "\n".join(f"| `{name}` | reference table | `{table.uri}` |" for name, table in pipeline.references.items())
    stages = "\n".join(f"| `{stage.name}` | {stage.summary} |" for stage in stages_of(pipeline))
    training = pipeline.training
    rest = "" if pipeline.calendar.data_days.is_daily else ", except rest dates"
    return f"""\
### {make_showable(pipeline.title)}

On every local day of {pipeline.time_zone} from {pipeline.start} to {pipeline.end or "today"}{rest},
this DAG takes the drops of one date, trains `{"`, `".join(training.candidates)}` on the {training.window_days} days
before the last {training.holdout_days}, lets the promotion gate compare them with the model that serves,
and releases the winner.{_later_labels(pipeline)}

| Task | Does |
|---|---|
| `plan_run` | determines the date; ends the run if nothing has changed |
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
the name of the error. Fix the cause, then clear the task: every task can run again, and nothing is lost or duplicated.
`wait_for_drop` fails if a drop has not landed by its deadline. `collect` and `clean` fail if a drop breaks its contract;
retries cannot fix that. More: `docs/runbooks/run-failed.md`.
"""


def _later_labels(pipeline: Pipeline) -> str:
    later = pipeline.label.known_after_days
    if not later:
        return ""
    return (
        f" The label of a date is known {later} {'day' if later == 1 else 'days'} after it: the dates on which a run trains and "
        "judges end that many days before its own date."
    )
