"""`perennial compare`: retraining policies side by side on the same dates."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.commands.arguments import AsJson, chosen_date, chosen_lake
from perennial.commands.output import counted, print_json, print_line, print_table, problems
from perennial.display.metrics import format_metric, label_of

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
    """Compare experiments on the same dates."""
    from perennial.evaluate.comparison import numbers
    from perennial.experiments.compare import compare as compare_policies

    lake = chosen_lake(pipeline)
    with problems.status("Judging every date with the champion of each policy"):
        comparison = compare_policies({name: of_space(lake, name) for name in names}, chosen_date(first), chosen_date(last))
    if as_json:
        scores = [policy.score.to_json(comparison.task) for policy in comparison.policies]
        policies = [
            {**asdict(policy), "score": score, "worse": numbers(policy.worse)}
            for policy, score in zip(comparison.policies, scores, strict=True)
        ]
        print_json({"pipeline": lake.pipeline.name, "dates": comparison.dates, "policies": policies})
        return
    print_line(f"{counted(comparison.dates, 'date')} on which every policy has a champion, each judged on its own rows")
    second = ["ROC AUC"] if comparison.task.is_classes else []
    columns = (
        "policy",
        label_of(comparison.task.loss_name),
        "above the best (90 %)",
        *second,
        "decided",
        "promotions",
        "trainings",
        "CPU-s",
    )
    print_table(
        columns,
        (
            [
                policy.name,
                format_metric(policy.score.loss),
                _format_interval(policy.worse),
                *([_format_metric(policy.score.roc_auc)] if comparison.task.is_classes else []),
                policy.decided,
                policy.promotions,
                policy.trainings,
                policy.cpu_seconds,
            ]
            for policy in comparison.policies
        ),
    )


def of_space(lake: Lake, name: str | None) -> Lake:
    """Return the lake of an experiment, or production's for 'main' or no name."""
    from perennial.experiments.experiment import PRODUCTION, open_experiment

    return lake if name in (None, PRODUCTION) else open_experiment(lake, str(name))


def _format_interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if not (isfinite(interval.low) and isfinite(interval.high)):
        return f"{interval.mid:.4f} (too few dates for an interval)"
    return f"{interval.mid:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def _format_metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
