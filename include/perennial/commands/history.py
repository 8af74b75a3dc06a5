"""`perennial decisions`, `stale`, `releases` and `rollback`: show what was decided and released, and go back."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.commands.arguments import AsJson, PipelineName, chosen_date, chosen_lake, served_lake
from perennial.commands.endpoint import Endpoint, look
from perennial.commands.output import print_json, print_line, print_table, stale_text
from perennial.display.metrics import METRICS, format_metric, found_in
from perennial.errors import PipelineRefusedError
from perennial.store.json_value import JsonValue

if TYPE_CHECKING:
    from perennial.deploy.rollback import ListedRelease
    from perennial.evaluate.chain import Intervention
    from perennial.lake.lake import Lake


def decisions(
    pipeline: PipelineName = None,
    date: Annotated[str | None, typer.Option(help="Show the whole decision of one date.")] = None,
    only_stale: Annotated[
        bool, typer.Option("--stale", help="Only decisions whose incumbent or anchor has changed since.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List decisions and interventions, or show one decision."""
    from perennial.evaluate.chain_store import read_chain, require_entry
    from perennial.evaluate.champions import barred_versions, champion_of, champions, facts, to_json

    lake = served_lake(pipeline)
    chain = read_chain(lake)
    if date is not None:
        day = chosen_date(date)
        entry = require_entry(lake, chain, day)
        body = lake.objects.read_existing(entry.uri).json()
        champion = champion_of(chain, day)
        body = {**body, "named": champion.named, **facts(champion), "stale": champion.stale}
        _show_decision(body, barred_versions(chain, day), as_json)
        return
    barred = barred_versions(chain)
    entries = []
    for champion in champions(chain, chain.days):
        entry = chain.entries[champion.day.isoformat()]
        if entry.stale or not only_stale:
            fields = {
                "champion": champion.version,
                "named": champion.named,
                "note": champion.note,
                "barred": champion.named in barred,
            }
            entries.append({"date": champion.day.isoformat(), **asdict(entry), **fields})
    interventions = to_json(chain.interventions)
    if as_json:
        print_json({"decisions": entries, "interventions": interventions})
        return
    if only_stale and not entries:
        print_line(f"None of the {len(chain.entries)} decisions is stale.")
        return
    if not entries and not interventions:
        print_line(f"No decisions yet. A run makes one: `perennial run {lake.pipeline.name} --date DATE`, or the DAG in Airflow.")
        return
    columns = ("date", "decision", "champion", "incumbent", "run_id")
    marks = [_describe_state(entry) for entry in entries]
    print_table([*columns, ""], ([*(e[c] for c in columns), mark] for e, mark in zip(entries, marks, strict=True)))
    if stale_dates := [entry["date"] for entry in entries if entry["stale"]]:
        print_line(f"stale: {stale_text(lake.pipeline.name, stale_dates)}", style="dim")
    for item in chain.interventions:
        print_line(_format_intervention(item), style="yellow")


def stale(
    pipeline: PipelineName = None,
    first: Annotated[str | None, typer.Option("--from", help="The first date, YYYY-MM-DD; all when not given.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last date, YYYY-MM-DD.")] = None,
    as_json: AsJson = False,
) -> None:
    """
    List dates whose decision is out of date.

    Reasons are a drop that landed late or was replaced, changed SQL or settings, or another incumbent.
    `backfill --again stale` runs these dates again.
    """
    from perennial.freshness.stale import stale_dates, to_json

    lake = chosen_lake(pipeline)
    bounds = {name: chosen_date(text) for name, text in (("first", first), ("last", last)) if text is not None}
    stale_by_date = stale_dates(lake, **bounds)
    if as_json:
        print_json({"pipeline": lake.pipeline.name, "stale": to_json(stale_by_date)})
    elif not stale_by_date:
        print_line("No decision is stale.")
    else:
        print_table(
            ["date", "why", ""],
            ([day, freshness.reason, "cannot run" if freshness.is_blocked else ""] for day, freshness in stale_by_date.items()),
        )


