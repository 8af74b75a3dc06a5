"""`perennial new`: a folder that validates, with key, types, inputs and suspects of leakage found in the data."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import DAYS, FIRST, HEADER, ROWS, csv_text, orders

from perennial.cli import run_command
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline
from perennial.scaffold.dates import Dates

Call = Callable[..., tuple[int, dict[str, Any]]]
NEW = ("returns", "--from", "exports/*.csv", "--label", "returned")


@pytest.fixture
def pipeline(call: Call, place: Path) -> Pipeline:
    """Return the pipeline that the command makes of the orders."""
    (place.parent / "exports" / "orders.csv").write_text(csv_text(orders()))
    code, answer = call(*NEW)
    assert code == 0, answer
    return read_pipeline(place / "returns" / "pipeline.yaml")


def test_contract_has_the_types_and_texts_for_null_of_the_data(pipeline: Pipeline) -> None:
    columns = pipeline.sources["records"].columns
    assert list(columns) == HEADER.split(",")
    assert {name: column.type for name, column in columns.items()} == {
        "order_id": "integer",
        "ordered_at": "timestamp",
        "customer": "string",
        "country": "string",
        "amount": "double",
        "channel": "string",
        "is_gift": "boolean",
        "note": "string",
        "returned_on": "date",
        "refund": "double",
        "unused": "string",
        "order": "integer",
        "returned": "string",
    }
    assert columns["amount"].null_text == "n/a"
    assert [name for name, column in columns.items() if not column.required] == ["amount", "returned_on", "unused", "returned"]
    assert columns["country"].enum == ["AT", "DE", "NA"]  # NA is a country here, and no null
    assert columns["country"].null_text is None
    assert pipeline.sources["records"].key == pipeline.row_key == ["order_id"]


def test_columns_that_no_caller_knows_are_no_inputs(call: Call, place: Path) -> None:
    (place.parent / "exports" / "orders.csv").write_text(csv_text(orders()))
    code, answer = call(*NEW, "--without", "amount, customer", "--without", "order")
    assert code == 0, answer
    assert answer["left_out"] | dict.fromkeys(("amount", "customer", "order"), "named by --without") == answer["left_out"]
    assert not {"amount", "customer", "order"} & {*answer["request"]}
    code, answer = call("again", *NEW[1:], "--without", "amunt")
    assert code == 1
    assert "No column 'amunt'. Did you mean 'amount'?" in str(answer)


def test_inputs_leave_out_identifiers_and_suspects_of_leakage(pipeline: Pipeline) -> None:
    fields = {name: field.type + "?" * field.nullable for name, field in pipeline.inputs.request.items()}
    assert fields == {
        "date": "date",
        "ordered_at_time": "time",
        "customer": "category",
        "country": "category",
        "amount": "number?",
        "channel": "category",
        "is_gift": "boolean",
        "order": "number",
    }
    assert pipeline.inputs.identifiers == ["customer"]
    assert pipeline.inputs.lookups["customer_rates"].key == ["customer"]
    assert (pipeline.label.column, pipeline.label.positive) == ("returned", "yes")
    text = (pipeline.folder / "pipeline.yaml").read_text()
    assert "# left out: returned_on: suspected leakage: it is filled only in rows whose label is positive" in text
    assert "# left out: refund: suspected leakage: alone it tells almost perfectly whether the label is positive" in text
    assert "# left out: unused: it is empty in every row of the sample" in text
    readme = (pipeline.folder / "README.md").read_text()
    assert "- `refund`: suspected leakage" in readme


def test_each_line_of_the_yaml_has_a_comment(pipeline: Pipeline) -> None:
    lines = (pipeline.folder / "pipeline.yaml").read_text().splitlines()
    bare = [line.strip() for line in lines if line and "#" not in line]
    assert bare == ["sources:", "records:", "inputs:", "lookups:", "training:", "gate:"]


def test_dates_and_history_are_those_of_the_data(pipeline: Pipeline) -> None:
    assert pipeline.start == FIRST
    assert pipeline.time_zone == "UTC"
    assert pipeline.training.window_days == 35  # whole weeks of the 38 dates before the holdout: they have few rows
    assert pipeline.gate.floors.rows == 100


def test_it_validates_and_its_own_test_passes(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["validate", "returns", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pipelines"][0]["doubts"] == []
    spec = importlib.util.spec_from_file_location("made_test", pipeline.folder / "test_returns.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_it_ends_with_the_next_commands(call: Call, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place.parent / "exports" / "orders.csv").write_text(csv_text(orders()))
    assert run_command(["new", *NEW]) == 0
    last = str(FIRST + timedelta(days=DAYS - 1))
    land, up, run, predict, later = [line.strip() for line in capsys.readouterr().out.splitlines()[-5:]]
    assert land == ".venv/bin/perennial land returns records 'exports/{date}.csv.gz'"
    assert up == "make up  # starts its model server"
    assert run == f".venv/bin/perennial run returns --date {last}"
    assert predict.startswith('.venv/bin/perennial predict returns --record \'{"date": "2026-02-15", ')  # the day after the last
    assert later.startswith(f"When the file of a later date arrives: remove `end: {last}` from pipeline.yaml, or move it; ")


def test_an_existing_folder_is_never_touched(call: Call, pipeline: Pipeline) -> None:
    before = {path: path.read_bytes() for path in pipeline.folder.rglob("*") if path.is_file()}
    code, answer = call(*NEW)
    assert code == 1
    assert "Nothing is overwritten" in answer["error"]
    assert {path: path.read_bytes() for path in pipeline.folder.rglob("*") if path.is_file()} == before


def test_a_refusal_leaves_no_folder(call: Call, place: Path) -> None:
    (place.parent / "exports" / "orders.csv").write_text(csv_text(orders()))
    assert call(*NEW[:-1], "retruned")[0] == 1
    assert not place.exists() or list(place.iterdir()) == []


def test_a_key_is_asked_for_where_none_is_unique(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[*row[1:3], *row[11:]] for row in orders()]
    text = csv_text([*rows, rows[-1]], "ordered_at,customer,order,returned")
    (place.parent / "exports" / "orders.csv").write_text(text)
    assert run_command(["new", *NEW, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)["error"]
    assert "1 of 2701 rows are equal to an earlier one in all columns" in said
    assert "1 of 2701 rows have the key of an earlier row of their date, such as exports/orders.csv row 2700 and" in said
    assert "Name the columns that identify a row" in said
    answers = io.StringIO("ordered_at, customer,order\n")
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answers)
    assert run_command(["new", *NEW]) == 0, capsys.readouterr().err
    found = read_pipeline(place / "returns" / "pipeline.yaml")
    assert found.row_key == ["ordered_at", "customer", "order"]
    assert "1 rows of the sample repeat it" in (place / "returns" / "pipeline.yaml").read_text()


def test_the_smallest_combination_is_the_key(call: Call, place: Path) -> None:
    rows = [[FIRST + timedelta(days=n // 40), n % 20, "ab"[n // 20 % 2], n / 7, n % 3 == 0] for n in range(1200)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "day,shop,kind,amount,late"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late")
    assert (code, answer["key"]) == (0, ["shop", "kind"])


@pytest.mark.parametrize(
    ("values", "options", "positive"),
    [
        (["1", "0"], [], 1),
        (["true", "false"], [], True),
        (["True", "False"], [], True),
        (["no", "yes"], [], "yes"),
        (["kept", "kept", "kept", "lost"], [], "lost"),
        (["kept", "kept", "kept", "lost"], ["--positive", "kept"], "kept"),
        (["a", "b", "c"], ["--positive", "b"], "b"),
        (["1.0", "0.0"], [], 1),
        (["2", "3", "5"], ["--positive", "3"], 3),
        (["yes", "no", "NA", ""], [], "yes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
@pytest.mark.exhaustive
def test_the_positive_value_of_the_label(
    call: Call, place: Path, values: list[str], options: list[str], positive: bool | int | str
) -> None:
    rows = [[n, FIRST + timedelta(days=n // 40), n % 7, values[n % len(values)]] for n in range(1200)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,day,size,late"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late", *options)
    assert code == 0, answer
    found = read_pipeline(place / "sales" / "pipeline.yaml").label.positive
    assert (found, type(found)) == (positive, type(positive))


def test_dates_in_the_names_of_the_files_need_no_column(call: Call, place: Path) -> None:
    for offset in range(30):
        rows = [[n, n % 7, n % 5 == 0] for n in range(40)]
        (place.parent / "exports" / f"{FIRST + timedelta(days=offset)}.csv").write_text(csv_text(rows, "id,size,late"))
    code, answer = call("sales", "--from", "exports/{date}.csv", "--label", "late")
    assert (code, answer["dates"], answer["first"], answer["key"]) == (0, 30, str(FIRST), ["id"])
    assert answer["next"][0] == ".venv/bin/perennial land sales records 'exports/{date}.csv'"


@pytest.mark.parametrize(("days", "rows"), [(5, 3), (12, 10), (30, 20), (90, 4)])
def test_a_short_or_small_history_gets_settings_that_it_can_reach(call: Call, place: Path, days: int, rows: int) -> None:
    lines = [[n, FIRST + timedelta(days=n // rows), n % 7, n % 4 == 0] for n in range(days * rows)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(lines, "id,day,size,late"))
    assert call("sales", "--from", "exports/a.csv", "--label", "late", "--key", "id")[0] == 0
    found = read_pipeline(place / "sales" / "pipeline.yaml")
    calendar = found.calendar
    split = calendar.split(FIRST + timedelta(days=days - 1), {FIRST + timedelta(days=n) for n in range(days)})
    assert split.too_little is None
    assert found.gate.min_days <= len(split.holdout)
    assert found.gate.floors.rows <= len(split.holdout) * rows
    assert found.gate.floors.positives <= max(1, len(split.holdout) * rows // 4)


@pytest.mark.parametrize(
    ("rows", "share", "window", "holdout"),
    [
        (400, 0.25, 28, 7),
        (100, 0.25, 56, 7),  # 5,000 rows need 50 dates
        (20, 0.25, 175, 10),  # 200 rows need 10 dates; whole weeks until the history ends
        (400, 0.003, 28, 28),  # one positive a date
        (400, None, 28, 7),
        (2, 0.5, 161, 28),
    ],
)
def test_a_long_history_of_few_rows_gets_a_longer_window_and_holdout(
    rows: int, share: float | None, window: int, holdout: int
) -> None:
    dates = Dates({FIRST + timedelta(days=n): rows for n in range(190)})
    found = dates.training(share)
    assert (found["window_days"], found["holdout_days"]) == (window, holdout)


def test_floors_are_those_of_the_last_dates_if_these_have_fewer_rows() -> None:
    dates = Dates({FIRST + timedelta(days=n): 100 if n < 90 else 10 for n in range(120)})
    assert dates.training(0.5)["holdout_days"] == 20
    assert dates.floors(0.5) == {"rows": 100, "positives": 20}
    assert dates.describe_first_run(0.5) == (
        "a run of 2026-04-30 learns from 5,400 rows of 63 dates, and judges on 200, some 100 of them positive, of the last 20"
    )


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_feed_with_gaps_gets_a_history_that_its_dates_can_fill(call: Call, place: Path, step: int) -> None:
    days = [FIRST + timedelta(days=n * step) for n in range(60)]
    lines = [[n, days[n // 20], n % 7, n % 4 == 0] for n in range(1200)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(lines, "id,day,size,late"))
    assert call("sales", "--from", "exports/a.csv", "--label", "late")[0] == 0
    found = read_pipeline(place / "sales" / "pipeline.yaml")
    assert found.calendar.split(days[-1], set(days)).too_little is None


def test_a_feed_that_rests_at_weekends_gets_a_calendar(call: Call, place: Path) -> None:
    days = [day for n in range(60) if (day := FIRST + timedelta(days=n)).weekday() < 5]
    lines = [[n, day, n % 7, n % 4 == 0] for n, day in enumerate(day for day in days for _ in range(20))]
    (place.parent / "exports" / "a.csv").write_text(csv_text(lines, "id,day,size,late"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "late")
    assert code == 0, answer
    found = read_pipeline(place / "sales" / "pipeline.yaml")
    assert found.feed.weekdays == ["mon", "tue", "wed", "thu", "fri"]
    assert max(days).weekday() == 4
    assert f'"date": "{max(days) + timedelta(days=3)}"' in answer["next"][-1]
    assert found.calendar.split(days[-1], set(days)).too_little is None


def test_data_that_arrives_today_has_no_end(call: Call, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [[n, date.today() - timedelta(days=n // 20), n % 7, n % 4 == 0] for n in range(600)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(lines, "id,day,size,late"))
    assert run_command(["new", "sales", "--from", "exports/a.csv", "--label", "late"]) == 0
    assert read_pipeline(place / "sales" / "pipeline.yaml").end is None
    assert "When the file of a later date arrives: .venv/bin/perennial land sales records DATE FILE" in capsys.readouterr().out


def test_rows_of_many_files_and_columns_are_sampled_in_bounded_memory(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.scaffold.sample.MAX_ROWS", 500)
    rows = orders()
    for number in range(0, len(rows), ROWS):
        (place.parent / "exports" / f"{number:05}.csv").write_text(csv_text(rows[number : number + ROWS]))
    code, answer = call(*NEW)
    assert (code, answer["key"]) == (0, ["order_id"])
    assert answer["dates"] > DAYS * 0.8
    assert answer["first"] == str(FIRST)
