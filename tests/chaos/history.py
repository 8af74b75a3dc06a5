"""
Does a backfill come out exactly, whatever is killed meanwhile? Some dates, three runs at a time, against a clean serial run.

`python tests/chaos/history.py --seeds 20`, or `make chaos-history SEEDS=20`: twenty kills, each drawn by its own seed.
RANDOM=100 draws a hundred seeds at random and prints them; ONLY="7 12" repeats the kills of two seeds.
With --big (BIG=1), the killed backfill treats every date as a big one, so that many Spark tasks share it.
At least 30 % of the kills are of the scheduler, and half of these meet it while it holds row locks.

Each of the two backfills has a stack of its own, in which the first date is released before: its release scores the others.
Afterwards every partition's digest, the rows as they are read, the weights and the decisions must be the same.
Every date must have scores, each row once, and they must be those that the same release gives in the clean stack.
A service that was killed is started again by `stack up`, as its supervisor would.
When the backfill ends before the last kill, its dates are computed again, six at a time, until the last kill.

The trial also fails when a run makes no progress for a minute,
or when a killed scheduler leaves a process or a session in PostgreSQL.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import yaml
from killer import Killer
from outcome import contents, scores_of
from own_stack import own_stack, run_stack
from rich.console import Console
from watchdog import Watchdog

from perennial.backfill.airflow_access import open_airflow
from perennial.calendar import DAY, days, midnight
from perennial.config.load import FILE, load_pipeline
from perennial.deploy.active import read_active
from perennial.errors import PerennialError
from perennial.evaluate.chain_store import read_chain
from perennial.lake.lake import Lake, open_lake
from perennial.settings import var_folder
from perennial.store.objects import split_uri
from stack.config import REPO, StackConfig

PIPELINE = "machine_faults"
DAG = f"retrain_{PIPELINE}"
LANDED = date(2026, 3, 1)
FIRST = LANDED + timedelta(days=4)
OFFSET = 1700
RUNS_AT_ONCE = 3
DATES_AGAIN = 2 * RUNS_AT_ONCE
"""Number of dates that are recomputed as one group. After the last kill, only the rest of the current group remains."""

MAX_SECONDS = 600
MAX_ROUNDS = 10
"""How often what failed for good (a task is tried three times) is run again, as a user would."""

MAX_SEED = 1_000_000
Answer = TypeVar("Answer")
console = Console(highlight=False, soft_wrap=True)
began = time.monotonic()


class Stalled(Exception):
    """Killing was given up: a run hangs, or something was left behind."""


def main() -> int:
    """Run both backfills and compare what they left; 1 when they differ or when a run hung."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="kill by the seeds 1 to N")
    parser.add_argument("--random", type=int, help="kill by so many seeds drawn at random")
    parser.add_argument("--only", type=int, nargs="+", help="kill by these seeds only")
    parser.add_argument("--dates", type=int, default=60, help="length of the backfill")
    parser.add_argument("--big", action="store_true", help="divide every date of the killed backfill among Spark's tasks")
    given = parser.parse_args()
    drawn = random.SystemRandom().sample(range(1, MAX_SEED), given.random) if given.random else None
    seeds = given.only or drawn or list(range(1, given.seeds + 1))
    last = FIRST + timedelta(days=given.dates - 1)
    size = " BIG=1" if given.big else ""
    again = f'The same kills again: make chaos-history DATES={given.dates}{size} ONLY="{" ".join(map(str, seeds))}"'
    say(again)
    with landed("clean", last) as (lake, _):
        backfill(FIRST, last, runs_at_once=1)
        clean = contents(lake, days(FIRST, last))
        expected = score_all(lake, last)
    big = {"PERENNIAL_BIG_DATE_ROWS": "0"} if given.big else {}
    with landed("killed", last, **big) as (lake, config):
        problem, killer, longest = under_kills(config, seeds, last)
        killed = {} if problem else contents(lake, days(FIRST, last))
        scores = {} if problem else scores_of(lake)
        stale = sum(entry.stale for entry in read_chain(lake).entries.values())
    say(f"{len(killer.killed)} of {len(seeds)} kills: {killer.summary()}; the longest time without progress was {longest:.0f} s")
    differing = sorted(name for name in {*clean, *killed} if clean.get(name) != killed.get(name)) if not problem else []
    differing += sorted(name for name, found in scores.items() if expected.get(name) != found)
    if not problem:
        scored = {name.removeprefix("scores ").partition("/")[0] for name in scores}
        differing += [f"no scores of {day}" for day in days(FIRST, last) if str(day) not in scored]
    if problem or differing or stale or len(killer.killed) < len(seeds):
        say(f"✗ {problem}" if problem else f"✗ {len(differing)} differ, {stale} decisions are stale: {', '.join(differing[:20])}")
        say(again)
        return 1
    say(
        f"✓ {len(clean)} partitions, weights and decisions are those of the clean serial run, and the scores of {len(scores)} "
        "dates and releases are those of its releases"
    )
    return 0


