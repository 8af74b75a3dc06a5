"""
The register of accepted drops: one page for each month and source, and one for each reference, replaced with If-Match.

The version of the manifest (or of the reference) identifies a drop. A listing gives that version, so no object has to be read
to find out that nothing changed. An accepted drop stays on its page even if another version lands later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from pydantic import TypeAdapter

from perennial.errors import LostRaceError
from perennial.lake.days import REFERENCE, day_text, read_day
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json, sha256
from perennial.store.heads import move_head, parse_head
from perennial.store.json_value import JsonValue
from perennial.store.objects import Listed, Stored

FORMAT = 1
REMEDY = "Delete it: the drops are checked and registered again, and clean rows stay."


@dataclass(frozen=True, slots=True)
class DropFile:
    """
    One pinned file.

    :param rows: number of records without the header
    :param uri: address in the lake
    :param line_end: end of each of its lines
    :param unclear: numbers of its rows with a cell that programs read differently
    :param by_lines: whether a reader may begin at any line; not known of a file that an earlier version accepted
    """

    name: str
    sha256: str
    size: int
    rows: int
    uri: str
    line_end: Literal["\n", "\r\n"]
    unclear: tuple[int, ...] = ()
    by_lines: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """
    An accepted drop (day None: a reference).

    :param digest: that of the manifest, or that of the reference's bytes
    :param dialect: the dialect in which its files were read: see `Csv.division`
    """

    source: str
    day: date | None
    digest: str
    files: tuple[DropFile, ...]
    rows: int
    columns: tuple[str, ...]
    dialect: dict[str, Any]


_FILE = TypeAdapter(DropFile)
Page = Mapping[tuple[date | None, str], Drop]
"""Accepted drops by day and version."""


def version_of(landed: Listed) -> str:
    """Return a name for a landed object without reading it: the ETag changes with the content."""
    return sha256(canonical_json([landed.etag, landed.size]))


def page_of(day: date | None) -> str:
    """Return the name of the page that lists the drops of that day."""
    return REFERENCE if day is None else f"{day:%Y-%m}"


def read_page(lake: Lake, source: str, page: str) -> Page:
    """Return a page; a page that does not exist yet is empty."""
    uri = lake.layout.register(source, page)
    return _parse(uri, source, lake.objects.read(uri))


def register(lake: Lake, accepted: Iterable[tuple[str, Drop]]) -> None:
    """Add accepted drops, each with its version, to their pages."""
    pages: dict[tuple[str, str], dict[tuple[date | None, str], Drop]] = defaultdict(dict)
    for version, drop in accepted:
        pages[drop.source, page_of(drop.day)][drop.day, version] = drop
    for (source, page), new in pages.items():
        _write(lake, source, page, new)


def _write(lake: Lake, source: str, page: str, new: Page) -> None:
    uri = lake.layout.register(source, page)
    if move_head(lake.objects, uri, lambda stored: _parse(uri, source, stored), _to_json, lambda known: {**known, **new}) is None:
        raise LostRaceError(
            f"{uri}: other runs changed it at every attempt to write it. Run the date again when fewer runs collect."
        )


def _parse(uri: str, source: str, stored: Stored | None) -> Page:
    return {} if stored is None else parse_head(uri, stored, FORMAT, lambda body: _from_json(source, body), REMEDY)


def _from_json(source: str, body: dict[str, Any]) -> Page:
    page: dict[tuple[date | None, str], Drop] = {}
    for text, versions in body["days"].items():
        day = read_day(text)
        for version, drop in versions.items():
            if "dialect" not in drop:
                continue  # an earlier version of Perennial accepted it, whose reader was less strict: it is checked again
            files = tuple(_FILE.validate_python(file) for file in drop["files"])
            if not files or not isinstance(drop["rows"], int):
                raise ValueError(f"the drop of {text} lists no files, or its rows are not a number")
            page[day, version] = Drop(source, day, drop["digest"], files, drop["rows"], tuple(drop["columns"]), drop["dialect"])
    return page


def _to_json(page: Page) -> dict[str, JsonValue]:
    days: dict[str, dict[str, Any]] = defaultdict(dict)
    for (day, version), drop in page.items():
        body = asdict(drop)
        days[day_text(day)][version] = {name: body[name] for name in ("digest", "files", "rows", "columns", "dialect")}
    return {"format": FORMAT, "days": days}
