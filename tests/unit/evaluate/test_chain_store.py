"""The head of the chain in a real object store: no write is lost, whoever races."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest

from perennial.errors import LostRaceError
from perennial.evaluate.chain import Chain, Entry, enter, to_json
from perennial.evaluate.chain_store import read_chain, update_chain
from perennial.lake.lake import Lake
from perennial.store import heads
from perennial.store.content_name import canonical_json


@pytest.fixture
def lake(s3: Any, pipeline_factory: Callable[..., Any]) -> Lake:
    found: Lake = s3.open_lake(pipeline_factory())
    return found


def entry(run_id: str) -> Entry:
    return Entry("HOLD", "s3://x/y", "key", None, None, None, False, run_id, "2013-02-12T00:00:00")


def test_a_pipeline_without_decisions_has_an_empty_chain(lake: Lake):
    assert read_chain(lake) == Chain()


def test_concurrent_writers_lose_nothing(lake: Lake):
    days = [date(2026, 3, 1) + timedelta(days=index) for index in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda day: update_chain(lake, lambda chain: enter(chain, day, entry(f"run-{day}"))), days))
    assert read_chain(lake).days == days


def test_a_change_that_changes_nothing_is_not_written(lake: Lake):
    update_chain(lake, lambda chain: chain)
    assert not lake.objects.exists(lake.layout.chain)


def test_whoever_loses_too_often_is_told_who_won(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heads, "ATTEMPTS", 2)
    day = date(2026, 3, 1)

    def beaten(chain: Chain) -> Chain:
        other = enter(chain, day, entry(f"other-{len(chain.entries)}-{chain.entries[str(day)].revision if chain.entries else 0}"))
        stored = lake.objects.read(lake.layout.chain)
        body = canonical_json(to_json(other))
        lake.objects.replace(lake.layout.chain, body, stored.etag if stored else None)
        return enter(chain, day, entry("ours"))

    with pytest.raises(LostRaceError, match=r"lost 2 races .* run 'other-1-1' of 2026-03-01"):
        update_chain(lake, beaten)
