"""Landed drops for a trial: checked as collect checks them, copied to a folder of this machine, and recorded nowhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from perennial.collect.accept import check_files, check_reference, columns_of, make_refusal
from perennial.collect.drops import check_manifest
from perennial.collect.landing import list_folder, read_listed, stream
from perennial.collect.manifest import MAX_BYTES, suffix
from perennial.collect.register import Drop, DropFile
from perennial.lake.lake import Lake
from perennial.store.objects import Listed


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of landed files in a folder, under the names of their digests, as the lake holds accepted ones."""

    lake: Lake
    folder: Path
    _copied: dict[str, Path] = field(default_factory=dict)

    def read(self, file: Listed) -> Iterator[bytes]:
        """Yield the bytes of a landed file and copy them."""
        path = self._copied[file.uri] = self.folder / uuid.uuid4().hex
        with path.open("wb") as copy:
            for chunk in stream(self.lake.objects, file):
                copy.write(chunk)
                yield chunk

    def locate(self, file: Listed, digest: str) -> str:
        """Return the address of the copy of a file."""
        path = self.folder / f"{digest}{suffix(file.uri)}"
        self._copied[file.uri].rename(path)
        return path.as_uri()


def read_drop(copies: Copies, source: str, day: date, landed: Listed) -> Drop:
    """
    Return a landed drop that no run has accepted, with the addresses of its copies.

    :raises DropRefusedError: with all problems for which collect would refuse it
    """
    lake = copies.lake
    spec = lake.pipeline.sources[source]
    manifest, problems = check_manifest(read_listed(lake.objects, landed, MAX_BYTES), source, day)
    if manifest is None:
        raise make_refusal(lake, f"{source} {day}", problems)
    folder = list_folder(lake.objects, spec.drop_uri(day))
    contents, problems = check_files(manifest, folder, spec, copies.read)
    if problems:
        raise make_refusal(lake, f"{source} {day}", problems)
    files = tuple(
        DropFile(name, content.sha256, content.size, content.rows, copies.locate(folder[name], content.sha256))
        for name, content in contents.items()
    )
    return Drop(source, day, manifest.digest, files, sum(file.rows for file in files), columns_of(contents))


def read_reference(copies: Copies, name: str, landed: Listed) -> Drop:
    """Return a landed reference that no run has accepted; raise DropRefusedError with all its problems."""
    content, problems = check_reference(copies.lake.pipeline.references[name], landed, copies.read)
    if problems:
        raise make_refusal(copies.lake, name, problems)
    uri = copies.locate(landed, content.sha256)
    file = DropFile(landed.uri.rpartition("/")[2], content.sha256, content.size, content.rows, uri)
    return Drop(name, None, file.sha256, (file,), file.rows, content.columns)
