"""A small pipeline that is edited as its author would edit it: YAML, SQL and what upstream lands, drawn from a seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from perennial.store.content_name import canonical_json, sha256

DAY = timedelta(days=1)
START = date(2026, 3, 1)
FIRST = START + 2 * DAY
"""The newest date before the first edit."""
ROWS = 6
COUNTRIES = ("DE", "FR", "IT")
SPARE = ("channel", "coupon", "weight", "device")


@dataclass
class Draft:
    """What the author has written so far."""

    today: date = FIRST
    feed: dict[str, str] = field(
        default_factory=lambda: {"id": "integer", "amount": "double", "items": "integer", "country": "string", "sold": "boolean"}
    )
    """What upstream lands from the next drop on: columns, and what kind of value they hold."""

    columns: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "id": {"type": "integer", "required": True},
            "amount": {"type": "double"},
            "items": {"type": "integer"},
            "country": {"type": "string"},
            "sold": {"type": "boolean"},
        }
    )
    request: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {
            "amount": ("number?", "CAST(s.amount AS DOUBLE)"),
            "items": ("number?", "CAST(s.items AS DOUBLE)"),
            "country": ("category?", "s.country"),
        }
    )
    """Type and SQL of each request field."""

    lookups: dict[str, dict[str, str]] = field(default_factory=lambda: {"rates": {"sales": "COUNT(*)"}})
    """Values of each lookup by country, with their SQL."""

    analyses: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"totals": {"rows": "COUNT(*)", "few": "CAST(3 AS TINYINT)", "most": "MAX(s.country)"}}
    )
    copies: bool = True
    """Whether an analysis copies the clean table as it is."""

    label: tuple[str, Any, str] = ("sold", True, "s.sold")
    row_key: dict[str, str] = field(default_factory=lambda: {"id": "s.id"})
    reference: dict[str, str] | None = None
    """Columns of the reference `regions`, with their types."""

    shape: str | None = None
    """What sources/sales.sql adds."""

    time_zone: str = "UTC"
    training: dict[str, int] = field(
        default_factory=lambda: {"window_days": 2, "holdout_days": 1, "min_days": 2, "lookback_days": 1}
    )

    def write(self, folder: Path, landing: str) -> None:
        """Write the pipeline's folder, and nothing of an earlier draft."""
        for old in folder.rglob("*.sql"):
            old.unlink()
        document = {
            "name": folder.name,
            "title": "A pipeline that changes",
            "start": START.isoformat(),
            "time_zone": self.time_zone,
            "sources": {
                "sales": {
                    "uri": f"{landing}/date={{date}}/",
                    "key": ["id"],
                    "columns": self.columns,
                    "max_quarantine_share": 0.5,
                }
            },
            "label": {"column": self.label[0], "positive": self.label[1]},
            "row_key": list(self.row_key),
            "inputs": {
                "request": {name: kind for name, (kind, _) in self.request.items()},
                "lookups": {name: {"key": ["country"], "values": list(values)} for name, values in self.lookups.items()},
            },
            "training": {**self.training, "candidates": ["logistic"]},
            "gate": {"min_days": 1},
        }
        if self.reference is not None:
            contract = {name: {"type": kind} for name, kind in self.reference.items()}
            document["references"] = {"regions": {"uri": f"{landing}/regions.csv", "key": ["code"], "columns": contract}}
        texts = {
            "pipeline.yaml": yaml.safe_dump(document, sort_keys=False),
            "features.sql": self._features(),
            **{f"lookups/{name}.sql": _lookup(values) for name, values in self.lookups.items()},
            **{f"analysis/{name}.sql": _analysis(values) for name, values in self.analyses.items()},
        }
        if self.copies:
            texts["analysis/copy.sql"] = "SELECT s.* FROM sales s JOIN dates d ON s.date = d.date"
        if self.reference is not None:
            texts["analysis/regions.sql"] = "SELECT d.date, r.* FROM regions r CROSS JOIN dates d"
        if self.shape is not None:
            texts["sources/sales.sql"] = f"SELECT *, {self.shape} FROM drop"
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def _features(self) -> str:
        outputs = {**self.row_key, **{name: sql for name, (_, sql) in self.request.items()}, self.label[0]: self.label[2]}
        listed = ", ".join(f"{sql} AS {name}" for name, sql in outputs.items())
        return f"SELECT s.date, {listed} FROM sales s JOIN dates d ON s.date = d.date WHERE {self.label[2]} IS NOT NULL"

    def drop(self) -> dict[str, bytes]:
        """Return today's drop as upstream lands it."""
        lines = [",".join(self.feed)]
        for index in range(ROWS):
            chance = random.Random(f"{self.today} {index}")
            values = {"integer": str(index), "double": f"{chance.random():.3f}", "string": chance.choice(COUNTRIES)}
            values["boolean"] = chance.choice(("true", "false"))
            # One cell in eight is empty, but never the key's.
            lines.append(
                ",".join("" if name != "id" and chance.random() < 0.12 else values[kind] for name, kind in self.feed.items())
            )
        body = "\n".join([*lines, ""]).encode()
        file = {"name": "a.csv", "size": len(body), "sha256": sha256(body), "rows": ROWS}
        manifest = {"format": 1, "source": "sales", "date": self.today.isoformat(), "files": [file]}
        return {"a.csv": body, "_MANIFEST.json": canonical_json(manifest)}

    def regions(self) -> bytes | None:
        """Return the reference's object."""
        if self.reference is None:
            return None
        rows = [[country if name == "code" else str(index) for name in self.reference] for index, country in enumerate(COUNTRIES)]
        text = "\n".join([",".join(self.reference), *(",".join(row) for row in rows), ""])
        return text.encode()


