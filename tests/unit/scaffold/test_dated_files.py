"""`perennial new` with the date in the names of the files: the time of day is an input as without it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from scaffold_orders import FIRST, csv_text

from perennial.config.load import read_pipeline

Call = Callable[..., tuple[int, dict[str, Any]]]
HEADER = "station,observed_at,size,late"


def write(place: Path, hour: Callable[[int], str], header: str = HEADER, **more: Callable[[int], str]) -> None:
    """Write a file for each of 20 dates with three stations and 24 hours."""
    for offset in range(20):
        day = FIRST + timedelta(days=offset)
        rows = [
            ["abc"[n % 3], f"{day}T{hour(n // 3)}", n % 7, n % 5 == 0, *[f"{day}{cell(n // 3)}" for cell in more.values()]]
            for n in range(72)
        ]
        (place.parent / "exports" / f"w_{day}.csv").write_text(csv_text(rows, ",".join([header, *more])))


def test_a_pattern_with_the_date_gives_the_same_inputs(call: Call, place: Path) -> None:
    write(place, lambda n: f"{n:02}:00:00")
    answers = [
        call("dated", "--from", "exports/w_{date}.csv", "--label", "late"),
        call("plain", "--from", "exports/*.csv", "--label", "late"),
    ]
    assert [code for code, _ in answers] == [0, 0], answers
    dated, plain = (read_pipeline(place / name / "pipeline.yaml") for name in ("dated", "plain"))
    assert "observed_at_time" in dated.inputs.request
    assert dated.inputs == plain.inputs
    features = [(place / name / "features.sql").read_text() for name in ("dated", "plain")]
    assert features[0] == features[1]
    assert answers[0][1]["left_out"] == answers[1][1]["left_out"]


def test_a_column_that_repeats_the_date_of_the_file_is_no_input(call: Call, place: Path) -> None:
    write(place, lambda n: f"{n:02}:00:00", day=lambda _: "")
    code, answer = call("dated", "--from", "exports/w_{date}.csv", "--label", "late")
    assert (code, answer["left_out"]["day"]) == (0, "it is the date of the row, which the field date has"), answer
    assert "observed_at_time" in read_pipeline(place / "dated" / "pipeline.yaml").inputs.request


def test_a_timestamp_of_another_date_than_its_file_is_named(call: Call, place: Path) -> None:
    write(place, lambda n: f"{n:02}:00:00Z")
    code, answer = call("dated", "--from", "exports/w_{date}.csv", "--label", "late", "--time-zone", "Europe/Berlin")
    assert code == 0, answer
    reason = answer["left_out"]["observed_at"]
    assert (
        f"in Europe/Berlin is not that of the file in 60 of 1440 rows, such as {FIRST}T23:00:00Z in a file of {FIRST}" in reason
    )
    assert "observed_at_time" not in read_pipeline(place / "dated" / "pipeline.yaml").inputs.request


def test_two_timestamps_of_the_date_are_named(call: Call, place: Path) -> None:
    write(place, lambda n: f"{n:02}:00:00", sent_at=lambda n: f"T{n:02}:30:00")
    code, answer = call("dated", "--from", "exports/w_{date}.csv", "--label", "late")
    assert code == 0, answer
    assert "observed_at and sent_at have the date of the file: name the one" in answer["left_out"]["sent_at"]
