"""`perennial decisions`, `releases` and `rollback`: what was decided, what served, and the way back."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated, Any

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.output import print_json, print_line, print_table
from perennial.errors import RefusedError


def decisions(
    pipeline: PipelineName = None,
    date: Annotated[str | None, typer.Option(help="Show all of one date's decision.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the chain of decisions and interventions, in order of date; or one decision with every number."""
    from perennial.evaluate.chain_store import read_chain

    lake = chosen_lake(pipeline)
    chain = read_chain(lake)
    if date is not None:
        day = chosen_date(date)
        entry = chain.get(day)
        if entry is None:
            known = (
                f"There are decisions of {min(chain.entries)} to {max(chain.entries)}." if chain.entries else "There is none yet."
            )
            raise RefusedError(f"Pipeline {lake.pipeline.name!r}: no decision of {day}", remedy=known)
        body = lake.objects.read_existing(entry.uri).json()
        _show_decision(body, as_json)
        return
    entries = [{"date": day, **asdict(entry)} for day, entry in sorted(chain.entries.items())]
    for entry_json in entries:
        entry_json["champion"] = entry_json["champion"]["version"] if entry_json["champion"] else None
    interventions = [asdict(item) for item in chain.interventions]
    if as_json:
        print_json({"decisions": entries, "interventions": interventions})
        return
    columns = ("date", "decision", "champion", "incumbent", "run_id")
    print_table([*columns, ""], ([*(e[c] for c in columns), "stale" if e["stale"] else ""] for e in entries))
    for item in interventions:
        print_line(f"{item['date']}  {item['who']} barred {item['barred'] or 'nothing'}: {item['reason']}", style="yellow")


def releases(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """List the newest releases, newest first."""
    from perennial.deploy.rollback import list_releases

    found = list_releases(chosen_lake(pipeline))
    if as_json:
        print_json({"releases": found})
        return
    rows = ([r["release"], r["version"], r["as_of"], "serves" if r["serves"] else "barred" if r["barred"] else ""] for r in found)
    print_table(["release", "version", "as of", ""], rows)


def rollback(
    pipeline: PipelineName = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the chain of decisions.")] = ...,  # type: ignore[assignment]
    to: Annotated[str | None, typer.Option(help="Release to go back to; the last good one when not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bar the version that serves and go back to the one before, or to a release that you name."""
    from perennial.deploy.rollback import rollback as go_back

    result = go_back(chosen_lake(pipeline), reason=reason, who=getpass.getuser(), to=to)
    if as_json:
        print_json(result)
    else:
        print_line(f"✓ {result['released']} ({result['version']}) serves; barred: {', '.join(result['barred'])}", style="green")


def _show_decision(body: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(body)
        return
    print_line(f"{body['date']}: {body['decision']}; champion {body['champion'] or 'none'}, was {body['incumbent'] or 'none'}")
    for reason in body["reasons"]:
        print_line(f"  {reason}")
    columns = ("name", "version", "decision", "roc_auc", "pr_auc", "log_loss", "accuracy", "brier", "calibration_error")
    print_table(columns, ([_rounded(candidate.get(column)) for column in columns] for candidate in body["candidates"]))


def _rounded(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value
