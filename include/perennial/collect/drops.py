"""Accepted drops: their records in the lake, and which of them belongs to what stands in the landing zone now."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from perennial.collect.header import header_problems
from perennial.collect.landing import LandedFile, head, read_small
from perennial.collect.manifest import FILE, MOST_BYTES, Manifest, parse_manifest
from perennial.errors import DropRefusedError
from perennial.lake.lake import Lake
from perennial.lake.objects import canonical_json, sha256
from perennial.pipeline import Reference

THREADS = 8


@dataclass(frozen=True, slots=True)
class DropFile:
    """One pinned file; `uri` is its place in the lake, `rows` the records without the header."""

    name: str
    sha256: str
    size: int
    rows: int
    uri: str


@dataclass(frozen=True, slots=True)
class Drop:
    """An accepted drop (day None: a reference). `digest` is the manifest's, or that of the reference's bytes."""

    source: str
    day: date | None
    digest: str
    files: tuple[DropFile, ...]
    rows: int
    columns: tuple[str, ...]


def read_manifest(lake: Lake, source: str, day: date) -> Manifest | None:
    """Return the manifest that stands in the landing zone; None: not landed. Raise DropRefusedError for a bad one."""
    body = manifest_bytes(lake, source, day)
    if body is None:
        return None
    manifest, problems = check_manifest(body, source, day)
    if manifest is None:
        raise DropRefusedError(f"Pipeline {lake.pipeline.name!r}, drop {source} {day}", problems, "Upstream must land it again.")
    return manifest


def pinned_drop(lake: Lake, source: str, day: date) -> Drop | None:
    """Return the accepted drop that belongs to the manifest that stands in the landing zone now, or None."""
    body = manifest_bytes(lake, source, day)
    return None if body is None else read_record(lake, source, day, sha256(body))


def landed_drops(lake: Lake, source: str, wanted: Iterable[date]) -> dict[date, Drop | None]:
    """Return the accepted drops of many dates, in order of date; None: what stands there is refused. Dates without a drop are left out."""
    dates = sorted(set(wanted))
    lake.objects.client  # noqa: B018 (made before the threads share it)
    with ThreadPoolExecutor(THREADS) as pool:
        bodies = pool.map(lambda day: manifest_bytes(lake, source, day), dates)
        landed = {day: sha256(body) for day, body in zip(dates, bodies, strict=True) if body is not None}
        drops = pool.map(lambda day: read_record(lake, source, day, landed[day]), landed)
        return dict(zip(landed, drops, strict=True))


def pinned_reference(lake: Lake, name: str) -> Drop | None:
    """Return the accepted version of a reference that stands in the landing zone now, or None."""
    landed = head(lake.objects, lake.pipeline.references[name].uri)
    return None if landed is None else read_record(lake, name, None, version_of(landed))


def manifest_bytes(lake: Lake, source: str, day: date) -> bytes | None:
    """Return the manifest's bytes, cut one byte above the limit, or None when the drop has not landed."""
    return read_small(lake.objects, lake.pipeline.sources[source].drop_uri(day) + FILE, MOST_BYTES)


def check_manifest(body: bytes, source: str, day: date) -> tuple[Manifest | None, list[str]]:
    """Parse a manifest unless it is too large to be one."""
    if len(body) > MOST_BYTES:
        return None, [f"{FILE} has more than {MOST_BYTES} bytes"]
    return parse_manifest(body, source, day)


def is_landed(lake: Lake, source: str, day: date) -> bool:
    """Tell whether a manifest stands there that names files of this source and date; the files are looked at by collect."""
    body = manifest_bytes(lake, source, day)
    return body is not None and check_manifest(body, source, day)[0] is not None


def is_whole(lake: Lake, day: date) -> bool:
    """Tell whether a date has landed from every source, as `is_landed` tells."""
    return all(is_landed(lake, source, day) for source in lake.pipeline.sources)


def version_of(landed: LandedFile) -> str:
    """Name a reference's version without reading it: it has no manifest whose digest could name it."""
    return sha256(canonical_json([landed.etag, landed.size]))


def contract_problems(columns: Iterable[str], rows: int, spec: Reference) -> list[str]:
    """Return how a drop of these columns and rows breaks the contract."""
    problems = header_problems(list(columns), spec.columns)
    if rows < spec.min_rows:
        problems.append(f"{rows} rows, expected at least {spec.min_rows} (min_rows)")
    return problems


def write_record(lake: Lake, drop: Drop, version: str) -> bool:
    """Record an accepted drop, once; return False when it is on record already."""
    body = canonical_json({"format": 1, **asdict(drop), "day": drop.day.isoformat() if drop.day else None})
    return lake.objects.create(lake.layout.drop(drop.source, drop.day, version), body)


def read_record(lake: Lake, source: str, day: date | None, version: str) -> Drop | None:
    """
    Return the accepted drop of that version, or None.

    A record from before a change of the contract counts only when the drop fits today's contract too.
    """
    stored = lake.objects.read_unchanging(lake.layout.drop(source, day, version))
    if stored is None:
        return None
    value: dict[str, Any] = stored.json()
    files = tuple(DropFile(**file) for file in value["files"])
    drop = Drop(source, day, value["digest"], files, value["rows"], tuple(value["columns"]))
    return None if contract_problems(drop.columns, drop.rows, lake.pipeline.tables[source]) else drop
