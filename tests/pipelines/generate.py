"""Drops of the pipeline machine_faults for any date: the same bytes every time, with a signal that can be learnt."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import random
from collections.abc import Mapping
from datetime import date
from typing import Any

SOURCE = "readings"
HEADER = "reading_id,machine,measured_at,temperature,pressure,mode,has_fault"
ROWS = 200
MANIFEST = "_MANIFEST.json"


def rows(day: date) -> list[str]:
    """Return the data lines of one date; about a third of the readings come before a fault, hot and boosted ones mostly."""
    chance = random.Random(f"machine_faults {day}")
    return [_row(chance, day, index) for index in range(ROWS)]


def files(day: date) -> dict[str, bytes]:
    """Return the drop's data files: one plain, one compressed."""
    lines = rows(day)
    return {
        "readings-1.csv": csv_bytes(lines[: ROWS // 2]),
        "readings-2.csv.gz": gzip.compress(csv_bytes(lines[ROWS // 2 :]), mtime=0),
    }


def csv_bytes(lines: list[str]) -> bytes:
    """Return header and lines as a file."""
    return "\n".join([HEADER, *lines, ""]).encode()


def manifest(day: date, bodies: Mapping[str, bytes], **changes: Any) -> bytes:
    """Return the manifest of files, counting lines as rows; `changes` replace keys of it."""
    listed = [
        {"name": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "rows": _count(name, body)}
        for name, body in bodies.items()
    ]
    document = {"format": 1, "source": SOURCE, "date": day.isoformat(), "files": listed, **changes}
    return json.dumps(document, indent=1).encode()


def drop(day: date) -> dict[str, bytes]:
    """Return every object of a drop by name, the manifest last."""
    bodies = files(day)
    return {**bodies, MANIFEST: manifest(day, bodies)}


def _row(chance: random.Random, day: date, index: int) -> str:
    machine = f"M{chance.randrange(1, 21):02d}"
    mode = chance.choices(["idle", "normal", "boost"], [2, 5, 3])[0]
    temperature = chance.gauss({"idle": 40, "normal": 60, "boost": 75}[mode], 12)
    pressure = max(0.0, chance.gauss(8, 2))
    score = 0.12 * (temperature - 68) + 0.5 * (pressure - 8) + (0.8 if machine in {"M03", "M11", "M17"} else 0.0)
    fault = chance.random() < 1 / (1 + math.exp(-score))
    pressure_text = "unknown" if chance.random() < 0.03 else f"{pressure:.2f}"
    identity = (day.toordinal() - 700_000) * 1_000 + index
    clock = f"{index * 24 // ROWS:02d}:{index * 7 % 60:02d}:00"
    return f"{identity},{machine},{day}T{clock}Z,{temperature:.2f},{pressure_text},{mode},{'true' if fault else 'false'}"


def _count(name: str, body: bytes) -> int:
    try:
        text = gzip.decompress(body) if name.endswith(".gz") else body
    except (OSError, EOFError):
        return 0
    return max(text.count(b"\n") - 1, 0)
