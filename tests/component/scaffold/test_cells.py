"""The cells that `perennial new` reads in Python: Spark reads each of them, and gives the same value."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from spark_job import run_jobs

from perennial.config.date_format import read_format
from perennial.scaffold.cells import is_skipped, iso_text, read_cell

JOB = """
import json, sys
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from perennial.clean.cells import typed

spark = SparkSession.builder.config("spark.log.level", "OFF").config("spark.sql.session.timeZone", "UTC").getOrCreate()
cells = json.loads(sys.argv[1])
columns = "number int, kind string, text string, decimal string"
rows = spark.createDataFrame([(number, *cell) for number, cell in enumerate(cells)], columns)
found = {}
for kind, decimal in {(kind, decimal) for kind, _, decimal in cells}:
    chosen = rows.where((F.col("kind") == kind) & (F.col("decimal") == decimal))
    value = typed(kind, F.col("text"), decimal)
    shown = F.unix_micros(value) if kind == "timestamp" else F.unix_date(value) if kind == "date" else value
    found |= {row.number: row.value for row in chosen.select("number", shown.alias("value")).collect()}
print("SAID " + json.dumps([found[number] for number in range(len(cells))]))

kinds, texts = json.loads(sys.argv[2]), json.loads(sys.argv[3])
spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
rows = spark.createDataFrame(list(enumerate(texts)), "number int, text string")
values = [typed(kind, F.col("text"), date_format=form) for form, kind in kinds.items()]
shown = [F.unix_micros(value) if kind == "timestamp" else F.unix_date(value) for value, kind in zip(values, kinds.values())]
by_text = rows.select(F.array(*[value.cast("bigint") for value in shown]).alias("values")).orderBy("number")
print("SAID " + json.dumps([list(row["values"]) for row in by_text.collect()]))
"""

WORDS = """
0 7 -7 +7 007 9223372036854775807 9223372036854775808 1.5 1,5 .5 5. 1e5 1E-5 1e400 1_000 0x1 NaN inf -0
true TRUE True tRuE false 1 yes on
2026-01-31 2026-02-29 2024-02-29 0000-01-01 0001-01-01 9999-12-31 10000-01-01 2026-1-1 26-01-01
00:00 23:59 24:00 8:30 08:60 08:30:00
2026-01-31T10:00 2026-01-31T10:00:00 2026-01-31T10:00:00.5 2026-01-31T10:00:00.123456789
2026-01-31T10:00Z 2026-01-31T10:00:00Z 2026-01-31T10:00:00+01:00 2026-01-31T10:00:00+0100 2026-01-31T10:00+01
2026-01-31T24:00Z 2026-01-31T10:60Z 2026-02-30T10:00Z 2026-01-31T10:00:61Z 2026-01-31T10:00z 2026-01-31t10:00Z
0001-01-01T00:00:00+14:00 9999-12-31T23:59:59-14:00 2026-01-31T10:00:00+19:00 2026-01-31T10:00:00+01:60
2026-01-31T10:00:00+18:00 2026-01-31T10:00:00-18:01 2026-01-31T10:00:00+17:59 2026-01-31T10:00+1
"""
TEXTS = [*WORDS.split(), "", " ", " 1", "1 ", "2026-01-31 10:00", "2026-01-31 10:00:00.5Z"]
KINDS = ("integer", "double", "boolean", "date", "time", "timestamp")
CELLS = [(kind, text, decimal) for kind in KINDS for text in TEXTS for decimal in ((".", ",") if kind == "double" else (".",))]
BERLIN = ZoneInfo("Europe/Berlin")
FORMATS = [
    *("dd.MM.yyyy", "d.M.yyyy", "MM/dd/yyyy", "M/d/yy", "yyyyMMdd", "yy-MM-dd", "yyyy_M_dd", "dd. MM. yyyy", "yyyy.MM.dd."),
    *("dd.MM.yyyy HH:mm", "d/M/yyyy H:mm:ss", "yyyyMMddHHmmss", "yyyyMMdd'T'HHmm", "dd.MM.yy, HH:mm:ss.SSS", "HH:mm yyyy-MM-dd"),
    *("M/d/yyyy h:mm a", "MM/dd/yyyy hh:mm:ssa", "yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "d.M.yyyy H:mm:ss,S"),
]
"""Each field and each sign at least once."""

SIGNS = ". / - : , _ T 0 1 9 A pm \u0663 \u00e4 \n \t \u00a0 + Z 2026-12-31".split(" ")


def shown_as(form: str, moment: datetime) -> str:
    """Return a moment in a format, as a program that knows nothing of the readers writes it."""
    names = {
        "yyyy": f"{moment.year:04}", "yy": f"{moment.year % 100:02}", "MM": f"{moment.month:02}", "M": str(moment.month),
        "dd": f"{moment.day:02}", "d": str(moment.day), "HH": f"{moment.hour:02}", "H": str(moment.hour), "'T'": "T",
        "hh": f"{(moment.hour + 11) % 12 + 1:02}", "h": str((moment.hour + 11) % 12 + 1), "mm": f"{moment.minute:02}",
        "ss": f"{moment.second:02}", "a": "am" if moment.hour < 12 else "PM",
        **{"S" * count: f"{moment.microsecond * 1000:09}"[:count] for count in (1, 3, 9)},
    }  # fmt: skip
    for name in sorted(names, key=len, reverse=True):
        form = form.replace(name, f"<{list(names).index(name)}>")
    for number, value in enumerate(names.values()):
        form = form.replace(f"<{number}>", value)
    return form


def make_texts() -> dict[str, tuple[str, datetime] | None]:
    """Return texts, each with the format and the moment that it was written from; None: one that was broken."""
    chance = random.Random("formats")
    edges = [
        datetime(2026, 3, 29, 2, 30),
        datetime(2026, 10, 25, 2, 30),
        datetime(2024, 2, 29, 0, 5),
        datetime(2026, 12, 31, 12, 59),
    ]
    texts: dict[str, tuple[str, datetime] | None] = {}
    for form in FORMATS:
        moments = [*edges, *(datetime(2000, 1, 1) + timedelta(seconds=chance.randrange(3 * 10**9)) for _ in range(60))]
        for moment in moments:
            text = shown_as(form, moment)
            texts[text] = form, moment
            for _ in range(2):
                at = chance.randrange(len(text) + 1)
                sign = chance.choice(["", " ", *SIGNS])
                texts.setdefault(text[:at] + sign + text[at + chance.randrange(2) :], None)
        for broken in (datetime(2026, 11, 30), datetime(2026, 2, 28)):
            texts.setdefault(shown_as(form, broken).replace("30", "31").replace("28", "30"), None)
            texts.setdefault(shown_as(form, broken).replace("11", "13").replace("2026", "0000"), None)
    return texts


TEXTS_OF_FORMATS = make_texts()
KINDS_OF_FORMATS = {form: read_format(form).kind for form in FORMATS}


@pytest.fixture(scope="module")
def job_values(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return the value of each cell, and the values of each text by each format, as Spark reads them."""
    words = [json.dumps(CELLS), json.dumps(KINDS_OF_FORMATS), json.dumps(list(TEXTS_OF_FORMATS))]
    return run_jobs(tmp_path_factory.mktemp("cells"), JOB, [], words)


