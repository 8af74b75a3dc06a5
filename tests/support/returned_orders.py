"""
Drops of the pipeline returned_orders: the orders of a date, and the orders that came back on it.

An order comes back up to four days after its date.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from perennial.config.pipeline import Pipeline

ROWS = 160
LATEST_DAYS = 4
CATEGORIES = {"books": -2.0, "shoes": 1.2, "toys": -0.5}
CHANNELS = ("web", "shop")


@dataclass(frozen=True, slots=True)
class Order:
    """One order; `returned_after` counts days, None: it stays. A price is None where it is not known."""

    order_id: int
    category: str
    price: float | None
    is_gift: bool
    returned_after: int | None


def orders(day: date) -> list[Order]:
    """Return the orders of a date: dear shoes come back most."""
    chance = random.Random(f"returned_orders {day}")
    found = []
    for index in range(ROWS):
        category = chance.choice(sorted(CATEGORIES))
        price = round(chance.uniform(5, 100), 2)
        is_returned = chance.random() < 1 / (1 + math.exp(-(CATEGORIES[category] + (price - 50) / 20)))
        after = chance.randrange(LATEST_DAYS + 1)
        order_id = (day.toordinal() - 700_000) * 1_000 + index
        is_priced, is_gift = index % 20 != 0, index % 16 == 1
        found.append(
            Order(order_id, category, price if is_priced else None, is_gift, after if is_returned and not is_gift else None)
        )
    return found


def known_labels(dates: Iterable[date], landed: Collection[date], known_after_days: int) -> dict[int, bool]:
    """Return whether the orders of some dates came back, as far as drops landed by then say; gifts have no label."""
    return {
        order.order_id: order.returned_after is not None
        and order.returned_after <= known_after_days
        and day + timedelta(days=order.returned_after) in landed
        for day in dates
        for order in orders(day)
        if not order.is_gift
    }


def drops(day: date, lost_share: float = 0.0, *, with_channel: bool = False) -> Mapping[str, Mapping[str, bytes]]:
    """
    Return by source every object of a date's drop by name, the manifest last.

    :param lost_share: of the returns, those that the drop lacks
    :param with_channel: whether the orders have another column, `channel`
    """
    rows = [
        f"{one.order_id},{one.category},{'' if one.price is None else one.price},{'true' if one.is_gift else 'false'}"
        + (f",{CHANNELS[one.order_id % len(CHANNELS)]}" if with_channel else "")
        for one in orders(day)
    ]
    back = [
        one.order_id
        for earlier in (day - timedelta(days=after) for after in range(LATEST_DAYS + 1))
        for one in orders(earlier)
        if one.returned_after == (day - earlier).days
    ]
    back = back[round(len(back) * lost_share) :]
    return {
        "orders": _drop("orders", day, [f"order_id,category,price,is_gift{',channel' if with_channel else ''}", *rows]),
        "returns": _drop("returns", day, ["order_id", *map(str, back)]),
    }


def land(put: Callable[[str, bytes], object], pipeline: Pipeline, day: date, lost_share: float = 0.0) -> None:
    """Put the drops of a date where the pipeline's sources expect them."""
    for source, files in drops(day, lost_share).items():
        for name, body in files.items():
            put(pipeline.sources[source].drop_uri(day) + name, body)


def _drop(source: str, day: date, lines: list[str]) -> dict[str, bytes]:
    name, body = f"{source}.csv", "\n".join([*lines, ""]).encode()
    file = {"name": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "rows": len(lines) - 1}
    manifest = {"format": 1, "source": source, "date": day.isoformat(), "files": [file]}
    return {name: body, "_MANIFEST.json": json.dumps(manifest).encode()}