def _lookup(values: dict[str, str]) -> str:
    listed = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
    return (
        f"SELECT d.as_of, s.country, {listed} FROM dates d JOIN sales s "
        "ON s.date >= DATE_SUB(d.as_of, 1) AND s.date < d.as_of GROUP BY d.as_of, s.country"
    )


def _analysis(values: dict[str, str]) -> str:
    listed = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
    return f"SELECT s.date, {listed} FROM sales s JOIN dates d ON s.date = d.date GROUP BY s.date"


Edit = Callable[[Draft, random.Random], str | None]
"""Changes a draft and says how; None: it cannot, or would change nothing."""


def draw_draft(chance: random.Random) -> Draft:
    """Return a pipeline to begin with: few tables, which are what a run costs."""
    draft = Draft()
    if chance.random() < 0.5:
        draft.lookups = {}
    if chance.random() < 0.5:
        draft.analyses = {}
    else:
        draft.copies = False
    return draft


def draw_edit(draft: Draft, earlier: list[Draft], chance: random.Random) -> str:
    """Change a draft by one drawn edit and return its description; sometimes go back to what it was before. Some take a day."""
    if len(earlier) > 1 and chance.random() < 0.15:
        restore(draft, earlier[-2])
        return "back to what it was"
    while True:
        edit = chance.choice(EDITS)
        tried = copy.deepcopy(draft)
        tried.today += DAY * (edit in LANDING or chance.random() < 0.25)
        if (said := edit(tried, chance)) is not None:
            vars(draft).update(vars(tried))
            return said


def restore(draft: Draft, earlier: Draft) -> None:
    """Write what was written before; upstream goes on."""
    for name, value in vars(copy.deepcopy(earlier)).items():
        if name not in ("today", "feed"):
            setattr(draft, name, value)
    _declare_landed(draft)


def _declare_landed(draft: Draft) -> None:
    """Let a contract that comes back fit what upstream lands by now."""
    for name, kind in draft.feed.items():
        draft.columns.setdefault(name, {"type": kind, "optional": True})
    for name, column in draft.columns.items():
        if name not in draft.feed:
            column.pop("since", None)
            column.pop("until", None)
            column["optional"] = True
            column.pop("required", None)


def _spare(draft: Draft, taken: Any) -> str | None:
    return next((name for name in SPARE if name not in taken and name not in draft.feed), None)


def _used(draft: Draft, column: str) -> bool:
    """Tell whether SQL names a column of the source."""
    texts = [sql for _, sql in draft.request.values()]
    texts += [sql for values in (*draft.lookups.values(), *draft.analyses.values()) for sql in values.values()]
    return column in ("id", "sold", "country") or any(f"s.{column}" in sql for sql in texts) or column in (draft.shape or "")


def begin_column(draft: Draft, chance: random.Random) -> str | None:
    """Upstream adds a column from today on, and the contract says so."""
    name = _spare(draft, draft.columns)
    if name is None:
        return None
    kind = chance.choice(("string", "integer", "double"))
    draft.feed[name] = kind
    declared = chance.choice(({"since": draft.today.isoformat()}, {"optional": True}))
    draft.columns[name] = {"type": kind, **declared}
    return f"contract: {name} begins, {declared}"


def end_column(draft: Draft, chance: random.Random) -> str | None:
    """Upstream ends a column: the contract says so, or renames it, or drops it though older files hold it."""
    ending = [name for name in draft.feed if name not in ("id", "sold", "country") and not draft.columns[name].get("optional")]
    if not ending:
        return None
    name = chance.choice(ending)
    how = chance.choice(("until", "rename", "drop") if not _used(draft, name) else ("until", "rename"))
    kind = draft.feed.pop(name)
    if how == "drop":
        del draft.columns[name]
        return f"contract: {name} is taken out"
    column = draft.columns[name]
    column["until"] = max((draft.today - DAY).isoformat(), column.get("since", ""))
    column.pop("required", None)
    if how == "rename" and (other := _spare(draft, draft.columns)):
        draft.feed[other] = kind
        draft.columns[other] = {"type": column["type"], "since": draft.today.isoformat()}
        return f"contract: {name} becomes {other}"
    return f"contract: {name} ends"


