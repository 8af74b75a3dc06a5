"""Reads of the landing zone. Nothing here writes to it: the landing zone belongs to upstream."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from perennial.errors import DropChangedError, DropUnreadableError, PerennialError
from perennial.store.denied import DENIED, DeniedError
from perennial.store.objects import Listed, Objects, split_uri

_CHUNK = 1 << 20
_MISSING = {"NoSuchKey", "404", "NotFound", "NoSuchBucket"}
_EXISTS_OR_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_TRANSIENT = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "KMS.ThrottlingException"}
"""Codes with status 400 or 403 that say nothing about the object."""


def list_folder(objects: Objects, folder: str) -> dict[str, Listed]:
    """Return the objects of a folder by their names relative to it, without the marker of the folder itself."""
    return {name: item for item in objects.listing(folder) if (name := item.uri[len(folder) :])}


def list_data(objects: Objects, folder: str) -> dict[str, Listed]:
    """
    Return the objects of a folder that may be data.

    A name without data is that of a file or of its folder.
    """
    return {name: item for name, item in list_folder(objects, folder).items() if all(map(may_be_data, name.split("/")))}


def may_be_data(name: str) -> bool:
    """Return whether a name may be of data: those of other systems' notes (`_SUCCESS`, `.a.csv.crc`) and manifests are not."""
    return not name.startswith(("_", "."))


def head(objects: Objects, uri: str) -> Listed | None:
    """Return the description of an object without reading it, or None if it does not exist."""
    with _refusing_unreadable(objects, uri):
        return objects.head(uri)


def read_small(objects: Objects, uri: str, max_bytes: int) -> bytes | None:
    """Return at most `max_bytes` + 1 bytes of an object, or None if it does not exist."""
    bucket, key = split_uri(uri)
    try:
        with _refusing_unreadable(objects, uri):
            body = objects.client.get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        if _code(error) in _MISSING:
            return None
        raise
    with body:
        return bytes(body.read(max_bytes + 1))


def read_listed(objects: Objects, file: Listed, max_bytes: int) -> bytes:
    """Return at most `max_bytes` + 1 bytes of exactly the version that was listed."""
    body = bytearray()
    for chunk in stream(objects, file):
        body += chunk
        if len(body) > max_bytes:
            break
    return bytes(body[: max_bytes + 1])


def stream(objects: Objects, file: Listed) -> Iterator[bytes]:
    """Yield the bytes of exactly the version that was listed."""
    bucket, key = split_uri(file.uri)
    try:
        with _refusing_unreadable(objects, file.uri):
            body = objects.client.get_object(Bucket=bucket, Key=key, IfMatch=file.etag)["Body"]
    except ClientError as error:
        if _code(error) in _MISSING | _EXISTS_OR_CHANGED:
            raise _make_changed_error(file) from error
        raise
    yield from _chunks(body, file.uri)


def _chunks(body: Any, uri: str) -> Iterator[bytes]:
    with body:
        try:
            yield from body.iter_chunks(_CHUNK)
        except BotoCoreError as error:
            raise PerennialError(
                f"{uri}: the object store broke the connection during the read ({error}). Run the date again."
            ) from error


def require_unchanged(objects: Objects, file: Listed) -> None:
    """Raise DropChangedError if the object differs from the listed one or was deleted."""
    if head(objects, file.uri) != file:
        raise _make_changed_error(file)


def pin(objects: Objects, file: Listed, to: str, digest: str) -> None:
    """
    Copy exactly the version that was listed, once, within the store, and check the copy; an existing object is only checked.

    The ETag is an MD5, and one can make two files with the same MD5.
    So the copy must have the digest of the bytes that were read.

    :param to: an address that is named by the digest
    :raises DropChangedError: if the file was replaced meanwhile, also by one with the same ETag
    """
    source_bucket, source_key = split_uri(file.uri)
    bucket, key = split_uri(to)
    try:
        objects.client.copy_object(
            Bucket=bucket,
            Key=key,
            CopySource={"Bucket": source_bucket, "Key": source_key},
            CopySourceIfMatch=file.etag,
            IfNoneMatch="*",
        )
    except (ClientError, DeniedError) as error:
        if _code(error) not in _MISSING | _EXISTS_OR_CHANGED:
            next(stream(objects, file), None)  # raises if the fault is the object's and not the lake's
            raise
        if not objects.exists(to):
            raise _make_changed_error(file) from error
    copied = hashlib.sha256()
    try:
        body = objects.client.get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        if _code(error) in _MISSING:  # another run has found a wrong copy and deleted it
            raise _make_changed_error(file) from error
        raise
    for chunk in _chunks(body, to):
        copied.update(chunk)
    if copied.hexdigest() != digest:
        objects.client.delete_object(Bucket=bucket, Key=key)
        raise _make_changed_error(file)


def pin_beginning(objects: Objects, file: Listed, size: int, name: Callable[[str], str]) -> str:
    """
    Store the first bytes of exactly the version that was listed, and return their SHA-256.

    :param name: returns their address by their digest, so that writing them again changes nothing
    """
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as copy:
        for chunk in stream(objects, file):
            part = chunk[: size - copy.tell()]
            digest.update(part)
            copy.write(part)
        copy.seek(0)
        bucket, key = split_uri(name(digest.hexdigest()))
        objects.client.upload_fileobj(copy, bucket, key)
    return digest.hexdigest()


@contextmanager
def _refusing_unreadable(objects: Objects, uri: str) -> Iterator[None]:
    """
    Raise DropUnreadableError if the store refuses to hand out one object.

    A key that may not read the bucket at all, or is wrong, may not list it either: that error remains what it is.
    """
    try:
        yield
    except (ClientError, DeniedError) as error:
        status = DENIED if isinstance(error, DeniedError) else error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status not in (400, 403) or _code(error) in _TRANSIENT:
            raise
        bucket, key = split_uri(uri)
        objects.client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        raise DropUnreadableError(
            uri,
            [
                f"the object store lists it but does not hand it out, error {_code(error)} (status {status}): "
                "is it encrypted with another key, archived, or closed by an ACL?"
            ],
            "Upstream must store it so that the keys of PERENNIAL_STORE_CREDENTIALS can read it.",
        ) from error


def _make_changed_error(file: Listed) -> PerennialError:
    return DropChangedError(
        f"{file.uri} was replaced or deleted while it was read. Run the date again when upstream has finished."
    )


def _code(error: ClientError | DeniedError) -> str:
    if isinstance(error, DeniedError):
        return error.code
    return str(error.response.get("Error", {}).get("Code", ""))