def releases(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """List the newest releases, newest first."""
    from perennial.deploy.rollback import list_releases

    lake = served_lake(pipeline)
    newest = list_releases(lake)
    endpoint = look(lake.pipeline)
    # The pointer names the active release. Only the endpoint knows whether that release serves.
    listed = [{**asdict(release), "active": release.serves, "serves": release.release == endpoint.release} for release in newest]
    behind = _read_behind(lake)
    if as_json:
        print_json({"releases": listed, "behind": behind})
    elif not listed:
        print_line(
            "No releases yet. A run creates one when its model passes the gate. "
            f"`perennial decisions {lake.pipeline.name}` shows the decisions of the gate."
        )
    else:
        rows = ([release.release, release.version, release.as_of, _describe(release, endpoint)] for release in newest)
        print_table(["release", "version", "as of", ""], rows)
        if behind:
            print_line(f"behind: {behind}", style="yellow")


def rollback(
    pipeline: PipelineName = None,
    *,
    reason: Annotated[str, typer.Option(help="Reason; it is stored in the decision log.")] = "",
    to: Annotated[str | None, typer.Option(help="Release to go back to; the last good one when not given.")] = None,
    is_plan: Annotated[bool, typer.Option("--plan", help="Only show the release and the versions to bar.")] = False,
    as_json: AsJson = False,
) -> None:
    """
    Go back to an earlier release and bar the version that serves.

    Without --to, the target is the last version that is not barred.
    """
    from perennial.commands.os_user import get_os_user
    from perennial.deploy.rollback import plan_rollback
    from perennial.deploy.rollback import rollback as go_back

    lake = served_lake(pipeline)
    if is_plan:
        plan = plan_rollback(lake, to=to)
        if as_json:
            print_json(plan.to_json())
        else:
            bars = ", ".join(plan.bars) or "none"
            change = "would stay, its rollback is finished" if plan.is_resumed else f"would serve in place of {plan.previous}"
            print_line(f"{plan.release} ({plan.version}) {change}; versions to bar: {bars}")
        return
    result = go_back(lake, reason=reason, who=get_os_user(), to=to)
    if as_json:
        print_json(result.to_json())
    else:
        print_line(f"✓ {result.released} ({result.version}) serves; barred: {', '.join(result.barred) or 'none'}", style="green")


def _read_behind(lake: Lake) -> str:
    """Return why the active release is behind. Only pipeline.yaml tells which drops may have landed since."""
    from perennial.deploy.standing import read_standing

    try:
        return read_standing(lake).behind
    except PipelineRefusedError as error:
        return f"not known, because the pipeline is refused. {error}"


def _format_intervention(item: Intervention) -> str:
    """Describe an intervention in one line: time, person, action and reason."""
    barred = f"barred version {item.barred}" if item.barred else "barred no version"
    of_release = f" (release {item.release})" if item.release else ""
    of_release += f", back to {item.target}" if item.target else ""
    first_line = (item.reason.splitlines() or [""])[0]
    return f"{item.at[:16].replace('T', ' ')} UTC, for {item.date}: {item.who} {barred}{of_release}: {first_line}"


def _describe_state(entry: dict[str, Any]) -> str:
    """Return the notes on a decision that are shown beside its champion: stale, barred."""
    barred = f"{entry['named']} is barred" if entry["named"] != entry["champion"] else "barred later"
    return ", ".join(mark for mark, holds in (("stale", entry["stale"]), (barred, entry["barred"])) if holds)


def _describe(release: ListedRelease, endpoint: Endpoint) -> str:
    serves = endpoint.about(release.release) if release.serves else "serves" if release.release == endpoint.release else ""
    return "; ".join(text for text in (serves, release.why_barred) if text)


def _show_decision(body: dict[str, Any], barred: Container[str], as_json: bool) -> None:
    from perennial.display.forced import describe_force

    if as_json:
        print_json(body)
        return
    print_line(f"{body['date']}: {body['decision']}; champion {body['champion'] or 'none'}, was {body['incumbent'] or 'none'}")
    if body["note"]:
        print_line(f"  {body['note']}", style="yellow")
    if body["stale"]:
        print_line("  stale: judged against a model that is no longer its incumbent or anchor", style="yellow")
    if force := describe_force(body.get("forced")):
        print_line(f"  {force}", style="yellow")
    for reason in body["reasons"]:
        print_line(f"  {reason}")
    metrics = found_in(body["candidates"], METRICS)
    columns = ("name", "version", "decision", *metrics)
    rows = [
        [*(_round(candidate.get(column)) for column in columns), "barred" if candidate["version"] in barred else ""]
        for candidate in body["candidates"]
    ]
    print_table([*columns, ""], rows)


def _round(value: JsonValue) -> JsonValue:
    return format_metric(value) if isinstance(value, float) else value
