"""History that the present contract refuses is told in numbers, with what to declare."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from lab import FixedTables

from perennial.calendar import days
from perennial.clean.lost import lost_history
from perennial.clean.verdict import Refusal
from perennial.collect.collect import collect
from perennial.collect.header import header_problems
from perennial.collect.lost import MAX_CAUSES, count_refused
from perennial.config.tables import Source
from perennial.errors import DropRefusedError
from perennial.lake.lake import Lake
from perennial.train.plan import plan_training

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 5)
ALL = list(days(FIRST, LAST))
MISSING, UNKNOWN = "column 'channel' is missing", "column 'channel' is not in the contract"

(BROKEN_ROWS,) = Refusal(10, 10, 2, 0.1, {"n type": 2}).rule_causes()

WITH, WITHOUT = ("id", "channel"), ("id",)
CONTRACT = Source.model_validate(
    {
        "uri": "s3://landing/rows/{date}/",
        "key": ["id"],
        "columns": {
            "id": {"type": "string", "from": "Row id"},
            "channel": {"type": "string"},
            "shop": {"type": "string", "from": 'Shop\'s "name"'},
        },
    }
)


def headers(refused: list[date], others: tuple[str, ...]) -> dict[date, tuple[str, ...] | None]:
    """Return the headers of all drops; those of refused drops are not known."""
    return {day: None if day in refused else others for day in ALL}


@pytest.mark.parametrize(
    ("refused", "cause", "others", "expected"),
    [
        (ALL[:4], MISSING, WITH, "Declare `since: 2026-03-05` for channel: it is then null on the dates that lack it."),
        (ALL[3:], MISSING, WITH, "Declare `until: 2026-03-03` for channel: it is then null on the dates that lack it."),
        (ALL[1:3], MISSING, WITH, "Declare `optional: true` for channel: it is then null on the dates that lack it."),
        (ALL, MISSING, WITH, "Declare `since: 2026-03-06` for channel: it is then null on the dates that lack it."),
        (ALL[:4], UNKNOWN, WITHOUT, "List channel under columns with `until: 2026-03-04`: the files of these dates have it."),
        (ALL[3:], UNKNOWN, WITHOUT, "List channel under columns with `since: 2026-03-04`: the files of these dates have it."),
        (ALL[1:3], UNKNOWN, WITHOUT, "List channel under columns with `optional: true`: the files of these dates have it."),
        (ALL, UNKNOWN, WITHOUT, "List channel under columns with `until: 2026-03-05`: the files of these dates have it."),
        (ALL[:2], BROKEN_ROWS, WITH, "Check the feed, or change columns or max_quarantine_share of rows in pipeline.yaml."),
    ],
    ids=["began", "ended", "now and then", "never", "taken out", "new", "came and went", "in all of them", "rows"],
)
def test_says_how_many_dates_and_what_to_declare(refused: list[date], cause: str, others: tuple[str, ...], expected: str) -> None:
    problems = {day: [f"rows-{day}.csv.gz: {cause}"] for day in refused}
    found = count_refused("rows", CONTRACT, problems, headers(refused, others))
    assert found == [f"rows: {len(refused)} of 5 dates break the present contract: {cause}. {expected}"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ('Shop\'s "name"', "Declare `since: 2026-03-05` for shop: it is then null on the dates that lack it."),
        ("Row id", "Every row needs id, a column of the key: upstream must land it."),
    ],
    ids=["quotes", "key"],
)
def test_a_remedy_names_the_column_of_the_contract(name: str, remedy: str) -> None:
    problems = dict.fromkeys(ALL[:4], header_problems([one for one in CONTRACT.header if one != name], CONTRACT.header))
    (told,) = count_refused("rows", CONTRACT, problems, headers(ALL[:4], tuple(CONTRACT.header)))
    assert told == f"rows: 4 of 5 dates break the present contract: column {name!r} is missing. {remedy}"


@pytest.mark.parametrize("name", ["Sales' channel", 'a "b"', "Channel", "x" * 70, "date"])
def test_a_header_that_is_no_column_name_is_read_by_from(name: str) -> None:
    problems = dict.fromkeys(ALL[:4], header_problems([*CONTRACT.header, name], CONTRACT.header))
    (told,) = count_refused("rows", CONTRACT, problems, headers(ALL[:4], tuple(CONTRACT.header)))
    assert told.endswith(
        " is not in the contract. List it under columns, by a name of your own, with `from` and `until: 2026-03-04`: "
        "the files of these dates have it."
    )


def test_a_remedy_looks_at_the_headers_of_all_drops() -> None:
    """The first drops were accepted without the column, and one is refused for another reason."""
    problems = {ALL[2]: [MISSING], ALL[3]: [MISSING], ALL[1]: ["1 rows, expected at least 50 (min_rows)"]}
    known = {ALL[0]: WITHOUT, ALL[1]: WITHOUT, ALL[2]: None, ALL[3]: None, ALL[4]: WITH}
    (told,) = count_refused("rows", CONTRACT, problems, known)
    assert "Declare `since: 2026-03-05` for channel" in told


def test_one_refused_date_is_a_gap_like_any_other() -> None:
    known = headers([FIRST], WITH)
    assert count_refused("rows", CONTRACT, {FIRST: [MISSING]}, known) == []
    (told,) = count_refused("rows", CONTRACT, {FIRST: [MISSING]}, known, least=1)
    assert told.startswith(f"rows: 1 of 5 dates breaks the present contract: {MISSING}.")


def test_causes_beyond_the_first_are_counted() -> None:
    problems = [f"column 'c{number}' is missing" for number in range(MAX_CAUSES + 2)]
    found = count_refused("rows", CONTRACT, dict.fromkeys(ALL[:2], problems), headers(ALL[:2], WITH))
    assert len(found) == MAX_CAUSES + 1
    assert found[-1] == "rows: and 2 more causes"


def _declare(**more: Any) -> Any:
    """Return an edit of the test pipeline: its drops hold a column more from LAST on."""

    def edit(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["channel"] = {"type": "string", **more}

    return edit


@pytest.fixture
def landed(s3, pipeline_factory, land_drops, machine_data) -> Any:
    """Return a function that gives the lake of an edit: four dates without the column, then one with it."""

    def land(**more: Any) -> Lake:
        lake = s3.open_lake(pipeline_factory(_declare(**more)))
        land_drops(s3.put, lake.pipeline, FIRST, ALL[3])
        folder = lake.pipeline.sources["readings"].drop_uri(LAST)
        head, *rows = machine_data.files(LAST)["readings-1.csv"].decode().splitlines()
        files = {"a.csv": "\n".join([f"{head},channel", *(f"{row},web" for row in rows), ""]).encode()}
        for name, body in {**files, "_MANIFEST.json": machine_data.manifest(LAST, files)}.items():
            s3.put(folder + name, body)
        return lake

    return land


def test_new_column_that_is_not_declared_so_is_loud(landed) -> None:
    """Case 2."""
    lake = landed()
    found = collect(lake, LAST)
    told = (
        "readings: 4 of 5 dates break the present contract: column 'channel' is missing. "
        "Declare `since: 2026-03-05` for channel: it is then null on the dates that lack it."
    )
    assert found.warnings == [told]
    assert lost_history(lake, LAST) == [told]
    assert plan_training(replace(lake, tables=FixedTables()), LAST, "logistic").skipped == f"0 of 5 days; {told}"


@pytest.mark.parametrize("more", [{"since": "2026-03-05"}, {"since": "2026-03-03", "optional": False}, {"optional": True}])
def test_older_drops_count_where_a_column_is_declared_to_begin(landed, more: dict[str, Any]) -> None:
    """Case 2."""
    lake = landed(**more)
    lacking = 0 if more.get("since") != "2026-03-03" else 2
    found = collect(lake, LAST)
    assert found.pinned == 5 - lacking
    assert len(found.warnings) == (1 if lacking else 0)
    assert lost_history(lake, LAST) == found.warnings


def test_drop_of_a_date_that_has_to_hold_the_column_is_refused(landed, s3) -> None:
    lake = landed(until="2026-03-04")
    with pytest.raises(DropRefusedError, match=r"column 'channel' is missing"):
        collect(lake, ALL[3])
