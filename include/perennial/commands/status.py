"""`perennial status`: what has landed for each pipeline, what was decided, and what serves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from perennial.commands.arguments import AsJson, PipelineName, chosen, lake_of
from perennial.commands.output import print_json, print_line, stale_text
from perennial.errors import PipelineRefusedError
from perennial.pipeline import Pipeline
from perennial.pipeline_file import load_pipeline, pipeline_names


def status(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """Show what landed, was decided and serves."""
    found = [_status(chosen(pipeline))] if pipeline else [_status_or_refusal(name) for name in pipeline_names()]
    if as_json:
        print_json({"pipelines": [{key: value for key, value in one.items() if key != "serving"} for one in found]})
        return
    for one in found:
        print_line(one["pipeline"], style="bold")
        if "refused" in one:
            print_line(f"  refused: {one['refused']}", style="red")
            continue
        for name, text in _lines(one):
            print_line(f"  {name:<10} {text}")


def _status_or_refusal(name: str) -> dict[str, Any]:
    """Return the status of a pipeline; one that is refused does not hide the others."""
    try:
        return _status(load_pipeline(name))
    except PipelineRefusedError as error:
        return {"pipeline": name, "refused": str(error)}


def _status(pipeline: Pipeline) -> dict[str, Any]:
    from perennial.clean.lost import lost_history
    from perennial.collect.drops import landed_at_rest, newest_landed, newest_whole
    from perennial.commands.endpoint import look
    from perennial.deploy.active import read_active
    from perennial.deploy.deploy import why_behind
    from perennial.deploy.release import read_release
    from perennial.evaluate.chain import champion
    from perennial.evaluate.chain_store import read_chain

    lake = lake_of(pipeline).at_one_moment()
    chain, active, endpoint = read_chain(lake), read_active(lake), look(pipeline)
    today = pipeline.calendar.local_date(datetime.now(UTC))
    upto = min(pipeline.end or today, today)  # what is dated later is nobody's drop
    newest = {source: newest_landed(lake, source, upto) for source in pipeline.sources}
    whole = newest_whole(lake, upto)
    last = chain.days[-1] if chain.days else None
    entry = chain.get(last) if last else None
    left = champion(chain, last) if last else None
    at_rest = landed_at_rest(lake, pipeline.calendar.needed_from(whole or upto), upto)
    return {
        "pipeline": pipeline.name,
        "landed": {source: day.isoformat() if day else None for source, day in newest.items()},
        "at_rest": [day.isoformat() for day in at_rest],
        "waits": whole.isoformat() if whole and last and whole > last else None,
        "history_lost": lost_history(lake, max(day for day in (whole, last) if day)) if whole or last else [],
        "decided": len(chain.entries),
        "stale": [day for day, one in sorted(chain.entries.items()) if one.stale],
        "last_date": last.isoformat() if last else None,
        "last_decision": entry.decision if entry else None,
        "champion": left.version if left else None,
        "release": active.release,
        "release_version": read_release(lake, active.release)["version"] if active.release else None,
        "behind": why_behind(lake, chain, active),
        "endpoint": endpoint.url,
        "ready": endpoint.release is not None,
        "serving": endpoint.about(active.release) if active.release else None,
    }


def _lines(one: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a person is shown, by name."""
    landed = ", ".join(f"{source} {day or 'nothing'}" for source, day in one["landed"].items())
    decided = f"{one['last_date']}, {one['last_decision']} ({one['decided']} decided)" if one["last_date"] else "none yet"
    waits = (
        f"{one['waits']} has landed and is not decided yet; until it is run (or its drop repaired), older dates release nothing"
    )
    lines = [
        ("landed", f"{landed} (newest)"),
        ("at rest", f"{', '.join(one['at_rest'])}: landed on rest dates, not used" if one["at_rest"] else ""),
        ("waits", waits if one["waits"] else ""),
        *[("history", text) for text in one["history_lost"]],
        ("last decision", decided),
        ("champion", one["champion"] or "none yet"),
        ("release", f"{one['release']} ({one['release_version']}): {one['serving']}" if one["release"] else "none yet"),
        ("behind", "" if one["waits"] else one["behind"]),
        ("endpoint", one["endpoint"]),
        ("stale", f"{', '.join(one['stale'])}: {stale_text(one['pipeline'], one['stale'])}" if one["stale"] else ""),
    ]
    return [(name, text) for name, text in lines if text]
