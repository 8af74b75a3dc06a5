"""Drops of another dialect than the default, and of other names in the header, from the contract to the accepted drop."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from clean_keys import clean_keys
from lab import FixedTables

from perennial.analyse.fingerprints import Fingerprints, InputDigests
from perennial.clean.plan import plan_clean
from perennial.collect.collect import collect
from perennial.collect.drops import landed_drops, pinned_drop
from perennial.collect.manifest import FILE
from perennial.config.pipeline import Pipeline
from perennial.errors import DropRefusedError
from perennial.fingerprints.causes import explain
from perennial.fingerprints.fingerprint import Fingerprint
from perennial.fingerprints.recipes import recipe_of
from perennial.lake.lake import Lake

DAY = date(2026, 3, 2)
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def land(s3, pipeline_factory: Callable[..., Pipeline], machine_data) -> Callable[[Edit, bytes], Lake]:
    """Return a function that lands a file for the edited pipeline and collects it."""

    def land(edit: Edit, body: bytes) -> Lake:
        lake = replace(s3.open_lake(pipeline_factory(edit)), tables=FixedTables())
        folder = lake.pipeline.sources["readings"].drop_uri(DAY)
        for name, content in {"a.csv": body, FILE: machine_data.manifest(DAY, {"a.csv": body})}.items():
            s3.put(folder + name, content)
        collect(lake, DAY)
        return lake

    return land


def _declare(**csv: Any) -> Edit:
    return lambda document: document["sources"]["readings"].update(csv=csv)


def _plain(document: dict[str, Any]) -> None:
    """Change nothing."""


def test_a_drop_is_accepted_in_its_dialect_and_the_job_of_clean_knows_it(land, machine_data) -> None:
    body = machine_data.csv_bytes(machine_data.rows(DAY)).decode().replace(",", ";").replace("\n", "\r\n").encode("utf-16")
    lake = land(_declare(delimiter=";", encoding="UTF-16"), body)
    drop = pinned_drop(lake, "readings", DAY)
    assert drop is not None
    assert (drop.dialect, drop.files[0].line_end) == ({"delimiter": ";", "encoding": "utf-16"}, "\r\n")
    job = lake.objects.read_existing(plan_clean(lake, DAY).job_uri).json()
    (table,) = job["tables"]
    assert table["dialect"] == {"delimiter": ";", "quote": '"', "escape": None, "encoding": "utf-16", "decimal": "."}
    assert table["days"][str(DAY)]["files"][0]["line_end"] == "\r\n"


def test_another_dialect_reads_an_accepted_drop_again(land, s3, machine_data, pipeline_factory) -> None:
    land(_plain, machine_data.csv_bytes(machine_data.rows(DAY)))
    quoted = s3.open_lake(pipeline_factory(_declare(quote="'")))
    assert pinned_drop(quoted, "readings", DAY) is None
    assert collect(quoted, DAY).new == 1
    semicolons = s3.open_lake(pipeline_factory(_declare(delimiter=";")))
    with pytest.raises(DropRefusedError, match=r"the columns are separated by ',', expected ';': set csv\.delimiter"):
        collect(semicolons, DAY)


def test_the_decimal_sign_changes_clean_rows_and_not_what_is_accepted(land, s3, machine_data, pipeline_factory) -> None:
    lake = land(_plain, machine_data.csv_bytes(machine_data.rows(DAY)))
    comma = s3.open_lake(pipeline_factory(_declare(decimal=",")))
    assert pinned_drop(comma, "readings", DAY) == pinned_drop(lake, "readings", DAY)
    before, after = (clean_keys(one, "readings", DAY, DAY)[DAY] for one in (lake, comma))
    assert _impact(before, after) == ["configuration: csv added"]


def test_the_time_zone_changes_clean_rows_with_timestamps(land, s3, machine_data, pipeline_factory) -> None:
    lake = land(_plain, machine_data.csv_bytes(machine_data.rows(DAY)))
    berlin = s3.open_lake(pipeline_factory(lambda document: document.update(time_zone="Europe/Berlin")))
    before, after = (clean_keys(one, "readings", DAY, DAY)[DAY] for one in (lake, berlin))
    assert _impact(before, after) == ["configuration: time_zone added"]
    assert not {"time_zone", "csv"} & before.parts.configuration.keys()


def test_the_time_zone_changes_everything_that_sql_computes(s3, pipeline_factory) -> None:
    seen = InputDigests({"readings": {DAY: "digest"}}, {}, {})
    zones = ("UTC", "Europe/Berlin", "Asia/Tokyo")
    pipelines = [pipeline_factory(lambda document, zone=zone: document.update(time_zone=zone)) for zone in zones]
    for table in ("features", "profile"):
        utc, berlin, tokyo = (getattr(Fingerprints(pipeline, seen), table)()(DAY) for pipeline in pipelines)
        assert _impact(utc, berlin) == ["configuration: time_zone added"]
        assert _impact(berlin, tokyo) == ["configuration: time_zone changed"]
    utc, berlin, _ = (Fingerprints(pipeline, seen).analysis("faults_by_mode")(DAY) for pipeline in pipelines)
    assert _impact(utc, berlin) == ["configuration: time_zone added"]


def _impact(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Return the causes that `perennial impact` names."""
    return [str(cause) for cause in explain(after, str(before), [recipe_of(before)])]


