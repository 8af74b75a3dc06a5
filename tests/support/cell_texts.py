"""Texts of cells, and the value that each has by its type."""

from __future__ import annotations

from typing import Any

BERLIN = "Europe/Berlin"
CELLS: tuple[tuple[str, str, Any], ...] = (
    *[("boolean", text, "true") for text in ("true", "True", "TRUE", "tRuE", "1")],
    *[("boolean", text, "false") for text in ("false", "False", "FALSE", "0")],
    *[("boolean", text, None) for text in ("yes", "t", "true ", "2", "01", "ture")],
    *[("integer", text, value) for text, value in (("007", "7"), ("-7", "-7"), ("+7", "7"), ("9223372036854775807",) * 2)],
    *[("integer", text, None) for text in ("9223372036854775808", "1.0", "1e3", " 1", "1_000", "٣")],
    *[("double", text, value) for text, value in (("1.5", "1.5"), (".5", "0.5"), ("2.", "2.0"), ("-1e-3", "-0.001"))],
    *[("double", text, None) for text in ("1,5", "NaN", "inf", "1e999", "1d", "0x1p3", " 1", "1.234,5")],
    *[("double,", text, value) for text, value in (("1,5", "1.5"), ("-,5", "-0.5"), ("2", "2.0"), ("1,5e3", "1500.0"))],
    *[("double,", text, None) for text in ("1.5", "1.234,5", "1,2,3")],
    *[("date", text, text) for text in ("0001-01-01", "2024-02-29", "9999-12-31")],
    *[("date", text, None) for text in ("0000-01-01", "2023-02-29", "10000-01-01", "2024-1-1", "-0001-01-01", "2024-02-29 ")],
    *[("time", text, value) for text, value in (("00:00", "0"), ("09:05", "545"), ("23:59", "1439"))],
    *[("time", text, None) for text in ("24:00", "9:05", "09:60", "09:05:00")],
    # The offset is written in several ways, or the time is local.
    *[
        ("timestamp", f"2026-03-01{text}", "2026-03-01T09:00:00Z")
        for text in ("T09:00Z", "T09:00:00Z", " 09:00:00Z", "T10:00:00+01:00", "T10:00:00+0100", "T10:00+01")
    ],
    *[
        ("timestamp", f"2026-03-01{text}", "2026-03-01T09:00:00Z") for text in (" 04:00:00.000-05", "T10:00", " 10:00:00")
    ],
    ("timestamp", "2026-03-01T10:00:00.123456789Z", "2026-03-01T10:00:00.123456Z"),
    ("timestamp", "2026-03-01T10:00:00.1234567+01", "2026-03-01T09:00:00.123456Z"),
    ("timestamp", "2026-03-01T10:00:00.9999999", "2026-03-01T09:00:00.999999Z"),
    *[("timestamp", f"2026-03-01{text}", None) for text in ("", "T10", "T24:00:00Z", "T10:00:60Z", "T10:00:00.1234567890Z")],
    *[("timestamp", f"2026-03-01T10:00:00{text}", None) for text in ("+99:00", "+1", "+010", " UTC", "[Europe/Berlin]", "+01:0")],
    ("timestamp", "2026-03-01t10:00:00z", None),
    # The clocks are set back: 02:30 happens twice, and the first one is meant.
    ("timestamp", "2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
    ("timestamp", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
    ("timestamp", "2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
    ("timestamp", "2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
    # The clocks are set forward: 02:30 does not happen.
    ("timestamp", "2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
    ("timestamp", "2026-03-29T02:00:00", None),
    ("timestamp", "2026-03-29T02:59:59.999999", None),
    ("timestamp", "2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
    # What Python's datetime cannot hold, here or in UTC.
    ("timestamp", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ("timestamp", "9999-12-31T22:59:59.999999Z", "9999-12-31T22:59:59.999999Z"),
    ("timestamp", "0000-12-31T23:00:00-14:00", None),
    ("timestamp", "0001-01-01T00:00:00+14:00", None),
    ("timestamp", "9999-12-31T23:59:59-14:00", None),
    ("timestamp", "9999-12-31T23:00:00Z", None),
)  # fmt: skip
"""Kind (`double,` with a decimal comma), text of a cell, value; None: the text is not of the type. The zone is Berlin's."""
