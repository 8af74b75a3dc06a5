"""`perennial try`: one query on landed data, with its rows, types and dates, and nothing is committed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from returned_orders import drops
from spark_server import SUBMIT, spark_with_metastore

from perennial.analyse.plan import finish_analyse, plan_analyse
from perennial.calendar import days
from perennial.clean.plan import finish_clean, plan_clean
from perennial.cli import run_command
from perennial.collect.collect import collect
from perennial.config.load import load_pipeline
from perennial.lake.lake import open_lake
from perennial.spark.submit import submit
from perennial.store.objects import Objects, split_uri
from stack.config import REPO

START, RUN, LAST = date(2026, 3, 1), date(2026, 3, 4), date(2026, 3, 7)
LAKE = "s3://perennial/trials"
NAME = "returned_orders"


@pytest.fixture(scope="module")
def spark(s3_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the module one Spark and one metastore."""
    folder = tmp_path_factory.mktemp("spark")
    with spark_with_metastore(folder, LAKE, s3_server):
        yield folder


@dataclass(frozen=True, slots=True)
class Shop:
    """A pipeline whose drops have landed, and of which some dates have run."""

    folder: Path
    objects: Objects

    def try_(self, *words: str, day: date = LAST, code: int = 0) -> dict[str, Any]:
        """Run the command as a user does; return its JSON."""
        with redirect_stdout(io.StringIO()) as said:
            assert run_command(["try", NAME, *words, "--date", day.isoformat(), "--json"]) == code, said.getvalue()
        return dict(json.loads(said.getvalue()))

    def text(self, *words: str, day: date = LAST) -> str:
        """Return the lines that a user sees."""
        from perennial.commands.output import out

        with out.capture() as said:
            run_command(["try", NAME, *words, "--date", day.isoformat()])
        return said.get()

    def stored(self) -> dict[str, tuple[int, str]]:
        """Return everything in the lake and in the landing zone."""
        return {item.uri: (item.size, item.etag) for root in (LAKE, self.landing) for item in self.objects.listing(f"{root}/")}

    @property
    def landing(self) -> str:
        return f"s3://landing/{self.folder.parent.name}"

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Replace pieces of a file of the pipeline."""
        path = self.folder / file
        text = path.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)


@pytest.fixture(scope="module")
def landed(spark: Path, s3_objects: Objects) -> None:
    """Land a week and run its first dates, once for all tests."""
    root = spark / "pipelines"
    pipeline = _write_pipeline(root)
    for day in days(START, LAST):
        for source, files in drops(day).items():
            for name, body in files.items():
                bucket, key = split_uri(f"s3://landing/{root.name}/{NAME}/{source}/date={day}/{name}")
                s3_objects.client.put_object(Bucket=bucket, Key=key, Body=body)
    lake = open_lake(load_pipeline(NAME, pipeline.parent))
    collect(lake, RUN)
    submit(plan_clean(lake, RUN))
    finish_clean(lake, RUN)
    submit(plan_analyse(lake, RUN))
    finish_analyse(lake, RUN)


def _write_pipeline(root: Path) -> Path:
    import shutil

    folder = root / NAME
    shutil.copytree(REPO / "tests" / "pipelines" / NAME, folder, dirs_exist_ok=True)
    document = yaml.safe_load((folder / "pipeline.yaml").read_text().replace("s3://landing/", "s3://landing/pipelines/"))
    document["training"]["lookback_days"] = 3
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / "analysis").mkdir(exist_ok=True)
    (folder / "analysis" / "sales.sql").write_text(
        "SELECT o.date, o.category, COUNT(*) AS orders, MAX(o.price) AS dearest\n"
        "FROM dates d JOIN orders o ON o.date = d.date GROUP BY o.date, o.category\n"
    )
    return folder


@pytest.fixture
def shop(landed: None, s3_objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: Path) -> Iterator[Shop]:
    """Give a test the pipeline's files to edit; the lake must be the same before and after it."""
    folder = _write_pipeline(tmp_path / "pipelines")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(folder.parent))
    shop = Shop(folder, s3_objects)
    before, tables = shop.stored(), _tables(shop)
    assert len(before) > 30
    yield shop
    assert shop.stored() == before, "a trial has written to the lake or to the landing zone"
    assert _tables(shop) == tables, "a trial has committed to a table"


def _tables(shop: Shop) -> dict[str, int | None]:
    lake = open_lake(load_pipeline(NAME, shop.folder.parent))
    names = ("clean_orders", "clean_returns", "quarantine", "features", "labels", "lookup_category_rates", "analysis_sales")
    return {name: lake.tables.state(name).snapshot_id for name in names}


