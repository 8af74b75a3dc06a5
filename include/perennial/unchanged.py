"""Whether a run of a date has anything to do."""

from __future__ import annotations

from datetime import date
from typing import Any

from perennial.errors import RefusedError
from perennial.lake.lake import Lake


def unchanged_stages(lake: Lake, day: date) -> dict[str, Any] | None:
    """
    Return the facts of every stage when all of them are unchanged for `day`; None at the first that has work to do.

    The stages are asked in their order, because each plans from what the one before has left. What one of them refuses is
    left to its own task, where it belongs.
    """
    from perennial.analyse.plan import finish_analyse, plan_analyse
    from perennial.clean.plan import finish_clean, plan_clean
    from perennial.collect.collect import collect

    try:
        if not _is_collected(lake, day):
            return None
        # All of D is pinned, so this reads no more than manifests, unless an earlier date has landed late.
        collected = collect(lake, day)
        if collected["outcome"] != "unchanged" or plan_clean(lake, day).job_uri is not None:
            return None
        cleaned = finish_clean(lake, day)
        if plan_analyse(lake, day).job_uri is not None:
            return None
        stages = {"collect": collected, "clean": cleaned, "analyse": finish_analyse(lake, day), **(_model_stages(lake, day) or {})}
    except RefusedError:
        return None
    return stages


def _is_collected(lake: Lake, day: date) -> bool:
    from perennial.collect.drops import pinned_drop, pinned_reference

    return all(pinned_drop(lake, source, day) for source in lake.pipeline.sources) and all(
        pinned_reference(lake, name) for name in lake.pipeline.references
    )