def retype_column(draft: Draft, chance: random.Random) -> str | None:
    """Read a column as another type: its cells fit both."""
    fits = {
        "double": ("string", "double"),
        "integer": ("string", "double", "integer"),
        "string": ("string",),
        "boolean": ("boolean",),
    }
    names = [name for name in draft.columns if name not in ("id", "sold", "country")]
    if not names:
        return None
    name = chance.choice(names)
    kinds = [kind for kind in fits[draft.feed.get(name, "string")] if kind != draft.columns[name]["type"]]
    if not kinds or _used_as_number(draft, name):
        return None
    draft.columns[name]["type"] = chance.choice(kinds)
    return f"contract: {name} is of type {draft.columns[name]['type']}"


def _used_as_number(draft: Draft, name: str) -> bool:
    return name in (draft.shape or "") or any(
        f"SUM(s.{name}" in sql for values in draft.lookups.values() for sql in values.values()
    )


def require_column(draft: Draft, chance: random.Random) -> str | None:
    """Make a column required, or nullable again."""
    name = chance.choice([name for name in draft.columns if name != "id"])
    column = draft.columns[name]
    column["required"] = not column.get("required", False)
    return f"contract: {name} is {'required' if column['required'] else 'nullable'}"


def reorder_columns(draft: Draft, chance: random.Random) -> str | None:
    """List the contract's columns in another order than the files."""
    names = list(draft.columns)
    chance.shuffle(names)
    draft.columns = {name: draft.columns[name] for name in names}
    return f"contract: order {', '.join(names)}"


def add_field(draft: Draft, chance: random.Random) -> str | None:
    """Ask callers for another field."""
    names = [name for name in draft.columns if name not in draft.request and name not in ("id", "sold")]
    if not names:
        return None
    name = chance.choice(names)
    draft.request[name] = ("category?", f"CAST(s.{name} AS STRING)")
    return f"request: {name} is added"


def remove_field(draft: Draft, chance: random.Random) -> str | None:
    """Ask callers for a field less."""
    names = [name for name in draft.request if name != "country"]
    if not names:
        return None
    name = chance.choice(names)
    del draft.request[name]
    return f"request: {name} is taken out"


def rename_field(draft: Draft, chance: random.Random) -> str | None:
    """Call a field by another name."""
    names = [name for name in draft.request if name != "country"]
    if not names:
        return None
    name = chance.choice(names)
    other = f"{name}_x" if not name.endswith("_x") else name.removesuffix("_x")
    if other in draft.request:
        return None
    draft.request = {other if one == name else one: value for one, value in draft.request.items()}
    return f"request: {name} is called {other}"


def retype_field(draft: Draft, chance: random.Random) -> str | None:
    """Take a field for a number, a category or a date."""
    names = [name for name in draft.request if name != "country"]
    if not names:
        return None
    name = chance.choice(names)
    kind, sql = draft.request[name]
    inner = sql.partition("(")[2].rpartition(" AS ")[0] if sql.startswith(("CAST", "TRY_CAST")) else sql
    kinds = {"number?": ("DOUBLE", "TRY_CAST"), "category?": ("STRING", "CAST"), "boolean?": ("BOOLEAN", "TRY_CAST")}
    other = chance.choice([one for one in kinds if one.rstrip("?") != kind.rstrip("?")])
    if other == "boolean?":
        draft.request[name] = (other, f"({inner} IS NULL)")
        return f"request: {name} is a boolean"
    inner = inner.removeprefix("(").removesuffix(" IS NULL)") if inner.endswith(" IS NULL)") else inner
    target, cast = kinds[other]
    draft.request[name] = (other, f"{cast}({inner} AS {target})")
    return f"request: {name} is of type {other}"


def reorder_fields(draft: Draft, chance: random.Random) -> str | None:
    """List the request's fields in another order."""
    names = list(draft.request)
    chance.shuffle(names)
    draft.request = {name: draft.request[name] for name in names}
    return f"request: order {', '.join(names)}"


def nullable_field(draft: Draft, chance: random.Random) -> str | None:
    """Make a field that admits null one that has a default, or the other way round."""
    name = chance.choice(list(draft.request))
    kind, sql = draft.request[name]
    if kind != "number?":
        return None
    draft.request[name] = ("number", f"CAST(COALESCE({sql}, 0) AS DOUBLE)")
    return f"request: {name} is never null"


