"""The demo's feed: it lands the demo's data for the demo's tables, and replaces nothing of another writer."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.collect.collect import collect
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.demo.feed import feed
from perennial.errors import RefusedError
from perennial.lake.lake import Lake
from stack.config import REPO

DAY = date(2013, 1, 1)


@pytest.fixture
def lake(s3, pipeline_factory: Callable[..., Pipeline]) -> Lake:
    """Return the lake of the demo's pipeline; nothing has landed."""
    return s3.open_lake(pipeline_factory(name="flight_delays"))


def objects(lake: Lake, s3) -> dict[str, bytes]:
    return {uri: lake.objects.read_existing(uri).body for uri in lake.objects.list(s3.landing + "/")}


def test_it_lands_what_collect_accepts_and_nothing_twice(lake: Lake, s3) -> None:
    assert feed(lake, DAY, DAY) == {
        "outcome": "done",
        "from": "2013-01-01",
        "to": "2013-01-01",
        "written": 5,
        "rows": {"flights": 842, "weather": 67},
    }
    landed = objects(lake, s3)
    assert collect(lake, DAY).rows_landed == {"flights": 842, "weather": 67}
    assert feed(lake, DAY, DAY)["outcome"] == "unchanged"
    assert objects(lake, s3) == landed


def test_an_interrupted_feed_is_finished(lake: Lake, s3) -> None:
    feed(lake, DAY, DAY)
    landed = objects(lake, s3)
    s3.delete(lake.pipeline.sources["flights"].drop_uri(DAY) + "_MANIFEST.json")
    assert feed(lake, DAY, DAY)["written"] == 1
    assert objects(lake, s3) == landed


def test_a_drop_of_another_compression_is_the_demos_own(lake: Lake, s3) -> None:
    folder = lake.pipeline.sources["flights"].drop_uri(DAY)
    feed(lake, DAY, DAY)
    landed = objects(lake, s3)
    s3.put(folder + "flights.csv.gz", gzip.compress(gzip.decompress(landed[folder + "flights.csv.gz"]), 1, mtime=0))
    s3.delete(folder + "_MANIFEST.json")
    assert feed(lake, DAY, DAY)["written"] == 1
    assert collect(lake, DAY).rows_landed["flights"] == 842
    assert feed(lake, DAY, DAY)["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("flights", "flights.csv.gz"),
        ("flights", "more.csv"),
        ("weather", "weather.csv"),
        ("weather", "_MANIFEST.json"),
        ("planes", ""),
    ],
)
@pytest.mark.parametrize("body", [b"mine\n1\n", gzip.compress(b"mine\n" * 100_000)], ids=["text", "gzip"])
def test_data_of_another_writer_is_never_replaced(lake: Lake, s3, table: str, name: str, body: bytes) -> None:
    spec = lake.pipeline.tables[table]
    s3.put((spec.uri if table == "planes" else lake.pipeline.sources[table].drop_uri(DAY)) + name, body)
    before = objects(lake, s3)
    with pytest.raises(RefusedError, match="the feed replaces nothing"):
        feed(lake, DAY, DAY)
    assert objects(lake, s3) == before


def test_a_source_of_a_user_with_a_name_of_the_demo_is_not_touched(s3, pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["name"] = "machine_faults"
        document["sources"]["weather"] = {
            "uri": f"{s3.landing}/machine_faults/weather/date={{date}}/",
            "key": ["hour"],
            "columns": {"hour": {"type": "integer"}},
        }

    lake = s3.open_lake(pipeline_factory(edit))
    for sources in ([], ["weather"]):
        with pytest.raises(RefusedError, match=r"'weather' is not a table of the demo.*`perennial land`"):
            feed(lake, DAY, DAY, sources)
    assert objects(lake, s3) == {}


@pytest.mark.parametrize(
    ("first", "last", "sources", "text"),
    [
        (DAY, DAY, ["flihgts"], "no data for 'flihgts'. Did you mean 'flights'?"),
        (date(2012, 12, 31), DAY, [], "it has none for 2012-12-31"),
        (date(2013, 1, 2), DAY, [], "Give the earlier date first"),
    ],
)
def test_wrong_arguments_are_refused(lake: Lake, first: date, last: date, sources: list[str], text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        feed(lake, first, last, sources)
    assert text in str(refused.value)


def test_the_shipped_pipeline_is_the_demos_under_other_settings(tmp_path: Path, s3) -> None:
    folder = tmp_path / "flight_delays"
    shutil.copytree(REPO / "include/pipelines/flight_delays", folder)
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    document["training"]["window_days"] = 31
    for table in (*document["sources"].values(), *document["references"].values()):
        table["uri"] = table["uri"].replace("s3://landing", f"{s3.landing}/own-bucket")
    document["sources"]["weather"]["columns"]["sunshine"] = {"type": "double", "optional": True}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    lake = s3.open_lake(read_pipeline(folder / "pipeline.yaml"))
    assert feed(lake, DAY, DAY)["written"] == 5