def under_kills(config: StackConfig, seeds: list[int], last: date) -> tuple[str, Killer, float]:
    """
    Backfill until the last kill is done and everything has come out.

    Return the problem, if any, the killer, and the longest time without progress.
    """
    killer = Killer(config, seeds, say)
    stalls: list[str] = []
    watchdog = Watchdog(config, is_paused=killer.mends.is_set, on_stall=stalls.append)
    problems = (lambda: killer.problem, lambda: stalls[0] if stalls else "")

    def check() -> None:
        if problem := next((problem for ask in problems if (problem := ask())), ""):
            raise Stalled(problem)

    killer.start()
    watchdog.start()
    try:
        backfill(FIRST, last, runs_at_once=RUNS_AT_ONCE, check=check)
        for first in itertools.cycle(list(days(FIRST, last))[::DATES_AGAIN]):
            if not killer.is_alive():
                break
            until = min(first + timedelta(days=DATES_AGAIN - 1), last)
            say(f"All dates are done before the last kill: {first} to {until} are computed again")
            backfill(first, until, runs_at_once=RUNS_AT_ONCE, recompute=True, check=check)
        check()
    except Stalled as stalled:
        return str(stalled), killer, watchdog.max_seconds
    finally:
        for thread in (killer, watchdog):
            thread.done.set()
            thread.join()
    return "", killer, watchdog.max_seconds


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    console.print(f"{time.monotonic() - began:6.0f} s  {text}", markup=False)


@contextmanager
def landed(name: str, last: date, **settings: str) -> Iterator[tuple[Lake, StackConfig]]:
    """
    Start a stack with nothing in it but one small pipeline and its landed drops.

    Only the newest date is released, so the first one runs before the others land.
    """
    place = var_folder().resolve() / "chaos" / name
    pipelines = place / "pipelines"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(REPO / "tests/pipelines" / PIPELINE, pipelines / PIPELINE)
    document = yaml.safe_load((pipelines / PIPELINE / FILE).read_text(encoding="utf-8"))
    document |= {"end": last, "scoring": {"table": "features"}}
    (pipelines / PIPELINE / FILE).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    say(f"The {name} backfill: starting a stack, landing {LANDED} to {last}")
    with own_stack(place, OFFSET, PERENNIAL_PIPELINES=str(pipelines), **settings):
        lake = open_lake(load_pipeline(PIPELINE))
        land(lake, LANDED, FIRST)
        backfill(FIRST, FIRST, runs_at_once=1)
        if read_active(lake).release is None:
            raise SystemExit(f"No release of {FIRST} serves, so nothing would be scored.")
        land(lake, FIRST + DAY, last)
        yield lake, StackConfig(REPO, place, OFFSET, pipelines)


def score_all(lake: Lake, last: date) -> dict[str, Any]:
    """Score every date by each release, and return all scores by date and release."""
    program = [str(Path(sys.executable).with_name("perennial")), "score", PIPELINE, "--from", str(FIRST), "--to", str(last)]
    releases = [uri.rpartition("/")[2].removesuffix(".json") for uri in lake.objects.list(lake.layout.releases)]
    for release in releases:
        run_stack([*program, "--release", release])
    return scores_of(lake)


def land(lake: Lake, first: date, last: date) -> None:
    """Land dates, the manifest of each last."""
    spec = importlib.util.spec_from_file_location("machine_data", REPO / "tests/pipelines/generate.py")
    if spec is None or spec.loader is None:
        raise SystemExit("tests/pipelines/generate.py cannot be read.")
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    for day in days(first, last):
        for name, body in data.drop(day).items():
            bucket, key = split_uri(lake.pipeline.sources[data.SOURCE].drop_uri(day) + name)
            lake.objects.client.put_object(Bucket=bucket, Key=key, Body=body)


def backfill(
    first: date, last: date, *, runs_at_once: int, recompute: bool = False, check: Callable[[], None] = lambda: None
) -> None:
    """
    Backfill the dates, and what has failed again, up to MAX_ROUNDS times.

    :param check: called once a second; it raises to give up
    """
    zone = load_pipeline(PIPELINE).calendar.time_zone
    begin, end = midnight(first, zone), midnight(last, zone)
    asked = {"recompute": True} if recompute else {"until": last.isoformat()}

    with open_airflow() as airflow:

        def create(reprocess: str) -> int:
            open_one = airflow.open_backfill(DAG)  # an answer to an earlier request may have been lost
            if open_one:
                return int(open_one["id"])
            return airflow.backfill(DAG, begin, end, asked, reprocess=reprocess, runs_at_once=runs_at_once)

        until_answered(lambda: airflow.wait_for_dag(DAG), check)
        until_answered(lambda: airflow.unpause(DAG), check)
        for reprocess in ("completed" if recompute else "none", *["failed"] * MAX_ROUNDS):
            number = until_answered(lambda: create(reprocess), check)  # noqa: B023 (called at once)
            while not until_answered(lambda: airflow.backfill_is_done(number), check):  # noqa: B023
                check()
                time.sleep(1)
            failed = until_answered(lambda: airflow.count_runs(DAG, begin, end, "failed"), check)
            say(f"the backfill has ended, {failed} runs failed")
            if not failed:
                return
    raise SystemExit(f"{failed} runs have failed again and again.")


def until_answered(ask: Callable[[], Answer], check: Callable[[], None]) -> Answer:
    """Ask until Airflow answers: its database may have been killed."""
    since = time.monotonic()
    while True:
        try:
            return ask()
        except PerennialError as error:
            check()
            if time.monotonic() - since > MAX_SECONDS:
                raise SystemExit(f"Airflow has not answered for {MAX_SECONDS} s: {error}") from error
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
