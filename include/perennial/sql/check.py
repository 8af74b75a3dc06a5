"""Check a pipeline's SQL without Spark, and report errors that Spark would certainly raise before a job starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from perennial.config.pipeline import Pipeline
from perennial.errors import did_you_mean
from perennial.sql.columns import Views, look_at_columns, untyped_nulls
from perennial.sql.finding import Doubt, Problem
from perennial.sql.functions import function_problems
from perennial.sql.later_days import Sees, analyses_see, features_see, labels_see, later_day_problems, lookups_see
from perennial.sql.own_day import own_day_problems
from perennial.sql.parse import parse_query
from perennial.sql.refused_functions import refused_texts
from perennial.sql.tables import table_problems


@dataclass(slots=True)
class Findings:
    """Problems that are certain, and warnings about SQL that could not be checked."""

    problems: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Expected:
    """The columns that a file must yield; with `only`, no others. `later_label` is the label that labels.sql yields."""

    columns: tuple[str, ...]
    only: bool
    later_label: str | None = None


def check_sql(pipeline: Pipeline) -> Findings:
    """Check all SQL files of a pipeline. Uncertain findings are not problems: Spark decides."""
    findings = Findings()
    clean: dict[str, list[str] | None] = {}
    shaped, steps = pipeline.sql_files("sources"), pipeline.clean_steps()
    for name, table in pipeline.tables.items():
        dated = ["date"] if name in pipeline.sources else []
        columns: list[str] | None = [*dated, *table.columns]
        if name in shaped:
            columns = _check(findings, f"sources/{name}.sql", shaped[name], {"drop": columns}, Expected(tuple(dated), only=False))
        elif name in steps:
            columns = None  # only the step itself can tell its columns
        clean[name] = columns
    views: Views = {"dates": ["date", "as_of"], **clean}
    inputs, label = pipeline.inputs, pipeline.label
    row = dict.fromkeys(("date", *pipeline.row_key))
    columns_wanted = dict.fromkeys((*row, *inputs.request, *(() if label.known_after_days else (label.column,))))
    sources = tuple(pipeline.sources)
    features = Expected(tuple(columns_wanted), only=True, later_label=label.column if label.known_after_days else None)
    sees = features_see(sources, label.known_after_days)
    _check(findings, "features.sql", pipeline.sql("features.sql"), views, features, sees=sees)
    if label.known_after_days:
        sees, labels = labels_see(sources, label.known_after_days), Expected((*row, label.column), only=True)
        _check(findings, "labels.sql", pipeline.sql("labels.sql"), views, labels, sees=sees, before_midnight=True)
    for name, text in pipeline.sql_files("lookups").items():
        lookup = inputs.lookups[name]
        lookup_columns = Expected(("as_of", *lookup.key, *lookup.values), only=True)
        _check(findings, f"lookups/{name}.sql", text, views, lookup_columns, sees=lookups_see(sources), before_midnight=True)
    for name, text in pipeline.sql_files("analysis").items():
        _check(findings, f"analysis/{name}.sql", text, views, Expected(("date",), only=False), sees=analyses_see(sources))
    return findings


def _check(
    findings: Findings,
    file: str,
    text: str,
    views: Views,
    expected: Expected,
    *,
    sees: Sees | None = None,
    before_midnight: bool = False,
) -> list[str] | None:
    """
    Add the findings of one file; return the columns that it yields, or None if they are not certain.

    :param before_midnight: the file may see days before `as_of`, but not the day that begins then
    """
    findings.problems.extend(f"{file}: {problem}" for problem in refused_texts(text))
    try:
        tree = parse_query(file, text)
    except Problem as problem:
        findings.problems.append(str(problem))
        return None
    except Doubt as doubt:
        findings.doubts.append(str(doubt))
        return None
    unknown, yielded = look_at_columns(tree, views)
    own_day = list(own_day_problems(tree)) if before_midnight else []
    reported = {line for line, _ in own_day}
    later = [problem for problem in later_day_problems(tree, sees) if problem[0] not in reported] if sees else []
    problems = sorted({*table_problems(tree, views), *function_problems(tree), *untyped_nulls(tree), *unknown, *own_day, *later})
    findings.problems.extend(f"{file}, line {line}: {problem}" if line else f"{file}: {problem}" for line, problem in problems)
    if yielded is not None:
        findings.problems.extend(f"{file}: {problem}" for problem in _output_problems(yielded, expected))
    return yielded


def _output_problems(yielded: list[str], expected: Expected) -> Iterator[str]:
    extra = [name for name in dict.fromkeys(yielded) if name not in expected.columns]
    for name in expected.columns:
        if name not in yielded:
            yield f"column {name!r} is missing in the SELECT list.{did_you_mean(name, extra)}"
    for name in dict.fromkeys(yielded):
        if yielded.count(name) > 1:
            yield f"column {name!r} is selected twice"
    for name in extra if expected.only else ():
        if name == expected.later_label:
            yield f"column {name!r} is the label, which is known only after its date: select it only in labels.sql"
        else:
            yield f"column {name!r} is not declared in pipeline.yaml"
