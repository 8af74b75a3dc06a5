"""The trigger of wait_for_drop against a real object store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string

from perennial_airflow.triggers.manifests import ManifestsTrigger


def iso(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def only_event(trigger: ManifestsTrigger) -> dict[str, Any]:
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def test_deadlines_survive_a_restart_of_the_triggerer() -> None:
    trigger = ManifestsTrigger(deadlines={"s3://landing/a/_MANIFEST.json": "2013-02-13T11:00:00+00:00"}, poke_interval=3.0)
    path, arguments = trigger.serialize()

    again = import_string(path)(**arguments)

    assert (type(again), again.deadlines, again.poke_interval) == (ManifestsTrigger, trigger.deadlines, 3.0)


def test_fires_when_the_last_manifest_lands(s3) -> None:
    first, second = f"{s3.landing}/flights/_MANIFEST.json", f"{s3.landing}/weather/_MANIFEST.json"
    s3.put(first, b"{}")

    async def land_later() -> dict[str, Any]:
        waiting = asyncio.create_task(
            only_event(ManifestsTrigger(deadlines={first: iso(60), second: iso(60)}, poke_interval=0.1))
        )
        await asyncio.sleep(1)
        assert not waiting.done()
        await asyncio.to_thread(s3.put, second, b"{}")
        return await asyncio.wait_for(waiting, 20)

    assert asyncio.run(land_later()) == {"missing": [], "problem": None}


def test_names_what_is_missing_at_the_deadline(s3) -> None:
    landed, missing = f"{s3.landing}/flights/_MANIFEST.json", f"{s3.landing}/weather/_MANIFEST.json"
    s3.put(landed, b"{}")

    event = asyncio.run(only_event(ManifestsTrigger(deadlines={landed: iso(60), missing: iso(0.5)}, poke_interval=0.1)))

    assert event == {"missing": [missing], "problem": None}


def test_what_landed_is_seen_even_after_the_deadline(s3) -> None:
    uri = f"{s3.landing}/flights/_MANIFEST.json"
    s3.put(uri, b"{}")

    assert asyncio.run(only_event(ManifestsTrigger(deadlines={uri: iso(-3600)})))["missing"] == []


def test_a_store_that_is_away_is_asked_until_the_deadline(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    event = asyncio.run(only_event(ManifestsTrigger(deadlines={"s3://landing/a/_MANIFEST.json": iso(1)}, poke_interval=0.1)))

    assert event["missing"] == ["s3://landing/a/_MANIFEST.json"]
    assert "Could not connect" in event["problem"]
