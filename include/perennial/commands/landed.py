"""What has landed, as far as a person at a shell wants to know."""

from __future__ import annotations

from datetime import date

from perennial.calendar import parse_date
from perennial.collect.drops import is_landed
from perennial.errors import DateRefusedError
from perennial.lake.lake import Lake
from perennial.lake.objects import split_uri

LOOKED_AT = 10
"""Folders without a manifest that are passed over, newest first: upstream may be at work on one of them."""


def newest_landed(lake: Lake, source: str) -> date | None:
    """Return the newest date whose drop is whole; it lists folders, not files, so it costs a request a thousand dates."""
    bucket, prefix = split_uri(lake.pipeline.sources[source].uri.partition("{date}")[0])
    pages = lake.objects.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
    found = (_date(folder.removeprefix(prefix)) for folder in sorted(folders, reverse=True)[:LOOKED_AT])
    return next((day for day in found if day and is_landed(lake, source, day)), None)


def _date(folder: str) -> date | None:
    try:
        return parse_date(folder[:10])
    except DateRefusedError:
        return None  # somebody else's folder
