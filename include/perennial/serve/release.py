"""Loading a release: fetch it, verify every file against its manifest, open it, and check its golden requests."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from perennial.config.pipeline import Inputs
from perennial.config.pipeline import Lookup as LookupSpec
from perennial.errors import RefusedError
from perennial.lake.golden import GoldenAnswers, read_golden_answers
from perennial.lake.layout import Layout
from perennial.lake.manifests import ReleaseManifest, StoredFile
from perennial.serve.limits import Limits
from perennial.serve.lookup_file import map_file
from perennial.serve.lookups import Lookup, read_large_lookup, read_lookup
from perennial.serve.model import Model
from perennial.serve.refusal import Refusal
from perennial.signing.objects import check_signature
from perennial.signing.subject import Kind
from perennial.store.content_name import sha256
from perennial.store.objects import MAX_FILE_BYTES, Objects
from perennial.store.scratch import scratch_file

RELEASE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,79}")
_MAX_MANIFEST_BYTES = 16 * 2**20
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""Errors of a file that is not of its kind: missing members, other types, numbers beyond a float, lists nested too deeply."""


@dataclass(frozen=True)
class Release:
    """An immutable release that is ready to answer."""

    id: str
    version: str
    as_of: str
    model: Model

    @cached_property
    def facts(self) -> str:
        """Return the facts about the release that every answer contains, as the members of a JSON object."""
        return json.dumps({"model_version": self.version, "release": self.id, "as_of": self.as_of})[1:-1]


def load_release(objects: Objects, layout: Layout, release: str, limits: Limits) -> Release:
    """
    Fetch and open a release. Raise RefusedError if its signature is not valid, or any part of it differs from its manifest.

    The manifest is read only after its signature is verified, and a file is opened only after its size and SHA-256 are
    verified. The release is returned only after it has answered its golden requests correctly.
    """
    if not RELEASE_ID.fullmatch(release):
        raise RefusedError(f"{release[:80]!r} is not a valid release name")
    manifest = _manifest(objects, layout, release)
    try:
        inputs = Inputs.model_validate(manifest["inputs"])
    except ValidationError as error:
        problems = [f"inputs: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
        raise RefusedError(f"Release {release!r}", problems) from None
    try:
        files = manifest["files"]
        lookups = {
            name: _open_lookup(objects, layout, release, files, name, spec, inputs) for name, spec in inputs.lookups.items()
        }
        model = Model(_blob(objects, layout, release, files, "model.onnx"), inputs, lookups, limits)
        golden = read_golden_answers(json.loads(_blob(objects, layout, release, files, "golden.json")))
        _ask_golden(release, model, golden, limits)
        return Release(release, str(manifest["version"]), str(manifest["as_of"]), model)
    except _MALFORMED as error:
        raise RefusedError(f"Release {release!r}: one of its files is malformed ({type(error).__name__}: {error})") from error


def _manifest(objects: Objects, layout: Layout, release: str) -> ReleaseManifest:
    stored = objects.read(layout.release(release), _MAX_MANIFEST_BYTES)
    if stored is None:
        raise RefusedError(f"There is no release {release!r} of {layout.pipeline!r} in space {layout.space!r}")
    check_signature(objects, layout, Kind.RELEASE, layout.release(release), stored.body)
    try:
        document = stored.json()
    except (ValueError, RecursionError):
        raise RefusedError(f"Release {release!r}: its manifest is not JSON") from None
    is_object = isinstance(document, dict)
    if not is_object or document.get("format") not in (1, 2):
        raise RefusedError(
            f"Release {release!r}: its manifest is not of format 1 or 2", remedy="Serve it with the version that wrote it."
        )
    expected = {"release": release, "pipeline": layout.pipeline, "space": layout.space}
    problems = [
        f"{name} is {document.get(name)!r}, expected {value!r}" for name, value in expected.items() if document.get(name) != value
    ]
    problems += [f"{name} is missing" for name in ("version", "as_of", "inputs", "files") if name not in document]
    if problems:
        raise RefusedError(f"Release {release!r}: its manifest", problems)
    manifest: ReleaseManifest = document
    return manifest


def _open_lookup(
    objects: Objects,
    layout: Layout,
    release: str,
    files: Mapping[str, StoredFile],
    name: str,
    spec: LookupSpec,
    inputs: Inputs,
) -> Lookup:
    if (large := f"lookups/{name}.table") in files:
        return read_large_lookup(name, _mapped(objects, layout, release, files, large), spec, inputs)
    return read_lookup(name, json.loads(_blob(objects, layout, release, files, f"lookups/{name}.json")), spec, inputs)


def _mapped(objects: Objects, layout: Layout, release: str, files: Mapping[str, StoredFile], name: str) -> mmap.mmap:
    """Return one file of the release, verified, in a file that only this process can open: nothing can change it afterwards."""
    digest, size = _expected(release, files, name)
    if not 0 < size <= MAX_FILE_BYTES:  # without trusted keys, anyone who can write to the lake can write a size
        raise RefusedError(f"Release {release!r}: {name} has {size} bytes in the manifest, expected 1 to {MAX_FILE_BYTES}")
    with scratch_file(size) as file:
        found = objects.download(layout.blob(digest), file, size)
        _check(release, name, (file.tell(), found), (size, digest))
        file.flush()
        return map_file(file)


def _blob(objects: Objects, layout: Layout, release: str, files: Mapping[str, StoredFile], name: str) -> bytes:
    """Return the verified bytes of one file of the release. Its address is its digest, so nothing else is fetched."""
    digest, size = _expected(release, files, name)
    body = objects.read_existing(layout.blob(digest), size).body
    _check(release, name, (len(body), sha256(body)), (size, digest))
    return body


def _expected(release: str, files: Mapping[str, StoredFile], name: str) -> tuple[str, int]:
    """Return the digest and the size of a file."""
    if name not in files:
        raise RefusedError(f"Release {release!r}: {name} is not among its files")
    digest, size = str(files[name]["sha256"]), int(files[name]["size"])
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise RefusedError(f"Release {release!r}: {name} has no SHA-256 in the manifest")
    return digest, size


def _check(release: str, name: str, found: tuple[int, str], expected: tuple[int, str]) -> None:
    if found != expected:
        raise RefusedError(
            f"Release {release!r}: {name} is {found[0]} bytes with SHA-256 {found[1][:12]}…, "
            f"expected {expected[0]} and {expected[1][:12]}…",
            remedy="The stored file was changed or truncated. Deploy the date again.",
        )


def _ask_golden(release: str, model: Model, golden: GoldenAnswers, limits: Limits) -> None:
    problems, records, expected = [], list(golden.records), golden.answers
    for first in range(0, len(records), limits.records):
        try:
            answers = model.answer(records[first : first + limits.records]).predictions
        except Refusal as refusal:
            raise RefusedError(
                f"Release {release!r} refuses its own golden records", refusal.problems or [refusal.text]
            ) from None
        except Exception as error:  # ONNX Runtime's errors have no class in common
            reason = f"{type(error).__name__}: {str(error)[:500]}"
            raise RefusedError(f"Release {release!r} fails on its own golden records", [reason]) from error
        for index, (answer, wanted) in enumerate(zip(answers, expected[first:], strict=False), start=first):
            if not golden.is_close(index, answer):
                problems.append(f"golden record {index}: {answer}, expected {wanted}")
    if len(records) != len(expected) or not records:
        problems.append(f"golden.json has {len(records)} records and {len(expected)} answers")
    if problems:
        raise RefusedError(f"Release {release!r} does not give its golden answers", problems)
