"""Conditional writes on a real object store: one winner, and outcomes that are known."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from perennial.errors import OutcomeUnknownError, PerennialError, RefusedError
from perennial.store import objects
from perennial.store.content_name import canonical_json, sha256
from perennial.store.objects import Objects, Remembered, explain_failure, split_uri


def test_create_once(s3) -> None:
    uri = f"{s3.lake}/a"
    assert s3.objects.create(uri, b"one")
    assert not s3.objects.create(uri, b"two")
    assert s3.objects.read(uri).body == b"one"


def test_creating_the_same_bytes_again_is_done(s3) -> None:
    uri = f"{s3.lake}/a"
    assert s3.objects.create(uri, b"one")
    assert s3.objects.create(uri, b"one")


def test_replace_needs_the_etag_that_was_read(s3) -> None:
    uri = f"{s3.lake}/a"
    first = s3.objects.replace(uri, b"one", None)
    assert first is not None
    second = s3.objects.replace(uri, b"two", first)
    assert second is not None
    assert s3.objects.replace(uri, b"three", first) is None
    assert s3.objects.read(uri).body == b"two"


def test_eight_writers_lose_no_increment(s3) -> None:
    uri = f"{s3.lake}/counter"
    s3.objects.create(uri, b"0")

    def increment(_: int) -> None:
        while True:
            stored = s3.objects.read(uri)
            # Every writer writes other bytes, so that a lost race cannot look like our own write.
            count, writer = int(stored.body.split(b" ")[0]) + 1, _
            if s3.objects.replace(uri, f"{count} {writer}".encode(), stored.etag):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(16)))
    assert s3.objects.read(uri).body.startswith(b"16 ")


def test_an_object_over_the_bound_is_refused_unread(s3) -> None:
    uri = f"{s3.lake}/large"
    s3.objects.create(uri, b"four")
    assert s3.objects.read(uri, 4).body == b"four"
    with pytest.raises(RefusedError, match="has 4 bytes, expected at most 3"):
        s3.objects.read(uri, 3)


def test_missing_objects(s3) -> None:
    assert s3.objects.read(f"{s3.lake}/none") is None
    assert not s3.objects.exists(f"{s3.lake}/none")
    with pytest.raises(PerennialError, match="no such object"):
        s3.objects.read_existing(f"{s3.lake}/none")


def test_an_object_is_downloaded_in_pieces(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_PART_BYTES", 3)
    s3.objects.create(f"{s3.lake}/long", b"ten bytes.")
    remembered = s3.objects.at_one_moment()
    file = io.BytesIO()
    assert remembered.download(f"{s3.lake}/long", file) == sha256(b"ten bytes.")
    assert file.getvalue() == b"ten bytes."
    with pytest.raises(PerennialError, match="no such object"):
        remembered.download(f"{s3.lake}/none", io.BytesIO())


def test_listing_says_when_an_object_was_written(s3) -> None:
    s3.objects.create(f"{s3.lake}/written", b"x")
    (listed,) = s3.objects.listing(f"{s3.lake}/written")
    bucket, key = split_uri(listed.uri)
    head = s3.objects.client.head_object(Bucket=bucket, Key=key)  # the one in ISO 8601, the other as in a mail
    assert listed.at.replace(microsecond=0) == head["LastModified"]
    assert abs(datetime.now(UTC) - listed.at) < timedelta(minutes=1)


def test_list_is_in_order_of_key(s3) -> None:
    for name in ("b", "a", "c/d"):
        s3.objects.create(f"{s3.lake}/list/{name}", b"x")
    assert list(s3.objects.list(f"{s3.lake}/list/")) == [f"{s3.lake}/list/{name}" for name in ("a", "b", "c/d")]


class _Lost:
    """A client whose put answers nothing, after or before the write happened."""

    def __init__(self, client, *, writes: bool) -> None:
        self._client, self._writes = client, writes

    def __getattr__(self, name: str):
        return getattr(self._client, name)

    def put_object(self, **request):
        if self._writes:
            self._client.put_object(**request)
        raise ReadTimeoutError(endpoint_url="s3")


def test_write_that_happened_without_an_answer_is_read_back(s3) -> None:
    objects = Objects()
    objects.__dict__["client"] = _Lost(s3.objects.client, writes=True)
    assert objects.create(f"{s3.lake}/a", b"one")


def test_write_that_did_not_happen_is_unknown_and_never_repeated(s3) -> None:
    objects = Objects()
    objects.__dict__["client"] = _Lost(s3.objects.client, writes=False)
    with pytest.raises(OutcomeUnknownError):
        objects.create(f"{s3.lake}/a", b"one")
    assert not s3.objects.exists(f"{s3.lake}/a")


def test_a_store_that_fails_by_itself_may_be_full(s3) -> None:
    """SeaweedFS on a full disk answers so."""

    class Full(_Lost):
        def put_object(self, **_request):
            answer = {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
            raise ClientError(answer, "PutObject")

    objects = Objects()
    objects.__dict__["client"] = Full(s3.objects.client, writes=False)
    with pytest.raises(OutcomeUnknownError, match=r"Run it again\. If it fails again, the disk of the object store may be full"):
        objects.create(f"{s3.lake}/a", b"one")
    assert explain_failure(ReadTimeoutError(endpoint_url="s3")) == ""


def test_unknown_when_it_cannot_be_read_back() -> None:
    class Dead:
        def __getattr__(self, name: str):
            def fail(**_request):
                raise ConnectionClosedError(endpoint_url="s3")

            return fail

    objects = Objects()
    objects.__dict__["client"] = Dead()
    with pytest.raises(OutcomeUnknownError, match="could not be read back"):
        objects.create("s3://lake/a", b"one")


@pytest.mark.parametrize("uri", ["lake/a", "s3://lake", "https://lake/a"])
def test_addresses(uri: str) -> None:
    with pytest.raises(ValueError, match="not an s3:// address"):
        split_uri(uri)


def test_canonical_json_is_one_encoding() -> None:
    assert canonical_json({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'.encode()
    assert canonical_json(json.loads('{"a": 1, "b": 2}')) == canonical_json(json.loads('{"b": 2, "a": 1}'))
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_sha256() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_remembered_store_asks_once_and_sees_what_it_writes(s3) -> None:
    uri = f"{s3.lake}/moment/a"
    s3.put(uri, b"one")
    moment = Remembered(s3.objects)
    assert moment.read(uri).body == b"one"
    assert len(moment.listing(f"{s3.lake}/moment/")) == 1
    s3.put(uri, b"two")
    s3.put(f"{s3.lake}/moment/b", b"")
    assert moment.read(uri).body == b"one"
    assert len(moment.listing(f"{s3.lake}/moment/")) == 1
    assert moment.replace(uri, b"three", moment.read(uri).etag) is None
    assert moment.read(uri).body == b"two"
    assert len(moment.listing(f"{s3.lake}/moment/")) == 2