def test_features_of_a_date_that_no_run_has_collected(shop: Shop) -> None:
    shop.edit("features.sql", ("SELECT", "-- returns are another source\nSELECT"))
    found = shop.try_("features", "--rows", "3")
    assert found["count"] > 100
    assert [list(row) for row in found["rows"]] == [["date", "order_id", "category", "price"]] * 3
    assert {row["date"] for row in found["rows"]} == {LAST.isoformat()}
    assert found["columns"] == [
        {"name": "date", "type": "date", "stored": "date"},
        {"name": "order_id", "type": "bigint", "stored": "bigint"},
        {"name": "category", "type": "string", "stored": "string"},
        {"name": "price", "type": "double", "stored": "double"},
    ]
    assert found["seen"] == {"orders": {"wanted": 4, "read": 3, "gaps": {}}}, "one date is in the clean table"
    assert found["saw"]["orders"] == {"rows": 4 * 160, "dates": 4, "first": "2026-03-04", "last": "2026-03-07"}
    assert found["alone"] == {"2026-03-06": None, "2026-03-07": None}
    assert found["problems"] == []


@pytest.mark.parametrize(
    ("target", "day", "columns"),
    [
        ("labels", date(2026, 3, 5), ["date", "order_id", "is_returned"]),
        ("lookups/category_rates", LAST, ["as_of", "category", "returned"]),
        ("analysis/sales", RUN, ["date", "category", "orders", "dearest"]),
        ("orders", LAST, ["date", "order_id", "category", "price", "is_gift"]),
        ("orders", RUN, ["date", "order_id", "category", "price", "is_gift"]),
    ],
)
def test_every_part_of_a_pipeline_can_be_tried(shop: Shop, target: str, day: date, columns: list[str]) -> None:
    found = shop.try_(target, day=day)
    assert [column["name"] for column in found["columns"]] == columns
    assert found["count"] > 0
    assert found["problems"] == []
    assert set(found["alone"].values()) <= {None}


def test_a_trial_gives_the_rows_that_a_run_has_stored(shop: Shop) -> None:
    from perennial.lake.tables import read_rows

    lake = open_lake(load_pipeline(NAME, shop.folder.parent))
    state = lake.tables.state("features")
    assert state.metadata_location is not None
    assert state.snapshot_id is not None
    table = read_rows(state.metadata_location, state.snapshot_id, [RUN], ["date", "order_id", "category", "price"])
    stored = sorted(table.to_pylist(), key=lambda row: row["order_id"])
    tried = shop.try_("features", "--rows", "1000", day=RUN)["rows"]
    assert tried == [{**row, "date": row["date"].isoformat()} for row in stored]


def test_wrong_types_are_shown_beside_the_rows_all_at_once(shop: Shop) -> None:
    shop.edit("features.sql", ("o.category, o.price", "o.is_gift AS category, CAST(o.price AS STRING) AS price"))
    found = shop.try_("features", code=1)
    assert found["problems"] == [
        "column 'category': expected string, found boolean",
        "column 'price': expected double, found string",
    ]
    assert [column["type"] for column in found["columns"]] == ["date", "bigint", "boolean", "string"]
    assert len(found["rows"]) == 20
    assert "✗ features.sql: column 'price': expected double, found string" in shop.text("features")


def test_reads_without_a_lower_bound_are_not_exact_alone(shop: Shop) -> None:
    shop.edit("lookups/category_rates.sql", ("o.date >= DATE_SUB(d.as_of, 2) AND ", ""))
    found = shop.try_("lookups/category_rates", code=1)
    (problem,) = found["problems"]
    assert problem.startswith("the result for 2026-03-08 depends on the other dates in its batch: ")
    assert "columns that differ: returned" in problem


def test_rows_that_share_a_key_or_have_another_date_are_told(shop: Shop) -> None:
    shop.edit("features.sql", ("o.order_id, o.category", "o.order_id DIV 2 AS order_id, o.category"))
    (problem, *_) = shop.try_("features", code=1)["problems"]
    assert problem.startswith("several rows with the same (order_id): 2026-03-07: ")
    shop.edit(
        "features.sql", ("o.order_id DIV 2 AS order_id", "o.order_id"), ("SELECT o.date", "SELECT DATE_SUB(o.date, 30) AS date")
    )
    assert shop.try_("features", code=1)["problems"][0].startswith("it returns rows of 2026-02-05: take date from the view dates")


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (
            ("o.price\n", "1 / (o.price - o.price) AS price\n"),
            "features.sql, line 2: division by zero in `1 / (o.price - o.price)`. ",
        ),
        (("o.category, o.price", "o.category o.price"), "features.sql, line 2: syntax error at '.'. Look for a missing comma, "),
        (("o.price\n", "o.prise AS price\n"), "features.sql, line 2: unknown column o.prise. Did you mean o.price, "),
    ],
    ids=["division by zero", "missing comma", "unknown column"],
)
def test_an_error_begins_with_file_line_and_cause(shop: Shop, change: tuple[str, str], first: str) -> None:
    shop.edit("features.sql", change)
    error = shop.try_("features", code=1)["error"]
    assert error.startswith(first)
    assert "^" in error
    assert "org.apache" not in error
    assert "Job file" not in error, "it no longer exists"


