"""A file of orders, from which `perennial new` makes a pipeline."""

from __future__ import annotations

import csv
import io
import random
import re
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


def as_german(rows: list[list[Any]]) -> list[list[Any]]:
    """Return orders as a German program writes them: 31.12.2026 14:05, 1,5 and letters that ASCII does not have."""

    def write(cell: Any) -> Any:
        if isinstance(cell, float):
            return str(cell).replace(".", ",")
        if isinstance(cell, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}.*", cell):
            moment = datetime.fromisoformat(cell)
            return moment.strftime("%d.%m.%Y %H:%M" if "T" in cell else "%d.%m.%Y")
        return cell.replace("please", "möglichst") if isinstance(cell, str) else cell

    return [[write(cell) for cell in row] for row in rows]


def csv_text(rows: list[list[Any]], header: str = HEADER, **dialect: Any) -> str:
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", **dialect)
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return text.getvalue()
