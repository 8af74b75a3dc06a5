"""The scoring of a run: the release that is active when the date is first scored answers its rows, and the scores name it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date

from perennial.calendar import DAY
from perennial.deploy.active import read_active
from perennial.errors import PerennialError, RefusedError
from perennial.lake.lake import Lake
from perennial.lake.result import Skipped
from perennial.score.plan import FEATURES, Scored, Scoring, find_scorable, find_scoring, finish_scores, plan_scores, scores_table
from perennial.spark.submit import SparkPlan

log = logging.getLogger(__name__)


def plan_run_scores(lake: Lake, day: date, *, until: date | None = None, recompute: bool = False) -> SparkPlan:
    """
    Plan the scores of a date, if it has none of its present rows; without an active release there is nothing to do.

    With `until`, the last date of a batch, one job scores the dates before that one that the same release scores.
    The last date may release a model, so its own run scores it.
    """
    scoring = find_run_scoring(lake, day)
    if scoring is None:
        return SparkPlan("", None, 0)
    if until is not None and not recompute and not scoring.is_scored(day):
        scoring = _add_later(scoring, until)
    return plan_scores(scoring, recompute=recompute)


def _add_later(scoring: Scoring, until: date) -> Scoring:
    """Return the scoring with the dates before `until` whose present rows the same release scores."""
    (day,) = scoring.days
    moment, days = scoring.lake.at_one_moment(), dict(scoring.days)
    for later in moment.pipeline.calendar.dates(day + DAY, until - DAY):
        found = find_run_scoring(moment, later) if scoring.state.get_complete(later) is not None else None
        if found is not None and found.release == scoring.release and found.state.snapshot_id == scoring.state.snapshot_id:
            days.update(found.days)
    return replace(scoring, days=days)


def finish_run_scores(lake: Lake, day: date) -> Scored | Skipped:
    """Return the scores of a date, or the reason why there are none."""
    scoring = find_run_scoring(lake, day)
    if scoring is None:
        return Skipped(date=day, reason="no release is active yet")
    return finish_scores(scoring)


def require_active(lake: Lake) -> str:
    """Return the active release; refuse if there is none."""
    active = read_active(lake).release
    if active is None:
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r} has no active release yet",
            remedy=f"Run a date first: `perennial run {lake.pipeline.name} --date DATE`.",
        )
    return active


def find_run_scoring(lake: Lake, day: date) -> Scoring | None:
    """
    Return the scoring of a date by the release that scored its present rows most recently, else by the active release.

    So a rerun changes nothing, although a later date has released another model meanwhile. None: no release is active.
    """
    rows = find_scorable(lake, scored_table(lake))
    for release, key in read_last_scored(lake, day):
        try:
            scoring = find_scoring(lake, release, rows, [day])
        except PerennialError as error:  # its key is no longer trusted, or the table lost columns
            log.info("%s: the scores by release %s are no longer current: %s", day, release, error)
            continue
        if key == scoring.key(day):
            return scoring
    active = read_active(lake).release
    return None if active is None else find_scoring(lake, active, rows, [day])


def read_last_scored(lake: Lake, day: date) -> list[tuple[str, str]]:
    """Return the releases that scored a date, each with the fingerprint of its scores, the most recent commit first."""
    partitions = lake.tables.state(scores_table(scored_table(lake))).partitions
    places = [(*place.split("/"), item.key) for place, item in partitions.items()]
    return [(release, key) for text, release, key in places if text == day.isoformat()]


def scored_table(lake: Lake) -> str:
    """Return the table whose rows the runs of a pipeline score."""
    return lake.pipeline.scoring.table if lake.pipeline.scoring else FEATURES
