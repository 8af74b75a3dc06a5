"""Names in the answers of models whose numbers have intervals. Spark's workers import this, so it imports nothing."""

INTERVAL = "interval"
"""The second output of a graph whose numbers have intervals: their bounds, [rows, 2]."""

BOUNDS = ("low", "high")
"""The names of these bounds in answers, scores and stored predictions."""
