"""`perennial status`: show what has landed, was decided and serves for each pipeline."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from perennial.commands.arguments import AsJson, PipelineName, lake_of, served
from perennial.commands.output import counted, print_json, print_line, stale_text
from perennial.config.load import pipeline_names
from perennial.config.pipeline import Pipeline
from perennial.errors import DropChangedError, DropRefusedError, PipelineRefusedError
from perennial.store.json_value import JsonValue

_FOR_PEOPLE = ("serving", "standing")


def status(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """Show what landed, was decided and serves."""
    statuses = [_status_or_refusal(name) for name in ([pipeline] if pipeline else pipeline_names())]
    if as_json:
        print_json({"pipelines": [{key: item[key] for key in item if key not in _FOR_PEOPLE} for item in statuses]})
        return
    for item in statuses:
        print_line(item["pipeline"], style="bold")
        if "refused" in item:
            print_line(f"  refused: {item['refused']}", style="red")
        for name, text in _serving_lines(item) if "refused" in item else _lines(item):
            print_line(f"  {name:<13} {text}")


def _status_or_refusal(name: str) -> dict[str, Any]:
    """Return the status of a pipeline. If its files or what landed are refused, return why and what serves."""
    from perennial.deploy.active import read_active
    from perennial.deploy.release import read_release

    pipeline = served(name)
    try:
        return _status(pipeline)
    except (PipelineRefusedError, DropRefusedError, DropChangedError) as error:
        refused = {"pipeline": name, "refused": str(error)}
    lake = lake_of(pipeline)
    release = read_active(lake).release
    return refused | (_serving(pipeline, release, read_release(lake, release)["version"]) if release else {"release": None})


def _serving(pipeline: Pipeline, release: str | None, version: str | None) -> dict[str, JsonValue]:
    """Return the active release of a pipeline with its version, and whether the endpoint serves it."""
    from perennial.commands.endpoint import look

    endpoint = look(pipeline)
    return {
        "release": release,
        "release_version": version,
        "endpoint": endpoint.url,
        "ready": endpoint.release is not None,
        "serving": endpoint.about(release) if release else None,
    }


def _status(pipeline: Pipeline) -> dict[str, Any]:
    from perennial.analyse.plan import unlabelled_dates
    from perennial.clean.lost import lost_history
    from perennial.collect.drops import landed_at_rest, latest_complete, newest_landed
    from perennial.deploy.standing import read_standing
    from perennial.evaluate.chain_store import read_chain
    from perennial.evaluate.champions import to_json

    lake = lake_of(pipeline).at_one_moment()
    chain, standing = read_chain(lake), read_standing(lake)
    today = pipeline.calendar.local_date(datetime.now(UTC))
    upto = min(pipeline.end or today, today)  # a drop with a later date is an error of the feed
    newest = {source: newest_landed(lake, source, upto) for source in pipeline.sources}
    complete, champion, later = latest_complete(lake, upto), standing.champion, standing.later
    at_rest = landed_at_rest(lake, pipeline.calendar.needed_from(complete or upto), upto)
    known = [day for day in (complete, champion.day if champion else None) if day is not None]
    return {
        "pipeline": pipeline.name,
        "landed": {source: day.isoformat() if day else None for source, day in newest.items()},
        "at_rest": [day.isoformat() for day in at_rest],
        "unlabelled": [day.isoformat() for day in unlabelled_dates(lake)],
        "known_after_days": pipeline.label.known_after_days,
        "waits": later.waiting.isoformat() if later.waiting else None,
        "refused_dates": {day.isoformat(): reason for day, reason in later.refused.items()},
        "untrained_dates": {day.isoformat(): reason for day, reason in later.untrained.items()},
        "history_lost": lost_history(lake, max(known)) if known else [],
        "decided": len(chain.entries),
        "stale": [day for day, entry in sorted(chain.entries.items()) if entry.stale],
        "last_date": champion.day.isoformat() if champion else None,
        "last_decision": champion.decision if champion else None,
        "champion": champion.version if champion else None,
        "why": champion.why if champion else "",
        "barred": to_json(standing.barred),
        "behind": standing.behind,
        **_serving(pipeline, standing.release, standing.version),
        "standing": standing.lines(),
    }


def _labels_text(item: dict[str, Any]) -> str:
    dates = item["unlabelled"]
    if not dates:
        return ""
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]} ({counted(len(dates), 'date')})"
    return f"{span}: labels not known yet (known {counted(item['known_after_days'], 'day')} after the date)"


def _serving_lines(item: dict[str, Any]) -> list[tuple[str, str]]:
    if item["release"] is None:
        return [("release", "none yet"), ("endpoint", item.get("endpoint", "not known"))]
    return [
        ("release", f"{item['release']} ({item['release_version']}): {item['serving']}"),
        ("endpoint", item["endpoint"]),
    ]


def _lines(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines for a person: name and text."""
    landed = [f"{source} {day} (newest)" if day else f"{source}: no drop has landed" for source, day in item["landed"].items()]
    decided = f"{item['last_date']}, {item['last_decision']} ({item['decided']} decided)" if item["last_date"] else "none yet"
    lines = [
        ("landed", ", ".join(landed)),
        ("at rest", f"{', '.join(item['at_rest'])}: landed on rest dates, not used" if item["at_rest"] else ""),
        ("labels", _labels_text(item)),
        *[("history", text) for text in item["history_lost"]],
        ("last decision", decided),
        *item["standing"],
        *_serving_lines(item),
        ("stale", f"{', '.join(item['stale'])}: {stale_text(item['pipeline'], item['stale'])}" if item["stale"] else ""),
    ]
    return [(name, text) for name, text in lines if text]
