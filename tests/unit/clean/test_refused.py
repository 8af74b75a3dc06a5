"""What the error of a refused date says: each broken rule with what it allows, and a row to look at."""

from __future__ import annotations

from perennial.clean.refused import rule_problems
from perennial.clean.verdict import Example, Refusal
from perennial.config.tables import ColumnContract

COLUMNS = {
    "delay": ColumnContract(type="double", range=[-120, 1500]),
    "state": ColumnContract(type="string", enum=[f"S{index:02d}" for index in range(12)]),
    "code": ColumnContract(type="string", max_length=3),
    "day": ColumnContract(type="date", required=True),
}


def test_each_rule_says_what_it_allows_and_shows_a_row():
    rules = {"delay range": 7, "state enum": 3, "code max_length": 2, "day required": 1, "day type": 1, "row cells": 1}
    examples = (Example("a.csv", 4, "delay", "range", "9999"), Example("a.csv", 9, "delay", "range", "8888"))
    refusal = Refusal(100, 100, 15, 0.05, rules, examples)
    assert rule_problems(refusal, COLUMNS) == [
        "delay range (-120 to 1500): 7 rows, for example '9999' in a.csv, row 4",
        "state enum (S00, S01, S02, S03, S04, S05, S06, S07, S08, S09, … 12 in total): 3 rows",
        "code max_length (3): 2 rows",
        "day required: 1 row",
        "day type (date): 1 row",
        "row cells: 1 row",
    ]


def test_a_rule_that_the_contract_no_longer_has_is_named_as_it_was():
    assert rule_problems(Refusal(10, 10, 2, 0.0, {"gone range": 2}), COLUMNS) == ["gone range: 2 rows"]


def test_a_column_of_another_name_in_its_files_is_shown_with_both() -> None:
    columns = {"order_date": ColumnContract.model_validate({"type": "date", "from": "Order Date"})}
    assert rule_problems(Refusal(10, 10, 2, 0.0, {"order_date type": 2}), columns) == [
        "order_date ('Order Date' in its files) type (date): 2 rows"
    ]
