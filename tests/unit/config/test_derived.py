"""Derived inputs: what may be written, and how everything else is refused."""

from __future__ import annotations

from datetime import date

import pytest

from perennial.config.derived import FUNCTIONS, Derived, parse_derived
from stack.config import REPO

REFERENCE = REPO / "docs/reference/pipeline.md"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minute_of_day(t)", Derived("minute_of_day", ("t",))),
        (" difference( a , b ) ", Derived("difference", ("a", "b"))),
        (
            "days_to_nearest(day, 2013-01-01, 2013-07-04)",
            Derived("days_to_nearest", ("day",), (date(2013, 1, 1), date(2013, 7, 4))),
        ),
    ],
    ids=["one column", "blanks", "dates"],
)
def test_parses(text: str, expected: Derived) -> None:
    assert parse_derived(text) == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_reference_names_every_function_and_the_type_that_it_takes(name: str) -> None:
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith(f"| `{name}(")]
    assert [row.split("|")[2].strip().removesuffix("s") for row in rows] == [FUNCTIONS[name].of or "number"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_counts_its_columns(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} takes \d columns"):
        parse_derived(f"{name}()")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minute_of_dya(t)", "Did you mean 'minute_of_day'"),
        ("eval(x)", "unknown function 'eval'"),
        ("minute_of_day", "not of the form"),
        ("minute_of_day(t(x))", "not of the form"),
        ("minute_of_day(t); drop table x", "not of the form"),
        ("difference(a)", "takes 2 columns, found 1"),
        ("days_to_nearest(day)", "at least one date"),
        ("days_to_nearest(day, christmas)", "christmas"),
        ("", "not of the form"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parse_derived(text)
