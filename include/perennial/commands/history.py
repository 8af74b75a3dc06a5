"""`perennial decisions`, `releases` and `rollback`: what was decided, what served, and the way back."""

from __future__ import annotations

import getpass
from collections.abc import Container
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake
from perennial.commands.endpoint import Endpoint, look
from perennial.commands.output import print_json, print_line, print_table, stale_text
from perennial.errors import RefusedError
from perennial.store.json_value import JsonValue

if TYPE_CHECKING:
    from perennial.deploy.rollback import ListedRelease
    from perennial.evaluate.chain import Intervention


def decisions(
    pipeline: PipelineName = None,
    date: Annotated[str | None, typer.Option(help="Show all of one date's decision.")] = None,
    only_stale: Annotated[
        bool, typer.Option("--stale", help="Only those whose incumbent or anchor is another one by now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List decisions and interventions, or show one decision."""
    from perennial.evaluate.chain_store import read_chain
    from perennial.evaluate.champions import barred_versions, champion_of, champions, facts, to_json

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
        found = champion_of(chain, day)
        _show_decision({**body, "named": found.named, **facts(found), "stale": found.stale}, barred_versions(chain, day), as_json)
        return
    barred = barred_versions(chain)
    entries = []
    for found in champions(chain, chain.days):
        entry = chain.entries[found.day.isoformat()]
        if entry.stale or not only_stale:
            told = {"champion": found.version, "named": found.named, "note": found.note, "barred": found.named in barred}
            entries.append({"date": found.day.isoformat(), **asdict(entry), **told})
    interventions = to_json(chain.interventions)
    if as_json:
        print_json({"decisions": entries, "interventions": interventions})
        return
    if only_stale and not entries:
        print_line(f"None of {len(chain.entries)} decisions is stale.")
        return
    if not entries and not interventions:
        print_line(f"None yet. A run makes one: `perennial run {lake.pipeline.name} --date DATE`, or the DAG in Airflow.")
        return
    columns = ("date", "decision", "champion", "incumbent", "run_id")
    marks = [_mark(entry) for entry in entries]
    print_table([*columns, ""], ([*(e[c] for c in columns), mark] for e, mark in zip(entries, marks, strict=True)))
    if old := [entry["date"] for entry in entries if entry["stale"]]:
        print_line(f"stale: {stale_text(lake.pipeline.name, old)}", style="dim")
    for item in chain.interventions:
        print_line(_intervention(item), style="yellow")


def stale(
    pipeline: PipelineName = None,
    first: Annotated[str | None, typer.Option("--from", help="The first date, YYYY-MM-DD; all when not given.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last date, YYYY-MM-DD.")] = None,
    as_json: AsJson = False,
) -> None:
    """
    List dates whose decision no longer rests on what is there.

    A drop that landed late or was replaced, changed SQL or settings, another incumbent. `backfill --again stale` runs them again.
    """
    from perennial.freshness.stale import stale_dates, to_json

    lake = chosen_lake(pipeline)
    bounds = {name: chosen_date(text) for name, text in (("first", first), ("last", last)) if text is not None}
    found = stale_dates(lake, **bounds)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "stale": to_json(found)})
    elif not found:
        print_line("Every decision rests on what is there.")
    else:
        print_table(
            ["date", "why", ""], ([day, one.reason, "cannot run" if one.is_blocked else ""] for day, one in found.items())
        )


def releases(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """List the newest releases, newest first."""
    from perennial.deploy.rollback import list_releases
    from perennial.deploy.standing import read_standing

    lake = chosen_lake(pipeline)
    found = list_releases(lake)
    endpoint = look(lake.pipeline)
    # The pointer names the active release; whether it serves, only the endpoint knows.
    listed = [{**asdict(one), "active": one.serves, "serves": one.release == endpoint.release} for one in found]
    behind = read_standing(lake).behind
    if as_json:
        print_json({"releases": listed, "behind": behind})
    elif not listed:
        said = f"`perennial decisions {lake.pipeline.name}` says what the gate said."
        print_line(f"None yet. A run whose model passes the gate makes one; {said}")
    else:
        rows = ([one.release, one.version, one.as_of, _standing(one, endpoint)] for one in found)
        print_table(["release", "version", "as of", ""], rows)
        if behind:
            print_line(f"behind: {behind}", style="yellow")


def rollback(
    pipeline: PipelineName = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the chain of decisions.")],
    to: Annotated[str | None, typer.Option(help="Release to go back to; the last good one when not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """
    Go back to an earlier release; bar the version that serves.

    Without --to it is the last version that is not barred.
    """
    from perennial.deploy.rollback import rollback as go_back

    result = go_back(chosen_lake(pipeline), reason=reason, who=getpass.getuser(), to=to)
    if as_json:
        print_json(result.to_json())
    else:
        print_line(f"✓ {result.released} ({result.version}) serves; barred: {', '.join(result.barred)}", style="green")


def _intervention(item: Intervention) -> str:
    """Say who did what, when and why, in one line."""
    barred = f"barred version {item.barred}" if item.barred else "barred no version"
    of_release = f" (release {item.release})" if item.release else ""
    first_line = (item.reason.splitlines() or [""])[0]
    return f"{item.at[:16].replace('T', ' ')} UTC, for {item.date}: {item.who} {barred}{of_release}: {first_line}"


def _mark(entry: dict[str, Any]) -> str:
    """Say what is to be known of a decision beside its champion."""
    barred = f"{entry['named']} is barred" if entry["named"] != entry["champion"] else "barred later"
    return ", ".join(mark for mark, holds in (("stale", entry["stale"]), (barred, entry["barred"])) if holds)


def _standing(one: ListedRelease, endpoint: Endpoint) -> str:
    serves = endpoint.about(one.release) if one.serves else "serves" if one.release == endpoint.release else ""
    return "; ".join(text for text in (serves, one.why_barred) if text)


def _show_decision(body: dict[str, Any], barred: Container[str], as_json: bool) -> None:
    if as_json:
        print_json(body)
        return
    print_line(f"{body['date']}: {body['decision']}; champion {body['champion'] or 'none'}, was {body['incumbent'] or 'none'}")
    if body["note"]:
        print_line(f"  {body['note']}", style="yellow")
    if body["stale"]:
        print_line("  stale: judged against a model that is no longer the one before it", style="yellow")
    for reason in body["reasons"]:
        print_line(f"  {reason}")
    columns = ("name", "version", "decision", "roc_auc", "pr_auc", "log_loss", "accuracy", "brier", "calibration_error")
    rows = [
        [*(_rounded(one.get(column)) for column in columns), "barred" if one["version"] in barred else ""]
        for one in body["candidates"]
    ]
    print_table([*columns, ""], rows)


def _rounded(value: JsonValue) -> JsonValue:
    return f"{value:.4f}" if isinstance(value, float) else value
