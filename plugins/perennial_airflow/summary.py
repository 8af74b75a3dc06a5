"""The results of tasks as a person reads them: a headline beside the task, and lines in its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.display.forced import describe_force
from perennial.display.metrics import label_of
from perennial.display.showable import make_showable

HEADLINE = "headline"
"""The key of a task's context that holds the headline."""

HEADLINE_TEMPLATE = f"{{{{ {HEADLINE} | default('', true) }}}}"
"""The `map_index_template` of a task with a headline. Airflow shows it in the list of a run's tasks, mapped or not."""

MAX_CHARACTERS = 240
"""Airflow stores at most 250."""

METRICS = ("roc_auc", "log_loss", "skill", "squared_error", "absolute_error", "pinball_loss")
LINE_CHARACTERS = 110
DIGITS = 4


def describe_plan(plan: Mapping[str, Any]) -> str:
    """Return the headline of plan_run: the date of the data, and the decision if nothing has changed since."""
    if "stages" not in plan:
        return str(plan["date"])
    return _cut(f"{plan['date']}, unchanged: {describe_decision(plan['stages']['evaluate'])}")


def describe_result(stage: str, result: Mapping[str, Any]) -> str:
    """Return the headline of a stage, or '' if it has none."""
    if stage == "evaluate":
        return _cut(describe_decision(result))
    if stage == "deploy":
        return _cut(f"{result['released']} serves" if result.get("released") else f"not released: {result['reason']}")
    return ""


def describe_decision(result: Mapping[str, Any]) -> str:
    """Return a decision with the main metrics of each candidate, or the reason why there is none."""
    if "decision" not in result:
        return f"skipped: {result['reason']}"
    candidates = [
        f"{candidate['name']} "
        + " ".join(f"{label_of(name)} {candidate[name]:.{DIGITS}f}" for name in METRICS if candidate.get(name) is not None)
        for candidate in result["candidates"]
    ]
    return "; ".join(filter(None, [result["decision"], describe_force(result.get("forced")), *candidates]))


def to_lines(result: Mapping[str, Any]) -> list[str]:
    """Return a result as lines of YAML, without empty values."""
    import yaml  # DAG files are read often and must stay light

    text = yaml.safe_dump(_plain(result), sort_keys=False, allow_unicode=True, width=LINE_CHARACTERS)
    return make_showable(text).splitlines()


def _plain(value: Any) -> Any:
    """Return a value without empty fields, with its name first and with rounded numbers."""
    if isinstance(value, Mapping):
        ordered = sorted(value, key=lambda name: name != "name")  # stored objects have their fields in alphabetical order
        return {name: _plain(value[name]) for name in ordered if value[name] not in (None, "", [], {})}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def _cut(text: str) -> str:
    """Return a headline, on one line."""
    text = " ".join(make_showable(text).split())
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
