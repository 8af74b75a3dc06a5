"""Check what landed and pin its bytes: the only way from the landing zone into the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date

from perennial.collect.content import Content, read_content
from perennial.collect.drops import check_header, check_manifest, contract_problems
from perennial.collect.header import differing_headers
from perennial.collect.landing import list_data, pin, pin_beginning, read_listed, require_unchanged, stream
from perennial.collect.manifest import FILE, MAX_BYTES, ListedFile, Manifest, suffix
from perennial.collect.register import Drop, DropFile
from perennial.config.pipeline import Reference
from perennial.config.values import is_file_name
from perennial.errors import DropRefusedError, DropUnreadableError
from perennial.fingerprints.code import code_digest
from perennial.fingerprints.fingerprint import make_fingerprint
from perennial.lake.lake import Lake
from perennial.store.content_name import canonical_json
from perennial.store.json_value import JsonValue
from perennial.store.objects import Listed

MAX_PROBLEMS = 100
"""Problems of a folder that are stored: it may hold thousands of extra files, and each state of it has a record."""

_UNREADABLE = "unreadable"
"""The key of a stored refusal whose cause can end without a change of the drop: collect reads that drop again."""

Read = Callable[[Listed], Iterator[bytes]]
"""A function that yields the bytes of a landed file."""


def accept_drop(lake: Lake, source: str, day: date, landed: Listed) -> Drop:
    """
    Check and pin the drop whose manifest was listed.

    Reads and copies within the store both use the ETag of the listing, so the pinned bytes are the checked bytes.
    An object `raw/<sha256>` therefore exists only if its content was read and has that digest.
    Neither concurrent runs nor a file that upstream replaces meanwhile can corrupt it. A refused drop pins nothing.

    :raises DropRefusedError: with all problems of the drop
    """
    spec = lake.pipeline.sources[source]
    manifest, problems = read_manifest(lake, source, day, landed)
    if manifest is None:
        raise make_refusal(lake, f"{source} {day}", problems)
    folder = list_data(lake.objects, spec.drop_uri(day))
    uri = lake.layout.refused_drop(source, day, _name_state(manifest, folder, spec))
    refused = lake.objects.read(uri)
    if refused is not None and not refused.json().get(_UNREADABLE):
        raise make_refusal(lake, f"{source} {day}", refused.json()["refused"])
    unreadable: list[DropUnreadableError] = []
    contents, problems = check_files(manifest, folder, spec, lambda file: stream(lake.objects, file), unreadable)
    if problems:
        # A re-upload deletes the manifest first. If the drop changed while we read it, report a race, not a broken drop.
        require_unchanged(lake.objects, landed)
        # Later runs do not read an unchanged refused drop again: any change of it gives the record another name.
        # But an object can become readable without a change, so the record of an unreadable one only says that no date waits.
        record: dict[str, JsonValue] = {"format": 1, "refused": list(problems), **({_UNREADABLE: True} if unreadable else {})}
        if (body := canonical_json(record)) != (refused.body if refused is not None else None):
            lake.objects.replace(uri, body, refused.etag if refused is not None else None)
        raise make_refusal(lake, f"{source} {day}", problems)
    files = tuple(_pin(lake, folder[file.name], contents[file.name]) for file in manifest.files)
    rows = sum(file.rows for file in files)
    return Drop(source, day, manifest.digest, files, rows, columns_of(contents), spec.csv.division)


def read_manifest(lake: Lake, source: str, day: date, landed: Listed) -> tuple[Manifest | None, list[str]]:
    """Return the manifest that was listed (None if it is invalid or cannot be read), and all its problems."""
    try:
        body = read_listed(lake.objects, landed, MAX_BYTES)
    except DropUnreadableError as error:
        return None, [f"{FILE}: {problem}" for problem in error.problems]
    return check_manifest(body, source, day)


def is_refused(lake: Lake, source: str, day: date, landed: Listed) -> bool:
    """Return whether collect has refused the drop in its present state. Of the drop, only the manifest is read."""
    uri, problems = _locate_refusal(lake, source, day, landed)
    return bool(problems) or lake.objects.exists(uri)


def refused_problems(lake: Lake, source: str, day: date, landed: Listed) -> list[str]:
    """Return why collect refused the drop in its present state. Empty if collect accepted it or has not checked it yet."""
    uri, problems = _locate_refusal(lake, source, day, landed)
    if problems:
        return problems
    refused = lake.objects.read(uri)
    return [] if refused is None else list(refused.json()["refused"])


def _locate_refusal(lake: Lake, source: str, day: date, landed: Listed) -> tuple[str, list[str]]:
    """Return the address at which a refusal of the drop is recorded, or the problems of its manifest."""
    spec = lake.pipeline.sources[source]
    manifest, problems = read_manifest(lake, source, day, landed)
    if manifest is None:
        return "", problems
    return lake.layout.refused_drop(source, day, _name_state(manifest, list_data(lake.objects, spec.drop_uri(day)), spec)), []


def accept_reference(lake: Lake, name: str, landed: Listed) -> Drop:
    """Check and pin the reference that was listed; raise DropRefusedError with all its problems."""
    content, problems = check_reference(lake.pipeline.references[name], landed, lambda file: stream(lake.objects, file))
    if problems:
        raise make_refusal(lake, name, problems)
    file = _pin(lake, landed, content)
    return Drop(name, None, file.sha256, (file,), file.rows, content.columns, lake.pipeline.references[name].csv.division)


def check_reference(spec: Reference, landed: Listed, read: Read) -> tuple[Content, list[str]]:
    """Return what a reference holds, and all its problems."""
    file_name = spec.uri.rpartition("/")[2]
    if not is_file_name(file_name):
        return Content(), [f"{spec.uri}: expected a file name ending in .csv or .csv.gz"]
    if landed.size == 0:
        return Content(), [f"{file_name} is empty (0 bytes)"]
    content = read_content(read(landed), compressed=suffix(file_name) == ".csv.gz", max_bytes=spec.max_bytes, dialect=spec.csv)
    problems = content.problems or contract_problems(content.columns, content.rows, spec, None)
    return content, [f"{file_name}: {problem}" for problem in problems]


def check_files(
    manifest: Manifest, folder: dict[str, Listed], spec: Reference, read: Read, unreadable: list[DropUnreadableError]
) -> tuple[dict[str, Content], list[str]]:
    """
    Return what the files of a drop hold, by name, and all problems of the drop: its folder, its files, its contract.

    :param unreadable: gets an error for each file that the store does not hand out; it is one of the problems, too
    """
    problems = _folder_problems(manifest, folder)
    contents, content_problems = _read_files(manifest, folder, spec, read, unreadable)
    problems += content_problems
    if not problems:
        problems = differing_headers({name: content.columns for name, content in contents.items()})
    if not problems:
        rows = sum(content.rows for content in contents.values())
        problems = contract_problems(columns_of(contents), rows, spec, manifest.day)
    return contents, problems


def _folder_problems(manifest: Manifest, folder: dict[str, Listed]) -> list[str]:
    """Compare the folder's listing with the manifest: missing, empty, truncated, too long, extra."""
    problems = []
    for file in manifest.files:
        landed = folder.get(file.name)
        if landed is None:
            problems.append(f"half uploaded: {file.name} is in {FILE} but not in the folder")
        elif landed.size == 0:
            problems.append(f"{file.name} is empty (0 bytes)")
        elif landed.size < file.size:
            problems.append(f"{file.name} is truncated: {landed.size} of {file.size} bytes")
        elif landed.size > file.size:
            problems.append(f"{file.name} has {landed.size} bytes, {FILE} says {file.size}")
    named = {file.name for file in manifest.files}
    problems.extend(f"extra file {name[:120]!r}: it is not in {FILE}" for name in folder if name not in named)
    if len(problems) > MAX_PROBLEMS:
        return [*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more problems of the folder"]
    return problems


def _read_files(
    manifest: Manifest, folder: dict[str, Listed], spec: Reference, read: Read, unreadable: list[DropUnreadableError]
) -> tuple[dict[str, Content], list[str]]:
    """Read every file that has the right size; `max_bytes` bounds the text of all files together."""
    contents: dict[str, Content] = {}
    problems: list[str] = []
    left = spec.max_bytes
    for file in manifest.files:
        landed = folder.get(file.name)
        if landed is None or landed.size != file.size or landed.size == 0:
            continue
        if landed.size > spec.max_bytes:
            problems.append(f"{file.name} has {landed.size} bytes, at most {spec.max_bytes} are allowed (max_bytes)")
            continue
        try:
            content = read_content(read(landed), compressed=suffix(file.name) == ".csv.gz", max_bytes=left, dialect=spec.csv)
        except DropUnreadableError as error:
            unreadable.append(error)
            problems.extend(f"{file.name}: {problem}" for problem in error.problems)
            continue
        left = max(left - content.text_bytes, 0)
        contents[file.name] = content
        problems.extend(f"{file.name}: {problem}" for problem in _content_problems(file, content, spec, manifest.day))
    return contents, problems


def _content_problems(file: ListedFile, content: Content, spec: Reference, day: date) -> list[str]:
    problems = []
    if content.sha256 != file.sha256:
        problems.append(f"sha256 is {content.sha256[:12]}…, {FILE} says {file.sha256[:12]}…")
    if content.problems:
        return problems + content.problems
    problems += check_header(content.columns, spec, day)
    if content.rows != file.rows:
        problems.append(f"{content.rows} rows, {FILE} says {file.rows}")
    return problems


def columns_of(contents: Mapping[str, Content]) -> tuple[str, ...]:
    """Return the header that all files of a drop share."""
    return next(iter(contents.values())).columns


def _pin(lake: Lake, landed: Listed, content: Content) -> DropFile:
    name = landed.uri.rpartition("/")[2]
    digest, size = content.sha256, content.size - content.padding
    if content.padding:  # Spark cannot read it
        digest = pin_beginning(lake.objects, landed, size, lambda digest: lake.layout.raw(digest, suffix(name)))
    else:
        pin(lake.objects, landed, lake.layout.raw(digest, suffix(name)), digest)
    uri = lake.layout.raw(digest, suffix(name))
    return DropFile(name, digest, size, content.rows, uri, content.line_end, tuple(content.unclear), content.by_lines)


def _name_state(manifest: Manifest, folder: dict[str, Listed], spec: Reference) -> str:
    """Return a name for everything that a refusal depends on: manifest, listing of the folder, contract, code of the checks."""
    files: list[JsonValue] = [[name, landed.size, landed.etag] for name, landed in sorted(folder.items())]
    key = make_fingerprint(
        "collect",
        of={"source": manifest.source, "date": manifest.day.isoformat()},
        code=code_digest("collect"),
        data={"manifest": manifest.digest, "files": files},
        configuration={
            "columns": list(spec.header),
            "may_lack": sorted(spec.may_lack(manifest.day)),
            "min_rows": spec.min_rows,
            "max_bytes": spec.max_bytes,
            **({"csv": spec.csv.division} if spec.csv.division else {}),
        },
    )
    return f"refused-{key}"


def make_refusal(lake: Lake, drop: str, problems: list[str]) -> DropRefusedError:
    """Return the error of a refused drop."""
    return DropRefusedError(
        f"Pipeline {lake.pipeline.name!r}, drop {drop} is refused",
        problems,
        "None of it is used. Upstream must land it again; the contract is in pipeline.yaml.",
    )
