"""Land the user's own files as a drop: checked as `collect` will check them, the manifest last."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from perennial.collect.broken import BrokenError
from perennial.collect.content import read_content
from perennial.collect.dated_files import no_file
from perennial.collect.drops import check_header, check_manifest, contract_problems, manifest_bytes
from perennial.collect.header import differing_headers
from perennial.collect.landing import list_data
from perennial.collect.manifest import FILE, MAX_BYTES, ListedFile
from perennial.config.pipeline import Source
from perennial.config.values import is_file_name
from perennial.errors import DropUnreadableError, RefusedError, did_you_mean
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json
from perennial.store.json_value import Json
from perennial.store.objects import split_uri

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LandedFiles:
    """A drop that has landed now (outcome `done`), or had landed before with the same content (`unchanged`)."""

    outcome: str
    pipeline: str
    source: str
    date: str
    folder: str
    rows: int
    files: list[ListedFile]


def land_drops(
    lake: Lake, source: str, files: Mapping[date, Sequence[Path]], *, replace: bool = False
) -> Iterator[tuple[date, LandedFiles | RefusedError]]:
    """Land the files of each date, and yield the result of the date or its refusal: a refused date leaves the others alone."""
    _find_source(lake, source)
    for day, paths in files.items():
        try:
            lake.pipeline.calendar.check_run(day, datetime.now(UTC))
            yield day, land_drop(lake, source, day, paths, replace=replace)
        except RefusedError as error:
            yield day, error


def land_drop(lake: Lake, source: str, day: date, paths: Sequence[Path], *, replace: bool = False) -> LandedFiles:
    """
    Land files as the drop of `source` and `day`. Files that `collect` would refuse are refused before anything is written.

    The manifest is written last, and deleted first when a drop is replaced: half a drop never looks complete.
    """
    spec = _find_source(lake, source)
    files = _list_files(spec, day, paths)
    folder = spec.drop_uri(day)
    landed = LandedFiles("done", lake.pipeline.name, source, day.isoformat(), folder, sum(file.rows for file in files), files)
    manifest: Json = {"format": 1, "source": source, "date": landed.date, "files": [asdict(file) for file in files]}
    body = canonical_json(manifest)
    if len(body) > MAX_BYTES:
        raise RefusedError(
            f"Nothing was landed: {len(files)} files need a manifest of {len(body):,} bytes, at most {MAX_BYTES:,} are read",
            remedy="Join the files of a date.",
        )
    names = {file.name for file in files}
    manifest_landed, present = _read_landed_manifest(lake, source, day), set(list_data(lake.objects, folder))
    if present == names and manifest_landed and _lists_exactly(manifest_landed, source, day, files):
        return dataclasses.replace(landed, outcome="unchanged")
    # Files with the same names and no manifest were left by an interrupted landing.
    other = {*present, FILE} if manifest_landed else present - names
    if other and not replace:
        raise RefusedError(
            f"{folder} already holds other files: {', '.join(sorted(other)[:5])}",
            remedy="Use --replace to delete them and land yours.",
        )
    bucket, prefix = split_uri(folder)
    for name in sorted(other, key=lambda name: name != FILE):
        lake.objects.client.delete_object(Bucket=bucket, Key=prefix + name)
    for path in paths:
        lake.objects.client.upload_file(str(path), bucket, prefix + path.name)
    if not lake.objects.create(folder + FILE, body):
        raise RefusedError(f"{folder}: another drop landed at the same time", remedy="Check it before you land yours again.")
    return landed


def _find_source(lake: Lake, source: str) -> Source:
    known = lake.pipeline.sources
    if source not in known:
        there_are = did_you_mean(source, known).strip() or f"Its sources are {', '.join(known)}."
        raise RefusedError(f"Pipeline {lake.pipeline.name!r} has no source {source!r}", remedy=there_are)
    return known[source]


def _read_landed_manifest(lake: Lake, source: str, day: date) -> bytes | None:
    """Return the manifest's bytes, None if there is none, or a text without meaning if the store does not hand it out."""
    try:
        return manifest_bytes(lake, source, day)
    except DropUnreadableError:
        return b"unreadable"


def _list_files(spec: Source, day: date, paths: Iterable[Path]) -> list[ListedFile]:
    """Return the manifest entries of the files, or raise RefusedError with all problems of the files."""
    files: list[ListedFile] = []
    problems: list[str] = []
    headers: dict[str, tuple[str, ...]] = {}
    left = spec.max_bytes  # for all files of the drop together
    for path in paths:
        if reason := no_file(path):
            problems.append(f"{path}: {reason}" if os.path.lexists(path) else f"{path}: no such file")
            continue
        content = read_content(_chunks(path), compressed=path.suffix == ".gz", max_bytes=left, dialect=spec.csv)
        left = max(left - content.text_bytes, 0)
        if not is_file_name(path.name):
            problems.append(f"{path}: a file name may hold letters, digits, '.', '_' and '-', and must end in .csv or .csv.gz")
        if any(path.name == file.name or content.sha256 == file.sha256 for file in files):
            problems.append(f"{path}: another file has the same name or the same content")
        problems.extend(f"{path}: {problem}" for problem in content.problems or check_header(content.columns, spec, day))
        headers[str(path)] = content.columns
        files.append(ListedFile(path.name, content.size, content.sha256, content.rows))
    if not problems:
        problems = differing_headers(headers)
    if not problems:
        problems = contract_problems(next(iter(headers.values()), ()), sum(file.rows for file in files), spec, day)
    if problems:
        raise RefusedError("Nothing was landed", problems, "See the contract of the source in pipeline.yaml.")
    return files


def _lists_exactly(manifest: bytes, source: str, day: date, files: Sequence[ListedFile]) -> bool:
    """Return whether a manifest, from Perennial or from another writer, lists exactly these files."""
    known, _ = check_manifest(manifest, source, day)
    return known is not None and set(known.files) == set(files)


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise BrokenError(f"cannot be read ({error.strerror})") from error
