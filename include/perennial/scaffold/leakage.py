"""Suspects of leakage: columns that tell the label almost perfectly, or that are filled only once the label is known."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence

from perennial.scaffold.cells import read_cell
from perennial.scaffold.columns import Column

MIN_AUC = 0.985
MIN_OF_EACH = 20
_BINS = 50
_MAX_CHANCE = 1e-6
_PURE = 0.995


def find_leak(
    column: Column, cells: Sequence[str], answers: Sequence[bool | None], sides: tuple[str, str], decimal: str = "."
) -> str | None:
    """
    Return why a column is a suspect, or None. Rows without a label do not count.

    :param answers: the side of each row's label: True is the first one of `sides`
    """
    pairs = [(text, answer) for text, answer in zip(cells, answers, strict=True) if answer is not None]
    positives = sum(answer for _, answer in pairs)
    if min(positives, len(pairs) - positives) < MIN_OF_EACH:
        return None
    if reason := _one_sided(column, pairs, sides, positives / len(pairs)):
        return reason
    groups = _group(column, [text for text, _ in pairs], decimal)
    auc = _area([(group, answer) for group, (_, answer) in zip(groups, pairs, strict=True)])
    return f"alone it tells almost perfectly whether the label is {sides[0]} (ROC AUC {auc:.3f})" if auc >= MIN_AUC else None


def _one_sided(column: Column, pairs: Sequence[tuple[str, bool]], sides: tuple[str, str], share: float) -> str | None:
    """Return a reason if the column is filled, or empty, only in rows of one side, and not by chance."""
    for word, is_null in (("filled", False), ("empty", True)):
        answers = [answer for text, answer in pairs if column.is_null(text) is is_null]
        if not answers or len(answers) == len(pairs):
            continue
        rows = sum(answers), len(answers) - sum(answers)
        for side, of_side, base in zip(sides, rows, (share, 1 - share), strict=True):
            if of_side / len(answers) >= _PURE and base ** len(answers) < _MAX_CHANCE:
                return f"it is {word} only in rows whose label is {side}"
    return None


def _group(column: Column, texts: Sequence[str], decimal: str) -> list[object]:
    """Return the value of each row, or its bin if the column has many numbers; a frequent number is a bin of its own."""
    if column.type not in ("integer", "double") or column.distinct <= _BINS:
        return list(texts)
    least = column.rows / _BINS
    frequent = {text for text, count in column.counts.items() if count >= least}
    values = {text: read_cell(column.type, text, decimal) for text in column.counts}
    numbers = sorted(float(value) for text in texts if isinstance(value := values.get(text), int | float))
    edges = [numbers[len(numbers) * index // _BINS] for index in range(1, _BINS)]

    def place(text: str) -> object:
        value = values.get(text)
        return text if text in frequent or value is None else bisect_right(edges, value)

    places = {text: place(text) for text in {*texts}}
    return [places[text] for text in texts]


def _area(pairs: Sequence[tuple[object, bool]]) -> float:
    """
    Return the area under the ROC curve, on every second row, of the rates that the other rows give to each value.

    Values that are seen once say nothing this way, so an identifier is no suspect.
    """
    learn, judge = pairs[::2], pairs[1::2]
    rates: dict[object, list[int]] = defaultdict(lambda: [0, 0])
    for value, answer in learn:
        rates[value][answer] += 1
    base = sum(answer for _, answer in learn) / len(learn)
    scores: dict[float, Counter[bool]] = defaultdict(Counter)
    for value, answer in judge:
        negative, positive = rates[value] if value in rates else (0, 0)
        scores[(positive + base) / (negative + positive + 1)][answer] += 1
    below = area = 0.0
    for _, counts in sorted(scores.items()):
        area += counts[True] * (below + counts[False] / 2)
        below += counts[False]
    positives = sum(counts[True] for counts in scores.values())
    return area / (positives * below) if positives and below else 0.5
