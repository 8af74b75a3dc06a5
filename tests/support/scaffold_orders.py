"""A file of orders, from which `perennial new` makes a pipeline."""

from __future__ import annotations

import csv
import io
import random
from datetime import date, datetime, time, timedelta
from typing import Any

FIRST, DAYS, ROWS = date(2026, 1, 1), 45, 60
HEADER = "order_id,ordered_at,customer,country,amount,channel,is_gift,note,returned_on,refund,unused,order,returned"


def orders() -> list[list[Any]]:
    """Return orders of some weeks: dear ones and those from AT come back more often."""
    chance = random.Random("orders")
    rows = []
    for number in range(DAYS * ROWS):
        day = FIRST + timedelta(days=number // ROWS)
        country, amount = chance.choice(["DE", "AT", "NA"]), round(chance.uniform(1, 200), 2)
        is_returned = chance.random() < 0.1 + 0.3 * (country == "AT") + 0.2 * (amount > 150)
        rows.append(
            [
                1000 + number,
                datetime.combine(day, time(chance.randrange(24), chance.randrange(60))).isoformat() + "Z",
                f"C{chance.randrange(300):04}",
                country,
                "n/a" if chance.random() < 0.05 else amount,
                chance.choice(["web", "shop"]),
                chance.choice(["true", "false"]),
                f'say "{number}",\nplease',
                (day + timedelta(days=3)).isoformat() if is_returned else "",
                amount if is_returned else 0,
                "",
                chance.randrange(1, 9),
                "yes" if is_returned else "no",
            ]
        )
    return rows


def csv_text(rows: list[list[Any]], header: str = HEADER, **dialect: Any) -> str:
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", **dialect)
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return text.getvalue()
