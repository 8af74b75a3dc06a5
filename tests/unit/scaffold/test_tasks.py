"""`perennial new` for a label that is a number or one of several classes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import csv_text

from perennial.cli import run_command
from perennial.config.load import read_pipeline
from perennial.config.pipeline import Pipeline

Call = Callable[..., tuple[int, dict[str, Any]]]
HEADER = "id,day,shop,weight,minutes,seconds,overtime,size,size_code,refund"
DAYS, ROWS = 30, 20
PLACES = ["m", "s", "l"]


def deliveries() -> list[list[Any]]:
    """Return deliveries: minutes and a size, and for each two columns that are known only after it."""
    chance = random.Random("deliveries")
    rows = []
    for number in range(DAYS * ROWS):
        weight = round(chance.uniform(1, 30), 1)
        minutes = round(10 + weight + chance.expovariate(0.1), 2)
        size = chance.choices(PLACES, weights=[6, 3, 1])[0]
        rows.append(
            [
                number,
                date(2026, 1, 1) + timedelta(days=number // ROWS),
                f"S{chance.randrange(9)}",
                weight,
                minutes,
                round(60 * minutes),
                round(minutes - 40, 2) if minutes > 40 else "",
                size,
                7 * PLACES.index(size),
                "" if size == "m" else 5,
            ]
        )
    return rows


@pytest.fixture
def make(call: Call, place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, Any], Pipeline]]:
    """Return a function that makes a valid pipeline of the deliveries, and returns the answer and the pipeline."""

    def make_pipeline(*options: str) -> tuple[dict[str, Any], Pipeline]:
        (place.parent / "exports" / "a.csv").write_text(csv_text(deliveries(), HEADER))
        code, answer = call("trips", "--from", "exports/a.csv", *options)
        assert code == 0, answer
        assert run_command(["validate", "trips", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["pipelines"][0]["doubts"] == []
        return answer, read_pipeline(place / "trips" / "pipeline.yaml")

    return make_pipeline


def test_a_number_becomes_a_regression(make: Callable[..., tuple[dict[str, Any], Pipeline]]) -> None:
    answer, pipeline = make("--label", "minutes", "--predict", "quantile 0.90")
    minutes = sorted(row[4] for row in deliveries())
    assert answer["label"] == {
        "task": "regression",
        "column": "minutes",
        "predict": "quantile 0.9",
        "min": minutes[0],
        "median": minutes[len(minutes) // 2 - 1],
        "mean": pytest.approx(sum(minutes) / len(minutes)),
        "max": minutes[-1],
    }
    assert pipeline.label.describe() == "the quantile 0.9 of minutes"
    assert list(answer["request"]) == ["shop", "weight", "size", "size_code", "refund"]
    above = f"above {answer['label']['median']:g}"
    assert f"alone it tells almost perfectly whether the label is {above} (ROC AUC" in answer["left_out"]["seconds"]
    assert f"it is filled only in rows whose label is {above}." in answer["left_out"]["overtime"]
    assert pipeline.gate.floors.model_fields_set == {"rows"}
    assert pipeline.gate.floors.rows == 70  # half of a holdout of 7 dates
    text = (pipeline.folder / "lookups" / "shop_means.sql").read_text()
    assert "-- The mean of minutes, of each shop over the 28 days before as_of." in text
    assert "(SUM(r.minutes) + " in text
    assert "This pipeline predicts the quantile 0.9 of minutes." in (pipeline.folder / "README.md").read_text()


def test_texts_become_classes_in_the_order_of_their_frequency(
    make: Callable[..., tuple[dict[str, Any], Pipeline]],
) -> None:
    answer, pipeline = make("--label", "size", "--classes")
    assert (answer["label"]["task"], answer["label"]["classes"]) == ("multiclass", ["m", "s", "l"])
    shares = answer["label"]["shares"]
    assert list(shares) == ["m", "s", "l"]
    assert sum(shares.values()) == pytest.approx(1)
    assert pipeline.label.describe() == "the class of size among m, s, l"
    assert list(answer["request"]) == ["shop", "weight", "minutes", "seconds", "overtime"]
    assert "alone it tells almost perfectly whether the label is m (ROC AUC 1.000)" in answer["left_out"]["size_code"]
    assert "it is filled only in rows whose label is not m." in answer["left_out"]["refund"]
    assert pipeline.gate.floors.model_fields_set == {"rows"}
    assert "COUNT_IF(r.size = 'm')" in (pipeline.folder / "lookups" / "shop_rates.sql").read_text()
    lines = (pipeline.folder / "pipeline.yaml").read_text().splitlines()
    assert [line for line in lines if line.startswith(("task", "label")) and "#" not in line] == []


def test_the_result_says_what_is_predicted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place.parent / "exports" / "a.csv").write_text(csv_text(deliveries(), HEADER))
    assert run_command(["new", "trips", "--from", "exports/a.csv", "--label", "size", "--classes"]) == 0
    assert "  predicts the class of size among m, s, l: 'm' in 6" in (said := capsys.readouterr().out)
    assert "% of the rows; 6 request fields\n" in said
    assert run_command(["new", "times", "--from", "exports/a.csv", "--label", "minutes", "--predict", "mean"]) == 0
    assert "  predicts the mean of minutes: 1" in capsys.readouterr().out


def labelled(values: list[str], **dialect: Any) -> str:
    """Return a file whose label has these values in turn."""
    days = [date(2026, 1, 1) + timedelta(days=number // 20) for number in range(400)]
    return csv_text([[n, day, n % 7, values[n % len(values)]] for n, day in enumerate(days)], "id,day,size,y", **dialect)


@pytest.mark.parametrize(
    ("values", "options", "settings"),
    [
        (["1,5", "20", "3,25"], ["--predict", "median"], {"predict": "median", "median": 3.25, "max": 20.0}),
        (["9", "9", "9", "2"], ["--predict", "mean"], {"predict": "mean", "mean": 7.25}),
        (["-1e3", "0", ""], ["--predict", "quantile .5"], {"predict": "median", "min": -1000.0}),
        (["2.0", "1.0", "3.0", "1.0", ""], ["--classes"], {"classes": [1, 2, 3], "shares": {"1": 0.5, "2": 0.25, "3": 0.25}}),
        (["18-25 (young)", "<18", "> 25 & old"], ["--classes"], {"classes": ["18-25 (young)", "<18", "> 25 & old"]}),
    ],
    ids=["decimal-commas", "the-median-is-the-maximum", "nulls", "whole-numbers-with-a-point", "signs"],
)
def test_a_label_is_read_as_its_column_is(
    call: Call, place: Path, values: list[str], options: list[str], settings: dict[str, Any]
) -> None:
    (place.parent / "exports" / "a.csv").write_text(labelled(values, delimiter=";"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "y", "--key", "id", *options)
    assert code == 0, answer
    assert {name: answer["label"][name] for name in settings} == settings
    features = (place / "sales" / "features.sql").read_text()
    assert ("CAST(r.y AS INT) AS y" in features) == ("2.0" in values)


def test_a_copy_of_a_number_whose_median_is_its_maximum_is_a_suspect(call: Call, place: Path) -> None:
    rows = [[n, date(2026, 1, 1) + timedelta(days=n // 20), n % 7, y := 9 if n % 3 else 2, 10 * y] for n in range(400)]
    (place.parent / "exports" / "a.csv").write_text(csv_text(rows, "id,day,size,y,copy"))
    code, answer = call("sales", "--from", "exports/a.csv", "--label", "y", "--predict", "mean")
    assert code == 0, answer
    assert "tells almost perfectly whether the label is at least 9" in answer["left_out"]["copy"]


@pytest.mark.parametrize(
    ("values", "options", "text"),
    [
        (["1.5", "2", "3"], [], "3 values ('1.5', '2', '3'), expected two. Choose what to predict: --predict median (or"),
        (["1", "2", "3"], [], "--positive VALUE for one value against all others, --classes for each of them, --predict median"),
        (["a", "b", "c"], [], "--positive VALUE for one value against all others, --classes for each of them."),
        ([f"t{n}" for n in range(21)], [], "Choose what to predict: --positive VALUE for one value against all others."),
        (["1", "many"], ["--predict", "mean"], "The label 'y': expected numbers, found 'many'"),
        (["1,234", "17"], ["--predict", "mean"], "found '1,234'. Write each in digits, without a unit or a thousands separator"),
        (["5", "5"], ["--predict", "mean"], "expected two values or more, found '5' only"),
        (["1", "1e31"], ["--predict", "mean"], "has 1e+31, expected numbers up to 1e+30"),
        (["1", "2"], ["--predict", "average"], "--predict 'average': expected mean, median, or a quantile from 0.01 to 0.99"),
        (["a", "b"], ["--classes"], "has 2 values ('a', 'b'), expected 3 to 20 classes. Leave out --classes."),
        ([f"t{n}" for n in range(21)], ["--classes"], "('t0', 't1', 't2', 't3', 't4', …), expected 3 to 20 classes"),
        (["1.5", "2", "3"], ["--classes"], "expected texts or whole numbers as classes"),
        (["2026-01-01", "2026-01-02", "2026-01-03"], ["--classes"], "expected texts or whole numbers as classes"),
        (["a", "b", "long" * 40], ["--classes"], "expected classes of at most 128 characters"),
        (["n'o", "yes", "maybe"], ["--classes"], "is not a plain word"),
        (["a", "b", "c"], ["--classes", "--positive", "a"], "--positive and --classes: expected one of them"),
    ],
)  # fmt: skip
def test_a_label_that_does_not_fit_is_refused_with_the_options_that_do(
    call: Call, place: Path, values: list[str], options: list[str], text: str
) -> None:
    (place.parent / "exports" / "a.csv").write_text(labelled(values))
    words = ["--from", "exports/a.csv", "--label", "y", "--key", "id", "--date-column", "day", *options]
    code, answer = call("sales", *words)
    assert (code, text in answer["error"]) == (1, True), answer
    assert not place.exists() or list(place.iterdir()) == []