def test_a_contract_that_rows_break_is_told_with_the_rows(shop: Shop) -> None:
    shop.edit(
        "pipeline.yaml", ("      price:\n        type: double\n", "      price:\n        type: double\n        range: [0, 97]\n")
    )
    found = shop.try_("orders")
    assert list(found["quarantined"]["orders"]) == ["2026-03-07"], "the date before is there only for the comparison"
    assert {(item["column"], item["rule"]) for item in found["examples"]} == {("price", "range")}
    found = shop.try_("features")
    assert min(found["quarantined"]["orders"]) == "2026-03-04", "2026-03-03 is seen by the date before only"
    assert found["seen"]["orders"] == {"wanted": 4, "read": 4, "gaps": {}}
    shop.edit("pipeline.yaml", ("[0, 97]", "[0, 20]"))
    error = shop.try_("orders", code=1)["error"]
    assert error.startswith(f"Pipeline '{NAME}', drop orders 2026-03-07: ")
    assert "price range (0 to 20): " in error


def test_dates_without_rows_are_told_with_the_reason(shop: Shop) -> None:
    day = date(2026, 2, 28)
    landed = {
        f"{shop.landing}/{NAME}/{source}/date={day}/{name}": body
        for source, files in drops(day, lost_share=1.0).items()
        for name, body in files.items()
    }
    shop.edit("pipeline.yaml", ("  returns:\n", "  returns:\n    min_rows: 0\n"))
    for uri, body in landed.items():
        bucket, key = split_uri(uri)
        shop.objects.client.put_object(Bucket=bucket, Key=key, Body=body)
    try:
        seen = shop.try_("labels", day=START)["seen"]
    finally:
        for bucket, key in map(split_uri, landed):
            shop.objects.client.delete_object(Bucket=bucket, Key=key)
    assert seen["orders"]["gaps"] == {"2026-02-26": "not landed", "2026-02-27": "not landed"}
    assert seen["returns"]["gaps"] == {
        "2026-02-26": "not landed", "2026-02-27": "not landed", "2026-02-28": "its drop has no rows"
    }  # fmt: skip
    assert seen["returns"]["wanted"] == 6, "three days before the date, itself, and two after it"


def test_a_query_of_which_one_task_holds_most_rows_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_BIG_DATE_ROWS", "100")
    assert shop.try_("features")["warnings"] == []
    shop.edit("features.sql", ("o.price\n", "o.price / MAX(o.price) OVER (PARTITION BY o.date) AS price\n"))
    (warning,) = shop.try_("features")["warnings"]
    assert warning.startswith("one task held 152 of 152 rows of a step, so more cores do not make the query faster. ")
    assert "docs/how-to/big-days.md" in warning
    monkeypatch.setenv("PERENNIAL_BIG_DATE_ROWS", "100000")
    assert shop.try_("features")["warnings"] == [], "of few rows, one task may hold all"


def test_cleaning_sql_that_reads_other_dates_is_told(shop: Shop) -> None:
    (shop.folder / "sources").mkdir()
    (shop.folder / "sources" / "orders.sql").write_text(
        "SELECT date, order_id, category, price, is_gift, COUNT(*) OVER () AS rows_of_all FROM drop"
    )
    (problem,) = shop.try_("orders", code=1)["problems"]
    assert problem.startswith("the result for 2026-03-07 depends on the other dates in its batch: ")
    assert "rows_of_all" in problem


def test_a_date_that_has_not_landed_and_an_unknown_target_say_what_to_do(shop: Shop) -> None:
    error = shop.try_("features", day=date(2026, 3, 9), code=1)["error"]
    assert error.startswith(f"Pipeline '{NAME}', 2026-03-09: orders has not landed in ")
    assert "perennial land" in error
    error = shop.try_("lookup/category_rates", code=1)["error"]
    assert "has no 'lookup/category_rates'. Did you mean 'lookups/category_rates'? Choose one of: features, labels, " in error


def test_people_see_rows_types_and_dates(shop: Shop) -> None:
    said = shop.text("features", "--rows", "2")
    assert "features.sql, 2026-03-07: " in said
    assert ", the first 2 are shown" in said
    assert "orders: saw 4 of 4 dates (2026-03-04 to 2026-03-07), 640 rows; 3 drops read from the landing zone" in said
    assert "✓ exact alone: 2026-03-06 and 2026-03-07" in said
    assert "nothing was committed" in said


def test_an_endless_query_ends_with_its_file_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial runs its checks in threads of their own, in a mode of Spark in which a task cannot be stopped."""
    monkeypatch.setenv("PERENNIAL_QUERY_MINUTES", "0.4")  # long enough for the other checks of a trial on a busy machine
    monkeypatch.setenv("PERENNIAL_SPARK_SUBMIT", str(SUBMIT))  # the Spark that the tests share would end with the query
    shop.edit("features.sql", ("FROM dates d", "FROM range(10000000000) r CROSS JOIN dates d"))
    error = shop.try_("features", code=1)["error"]
    assert error.startswith(f"Pipeline '{NAME}', 2026-03-06 to 2026-03-07, features.sql: stopped after 0.4 minutes")
