"""Objects in S3: reads, and the conditional writes on which every commit outside a table rests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from perennial.errors import OutcomeUnknownError, PerennialError
from perennial.store.json_value import JsonValue

_MISSING = {"NoSuchKey", "404", "NotFound", "NoSuchBucket"}
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of an object and the ETag that names exactly these bytes."""

    body: bytes
    etag: str

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing or a head request describes it, its content unread; `at` is when it was written."""

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


def canonical_json(value: JsonValue) -> bytes:
    """Return the one encoding of a JSON value that digests are taken over: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(value).encode()


def sha256(body: bytes) -> str:
    """Return the SHA-256 of bytes in hex."""
    return hashlib.sha256(body).hexdigest()


class Objects:
    """Access to objects by s3:// address; credentials and endpoint come from boto3's own configuration chain."""

    @cached_property
    def client(self) -> Any:
        """Return the boto3 client, made at the first use."""
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5, read_timeout=60, max_pool_connections=16
        )
        session = boto3.session.Session(botocore_session=_session(boto3.DEFAULT_SESSION))
        return session.client("s3", config=config)

    def at_one_moment(self) -> Objects:
        """Return the same store, each object and listing as it is when it is asked for first."""
        return Remembered(self)

    def read(self, uri: str) -> Stored | None:
        """Return an object, or None when there is none."""
        bucket, key = split_uri(uri)
        try:
            answer = self.client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return Stored(answer["Body"].read(), answer["ETag"])

    def read_existing(self, uri: str) -> Stored:
        """Return an object that must be there, or raise PerennialError."""
        stored = self.read(uri)
        if stored is None:
            raise PerennialError(f"{uri}: no such object. It was deleted, or another store is configured.")
        return stored

    def exists(self, uri: str) -> bool:
        """Tell whether there is an object."""
        return self.head(uri) is not None

    def head(self, uri: str) -> Listed | None:
        """Return what is known of an object without reading it, or None when there is none."""
        bucket, key = split_uri(uri)
        try:
            answer = self.client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return Listed(uri, answer["ContentLength"], answer["ETag"], answer["LastModified"])

    def create(self, uri: str, body: bytes) -> bool:
        """Create an object once (If-None-Match: *); return False when there is one already, whoever wrote it."""
        return self._put_if(uri, body, {"IfNoneMatch": "*"}) is not None

    def replace(self, uri: str, body: bytes, etag: str | None) -> str | None:
        """
        Move a pointer: write `body` only if the object still has `etag` (None: only if there is none).

        Returns the new ETag, or None when somebody else was first.
        """
        return self._put_if(uri, body, {"IfMatch": etag} if etag is not None else {"IfNoneMatch": "*"})

    def delete(self, uri: str) -> None:
        """Delete an object that is nobody's result; one that is gone is fine."""
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
        Write on a condition: the new ETag, or None when the condition failed.

        A commit has a third outcome: a time-out after which the write may or may not have happened. Then the object is read
        back: our bytes there means done. boto3's own retry of a put that had landed looks like a lost race, and is settled the
        same way.
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
            found = self.read(uri)
        except (ClientError, BotoCoreError) as error:
            raise OutcomeUnknownError(f"{uri}: the write was not confirmed ({cause}) and could not be read back") from error
        if found is not None and found.body == body:
            return found.etag
        if isinstance(cause, ClientError) and _code(cause) in _LOST:
            return None
        raise OutcomeUnknownError(
            f"{uri}: the write was not confirmed ({cause}); another value stands there. Run it again."
        ) from cause


class Remembered(Objects):
    """
    The same store as it is when it is asked for first: each object is read, and each prefix listed, once.

    For many questions that belong together. What is written through it is asked for anew.
    """

    def __init__(self, objects: Objects) -> None:
        self.client = objects.client
        self._read: dict[str, Stored | None] = {}
        self._listed: dict[str, Sequence[Listed]] = {}

    def at_one_moment(self) -> Objects:
        return self

    def read(self, uri: str) -> Stored | None:
        if uri not in self._read:
            self._read[uri] = super().read(uri)
        return self._read[uri]

    def listing(self, prefix_uri: str) -> Sequence[Listed]:
        if prefix_uri not in self._listed:
            self._listed[prefix_uri] = super().listing(prefix_uri)
        return self._listed[prefix_uri]

    def delete(self, uri: str) -> None:
        self._forget(uri)
        super().delete(uri)

    def _put_if(self, uri: str, body: bytes, condition: dict[str, str]) -> str | None:
        self._forget(uri)
        return super()._put_if(uri, body, condition)

    def _forget(self, uri: str) -> None:
        self._read.pop(uri, None)
        self._listed = {prefix: found for prefix, found in self._listed.items() if not uri.startswith(prefix)}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _session(default: Any) -> Any:
    """
    Return a session that finds keys and settings as they are now, and what AWS says of its services as this process has read it.

    Reading that takes 60 ms of CPU time, a fifth of a task with nothing to do; the scheduler has read it for its tasks.

    :param default: boto3's default session; None: there is none
    """
    import botocore.session

    session = botocore.session.get_session()
    if default is not None:
        session.register_component("data_loader", default._session.get_component("data_loader"))
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session


def _moment(text: Any) -> datetime:
    """Return the time that S3 says. Listings hold hundreds, in ISO 8601, which botocore's own parser takes a quarter of a millisecond for."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        from botocore.utils import parse_timestamp

        found: datetime = parse_timestamp(text)
        return found
