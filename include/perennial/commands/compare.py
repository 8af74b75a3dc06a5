"""`perennial compare`: policies of retraining side by side on the same dates."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line, print_table, problems

if TYPE_CHECKING:
    from perennial.evaluate.bootstrap import Interval
    from perennial.lake.lake import Lake


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Experiments, and 'main' for production.")],
    pipeline: Annotated[str | None, typer.Option(help="Name of the pipeline; not needed when there is only one.")] = None,
    *,
    first: Annotated[str, typer.Option("--from", help="The first date, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="The last date, YYYY-MM-DD.")],
    as_json: AsJson = False,
) -> None:
    """Set experiments side by side on the same dates."""
    from perennial.evaluate.comparison import numbers
    from perennial.experiments.compare import compare as compare_policies

    lake = chosen_lake(pipeline)
    with problems.status("Judging every date by each policy's champion"):
        found = compare_policies({name: of_space(lake, name) for name in names}, chosen_date(first), chosen_date(last))
    if as_json:
        policies = [{**asdict(one), "worse": numbers(one.worse)} for one in found.policies]
        print_json({"pipeline": lake.pipeline.name, "dates": found.dates, "policies": policies})
        return
    print_line(f"{found.dates} dates on which all of them have a champion, each judged on its own rows")
    columns = ("policy", "log loss", "above the best (90 %)", "ROC AUC", "decided", "promotions", "trainings", "CPU-s")
    print_table(
        columns,
        (
            [
                one.name,
                f"{one.score.log_loss:.4f}",
                _interval(one.worse),
                _shown(one.score.roc_auc),
                one.decided,
                one.promotions,
                one.trainings,
                one.cpu_seconds,
            ]
            for one in found.policies
        ),
    )


def of_space(lake: Lake, name: str | None) -> Lake:
    """Return the lake of an experiment, or production's own for 'main' or no name."""
    from perennial.experiments.experiment import PRODUCTION, open_experiment

    return lake if name in (None, PRODUCTION) else open_experiment(lake, str(name))


def _interval(found: Interval | None) -> str:
    return "" if found is None else f"{found.mid:.4f} ({found.low:.4f} to {found.high:.4f})"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
