"""`csv` of a source and `from` of a column: what they allow, and how a mistake is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perennial.config.dialect import Csv
from perennial.config.pipeline import Pipeline
from perennial.errors import PipelineRefusedError


@pytest.fixture
def refusal(pipeline_factory: Callable[..., Pipeline]) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """Return a function that gives the readings a dialect and their column `mode` more keys, and returns the refusal."""

    def refuse(csv: dict[str, Any], mode: dict[str, Any]) -> str:
        def edit(document: dict[str, Any]) -> None:
            document["sources"]["readings"]["csv"] = csv
            document["sources"]["readings"]["columns"]["mode"].update(mode)

        with pytest.raises(PipelineRefusedError) as refused:
            pipeline_factory(edit)
        return str(refused.value)

    return refuse


def test_defaults_are_the_csv_of_rfc_4180() -> None:
    dialect = Csv()
    assert (dialect.delimiter, dialect.quote, dialect.escape, dialect.encoding, dialect.decimal) == (",", '"', None, "utf-8", ".")
    assert dialect.settings == dialect.division == {}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("UTF-8", "utf-8"), ("utf8", "utf-8"), ("ISO-8859-1", "latin-1"), ("latin1", "latin-1"), ("CP1252", "windows-1252")],
)
def test_an_encoding_has_one_name_in_fingerprints(name: str, canonical: str) -> None:
    assert Csv.model_validate({"encoding": name}).encoding == canonical


def test_the_decimal_sign_does_not_divide_a_file_into_cells() -> None:
    dialect = Csv.model_validate({"delimiter": ";", "decimal": ","})
    assert dialect.settings == {"delimiter": ";", "decimal": ","}
    assert dialect.division == {"delimiter": ";"}


@pytest.mark.parametrize(
    ("csv", "mode", "expected"),
    [
        ({"delimiter": ";;"}, {}, "sources.readings.csv.delimiter: expected"),
        ({"delimiter": "x"}, {}, "sources.readings.csv.delimiter: expected"),
        ({"quote": "`"}, {}, "sources.readings.csv.quote: expected"),
        ({"escape": "/"}, {}, "sources.readings.csv.escape: expected"),
        ({"encoding": "utf-9"}, {}, "'latin-1' or 'windows-1252', found 'utf-9'. Did you mean 'utf-8'"),
        ({"decimal": ";"}, {}, "sources.readings.csv.decimal: expected"),
        ({"quote": None, "escape": "\\"}, {}, "without quotes nothing is escaped; remove escape, or set quote"),
        ({"comment": "#"}, {}, "sources.readings.csv.comment: unknown key"),
        ({}, {"from": ""}, "sources.readings.columns.mode.from: expected at least 1 characters"),
        ({}, {"from": "a\nb"}, "the character '\\n' cannot be shown; a name in a header is plain text on one line"),
        ({}, {"from": "machine"}, "sources.readings.columns.mode.from: another column is read from 'machine', too"),
        ({}, {"header": "Mode"}, "sources.readings.columns.mode.header: unknown key"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(refusal: Callable[..., str], csv: dict[str, Any], mode: dict[str, Any], expected: str) -> None:
    assert expected in refusal(csv, mode)


def test_a_name_in_the_header_is_known_to_the_contract(pipeline_factory: Callable[..., Pipeline]) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["sources"]["readings"]["columns"]["mode"].update({"from": "Mode of Operation", "optional": True})

    source = pipeline_factory(edit).sources["readings"]
    assert source.header["Mode of Operation"] == "mode"
    assert source.may_lack(None) == {"Mode of Operation"}
    assert "header" not in source.columns["mode"].rules