@pytest.fixture(scope="module")
def spark_values(job_values: list[Any]) -> list[Any]:
    """Return the value of each cell as Spark reads it."""
    return list(job_values[0])


def read_with_python(text: str, form: str) -> int | None:
    """Return the value of a text as `perennial new` reads it: days or microseconds since 1970, a local time in Berlin."""
    kind, iso = KINDS_OF_FORMATS[form], iso_text(text, form)
    value = None if iso is None else read_cell(kind, iso)
    if not isinstance(value, date):
        return None
    if not isinstance(value, datetime):
        return (value - date(1970, 1, 1)).days
    return None if is_skipped(str(iso), BERLIN) else micros_of(value)


def micros_of(moment: datetime) -> int:
    """Return the microseconds since 1970 of a local time in Berlin; the first one if it happens twice."""
    return (moment.replace(tzinfo=BERLIN) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_both_read_each_text_of_each_format_alike_or_not_at_all(job_values: list[Any]) -> None:
    pairs = [
        (text, form, read_with_python(text, form), spark)
        for text, values in zip(TEXTS_OF_FORMATS, job_values[1], strict=True)
        for form, spark in zip(FORMATS, values, strict=True)
    ]
    assert len(pairs) > 25_000
    assert [pair for pair in pairs if pair[2] != pair[3]] == []
    counts = Counter(spark is None for *_, spark in pairs)
    assert counts[False] > 1_000


def test_a_text_of_a_format_is_the_moment_that_it_was_written_from(job_values: list[Any]) -> None:
    checked = 0
    for (text, written), values in zip(TEXTS_OF_FORMATS.items(), job_values[1], strict=True):
        if written is None:
            continue
        form, moment = written
        value, is_date = values[FORMATS.index(form)], KINDS_OF_FORMATS[form] == "date"
        if is_date:
            assert value == (moment.date() - date(1970, 1, 1)).days, (text, form)
        elif moment == datetime(2026, 3, 29, 2, 30):
            assert value is None, "clocks are set forward: this time does not happen"
        else:
            assert 0 <= micros_of(moment) - value < 60_000_000, (text, form)  # a format may lack the seconds
        checked += 1
    assert checked > 400


def plain(value: Any) -> Any:
    """Return a value as the job shows it."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value


def test_spark_reads_each_cell_that_python_reads_as_the_same_value(spark_values: list[Any]) -> None:
    read = [
        (cell, plain(value), spark)
        for cell, spark in zip(CELLS, spark_values, strict=True)
        if (value := read_cell(*cell)) is not None
    ]
    assert len(read) > 50
    assert [(cell, ours, spark) for cell, ours, spark in read if ours != spark or type(ours) is not type(spark)] == []


def test_python_reads_each_cell_that_spark_reads(spark_values: list[Any]) -> None:
    assert [cell for cell, spark in zip(CELLS, spark_values, strict=True) if spark is not None and read_cell(*cell) is None] == []
