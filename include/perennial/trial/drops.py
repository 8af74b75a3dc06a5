"""Landed drops for a trial: checked as collect checks them, copied to a folder of this machine, and recorded nowhere."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from perennial.collect.accept import check_files, check_reference, columns_of, make_refusal, read_manifest
from perennial.collect.content import Content
from perennial.collect.landing import list_data, stream
from perennial.collect.manifest import suffix
from perennial.collect.register import Drop, DropFile
from perennial.lake.lake import Lake
from perennial.store.objects import Listed


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of landed files in a folder of this machine."""

    lake: Lake
    folder: Path
    _copied: dict[str, Path] = field(default_factory=dict)

    def read(self, file: Listed) -> Iterator[bytes]:
        """Yield the bytes of a landed file and copy them. The jobs know a file by its name, so each copy has its own."""
        path = self._copied[file.uri] = self.folder / f"{uuid.uuid4().hex}{suffix(file.uri)}"
        with path.open("wb") as copy:
            for chunk in stream(self.lake.objects, file):
                copy.write(chunk)
                yield chunk

    def file(self, landed: Listed, content: Content) -> DropFile:
        """Return a checked file with the address of its copy."""
        path, size = self._copied[landed.uri], content.size - content.padding
        os.truncate(path, size)  # Spark cannot read the padding behind a gzip file
        name = landed.uri.rpartition("/")[2]
        uri, unclear = path.as_uri(), tuple(content.unclear)
        return DropFile(name, content.sha256, size, content.rows, uri, content.line_end, unclear, content.by_lines)


def read_drop(copies: Copies, source: str, day: date, landed: Listed) -> Drop:
    """
    Return a landed drop that no run has accepted, with the addresses of its copies.

    :raises DropRefusedError: with all problems for which collect would refuse it
    """
    lake = copies.lake
    spec = lake.pipeline.sources[source]
    manifest, problems = read_manifest(lake, source, day, landed)
    if manifest is None:
        raise make_refusal(lake, f"{source} {day}", problems)
    folder = list_data(lake.objects, spec.drop_uri(day))
    contents, problems = check_files(manifest, folder, spec, copies.read, [])
    if problems:
        raise make_refusal(lake, f"{source} {day}", problems)
    files = tuple(copies.file(folder[name], content) for name, content in contents.items())
    rows = sum(file.rows for file in files)
    return Drop(source, day, manifest.digest, files, rows, columns_of(contents), spec.csv.division)


def read_reference(copies: Copies, name: str, landed: Listed) -> Drop:
    """Return a landed reference that no run has accepted; raise DropRefusedError with all its problems."""
    spec = copies.lake.pipeline.references[name]
    content, problems = check_reference(spec, landed, copies.read)
    if problems:
        raise make_refusal(copies.lake, name, problems)
    file = copies.file(landed, content)
    return Drop(name, None, file.sha256, (file,), file.rows, content.columns, spec.csv.division)
