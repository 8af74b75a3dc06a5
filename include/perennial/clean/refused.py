"""The error of a refused date: for each broken rule, what it allows, the number of rows and an example."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.clean.verdict import Refusal, rule_name
from perennial.collect.lost import rows_remedy
from perennial.config.pipeline import Pipeline
from perennial.config.tables import ColumnContract
from perennial.errors import DropRefusedError

MAX_VALUES = 10


def drop_refused(pipeline: Pipeline, name: str, day: str, refusal: Refusal) -> DropRefusedError:
    """Return the error of one drop (`name`, `day`) whose rows were refused."""
    return DropRefusedError(
        f"Pipeline {pipeline.name!r}, drop {name} {day}: {refusal.cause()}",
        rule_problems(refusal, pipeline.tables[name].columns),
        f"None of its rows are used. {rows_remedy(name)}",
    )


def rule_problems(refusal: Refusal, columns: Mapping[str, ColumnContract]) -> list[str]:
    """Return each broken rule with what it allows, the number of rows that break it, and one of them; the most frequent first."""
    examples = {rule_name(item.column, item.rule): item for item in reversed(refusal.examples)}
    problems = []
    for rule, count in sorted(refusal.rules.items(), key=lambda item: (-item[1], item[0])):
        column, _, name = rule.rpartition(" ")
        contract = columns.get(column)
        place = f" ({contract.header!r} in its files)" if contract is not None and contract.header else ""
        text = f"{column}{place} {name}{_format_allowed(contract, name)}: {count} {'row' if count == 1 else 'rows'}"
        if item := examples.get(rule):
            text += f", for example {item.value!r} in {item.file}, row {item.position}"
        problems.append(text)
    return problems


def _format_allowed(column: ColumnContract | None, rule: str) -> str:
    if column is None:
        return ""
    if rule == "enum":
        values = [str(value) for value in column.enum or ()]
        more = f", … {len(values)} in total" if len(values) > MAX_VALUES else ""
        return f" ({', '.join(values[:MAX_VALUES])}{more})"
    if rule == "range" and column.range is not None:
        low, high = column.range
        return f" ({low} to {high})"
    allowed = {"type": column.type, "max_length": column.max_length}.get(rule)
    return "" if allowed is None else f" ({allowed})"
