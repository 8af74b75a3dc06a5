"""Files of other dialects: the YAML declares the dialect where it is not the default, and headers that are no column names."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scaffold_orders import csv_text

from perennial.config.load import read_pipeline
from perennial.config.tables import Source
from perennial.scaffold.columns import column_names

Call = Callable[..., tuple[int, dict[str, Any]]]
DAY = date(2026, 1, 1)
ROWS = [[n, DAY + timedelta(days=n // 20), f"M{n % 7},{n % 3}", n % 11 / 4, "yes" if n % 3 else "no"] for n in range(600)]
QUOTED = [[*row[:2], f'say "{row[2]}"', *row[3:]] for row in ROWS]
HEADER = "id,day,machine,load,late"
TEXT = csv_text(ROWS, HEADER)


@pytest.fixture
def source(call: Call, place: Path) -> Callable[[bytes, str], Source]:
    """Return a function that makes a pipeline of one file and returns its source."""

    def make(body: bytes, name: str = "a.csv", *options: str) -> Source:
        (place.parent / "exports" / name).write_bytes(body)
        code, answer = call("sales", "--from", f"exports/{name}", "--label", "late", *options)
        assert code == 0, answer
        return read_pipeline(place / "sales" / "pipeline.yaml").sources["records"]

    return make


def comma(text: str) -> str:
    """Return a text with decimal commas, whose delimiter is a semicolon."""
    return csv_text([[*row[:3], str(row[3]).replace(".", ","), row[4]] for row in ROWS], HEADER, delimiter=";")


@pytest.mark.parametrize(
    ("body", "settings"),
    [
        (TEXT.encode(), {}),
        (gzip.compress(TEXT.encode()), {}),
        (b"\xef\xbb\xbf" + TEXT.encode(), {}),
        (TEXT.replace("\n", "\r\n").encode(), {}),
        (csv_text(ROWS, HEADER, delimiter=";").encode(), {"delimiter": ";"}),
        (csv_text(ROWS, HEADER, delimiter="\t").encode(), {"delimiter": "\t"}),
        (csv_text(ROWS, HEADER, delimiter="|").encode(), {"delimiter": "|"}),
        (csv_text(ROWS, HEADER, quotechar="'").encode(), {"quote": "'"}),
        (csv_text(QUOTED, HEADER, doublequote=False, escapechar="\\").encode(), {"escape": "\\"}),
        (comma(TEXT).encode(), {"delimiter": ";", "decimal": ","}),
        (TEXT.replace("M1", "München").encode("latin-1"), {"encoding": "windows-1252"}),
        (TEXT.replace("M1", "München").encode("utf-16"), {"encoding": "utf-16"}),
        (TEXT.replace("M1", "München").encode(), {}),
    ],
    ids="default gzip mark crlf semicolon tab pipe quote backslash decimal latin utf-16 utf-8".split(),
)  # fmt: skip
@pytest.mark.exhaustive
def test_the_dialect_is_declared_where_it_is_not_the_default(
    source: Callable[..., Source], body: bytes, settings: dict[str, str]
) -> None:
    made = source(body, "a.csv.gz" if body[:2] == b"\x1f\x8b" else "a.csv")
    assert made.csv.settings == settings
    assert {name: column.type for name, column in made.columns.items()} == {
        "id": "integer", "day": "date", "machine": "string", "load": "double", "late": "string"
    }  # fmt: skip


def test_names_of_the_header_that_are_no_column_names_are_read_by_from(source: Callable[..., Source]) -> None:
    made = source(TEXT.replace(HEADER, "Order Id,date,Größe (cm),load,late").encode())
    assert {name: column.header for name, column in made.columns.items()} == {
        "order_id": "Order Id", "date_value": "date", "groe_cm": "Größe (cm)", "load": None, "late": None
    }  # fmt: skip


def test_a_name_of_iceberg_gets_another() -> None:
    assert column_names(["_deleted", "_pos", "_change_type", "deleted"]) == ["deleted_2", "pos", "_change_type", "deleted"]


def test_column_names_are_unique_and_valid_ones_stay() -> None:
    header = ["Order Id", "order_id", "ORDER ID", "1st", "日本", "as_of", "__x", "ok_1"]
    assert column_names(header) == ["order_id_2", "order_id", "order_id_3", "c_1st", "column_5", "as_of_value", "x", "ok_1"]


@pytest.mark.parametrize(
    ("cells", "kind", "null_text"),
    [
        (["1", "2", "NA"], "integer", "NA"),
        (["1.5", "-", "2"], "double", "-"),
        (["2026-01-01", "null"], "date", "null"),
        (["08:30", "N/A"], "time", "N/A"),
        (["007", "010"], "string", None),
        (["DE", "NA"], "string", None),
        (["north", "NA"], "string", "NA"),
        (["a", "-"], "string", None),
        (["1", "NA", "-"], "string", "NA"),
        (["True", "False"], "boolean", None),
        (["99999999999999999999"], "double", None),
        (["2026-01-01 10:00"], "timestamp", None),
        (["2026-01-01T10:00:00.123456789+0100"], "timestamp", None),
        (["2026-02-30"], "string", None),
        (["1,234"], "string", None),
        (["1e400"], "string", None),
        (["nan", "inf"], "string", "nan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.exhaustive
def test_the_type_is_the_narrowest_that_reads_every_cell(
    source: Callable[..., Source], cells: list[str], kind: str, null_text: str | None
) -> None:
    rows = [[*row[:4], cells[row[0] % len(cells)], row[4]] for row in ROWS]
    column = source(csv_text(rows, "id,day,machine,load,it,late").encode(), "a.csv", "--date-column", "day").columns["it"]
    assert (column.type, column.null_text) == (kind, null_text)
