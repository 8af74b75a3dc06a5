"""`format` of a column: the fields that it allows, what each of them reads, and how a mistake is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.date_format import read_format
from perennial.config.pipeline import Pipeline
from perennial.config.tables import ColumnContract
from perennial.errors import PipelineRefusedError
from perennial.scaffold.cells import iso_text

NONE: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("form", "texts", "others"),
    [
        ("dd.MM.yyyy", {"31.12.2026": "2026-12-31", "01.02.0099": "0099-02-01"},
         ("1.2.2026", "31.12.26", "31/12/2026", "31.12.2026 ", " 31.12.2026", "31.12.2026\n",
          "2026-12-31", "٣١.12.2026", "+1.12.2026", "")),
        ("d.M.yyyy", {"1.2.2026": "2026-02-01", "01.02.2026": "2026-02-01", "31.12.2026": "2026-12-31"},
         ("001.2.2026", ".2.2026")),
        ("M/d/yy", {"1/2/26": "2026-01-02", "12/31/99": "2099-12-31", "12/31/00": "2000-12-31"}, ("1/2/2026", "1/2/6")),
        ("yyyyMMdd", {"20261231": "2026-12-31"}, ("2026-12-31", "202612310", "2026123")),
        ("yyyy.MM.dd.", {"2026.12.31.": "2026-12-31"}, ("2026.12.31", "2026x12x31x")),
        ("yy_MM_dd", {"26_12_31": "2026-12-31"}, ("26-12-31",)),
        ("dd.MM.yyyy, HH:mm", {"31.12.2026, 09:05": "2026-12-31 09:05:00"},
         ("31.12.2026, 9:05", "31.12.2026 09:05", "31.12.2026")),
        ("yyyyMMdd'T'HHmmss", {"20261231T090507": "2026-12-31 09:05:07"}, ("20261231 090507", "20261231t090507")),
        ("d/M/yyyy H:mm:ss", {"1/2/2026 9:05:07": "2026-02-01 09:05:07"}, ("1/2/2026 9:5:07", "1/2/2026 9:05:07Z")),
        ("yyyy-MM-dd HH:mm:ss.SSS",
         {"2026-12-31 09:05:07.5": "2026-12-31 09:05:07.5", "2026-12-31 09:05:07.123": "2026-12-31 09:05:07.123"},
         ("2026-12-31 09:05:07", "2026-12-31 09:05:07.1234", "2026-12-31 09:05:07.", "2026-12-31T09:05:07.5")),
        ("M/d/yyyy h:mm a",
         {"1/2/2026 12:00 AM": "2026-01-02 00:00:00", "1/2/2026 12:30 pm": "2026-01-02 12:30:00",
          "1/2/2026 1:05 PM": "2026-01-02 13:05:00"},
         ("1/2/2026 13:05 PM", "1/2/2026 0:05 AM", "1/2/2026 1:05", "1/2/2026 1:05PM")),
        ("MM/dd/yyyy hh:mm:ssa", {"01/02/2026 01:05:07pM": "2026-01-02 13:05:07"}, ("01/02/2026 1:05:07PM",)),
        ("HH:mm dd-MM-yyyy", {"09:05 31-12-2026": "2026-12-31 09:05:00"}, NONE),
    ],
)  # fmt: skip
def test_a_format_reads_its_texts_and_no_others(form: str, texts: dict[str, str], others: tuple[str, ...]) -> None:
    ColumnContract.model_validate({"type": read_format(form).kind, "format": form})
    assert {text: iso_text(text, form) for text in texts} == texts
    assert {text: iso_text(text, form) for text in others} == dict.fromkeys(others)


@pytest.fixture
def refusal(pipeline_factory: Callable[..., Pipeline]) -> Callable[..., str]:
    """Return a function that gives a column of the readings a type and a format, and returns the refusal."""

    def refuse(kind: str, form: Any) -> str:
        def edit(document: dict[str, Any]) -> None:
            document["sources"]["readings"]["columns"]["measured_at"] = {"type": kind, "format": form}

        with pytest.raises(PipelineRefusedError) as refused:
            pipeline_factory(edit)
        return str(refused.value)

    return refuse


@pytest.mark.parametrize(
    ("kind", "form", "expected"),
    [
        ("date", "DD.MM.YYYY",
         "'DD' is no part of a format; 'YYYY' is no part of a format, found 'DD.MM.YYYY'. Did you mean 'dd.MM.yyyy'?"),
        ("date", "%d/%m/%Y", "Did you mean 'dd/MM/yyyy'?"),
        ("date", "dd.mm.yyyy",
         "it lacks the month, the hour (M is the month, m the minute), found 'dd.mm.yyyy'. Did you mean 'dd.MM.yyyy'?"),
        ("timestamp", "DD-MM-YYYY HH24:MI:SS", "Did you mean 'dd-MM-yyyy HH:mm:ss'?"),
        ("date", "dd MMM yyyy",
         "'MMM' is no part of a format (names of months are not read), found 'dd MMM yyyy'. Write it with yyyy,"),
        ("date", "dd.MM", "it lacks the year"),
        ("date", "", "it lacks the year, the month, the day"),
        ("date", "dd.MM.yyyy.MM", "it has the month 2 times"),
        ("date", "yyyy.MM.dd yy", "it has the year 2 times"),
        ("date", "yyyyMd", "yyyy and M need a sign between them: the number of digits varies"),
        ("timestamp", "yyyyMMddHHmmssSSS", "ss and SSS need a sign between them"),
        ("timestamp", "dd.MM.yyyy HH", "it lacks the minute"),
        ("timestamp", "dd.MM.yyyy HH:mm.SSS", "it lacks the second"),
        ("timestamp", "dd.MM.yyyy hh:mm", "it lacks the AM or PM"),
        ("timestamp", "dd.MM.yyyy HH:mm a", "the hour with AM or PM is h or hh"),
        ("timestamp", "dd.MM.yyyy HH:mm XXX", "'XXX' is no part of a format"),
        ("timestamp", "dd.MM.yyyy HH:mm:ss.SSSSSSSSSS", "'SSSSSSSSSS' is no part of a format"),
        ("date", "(dd|MM).*yyyy",
         "'(' is no part of a format; '|' is no part of a format; ')' is no part of a format; '*' is no"),
        ("date", "dd\\MM$1yyyy", "is no part of a format"),
        ("date", "dd'MM'yyyy", '"\'" is no part of a format'),
        ("date", "dd\u3000MM\u3000yyyy", "is no part of a format"),
        ("timestamp", "dd.MM.yyyy", "'dd.MM.yyyy' has no time, such as HH:mm:ss: change it, or the type to date"),
        ("date", "dd.MM.yyyy HH:mm",
         "'dd.MM.yyyy HH:mm' has a time, which a date does not have: change it, or the type to timestamp"),
        ("string", "dd.MM.yyyy", "format is for columns of type date or timestamp, this column has type string"),
        ("time", "HH:mm", "format is for columns of type date or timestamp, this column has type time"),
        ("date", "d" * 41, "expected at most 40 characters"),
        ("date", 20261231, "expected text (in quotes, if it looks like a number)"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_remedy(refusal: Callable[..., str], kind: str, form: Any, expected: str) -> None:
    text = refusal(kind, form)
    assert "sources.readings.columns.measured_at.format: " in text
    assert expected in text


def test_only_a_column_with_a_format_has_another_fingerprint() -> None:
    """The rules are a part of clean's fingerprint: history of before there were formats stays."""
    plain = ColumnContract.model_validate({"type": "date"}).rules
    assert plain == {"type": "date", "required": False, "range": None, "enum": None, "max_length": 1000, "null_text": None}
    assert ColumnContract.model_validate({"type": "date", "format": "d.M.yyyy"}).rules == plain | {"format": "d.M.yyyy"}
