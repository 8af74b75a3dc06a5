"""The decision on a date by the counts of its rows."""

from __future__ import annotations

from perennial.clean.verdict import Count, judge


def test_counts_of_one_rule_add_up() -> None:
    counts = [Count(None, None, 90), Count("a", "type", 4), Count("a", "type", 5), Count("", "cells", 1)]

    quarantined, refusal = judge(counts, 100, 0.05)

    assert quarantined == 10
    assert refusal is not None
    assert refusal.rules == {"a type": 9, "row cells": 1}
    assert judge(counts, 100, 0.1) == (10, None)
