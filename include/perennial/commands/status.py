"""`perennial status`: each pipeline's newest decision, champion and release, and whether its endpoint answers."""

from __future__ import annotations

from typing import Any

from perennial.commands.arguments import AsJson, PipelineName, chosen
from perennial.commands.output import print_json, print_line
from perennial.pipeline import Pipeline
from perennial.pipeline_file import load_pipeline, pipeline_names


def status(pipeline: PipelineName = None, as_json: AsJson = False) -> None:
    """Show where the pipelines stand; `make status` shows the processes of the stack."""
    chosen_ones = [chosen(pipeline)] if pipeline else [load_pipeline(name) for name in pipeline_names()]
    found = [_status(one) for one in chosen_ones]
    if as_json:
        print_json({"pipelines": found})
        return
    for one in found:
        print_line(one["pipeline"], style="bold")
        for name in ("decided", "stale", "last_date", "last_decision", "champion", "release", "endpoint", "ready"):
            print_line(f"  {name.replace('_', ' '):<14} {_shown(one[name])}")


def _status(pipeline: Pipeline) -> dict[str, Any]:
    from perennial.deploy.active import read_active
    from perennial.evaluate.chain import champion
    from perennial.evaluate.chain_store import read_chain
    from perennial.lake.lake import open_lake
    from perennial.runtime.endpoints import endpoint_url

    lake = open_lake(pipeline)
    chain, active = read_chain(lake), read_active(lake)
    last = chain.days[-1] if chain.days else None
    entry = chain.get(last) if last else None
    left = champion(chain, last) if last else None
    url = endpoint_url(pipeline.name)
    return {
        "pipeline": pipeline.name,
        "decided": len(chain.entries),
        "stale": [day for day, one in sorted(chain.entries.items()) if one.stale],
        "last_date": last.isoformat() if last else None,
        "last_decision": entry.decision if entry else None,
        "champion": left.version if left else None,
        "release": active.release,
        "endpoint": url,
        "ready": _is_ready(url, pipeline.name),
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _is_ready(url: str, pipeline: str) -> bool:
    import httpx

    try:
        return httpx.Client(trust_env=False, timeout=3).get(f"{url}/v2/models/{pipeline}/ready").status_code == 200
    except httpx.TransportError:
        return False
