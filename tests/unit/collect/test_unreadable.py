"""Objects of the landing zone that the store lists, but does not hand out: they are refused by name, and block no other date."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from perennial.clean.refusals import refused_dates
from perennial.collect import landing
from perennial.collect.accept import is_refused, refused_problems
from perennial.collect.collect import collect
from perennial.collect.drops import complete_dates, landed_drops, landed_reference, newest_landed, pinned_drop
from perennial.collect.manifest import FILE
from perennial.collect.uncollected import uncollected_dates
from perennial.errors import DropRefusedError, DropUnreadableError
from perennial.lake.lake import Lake
from perennial.store.denied import DeniedError
from perennial.store.objects import Objects, split_uri

BEFORE, LOCKED, AFTER = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
DATA = "readings-1.csv"
REASON = "the object store lists it but does not hand it out, error InvalidArgument (status 400)"


def _lock(lake: Lake, day: date, *names: str) -> None:
    """Store files of a drop again, encrypted with a key that only upstream knows."""
    for name in names:
        bucket, key = split_uri(lake.pipeline.sources["readings"].drop_uri(day) + name)
        body = lake.objects.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
        lake.objects.client.put_object(Bucket=bucket, Key=key, Body=body, **own)


@pytest.mark.parametrize("names", [(DATA,), (FILE,), (DATA, "readings-2.csv.gz")], ids=["data", "manifest", "all data"])
def test_its_date_is_refused_by_name_and_blocks_no_other(lake: Lake, land: Any, names: tuple[str, ...]) -> None:
    land(BEFORE, AFTER)
    _lock(lake, LOCKED, *names)
    with pytest.raises(DropRefusedError) as refused:
        collect(lake, LOCKED)
    assert refused.value.what == "Pipeline 'machine_faults', drop readings 2026-03-02 is refused"
    assert [problem.partition(":")[0] for problem in refused.value.problems] == list(names)
    assert all(REASON in problem for problem in refused.value.problems)
    result = collect(lake, AFTER)
    assert (result.pinned, list(result.gaps)) == (2, [str(LOCKED)])
    assert f"readings: refused: {names[0]}: {REASON}" in result.gaps[str(LOCKED)]
    found = landed_drops(lake, "readings", [LOCKED])[LOCKED].found
    assert is_refused(lake, "readings", LOCKED, found)
    assert REASON in refused_problems(lake, "readings", LOCKED, found)[0]
    assert refused_dates(lake, [BEFORE, LOCKED, AFTER]) == {LOCKED: "its drop of readings is refused"}
    assert uncollected_dates(lake, "readings", [BEFORE, LOCKED, AFTER]) == []


def test_a_locked_manifest_is_not_the_newest_and_not_complete(lake: Lake, land: Any) -> None:
    land(BEFORE, LOCKED)
    _lock(lake, LOCKED, FILE)
    assert newest_landed(lake, "readings", AFTER) == BEFORE
    assert complete_dates(lake, [BEFORE, LOCKED]) == {BEFORE}


def test_a_drop_is_read_again_when_the_store_hands_it_out_unchanged(
    lake: Lake, land: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restore from an archive, or after a key was allowed to decrypt: the ETag is the same."""
    land(LOCKED, LOCKED)
    stream = landing.stream

    def archived(objects: Objects, file: Any) -> Any:
        if file.uri.endswith(DATA):
            raise DropUnreadableError(file.uri, ["archived"])
        yield from stream(objects, file)

    monkeypatch.setattr("perennial.collect.accept.stream", archived)
    for _ in range(2):
        with pytest.raises(DropRefusedError, match=r"readings-1\.csv: archived"):
            collect(lake, LOCKED)
    monkeypatch.setattr("perennial.collect.accept.stream", stream)
    assert collect(lake, LOCKED).pinned == 1
    assert pinned_drop(lake, "readings", LOCKED) is not None


def test_a_wrong_key_is_no_fault_of_a_drop(lake: Lake, land: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    land(LOCKED, LOCKED)
    found = landed_drops(lake, "readings", [LOCKED])[LOCKED].found
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    wrong = Objects()
    for read in (
        lambda: landing.read_small(wrong, found.uri, 10),
        lambda: landing.read_listed(wrong, found, 10),
        lambda: landing.head(wrong, found.uri),
        lambda: landing.pin(wrong, found, f"{lake.layout.root}/raw/{'0' * 64}", "0" * 64),
    ):
        with pytest.raises(DeniedError):
            read()


def test_an_object_that_alone_is_denied_is_unreadable(lake: Lake) -> None:
    denied = DeniedError("denied")
    denied.code = "InvalidObjectState"
    with (
        pytest.raises(DropUnreadableError, match=r"InvalidObjectState \(status 403\)"),
        landing._refusing_unreadable(lake.objects, f"{lake.pipeline.sources['readings'].drop_uri(LOCKED)}a.csv"),
    ):
        raise denied


def test_a_locked_file_is_no_fault_of_the_lake(lake: Lake, land: Any) -> None:
    land(LOCKED, LOCKED)
    _lock(lake, LOCKED, DATA)
    (found,) = (item for item in lake.objects.listing(lake.pipeline.sources["readings"].drop_uri(LOCKED)) if DATA in item.uri)
    for read in (
        lambda: landing.head(lake.objects, found.uri),
        lambda: landing.require_unchanged(lake.objects, found),
        lambda: landing.pin(lake.objects, found, f"{lake.layout.root}/raw/{'0' * 64}", "0" * 64),
    ):
        with pytest.raises(DropUnreadableError, match=found.uri):
            read()


def test_a_locked_reference_is_refused_by_name(s3: Any, pipeline_factory: Any, land_drops: Any) -> None:
    def add(document: dict[str, Any]) -> None:
        columns = {"machine_id": {"type": "string", "required": True}}
        document["references"] = {"machines": {"uri": f"{s3.landing}/machines.csv", "columns": columns, "key": ["machine_id"]}}

    lake = s3.open_lake(pipeline_factory(add))
    land_drops(s3.put, lake.pipeline, LOCKED, LOCKED)
    bucket, key = split_uri(f"{s3.landing}/machines.csv")
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    lake.objects.client.put_object(Bucket=bucket, Key=key, Body=b"machine_id\na\n", **own)
    for read in (lambda: landed_reference(lake, "machines"), lambda: collect(lake, LOCKED)):
        with pytest.raises(DropRefusedError, match=r"machines\.csv: the object store lists it but does not hand it out"):
            read()
