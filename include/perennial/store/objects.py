"""Objects in S3: reads, and the conditional writes on which every commit outside a table depends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from perennial.errors import OutcomeUnknownError, PerennialError, RefusedError
from perennial.store.denied import raise_if_denied

_MISSING = {"NoSuchKey", "404", "NotFound", "NoSuchBucket"}
_PART_BYTES = 2**20
MAX_FILE_BYTES = 5 * 2**30
"""The most that S3 takes in one write."""

_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of an object and the ETag that identifies exactly these bytes."""

    body: bytes
    etag: str

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Listed:
    """The description of an object in a listing or a head request, without its content; `at` is the time of its last write."""

    uri: str
    size: int
    etag: str
    at: datetime = field(compare=False)


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// address."""
    if not uri.startswith("s3://") or "/" not in uri[5:]:
        raise ValueError(f"{uri!r} is not an s3:// address with a key")
    bucket, _, key = uri[5:].partition("/")
    return bucket, key


class Objects:
    """Access to objects by s3:// address; credentials and endpoint come from boto3's own configuration chain."""

    @cached_property
    def client(self) -> Any:
        """Return the boto3 client, which the first use creates."""
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5, read_timeout=60, max_pool_connections=16
        )
        session = boto3.session.Session(botocore_session=_session(boto3.DEFAULT_SESSION))
        client = session.client("s3", config=config)
        client.meta.events.register("after-call.s3", raise_if_denied)
        return client

    def at_one_moment(self) -> Objects:
        """Return the same store, but read each object and each listing only once."""
        return Remembered(self)

    def read(self, uri: str, max_bytes: int | None = None) -> Stored | None:
        """Return an object, or None if it does not exist. Raise RefusedError, and read nothing, if it has more than max_bytes."""
        answer = self._get(uri, max_bytes)
        return None if answer is None else Stored(answer["Body"].read(), answer["ETag"])

    def read_parts(self, uri: str, max_bytes: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of an existing object in parts, and refuse it like `read`: memory holds one part."""
        answer = self._get(uri, max_bytes)
        if answer is None:
            raise _missing(uri)
        with closing(answer["Body"]) as body:
            yield from body.iter_chunks(_PART_BYTES)

    def _get(self, uri: str, max_bytes: int | None) -> Any:
        bucket, key = split_uri(uri)
        try:
            answer = self.client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        if max_bytes is not None and answer["ContentLength"] > max_bytes:
            answer["Body"].close()
            raise RefusedError(
                f"{uri} has {answer['ContentLength']} bytes, expected at most {max_bytes}. Another writer replaced it."
            )
        return answer

    def read_existing(self, uri: str, max_bytes: int | None = None) -> Stored:
        """Return an object, or raise PerennialError if it does not exist."""
        stored = self.read(uri, max_bytes)
        if stored is None:
            raise _missing(uri)
        return stored

    def download(self, uri: str, file: BinaryIO, max_bytes: int | None = None) -> str:
        """
        Write an existing object to a file, with one part of it in memory, and return the SHA-256 of its bytes.

        Refuse it like `read`.
        """
        digest = hashlib.sha256()
        for part in self.read_parts(uri, max_bytes):
            digest.update(part)
            file.write(part)
        return digest.hexdigest()

    def exists(self, uri: str) -> bool:
        """Return whether an object exists."""
        return self.head(uri) is not None

    def head(self, uri: str) -> Listed | None:
        """Return the description of an object without reading it, or None if it does not exist."""
        bucket, key = split_uri(uri)
        try:
            answer = self.client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return Listed(uri, answer["ContentLength"], answer["ETag"], answer["LastModified"])

    def create(self, uri: str, body: bytes) -> bool:
        """Create an object (If-None-Match: *); return False if it exists already with other bytes."""
        return self._put_if(uri, body, {"IfNoneMatch": "*"}) is not None

    def create_file(self, uri: str, file: BinaryIO, size: int) -> None:
        """Create an object from a file; an object of this size stays. Its address must name its content."""
        if size > MAX_FILE_BYTES:
            raise RefusedError(f"{uri}: the file has {size} bytes, expected at most {MAX_FILE_BYTES}")
        stored = self.head(uri)
        if stored is not None and stored.size == size:
            return
        bucket, key = split_uri(uri)
        file.seek(0)
        self.client.put_object(Bucket=bucket, Key=key, Body=file)

    def replace(self, uri: str, body: bytes, etag: str | None) -> str | None:
        """
        Replace an object only if it still has `etag` (None: only if it does not exist).

        Returns the new ETag, or None if another writer was first.
        """
        return self._put_if(uri, body, {"IfMatch": etag} if etag is not None else {"IfNoneMatch": "*"})

    def delete(self, uri: str) -> None:
        """Delete an object that is not a result; an object that no longer exists is not an error."""
        bucket, key = split_uri(uri)
        self.client.delete_object(Bucket=bucket, Key=key)

    def listing(self, prefix_uri: str) -> Sequence[Listed]:
        """Return all objects under a prefix, in order of key."""
        bucket, prefix = split_uri(prefix_uri)
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        items = (item for page in pages for item in page.get("Contents", []))
        return [Listed(f"s3://{bucket}/{item['Key']}", item["Size"], item["ETag"], item["LastModified"]) for item in items]

    def list(self, prefix_uri: str) -> Iterator[str]:
        """Yield the addresses of all objects under a prefix, in order of key."""
        return (item.uri for item in self.listing(prefix_uri))

    def _put_if(self, uri: str, body: bytes, condition: dict[str, str]) -> str | None:
        """
        Write on a condition; return the new ETag, or None if the condition failed.

        A write has a third outcome: a time-out, after which it may or may not have happened. Then the object is read back:
        if it has our bytes, the write succeeded. If boto3 retries a put that had succeeded, the retry looks like a lost race;
        it is resolved in the same way.
        """
        bucket, key = split_uri(uri)
        try:
            return str(self.client.put_object(Bucket=bucket, Key=key, Body=body, **condition)["ETag"])
        except ClientError as error:
            if _code(error) not in _LOST and _status(error) < 500:
                raise
            cause: Exception = error
        except BotoCoreError as error:
            cause = error
        try:
            stored = self.read(uri)
        except (ClientError, BotoCoreError) as error:
            raise OutcomeUnknownError(f"{uri}: the write was not confirmed ({cause}) and could not be read back") from error
        if stored is not None and stored.body == body:
            return stored.etag
        if isinstance(cause, ClientError) and _code(cause) in _LOST:
            return None
        raise OutcomeUnknownError(
            f"{uri}: the write was not confirmed ({cause}), and the object does not have the new value",
            remedy=f"Run it again. {explain_failure(cause)}".strip(),
        ) from cause


class Remembered(Objects):
    """
    The same store with a cache: each object is read, and each prefix listed, only once.

    It serves a group of related queries. An object that is written through it is read again.
    """

    def __init__(self, objects: Objects) -> None:
        self.client = objects.client
        self._read: dict[str, Stored | None] = {}
        self._listed: dict[str, Sequence[Listed]] = {}

    def at_one_moment(self) -> Objects:
        return self

    def read(self, uri: str, max_bytes: int | None = None) -> Stored | None:
        if uri not in self._read:
            self._read[uri] = super().read(uri, max_bytes)
        return self._read[uri]

    def listing(self, prefix_uri: str) -> Sequence[Listed]:
        if prefix_uri not in self._listed:
            self._listed[prefix_uri] = super().listing(prefix_uri)
        return self._listed[prefix_uri]

    def create_file(self, uri: str, file: BinaryIO, size: int) -> None:
        self._forget(uri)
        super().create_file(uri, file, size)

    def delete(self, uri: str) -> None:
        self._forget(uri)
        super().delete(uri)

    def _put_if(self, uri: str, body: bytes, condition: dict[str, str]) -> str | None:
        self._forget(uri)
        return super()._put_if(uri, body, condition)

    def _forget(self, uri: str) -> None:
        self._read.pop(uri, None)
        self._listed = {prefix: items for prefix, items in self._listed.items() if not uri.startswith(prefix)}


def explain_failure(error: Exception) -> str:
    """Return the usual cause of an error of the store's own (status 500 and above), and where to look; else an empty text."""
    if not isinstance(error, ClientError) or _status(error) < 500:
        return ""
    return "If it fails again, the disk of the object store may be full: `make doctor` shows the free space of the embedded one."


def _missing(uri: str) -> PerennialError:
    return PerennialError(f"{uri}: no such object. It was deleted, or another store is configured.")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _session(default: Any) -> Any:
    """
    Return a session that reads credentials and settings now, but reuses the AWS service descriptions of the default session.

    Reading these descriptions takes 60 ms of CPU time, a fifth of a task with nothing to do.
    The scheduler has read them already for its tasks.

    :param default: boto3's default session, or None
    """
    import botocore.session

    session = botocore.session.get_session()
    if default is not None:
        session.register_component("data_loader", default._session.get_component("data_loader"))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_time)
    return session


def _parse_time(text: Any) -> datetime:
    """Parse an S3 timestamp (ISO 8601). botocore's parser takes 0.25 ms each, and listings hold hundreds."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        from botocore.utils import parse_timestamp

        parsed: datetime = parse_timestamp(text)
        return parsed
