"""CSV files of many dialects, most of them well formed and some broken, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from perennial.config.dialect import Csv

DIALECTS = (
    *[{}] * 10,
    {"delimiter": ";"},
    {"delimiter": "\t"},
    {"delimiter": "|", "quote": "'"},
    {"delimiter": "^"},
    {"delimiter": "\t", "quote": None},
    {"escape": "\\"},
    {"escape": "\\", "delimiter": ";", "quote": "'"},
    {"encoding": "latin-1"},
    {"encoding": "windows-1252", "delimiter": ";"},
    {"encoding": "utf-16", "delimiter": "\t"},
)
"""The default comes most often."""

_PIECES = (
    "a",
    "Z",
    "0",
    "-1.5",
    "NULL",
    "NA",
    " ",
    "  ",
    "\t",
    "#",
    "--",
    "\\",
    "é",
    "ß",
    "'",
    '"',
    '""',
    "''",
    ",",
    ";",
    "|",
    "\x1a",
)
_WIDE = ("日本", "😀", "\u2028", "\x85", "\u00a0", "\ufeff", "e\u0301")
_BREAKS = ("\n", "\r\n", "\n\n", "\r")


@dataclass(frozen=True, slots=True)
class File:
    """A file, its dialect and the number of its columns."""

    dialect: Csv
    width: int
    body: bytes


def make_files(seed: int, count: int) -> Iterator[File]:
    """Yield files: of ten, seven are well formed, two are damaged in one to three places and one is noise."""
    rng = random.Random(seed)
    for number in range(count):
        dialect = Csv.model_validate(DIALECTS[number % len(DIALECTS)])
        width = 1 if number % len(DIALECTS) == 0 else 3
        kind = rng.choice(("formed",) * 7 + ("damaged",) * 2 + ("noise",))
        header = dialect.delimiter.join("abc"[:width]) + "\n"
        text = header + _noise(rng, dialect) if kind == "noise" else _formed(rng, dialect, width)
        if kind == "damaged":
            text = _damage(rng, text, dialect)
        encoding = "utf-8-sig" if dialect.encoding == "utf-8" and rng.random() < 0.05 else dialect.encoding
        yield File(dialect, width, text.encode(encoding, "replace"))


def make_long_files(seed: int, count: int) -> Iterator[File]:
    """Yield files of more than a million characters: readers fill their buffers more than once."""
    rng = random.Random(seed)
    for _ in range(count):
        dialect = Csv()
        lines = ["a,b,c"]
        for _ in range(rng.randint(15, 30)):
            cells = [_cell(rng, dialect) * rng.choice((1, 1, 3_000, 10_000)) for _ in range(3)]
            lines.append(_line([cell[:130_000] for cell in cells], dialect, rng))
        yield File(dialect, 3, ("\n".join(lines) + "\n").encode())


def _formed(rng: random.Random, dialect: Csv, width: int) -> str:
    end = rng.choice(("\n", "\n", "\r\n"))
    lines = [_line(list("abc"[:width]), dialect, rng)]
    for _ in range(rng.randint(0, 6)):
        number = width if rng.random() < 0.95 else rng.randint(1, 4)
        lines.append(_line([_cell(rng, dialect) for _ in range(number)], dialect, rng))
        if rng.random() < 0.05:
            lines.append("")
    return end.join(lines) + rng.choice((end, end, ""))


def _cell(rng: random.Random, dialect: Csv) -> str:
    pieces = _PIECES if dialect.encoding in ("latin-1", "windows-1252") else _PIECES + _WIDE
    if rng.random() < 0.15:
        return ""
    cell = "".join(rng.choice(pieces if rng.random() < 0.9 else _BREAKS) for _ in range(rng.randint(1, 5)))
    return cell * 500 if rng.random() < 0.01 else cell


def _line(cells: list[str], dialect: Csv, rng: random.Random) -> str:
    return dialect.delimiter.join(_write(cell, dialect, rng) for cell in cells)


def _write(cell: str, dialect: Csv, rng: random.Random) -> str:
    """Write a cell as a careful program does: quoted where it must be, and sometimes where it need not."""
    special = {dialect.delimiter, "\n", "\r", *([dialect.escape] if dialect.escape else ())}
    if dialect.quote is None:
        return "".join(char for char in cell if char not in special)
    if not (special & set(cell) or cell.startswith(dialect.quote) or rng.random() < 0.2):
        return cell
    if dialect.escape:
        cell = cell.replace("\\", "\\\\").replace(dialect.quote, "\\" + dialect.quote)
    else:
        cell = cell.replace(dialect.quote, dialect.quote * 2)
    return f"{dialect.quote}{cell}{dialect.quote}"


def _damage(rng: random.Random, text: str, dialect: Csv) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(min(3, len(text)), len(text))
        new = rng.choice((dialect.quote or '"', dialect.delimiter, "\n", "\r", "\r\n", " ", "\\", "#", "", "\0", "x"))
        text = text[:at] + new + text[at + rng.randint(0, 1) :]
    return text


def _noise(rng: random.Random, dialect: Csv) -> str:
    signs = (dialect.quote or '"', dialect.delimiter, dialect.delimiter, "\n", "\n", "x", " ", "\\", "#", "\r\n", "\r", "ä")
    return "".join(rng.choice(signs) for _ in range(rng.randint(1, 25)))