def test_a_drop_that_an_earlier_reader_accepted_is_read_again(land, s3, machine_data) -> None:
    lake = land(_plain, machine_data.csv_bytes(machine_data.rows(DAY)))
    uri = lake.layout.register("readings", "2026-03")
    page = lake.objects.read_existing(uri).json()
    for version in page["days"][str(DAY)].values():
        del version["dialect"]
        for file in version["files"]:
            del file["line_end"]
    s3.put(uri, json.dumps(page).encode())
    assert landed_drops(lake, "readings", [DAY])[DAY].drop is None
    assert collect(lake, DAY).new == 1


def test_columns_are_found_by_their_names_in_the_header(land, machine_data) -> None:
    def rename(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["mode"]["from"] = "Mode of Operation"

    text = machine_data.csv_bytes(machine_data.rows(DAY)).decode()
    lake = land(rename, text.replace("mode", "Mode of Operation", 1).encode())
    job = lake.objects.read_existing(plan_clean(lake, DAY).job_uri).json()
    assert job["tables"][0]["header"]["mode"] == "Mode of Operation"
    assert "Mode of Operation" in job["tables"][0]["days"][str(DAY)]["header"]
    with pytest.raises(DropRefusedError, match="column 'Mode of Operation' was renamed to 'mode of operation'"):
        land(rename, text.replace("mode", "mode of operation", 1).encode())


@pytest.mark.parametrize("name", ["_SUCCESS", ".a.csv.crc", "_temporary/0/part.csv", "more/.hidden"])
def test_notes_of_other_systems_beside_the_files_are_nobodys_data(land, s3, machine_data, name: str) -> None:
    def note(document: dict[str, Any]) -> None:
        s3.put(document["sources"]["readings"]["uri"].replace("{date}", str(DAY)) + name, b"")

    lake = land(note, machine_data.csv_bytes(machine_data.rows(DAY)))
    assert pinned_drop(lake, "readings", DAY) is not None


@pytest.mark.parametrize("padding", [1, 512, 3_000_000])
def test_zeros_behind_gzip_data_are_not_pinned(s3, pipeline_factory, machine_data, padding: int) -> None:
    lake = s3.open_lake(pipeline_factory())
    data = gzip.compress(machine_data.csv_bytes(machine_data.rows(DAY)))
    body = data + bytes(padding)
    listed = {
        "name": "a.csv.gz",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "rows": len(machine_data.rows(DAY)),
    }
    folder = lake.pipeline.sources["readings"].drop_uri(DAY)
    for name, content in {"a.csv.gz": body, FILE: machine_data.manifest(DAY, {}, files=[listed])}.items():
        s3.put(folder + name, content)
    collect(lake, DAY)
    (file,) = pinned_drop(lake, "readings", DAY).files
    assert (file.sha256, file.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert lake.objects.read_existing(file.uri).body == data