def change_lookup(draft: Draft, chance: random.Random) -> str | None:
    """Add, drop or rename a lookup, or a value of one."""
    how = chance.choice(("add", "drop", "rename", "add value", "drop value"))
    names = list(draft.lookups)
    if how == "add" and len(names) < 2:
        name = next(one for one in ("rates", "shares", "sums") if one not in names)
        draft.lookups[name] = {"n": "COUNT(s.id)"}
        return f"lookup {name} is added"
    if not names:
        return None
    name = chance.choice(names)
    values = draft.lookups[name]
    if how == "drop":
        del draft.lookups[name]
    elif how == "rename":
        draft.lookups = {("renamed" if one == name else one): value for one, value in draft.lookups.items()}
    elif how == "add value" and "ids" not in values:
        values["ids"] = "SUM(s.id)"
    elif how == "drop value" and len(values) > 1:
        del values[chance.choice(list(values))]
    else:
        return None
    return f"lookup {name}: {how}"


def change_analysis(draft: Draft, chance: random.Random) -> str | None:
    """Add or drop an analysis, or change the columns of one: name, type, order."""
    how = chance.choice(("add", "drop", "rename", "retype", "reorder", "copy"))
    if how == "copy":
        draft.copies = not draft.copies
        return f"analysis: the copy of the clean table is {'made' if draft.copies else 'not made'}"
    names = list(draft.analyses)
    if how == "add" and len(names) < 2:
        draft.analyses["more"] = {"n": "COUNT(s.id)"}
        return "analysis: more is added"
    if not names:
        return None
    name = chance.choice(names)
    values = draft.analyses[name]
    if how == "drop":
        del draft.analyses[name]
        return f"analysis: {name} is taken out"
    column = chance.choice(list(values))
    if how == "rename":
        draft.analyses[name] = {(f"{one}_2" if one == column else one): sql for one, sql in values.items()}
    elif how == "retype":
        values[column] = f"CAST({values[column]} AS STRING)"
    elif how == "reorder":
        draft.analyses[name] = dict(reversed(values.items()))
    else:
        return None
    return f"analysis {name}: {how} {column}"


def change_label(draft: Draft, chance: random.Random) -> str | None:
    """Rename the label, or give it another type."""
    name = chance.choice(("sold", "was_sold"))
    positive, sql = chance.choice(((True, "s.sold"), (1, "CAST(s.sold AS INT)"), ("true", "CAST(s.sold AS STRING)")))
    if (name, positive, sql) == draft.label:
        return None
    draft.label = (name, positive, sql)
    return f"label: {name}, positive {positive!r}"


def change_row_key(draft: Draft, chance: random.Random) -> str | None:
    """Name rows by other columns."""
    key = chance.choice(
        ({"id": "s.id"}, {"sale_id": "s.id"}, {"sale_id": "CAST(s.id AS STRING)"}, {"id": "s.id", "half": "s.id % 2"})
    )
    if key == draft.row_key:
        return None
    draft.row_key = dict(key)
    return f"row key: {key}"


def change_reference(draft: Draft, chance: random.Random) -> str | None:
    """Add, drop, widen or retype the reference."""
    choices: list[dict[str, str] | None] = [
        None,
        {"code": "string"},
        {"code": "string", "rank": "integer"},
        {"code": "string", "rank": "string"},
        {"rank": "double", "code": "string"},
    ]
    other = chance.choice(choices)
    if other == draft.reference:
        return None
    draft.reference = None if other is None else dict(other)
    return f"reference: {other}"


def change_shape(draft: Draft, chance: random.Random) -> str | None:
    """Let the source's SQL add a column, or another one."""
    other = chance.choice((None, "id * 2 AS twice", "CAST(id AS STRING) AS twice", "UPPER(country) AS loud"))
    if other == draft.shape:
        return None
    draft.shape = other
    return f"sources/sales.sql: {other}"


def change_dates(draft: Draft, chance: random.Random) -> str | None:
    """Change the time zone, or how much history is needed."""
    if chance.random() < 0.3:
        draft.time_zone = "Europe/Berlin" if draft.time_zone == "UTC" else "UTC"
        return f"time zone: {draft.time_zone}"
    name = chance.choice(("window_days", "lookback_days"))
    draft.training[name] = 3 - draft.training[name]
    return f"training: {name} {draft.training[name]}"


EDITS: tuple[Edit, ...] = (
    begin_column,
    end_column,
    retype_column,
    require_column,
    reorder_columns,
    add_field,
    remove_field,
    rename_field,
    retype_field,
    reorder_fields,
    nullable_field,
    change_lookup,
    change_analysis,
    change_label,
    change_row_key,
    change_reference,
    change_shape,
    change_dates,
)
LANDING = (begin_column, end_column)
"""Edits that begin with what upstream lands."""
